"""eval/predict.py --images: which images, what the table and the sheet say, and that no image is rated twice.

With a stand-in for the model: the image 3.png gets level 3 with 0.7, and its neighbor towards the middle with 0.3.
"""

import csv
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from eval.inference.rating_table import Rating, ratings_of, write
from eval.inference.settings import scale_called, trained_upright
from eval.inference.unrated import unrated
from eval.predict import main
from eval.report_page.sheet import MOST, render, sheet_of, spread
from storm.files import read_jsonl, write_json, write_jsonl
from storm.images import load_rgb
from storm.scales import IQA
from tests.helpers.inference import MAIN, STAND_IN, WITH_IMAGES
from tests.helpers.paths import ROOT

starts_programs = pytest.mark.slow
PRODUCT = ROOT / "examples/product_photos/scale.yaml"  # the middles of its levels are 1.4, 2.2, 3.0, 3.8, 4.6
WORDS = ("Repelling", "Dull", "Acceptable", "Attractive", "Irresistible")
MONTHS = "name: baby\nrates: the age of a baby\nunit: months\nrange: [2, 6]\n"
BY_NAME = """
MASS = 0.98
from storm.prompts import answer
def by_name(self, block, images):
    time.sleep(PAUSE)
    rows = []
    for example in block:
        level, scale = int(os.path.basename(example.image)[0]), example.scale
        probs = [0.0] * len(scale.fine)
        probs[level], probs[level - 1 if level else 1] = 0.7, 0.3
        text = answer(scale, example.strategy, scale.lo + level)
        rows.append(KNOWN | {"predict": text, "probs": probs, "mass": MASS})
        with open(os.environ["ASKED"], "a") as file:
            print(example.image, file=file)
    return rows
rater.Rater._predict_batch = by_name
"""
NO_MODEL = "sys.modules['eval.inference.model'] = None\n"


def photograph(path: Path) -> Path:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (30, 20), (200, 90, 9)).save(path)
    return path


