"""Rating files in the forms that people have: which image gets which level, and what is refused."""

import csv
import json
import os
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from data_prep.__main__ import main
from data_prep.own_rows import Reading, read_all
from data_prep.parts import part_in
from data_prep.rating_files import read_ratings
from tests.helpers.downloads import write

STARS = "name: stars\nrates: a photograph\nlevels: {Bad: 1, Poor: 2, Fair: 3, Good: 4, Excellent: 5}\n"
NAMES = [f"p{number:02}.jpg" for number in range(20)]


def levels(folder: Path, *arguments: str, scale: str = STARS, images: list[str] = NAMES) -> dict[str, int] | None:
    """Image -> level as the command writes it; None if it refuses."""
    for name in images:
        write(folder / name, "x")
    write(folder / "scale.yaml", scale)
    sources = [str(folder / argument) if (folder / argument).exists() else argument for argument in arguments]
    out = str(folder / "out")
    if main(
        ["own", *sources, "--scale", f"{folder}/scale.yaml", "--media", str(folder), "--out", out, "--check", "exists"]
    ):
        return None
    with (folder / "out/manifest/stars.csv").open(newline="") as file:
        return {row["id"]: int(row["label"]) for row in csv.DictReader(file)}


EXPECTED = {name: number % 5 for number, name in enumerate(NAMES)}


def records(image: str = "image", rating: str = "rating", first: int = 1) -> list[dict]:
    return [{image: name, rating: level + first} for name, level in EXPECTED.items()]


def table(delimiter: str, head: str, row: str) -> str:
    """head, and row for each image with {name} and {rating} in it."""
    lines = [row.format(name=name, rating=level + 1) for name, level in EXPECTED.items()]
    return "\n".join([*([head] if head else []), *lines]).replace(",", delimiter) + "\n"


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("a.csv", table(",", "name,mos", "{name},{rating}"), []),
        ("a.csv", table(",", "Image,Rating", "{name},{rating}.0"), []),
        ("a.tsv", table("\t", "filename,stars,day", "{name},{rating},2"), ["--rating-column", "stars"]),
        ("a.csv", table(";", "Bild,Bewertung", "Fotos\\{name},{rating}"), ["--rating-column", "Bewertung"]),
        ("a.txt", table(" ", "", "{name},{rating}.000000"), ["--no-header"]),
        ("a.csv", table(",", "image,rating", "C:\\Users\\me\\{name},{rating}/5"), []),
        ("a.csv", table(",", "image,rating", "https://host/x/{name}?w=200,{rating}"), []),
        ("a.csv", table(",", ",image,rating", "7,{name},{rating}"), []),
        ("a.json", json.dumps(records()), []),
        ("a.json", json.dumps({name: level + 1 for name, level in EXPECTED.items()}), []),
        ("a.jsonl", "".join(json.dumps(row) + "\n" for row in records("source-ref", "grade")), []),
    ],
    ids=["usual names", "pandas", "tsv", "German", "no header", "Windows", "URL", "index", "json", "names", "manifest"],
)  # fmt: skip
def test_the_usual_forms_are_read(tmp_path, name, text, options):
    write(tmp_path / name, text)
    assert levels(tmp_path, name, *options) == EXPECTED


def test_names_without_an_extension_and_in_another_case(tmp_path):
    write(tmp_path / "a.csv", table(",", "image,rating", "{name},{rating}").replace(".jpg", ""))
    images = [name.upper() for name in NAMES]
    assert levels(tmp_path, "a.csv", images=images) == {name.upper(): level for name, level in EXPECTED.items()}


def test_parquet_and_excel(tmp_path):
    parquet.write_table(pyarrow.Table.from_pylist(records()), tmp_path / "a.parquet")
    assert levels(tmp_path, "a.parquet") == EXPECTED
    from openpyxl import Workbook

    book = Workbook()
    for row in ([], ["image", "rating"], *([name, level + 1] for name, level in EXPECTED.items())):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    assert levels(tmp_path, "a.xlsx") == EXPECTED


def test_an_export_of_label_studio(tmp_path):
    tasks = []
    for number, (name, level) in enumerate(EXPECTED.items()):
        value = (
            {"rating": level + 1} if number % 2 else {"choices": [["Bad", "Poor", "Fair", "Good", "Excellent"][level]]}
        )
        result = {"type": "rating", "value": value}
        tasks.append({"id": number, "data": {"image": f"/data/upload/1/{name}"}, "annotations": [{"result": [result]}]})
    write(tmp_path / "a.json", json.dumps(tasks))
    assert levels(tmp_path, "a.json") == EXPECTED


