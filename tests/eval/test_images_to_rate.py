"""eval/predict.py --images: which images are rated, and what is refused before anything is done."""

from pathlib import Path

import pytest

from eval.inference.settings import scale_called
from eval.inference.unrated import unrated
from eval.predict import main
from storm.scales import IQA
from tests.helpers.rating import PRODUCT, photograph, refusal

starts_programs = pytest.mark.slow


def test_a_folder_is_all_images_below_it_by_name(photos):
    photograph(photos / ".hidden" / "5.png")
    listed = unrated(str(photos), None)
    assert listed.root == photos and listed.images == ["0.png", "1.png", "2.jpg", "4.png", "sub/3.png"]


@pytest.mark.parametrize(
    ("pattern", "images"),
    [
        ("photos/*.png", ["0.png", "1.png", "4.png"]),
        ("photos/**/*.png", ["0.png", "1.png", "4.png", "sub/3.png"]),
        ("*/[12]*", ["photos/1.png", "photos/2.jpg"]),
        ("photos/2.jpg", ["2.jpg"]),
    ],
)
def test_a_glob_starts_at_the_folder_before_its_first_wildcard(photos, monkeypatch, pattern, images):
    monkeypatch.chdir(photos.parent)
    listed = unrated(pattern, None)
    assert listed.images == images and listed.root == Path("." if pattern.startswith("*") else "photos")


def test_files_that_match_and_are_no_images_are_counted(photos):
    [note] = unrated(str(photos / "*"), None).notes
    assert "left out: 1" in note


LISTS = {
    "list.csv": "id,file\n7,4.png\n8,sub/3.png\n9,0.png\n",
    "list.tsv": "file\tprice\n4.png\t1\n3.png\t2\n0.png\t3\n",
    "list.txt": "4.png\nsub/3.png\n0.png\n",
    "list.jsonl": '{"image": "4.png"}\n{"image": "sub/3.png"}\n{"image": "0.png"}\n',
    "other.csv": "who,what\na,4.png\nb,sub/3.png\nc,0.png\n",
    "windows.csv": "image\nC:\\photos\\4.PNG\nC:\\photos\\sub\\3.png\nC:\\photos\\0.png\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_keeps_its_order(photos, name):
    (photos / name).write_text(LISTS[name])
    listed = unrated(str(photos / name), None)
    assert listed.images == ["4.png", "sub/3.png", "0.png"] and listed.root == photos
    (photos.parent / name).write_text(LISTS[name])
    assert unrated(str(photos.parent / name), photos).images == ["4.png", "sub/3.png", "0.png"]


@pytest.mark.parametrize("kind", ["xlsx", "parquet"])
def test_a_list_may_be_a_table_of_another_program(photos, kind):
    import pandas

    table = pandas.DataFrame({"price": [1, 2], "image": ["4.png", "0.png"]})
    path = photos / f"list.{kind}"
    table.to_excel(path, index=False) if kind == "xlsx" else table.to_parquet(path)
    assert unrated(str(path), None).images == ["4.png", "0.png"]


def test_names_in_a_list_may_hold_blanks(photos):
    photograph(photos / "my own photo.png")
    (photos / "list.txt").write_text("my own photo.png\n4.png\n")
    assert unrated(str(photos / "list.txt"), None).images == ["my own photo.png", "4.png"]


def test_an_image_named_twice_is_rated_once_and_what_is_wrong_with_a_list_is_said(photos):
    (photos / "list.csv").write_text("image,n\n4.png,1\n./4.png,2\n,3\ngone.png,4\n")
    listed = unrated(str(photos / "list.csv"), None)
    assert listed.images == ["4.png", "gone.png"]
    notes = "\n".join(listed.notes)
    assert "again" in notes and "name no image, left out: 1" in notes and "line 5: gone.png: no such image" in notes


@pytest.mark.parametrize("text", ["a,b\n1.png,2.jpg\n", "image,file\nx,y\n", "price,name of it\n1,x\n"])
def test_a_list_in_which_no_column_or_several_could_hold_the_images_is_refused(photos, text):
    (photos / "list.csv").write_text(text)
    with pytest.raises(ValueError, match="list.csv: which column holds the images"):
        unrated(str(photos / "list.csv"), None)


def test_options_that_cannot_go_together_are_one_line(photos, tmp_path, capsys):
    here, out = ("--images", photos), ("--out", tmp_path / "r.csv")
    scale = ("--scale", "spaq")
    assert "--scale" in refusal(capsys, *here, *out)
    assert "did you mean spaq?" in refusal(capsys, *here, *out, "--scale", "spak")
    assert "probabilities" in refusal(capsys, *here, *out, *scale, "--decode", "generate")
    assert ".xlsx" in refusal(capsys, *here, "--out", tmp_path / "r.ods", *scale)
    assert ".html" in refusal(capsys, *here, *out, *scale, "--sheet", tmp_path / "s.pdf")
    assert "is a folder" in refusal(capsys, *here, *out, *scale, "--sheet", _folder(tmp_path / "s.html"))
    assert "quote the pattern" in refusal(capsys, *here, "other.png", *out, *scale)
    assert "no such file" in refusal(capsys, "--images", tmp_path / "gone", *out, *scale)
    assert "no images" in refusal(capsys, "--images", _folder(tmp_path / "empty"), *out, *scale)
    assert "list of images" in refusal(capsys, *here, *out, *scale, "--media", photos)
    for option in (("--sort", "value"), ("--sheet", "s.html"), ("--strategy", "num")):
        assert f"{option[0]} goes with --images" in refusal(capsys, "--data", "a.jsonl", *out, *option)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "photos", "s.html"], "nothing is written"


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_data_and_images_exclude_each_other_and_one_is_needed(capsys):
    for words in (["--data", "a.jsonl", "--images", "b"], []):
        with pytest.raises(SystemExit) as stopped:
            main(["--model", "m", "--out", "o.csv", *words])
        error = capsys.readouterr().err
        assert stopped.value.code == 2 and "--data" in error and "--images" in error


def test_a_table_that_this_command_did_not_write_is_not_replaced(photos, capsys):
    (photos / "list.csv").write_text("image\n0.png\n")
    error = refusal(capsys, "--images", photos / "list.csv", "--out", photos / "list.csv", "--scale", "spaq")
    assert "another --out" in error and (photos / "list.csv").read_text() == "image\n0.png\n"


def test_the_scale_of_a_dataset_of_the_paper_or_a_file():
    assert scale_called("spaq") is scale_called("iqa") is scale_called("demo") is IQA
    assert scale_called(str(PRODUCT)).name == "appeal"