@pytest.fixture
def photos(tmp_path) -> Path:
    """Five photographs, one in a folder, and a file that is none."""
    for name in ("0.png", "1.png", "2.jpg", "sub/3.png", "4.png"):
        photograph(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("not an image\n")
    return tmp_path / "photos"


def command(out: Path, images: object, *more: object, driver: str = "") -> list[str]:
    words = ["--model", "stand/in", "--images", images, "--out", out, "--batch-size", 2, *more]
    if "--scale" not in more:
        words += ["--scale", PRODUCT]
    return [sys.executable, "-c", STAND_IN + WITH_IMAGES + BY_NAME + driver + MAIN, *map(str, words)]


def rate(out: Path, images: object, *more: object, driver: str = "", code: int = 0) -> subprocess.CompletedProcess:
    env = {"PATH": "/usr/bin", "ASKED": str(out) + ".asked"}
    words = command(out, images, *more, driver=driver)
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr[-2000:]
    return done


def asked(out: Path) -> list[str]:
    """The images that the model was asked about, in order."""
    path = Path(str(out) + ".asked")
    return path.read_text().splitlines() if path.exists() else []


def cells(out: Path) -> list[dict]:
    with out.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def error_of(done: subprocess.CompletedProcess) -> str:
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return line


def refusal(capsys, *words: object) -> str:
    """The one line with which a command that cannot begin ends."""
    assert main(["--model", "m", *map(str, words)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


# Which images.


def test_a_folder_is_all_images_below_it_by_name(photos):
    photograph(photos / ".hidden" / "5.png")
    found = unrated(str(photos), None)
    assert found.root == photos and found.images == ["0.png", "1.png", "2.jpg", "4.png", "sub/3.png"]


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
    found = unrated(pattern, None)
    assert found.images == images and found.root == Path("." if pattern.startswith("*") else "photos")


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
    found = unrated(str(photos / name), None)
    assert found.images == ["4.png", "sub/3.png", "0.png"] and found.root == photos
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
    found = unrated(str(photos / "list.csv"), None)
    assert found.images == ["4.png", "gone.png"]
    notes = "\n".join(found.notes)
    assert "again" in notes and "name no image, left out: 1" in notes and "line 5: gone.png: no such image" in notes


@pytest.mark.parametrize("text", ["a,b\n1.png,2.jpg\n", "image,file\nx,y\n", "price,name of it\n1,x\n"])
def test_a_list_in_which_no_column_or_several_could_hold_the_images_is_refused(photos, text):
    (photos / "list.csv").write_text(text)
    with pytest.raises(ValueError, match="list.csv: which column holds the images"):
        unrated(str(photos / "list.csv"), None)


# What is refused before anything is done.


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


# The table.


@starts_programs
def test_the_value_is_in_the_users_own_unit(photos, tmp_path):
    done = rate(out := tmp_path / "r.csv", photos)
    rows = {row["image"]: row for row in cells(out)}
    assert list(rows) == ["0.png", "1.png", "2.jpg", "4.png", "sub/3.png"]
    assert list(rows["0.png"]) == [
        "image", "label", "word", "value", "coarse", *(f"p_{word}" for word in WORDS), "entropy", "mass", "error"
    ]  # fmt: skip
    # 0.7 x 1.4 + 0.3 x 2.2, 0.7 x 2.2 + 0.3 x 1.4, 0.7 x 3.8 + 0.3 x 3.0
    assert [rows[name]["value"] for name in ("0.png", "1.png", "sub/3.png")] == ["1.64", "1.96", "3.56"]
    last = rows["4.png"]
    assert [last[key] for key in ("label", "word", "coarse", "mass")] == ["4", "Irresistible", "Sells", "0.98"]
    assert [last[f"p_{word}"] for word in WORDS] == ["0.0", "0.0", "0.0", "0.3", "0.7"]
    assert not any("label" in line.row for line in read_jsonl(Path(f"{out}.rows/rows.jsonl"))), "nobody knows it"
    printed = done.stdout.splitlines()
    assert printed[2].split() == ["5", "0", "5", "0", "0", printed[2].split()[-1]]
    assert any(line.split() == ["Attractive", "1", "sub/3.png"] for line in printed)
    assert str(out) in printed and "warning" not in done.stderr


@starts_programs
def test_of_the_papers_scales_the_value_is_that_of_the_labels(photos, tmp_path):
    rate(out := tmp_path / "r.csv", photos, "--scale", "spaq", "--strategy", "direct")
    rows = {row["image"]: row for row in cells(out)}
    assert (rows["sub/3.png"]["value"], rows["sub/3.png"]["word"]) == ("2.7", "Good")  # 0.7 x 3 + 0.3 x 2
    assert rows["sub/3.png"]["coarse"] == "", "the strategy direct asks for none"


@starts_programs
def test_a_counted_scale_has_no_column_for_each_number(photos, tmp_path):
    (tmp_path / "baby.yaml").write_text(MONTHS)
    rate(out := tmp_path / "r.csv", photos, "--scale", tmp_path / "baby.yaml")
    row = next(row for row in cells(out) if row["image"] == "sub/3.png")
    assert list(row) == ["image", "label", "word", "value", "coarse", "entropy", "mass", "error"]
    assert [row[key] for key in ("label", "word", "value")] == ["5", "5 months", "4.7"]  # 0.7 x 5 + 0.3 x 4
    rate(out := tmp_path / "r.jsonl", photos, "--scale", tmp_path / "baby.yaml")
    row = next(line.row for line in read_jsonl(out) if line.row["image"] == "sub/3.png")
    assert row["value"] == 4.7 and row["probs"] == [0, 0, 0.3, 0.7, 0]


RATED = Rating("=1+1.png", 1, "Poor", 1.25, "Below Fair", [0, 0.75, 0.25, 0, 0], 0.5, 0.99)
UNREADABLE = Rating("a\x07b,\n.png", error="no such image")


def test_every_form_of_the_table_says_the_same(tmp_path):
    import openpyxl
    import pandas

    for ending in ("csv", "xlsx", "parquet", "jsonl"):
        write(tmp_path / f"r.{ending}", [RATED, UNREADABLE], IQA)
    plain = ["=1+1.png", 1, "Poor", 1.25, "Below Fair", 0, 0.75, 0.25, 0, 0, 0.5, 0.99, None]
    text = cells(tmp_path / "r.csv")
    assert list(text[0].values())[:5] == ["=1+1.png", "1", "Poor", "1.25", "Below Fair"], "the csv is as it is"
    assert set(list(text[1].values())[1:-1]) == {""} and text[1]["image"] == "a\x07b,\n.png"
    sheet = openpyxl.load_workbook(tmp_path / "r.xlsx").active
    head, first, second = sheet.iter_rows()
    assert [cell.value for cell in head] == list(text[0])
    assert [cell.value for cell in first] == plain and first[0].data_type == "s", "not a formula"
    assert [cell.value for cell in second] == ["a\\x07b,\\n.png", *[None] * 11, "no such image"]
    whole = pandas.read_parquet(tmp_path / "r.parquet")
    assert whole.loc[0, "probs"].tolist() == [0, 0.75, 0.25, 0, 0] and whole.loc[0, "value"] == 1.25
    assert whole.loc[1].isna().sum() == 7 and list(whole.columns) == list(Rating._fields)
    rows = [line.row for line in read_jsonl(tmp_path / "r.jsonl")]
    assert rows == [RATED._asdict(), UNREADABLE._asdict()]


@pytest.mark.parametrize(
    ("order", "images"),
    [("", ["b.png", "c.png", "x.png", "a.png"]), ("value", ["a.png", "b.png", "c.png", "x.png"]),
     ("image", ["a.png", "b.png", "c.png", "x.png"])],
)  # fmt: skip
def test_sorted_by_value_or_name_or_as_they_are(tmp_path, order, images):
    levels = {"b.png": 3, "c.png": 1, "x.png": None, "a.png": 4}
    rows = []
    for name, level in levels.items():
        probs = [float(number == level) for number in range(5)]
        row = {"predict": f"rate{level}", "probs": probs, "entropy": 0, "mass": 1}
        rows.append({"image": name} | ({"error": "lost"} if level is None else row))
    from storm.prompts import answer

    rows = [row | {"predict": answer(IQA, "cot", levels[row["image"]])} if "probs" in row else row for row in rows]
    write_jsonl(tmp_path / "rows.jsonl", [*rows, {"image": "removed.png", "error": "lost"}])
    assert [row.image for row in ratings_of(tmp_path / "rows.jsonl", levels, IQA, "cot", order)] == images


# Going on.


@starts_programs
def test_killed_it_goes_on_and_ends_as_an_unbroken_run(photos, tmp_path):
    rate(whole := tmp_path / "whole.csv", photos)
    out = tmp_path / "r.csv"
    words = command(out, photos, driver="PAUSE = 0.4\n")
    process = subprocess.Popen(words, cwd=ROOT, env={"ASKED": f"{out}.asked"}, stderr=subprocess.DEVNULL)
    rows = Path(f"{out}.rows/rows.jsonl")
    end = time.time() + 60
    while not rows.exists() and process.poll() is None:
        assert time.time() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists() and 0 < len(begun := rows.read_text().splitlines()) < 5
    Path(f"{out}.asked").unlink()
    done = rate(out, photos)
    assert len(asked(out)) == 5 - len(begun) and out.read_bytes() == whole.read_bytes()
    assert done.stdout.splitlines()[2].split()[:3] == ["5", str(len(begun)), str(5 - len(begun))]


@starts_programs
def test_what_is_finished_loads_no_model_and_may_be_sorted_anew(photos, tmp_path):
    out = tmp_path / "r.csv"
    rate(out, photos, "--limit", "4")
    assert [row["image"] for row in cells(out)] == ["0.png", "1.png", "2.jpg", "4.png"]
    done = rate(out, photos, "--limit", "4", "--sort", "value", driver=NO_MODEL)
    assert "the model was not loaded" in done.stdout
    assert [row["image"] for row in cells(out)] == ["4.png", "2.jpg", "1.png", "0.png"]
    rate(out, photos, driver=NO_MODEL, code=2)


@starts_programs
def test_only_images_that_were_added_are_rated(photos, tmp_path):
    out = tmp_path / "r.csv"
    rate(out, photos)
    Path(f"{out}.asked").unlink()
    photograph(photos / "1_new.png"), photograph(photos / "sub/2_new.png")
    (photos / "0.png").unlink()
    done = rate(out, photos)
    assert asked(out) == ["1_new.png", "sub/2_new.png"]
    assert [row["image"] for row in cells(out)] == [
        "1.png", "1_new.png", "2.jpg", "4.png", "sub/2_new.png", "sub/3.png"
    ]  # fmt: skip
    assert done.stdout.splitlines()[2].split()[:3] == ["6", "4", "2"]
    assert "no longer there, left out of the table: 1" in done.stdout


@starts_programs
def test_an_image_that_was_replaced_is_rated_again(photos, tmp_path):
    rate(tmp_path / "r.csv", photos)
    (photos / "1.png").write_bytes((photos / "0.png").read_bytes() + b" ")
    rate(tmp_path / "r.csv", photos)
    assert asked(tmp_path / "r.csv")[5:] == ["1.png"] and len(cells(tmp_path / "r.csv")) == 5


def test_new_photographs_are_turned_as_the_training_rows_were(tmp_path):
    """Phones store photographs on their side; the copies of --resize are upright."""
    image, exif = Image.new("RGB", (40, 20)), Image.Exif()
    exif[274] = 6  # orientation: turned by 90 degrees
    image.save(tmp_path / "phone.jpg", exif=exif)
    assert load_rgb(tmp_path / "phone.jpg").size == (40, 20)
    assert load_rgb(tmp_path / "phone.jpg", upright=True).size == (20, 40)
    scale = tmp_path / "scale.yaml"
    assert not trained_upright(str(scale)) and not trained_upright("spaq")
    for resize in (None, 1000):
        write_json(tmp_path / "summary.json", {"mine": {"settings": {"resize": resize}}})
        assert trained_upright(str(scale)) == bool(resize)


@starts_programs
@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (("--scale", "spaq"), ("another scale", "appeal", "iqa")),
        (("--strategy", "num"), ("another strategy", "cot", "num")),
        (("--model", "other/model"), ("another model", "stand/in", "other/model")),
        (("--image-max-pixels", "99"), ("image_max_pixels", "99")),
        (("--images", "photos/*.png"), ("another source", "photos/*.png")),
    ],
    ids=lambda change: change[0],
)
def test_another_question_model_or_source_is_refused(photos, tmp_path, change, differs):
    out = tmp_path / "r.csv"
    rate(out, photos)
    before = out.read_bytes()
    change = [str(tmp_path / word) if "*" in word else word for word in change]
    error = error_of(rate(out, photos, *change, driver=NO_MODEL, code=2))
    assert all(word in error for word in differs) and "another --out" in error and f"{out}.rows" in error
    assert out.read_bytes() == before


@starts_programs
def test_levels_with_other_ratings_give_other_values_without_the_model(photos, tmp_path):
    """The question is the same: what the model said stays true."""
    (tmp_path / "scale.yaml").write_text(PRODUCT.read_text())
    rate(out := tmp_path / "r.csv", photos, "--scale", tmp_path / "scale.yaml")
    (tmp_path / "scale.yaml").write_text(PRODUCT.read_text().replace("[4.2, 5]", "[4.2, 7]"))
    rate(out, photos, "--scale", tmp_path / "scale.yaml", driver=NO_MODEL)
    assert next(row["value"] for row in cells(out) if row["image"] == "4.png") == "5.06"  # 0.7 x 5.6 + 0.3 x 3.8


@starts_programs
def test_an_unreadable_image_has_an_error_and_is_tried_again(photos, tmp_path):
    (photos / "3_bad.png").write_bytes(b"not an image")
    outside = photograph(tmp_path / "5_outside.png")
    (photos / "list.csv").write_text("image\n0.png\n3_bad.png\n../5_outside.png\n")
    out = tmp_path / "r.csv"
    done = rate(out, photos / "list.csv", code=2)
    rows = cells(out)
    assert [row["image"] for row in rows] == ["0.png", "3_bad.png", "../5_outside.png"]
    assert "not JPEG" in rows[1]["error"] and "leads out of the image root" in rows[2]["error"]
    assert all(set(list(row.values())[1:-1]) == {""} for row in rows[1:]) and rows[0]["error"] == ""
    assert any(line.split()[:2] == ["unreadable", "2"] for line in done.stdout.splitlines())
    photograph(photos / "3_bad.png"), outside.unlink()
    rate(out, photos / "list.csv", code=2)
    assert [row["word"] for row in cells(out)] == ["Repelling", "Attractive", ""]
    assert asked(out) == ["0.png", "3_bad.png"]


# What one sees.


@starts_programs
def test_a_model_that_was_not_trained_on_the_question_is_a_warning(photos, tmp_path):
    asks = ("--scale", "koniq", "--strategy", "text", "--sheet", tmp_path / "s.html")
    done = rate(tmp_path / "r.csv", photos, *asks, driver="MASS = 0.49\n")
    [line] = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert "koniq" in line and "--strategy text" in line and "0.49" in line
    assert "not trained on this question" in (tmp_path / "s.html").read_text()
    asks = (*asks[:-1], tmp_path / "t.html")
    assert "warning: " not in rate(tmp_path / "t.csv", photos, *asks, driver="MASS = 0.5\n").stderr
    assert "not trained on this question" not in (tmp_path / "t.html").read_text()


class Tags(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@starts_programs
def test_the_sheet_shows_every_image_and_no_name_becomes_html(photos, tmp_path):
    hostile = "1<img src=x onerror=alert(1)>&amp;\"'.png"
    photograph(photos / hostile), photograph(photos / "2=1+1.png")
    rate(tmp_path / "r.csv", photos, "--sheet", tmp_path / "s.html")
    page = Tags((tmp_path / "s.html").read_text())
    text = " ".join(page.text.split())
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 7 and all(one["src"].startswith("data:image/jpeg;base64,/9j/") for one in images)
    assert hostile in text and "2=1+1.png" in text and "7 images, in the order of their names" in text
    assert not {"script", "link", "iframe", "form", "a"} & {tag for tag, _ in page.tags}
    policy = next(attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes)
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert not any("onerror" in attributes for _, attributes in page.tags)


def test_the_sheet_says_how_many_of_how_many_it_shows(tmp_path):
    photograph(tmp_path / "a.png")
    many = [RATED._replace(image="a.png", value=number) for number in range(2 * MOST)]
    sheet = sheet_of([*many[:-1], UNREADABLE], IQA, tmp_path, "highest value first")
    assert len(sheet.cards) == MOST and (sheet.rows, sheet.unreadable) == (2 * MOST, 1)
    page = Tags(render(sheet))
    assert f"{MOST} of {2 * MOST} images, spread" in " ".join(page.text.split())
    assert "no such image" in page.text and "highest value first" in page.text


def test_thumbnails_are_spread_evenly_with_both_ends():
    assert spread(3, 5) == [0, 1, 2] and spread(5, 5) == [0, 1, 2, 3, 4]
    assert spread(9, 5) == [0, 2, 4, 6, 8] and len(set(spread(1000))) == MOST and spread(1000)[-1] == 999