def test_a_file_like_cocos_with_ratings(tmp_path):
    images = [{"id": number, "file_name": name} for number, name in enumerate(NAMES)]
    annotations = [
        {"id": 7, "image_id": number, "bbox": [0, 0, 1, 1], "attributes": {"rating": number % 5 + 1}}
        for number in range(20)
    ]
    write(tmp_path / "a.json", json.dumps({"images": images, "annotations": annotations}))
    assert levels(tmp_path, "a.json") == EXPECTED


def test_a_folder_for_each_level_below_train_and_test(tmp_path):
    for part, count in (("train", 4), ("valid", 1), ("test", 2)):
        for level in range(5):
            for number in range(count):
                write(tmp_path / "mine" / part / str(level) / f"{part}{number}.png", "x")
    write(tmp_path / "scale.yaml", "name: stars\nrates: a photograph\nlevels: ['0', '1', '2', '3', '4']\n")
    out = tmp_path / "out"
    arguments = ["own", f"{tmp_path}/mine", "--scale", f"{tmp_path}/scale.yaml", "--out", str(out), "--check", "exists"]
    assert main(arguments) == 0
    with (out / "manifest/stars.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 35 and all(row["label"] == row["id"].split("/")[1] for row in rows)
    assert all({"valid": "val"}.get(row["id"].split("/")[0], row["id"].split("/")[0]) == row["split"] for row in rows)
    write(tmp_path / "mine/lost.png", "x")
    with pytest.raises(ValueError, match="lost.png"):
        read_ratings(tmp_path / "mine", True, [])


def test_files_for_train_and_test_are_read_together(tmp_path):
    lines = table(",", "", "{name},{rating}").splitlines()
    write(tmp_path / "train.csv", "\n".join(["image,rating", *lines[:15]]))
    write(tmp_path / "test.csv", "\n".join(["image,rating", *lines[15:]]))
    assert levels(tmp_path, "train.csv", "test.csv") == EXPECTED
    rows = (tmp_path / "out/cot/stars_test.jsonl").read_text().splitlines()
    assert {json.loads(row)["id"] for row in rows} == set(NAMES[15:])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "image,rating,rating\n" + "p00.jpg,1,5\n" * 3, "there twice"),
        ("a.csv", 'image,rating\np00.jpg,1\np01.jpg,"2\np02.jpg,3\n', "line 3"),
        ("a.csv", "left,right,winner\np00.jpg,p01.jpg,left\n", "comparisons"),
        ("a.csv", "p00.jpg,1\np01.jpg,2\n", "--no-header"),
        ("a.csv", "image,score,label\np00.jpg,1,2\n", "score, label"),
        ("a.csv", "file,image,rating\nx,p00.jpg,1\n", "--image-column"),
        ("a.csv", "image,rating,rater,split\np00.jpg,1,me,train\np00.jpg,3,you,test\n", "another subject or split"),
        ("a.json", '{"image": [1, 2', "line 1"),
        ("a.json", '{"p00.jpg": 1, "p00.jpg": 2}', "there twice"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.csv", '[{"image": "p00.jpg", "rating": 1}', "not JSON"),
        ("a.jsonl", "[1, 2]\n", "line 1"),
        ("a.docx", "x", ".docx"),
        ("a.csv", "", "empty"),
        ("a.csv", "image,rating\n", "no rows"),
        ("a.csv", "image,rating,split\np00.jpg,1,train\np01.jpg,2,\n", "no split"),
    ],
    ids=lambda value: value if " " in str(value) or value.startswith("--") else None,
)
def test_what_cannot_be_read_is_one_line_with_the_fix(tmp_path, capsys, name, text, said):
    write(tmp_path / name, text)
    assert levels(tmp_path, name) is None
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert said in error and len(error) < 900


@pytest.mark.parametrize("end", ["csv", "parquet", "json", "jsonl", "xlsx"])
def test_a_pipe_is_not_waited_for(tmp_path, capsys, end):
    os.mkfifo(tmp_path / f"a.{end}")
    assert levels(tmp_path, f"a.{end}") is None and f"a.{end}" in capsys.readouterr().err


def test_most_images_may_have_no_rating_yet(tmp_path):
    lines = [f"{name},{level + 1 if place < 12 else ''}" for place, (name, level) in enumerate(EXPECTED.items())]
    write(tmp_path / "a.csv", "\n".join(["image,rating", *lines]))
    assert levels(tmp_path, "a.csv") == {name: EXPECTED[name] for name in NAMES[:12]}


def test_a_broken_json_file_is_not_printed(tmp_path, capsys):
    write(tmp_path / "a.csv", "[" + '{"image": "p00.jpg", "rating": 1},' * 50_000)
    assert levels(tmp_path, "a.csv") is None
    assert len(capsys.readouterr().err) < 2000


RATERS = {
    "a": (1, 1, 2),
    "b": (1, 2, 3),
    "c": (2, 3, 4),
    "d": (3, 4, 5),
    "e": (4, 5, 5),
    "f": (1, 2, 5),
}  # image -> ratings
MEANS = {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "f": 2}


@pytest.mark.parametrize("wide", [False, True], ids=["a row a rating", "a column a rater"])
def test_several_raters_become_one_label_with_votes(tmp_path, capsys, wide):
    names = [f"{image}{copy}.jpg" for image in RATERS for copy in range(4)]
    if wide:
        lines = [f"{name},{','.join(map(str, RATERS[name[0]]))}" for name in names]
        write(tmp_path / "a.csv", "\n".join(["image,r1,r2,r3", *lines]))
        found = levels(tmp_path, "a.csv", "--rating-column", "r1,r2,r3", images=names)
    else:
        lines = [f"{name},r{n},{rating}" for name in names for n, rating in enumerate(RATERS[name[0]])]
        write(tmp_path / "a.csv", "\n".join(["file_name,rater_id,score", *lines]))
        found = levels(tmp_path, "a.csv", images=names)
    assert found == {name: MEANS[name[0]] for name in names}
    assert "72 ratings of 24 images by 3 raters" in capsys.readouterr().out
    rows = [json.loads(line) for file in (tmp_path / "out/cot").iterdir() for line in file.read_text().splitlines()]
    assert {tuple(row["votes"]) for row in rows if row["id"][0] == "a"} == {(0.666667, 0.333333, 0, 0, 0)}


@pytest.mark.parametrize(("how", "label"), [("mean", 2), ("median", 1), ("majority", 1)])
def test_what_counts_of_several_ratings_can_be_chosen(tmp_path, how, label):
    names = [f"{image}{copy}.jpg" for image in RATERS for copy in range(4)]
    lines = [f"{name},r{n},{rating}" for name in names for n, rating in enumerate(RATERS[name[0]])]
    write(tmp_path / "a.csv", "\n".join(["file_name,rater_id,score", *lines]))
    assert levels(tmp_path, "a.csv", "--raters", how, images=names)["f0.jpg"] == label


def test_a_rater_who_agrees_with_nobody_is_named(tmp_path, capsys):
    lines = [f"{name},r{n},{level + 1 if n else 5 - level}" for name, level in EXPECTED.items() for n in range(4)]
    write(tmp_path / "a.csv", "\n".join(["image,rater,rating", *lines]))
    assert levels(tmp_path, "a.csv", "--raters", "median") == EXPECTED
    printed = capsys.readouterr().out
    assert "rater r0 agrees with nobody" in printed and "rater r1 agrees" not in printed


def test_several_ratings_of_an_image_without_a_column_of_raters_are_refused(tmp_path, capsys):
    lines = [f"{name},{rating}" for name in NAMES for rating in (1, 3)]
    write(tmp_path / "a.csv", "\n".join(["image,rating", *lines]))
    assert levels(tmp_path, "a.csv") is None and "several raters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", "train"),
        ("NNEW_trainval_0", "train"),
        ("NNEW_test_0", "test"),
        ("fairface_label_val", "val"),
        ("test_of_trains", "test"),
        ("train_and_test", ""),
        ("latest", ""),
        ("validated", ""),
    ],
)
def test_the_part_that_a_files_name_says(name, part):
    assert part_in(name) == part


def test_votes_with_equals_signs_between_the_columns(tmp_path):
    """As the votes of EVA."""
    path = tmp_path / "votes.csv"
    path.write_text("user_id=image_id=score\nu1=7=3\nu2=7=5\n")
    assert [(row.image, row.rating, row.rater) for row in read_all([path], Reading({}), [])] == [
        ("7", "3", "u1"),
        ("7", "5", "u2"),
    ]
