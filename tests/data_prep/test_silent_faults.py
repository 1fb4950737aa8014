"""Rating files that look right and are not: each is refused, or read in the one right way and said."""

import csv
import json
import random
from datetime import date
from pathlib import Path

import openpyxl
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from data_prep.__main__ import main
from tests.helpers.downloads import write

WORDS = ("Bad", "Fair", "Good")


def images(folder: Path, *names: str) -> None:
    """Photographs that no check takes for duplicates of each other."""
    for name in names:
        noise = random.Random(name)
        picture = Image.new("L", (16, 16))
        picture.putdata([noise.randrange(256) for _ in range(256)])
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture.resize((64, 64)).convert("RGB").save(folder / name, format="PNG")


def own(folder: Path, *words: object) -> int:
    """The exit code of `data_prep own` on files of a folder, which is also the image root."""
    sources = [folder / word if isinstance(word, str) and (folder / word).is_file() else word for word in words]
    out = ["--media", folder, "--out", folder / "out", "--workers", 1, "--test", "0.2"]
    return main(["own", *map(str, [*sources, *out])])


def labels(folder: Path) -> dict[str, tuple[str, str]]:
    """Image -> (label, subject) as they were written."""
    [path] = (folder / "out/manifest").glob("*.csv")
    with path.open(newline="") as file:
        return {row["id"]: (row["label"], row["subject"]) for row in csv.DictReader(file)}


def refused(folder: Path, capsys, *words: object) -> str:
    assert own(folder, *words) == 1
    assert not list((folder / "out").rglob("*.jsonl"))
    return capsys.readouterr().err


def lines(rows: list[tuple], head: str = "image,rating") -> str:
    return "\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n"


# Which photograph.


def test_a_file_in_val_is_not_the_missing_one_of_train(tmp_path, capsys):
    images(tmp_path, *(f"val/{n}.png" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"train/{n}.png", n % 3) for n in range(20)]))
    error = refused(tmp_path, capsys, "a.csv")
    assert "20 of 20 rows have no image" in error and "lies in another folder" in error


OTHERS = [
    "a/1.png",
    "/data/a/1.png",
    "C:\\\\me\\\\a\\\\1.png",
    "https://host/a/1.png",
    "1.png",
    "b/1.PNG",
    "20240101-1.png",
]


@pytest.mark.parametrize("other", OTHERS)
def test_two_names_never_share_a_photograph(tmp_path, other):
    """Only b/1.png is there: it must not get the rating of another name."""
    images(tmp_path, *(f"b/{n}.png" for n in range(30)))
    rows = [("b/" + f"{n}.png", n % 3) for n in range(30)]
    write(tmp_path / "a.csv", lines([*rows, (other, 2)]))
    assert own(tmp_path, "a.csv", "--allow-missing") == 0
    assert labels(tmp_path)["b/1.png"][0] == "1" and len(labels(tmp_path)) == 30
    assert other in (tmp_path / "out/quarantine/a.csv").read_text()


def test_images_that_only_their_names_find_are_counted(tmp_path, capsys):
    images(tmp_path, *(f"photos/{n}.png" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"/home/me/old/{n}.png", n % 3) for n in range(20)]))
    assert own(tmp_path, "a.csv") == 0
    printed = capsys.readouterr().out
    assert ": 20; /home/me/old/0.png is photos/0.png" in printed


def test_the_letters_that_label_studio_puts_before_a_name(tmp_path):
    images(tmp_path, *(f"p{n}.png" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"/data/upload/1/{n:04x}abcd-p{n}.png", n % 3) for n in range(20)]))
    assert own(tmp_path, "a.csv") == 0
    assert labels(tmp_path)["p5.png"][0] == "2"


def test_the_nearest_names_stand_in_the_message(tmp_path, capsys):
    images(tmp_path, *(f"p{n:02}.jpg" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"p{n:02}.jpeg", n % 3) for n in range(20)]))
    assert "near: p00.jpg" in refused(tmp_path, capsys, "a.csv")
    write(tmp_path / "a.csv", lines([(f"https://host/q{n:02}.jpg", n % 3) for n in range(20)]))
    assert "download the images first" in refused(tmp_path, capsys, "a.csv")


# Excel.


def workbook(path: Path, **sheets: list[list]) -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return book


def rated(first: int, count: int) -> list[list]:
    return [["image", "rating"], *([f"{n}.png", n % 3] for n in range(first, first + count))]


def test_rows_of_other_sheets_are_not_lost(tmp_path, capsys):
    images(tmp_path, *(f"{n}.png" for n in range(40)))
    workbook(tmp_path / "a.xlsx", train=rated(0, 25), test=rated(25, 15), empty=[])
    error = refused(tmp_path, capsys, "a.xlsx")
    assert "train, test" in error and "--sheet" in error
    assert own(tmp_path, "a.xlsx", "--sheet", "train") == 0 and len(labels(tmp_path)) == 25
    assert own(tmp_path, "a.xlsx", "--sheet", "tset") == 1 and "train, test" in capsys.readouterr().err


def test_merged_cells_count_for_each_row(tmp_path, capsys):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    rows = [["image", "rating", "subject"], *([f"{n}.png", n % 3, f"s{n // 4}"] for n in range(20))]
    book = workbook(tmp_path / "a.xlsx", ratings=rows)
    book["ratings"].merge_cells("C2:C5")
    book.save(tmp_path / "a.xlsx")
    assert own(tmp_path, "a.xlsx") == 0
    assert {labels(tmp_path)[f"{n}.png"][1] for n in range(4)} == {"s0"}
    assert "C2:C5" in capsys.readouterr().out


def test_dates_and_percents_of_excel(tmp_path, capsys):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    head, *rows = rated(0, 20)
    workbook(tmp_path / "a.xlsx", ratings=[head, *rows[:19], ["19.png", date(2024, 9, 3)]])
    assert "(a date of Excel)" in refused(tmp_path, capsys, "a.xlsx", "--levels", "0,1,2")
    when = [["when", *head], *([date(2024, 9, 3), *row] for row in rows)]  # as forms of Google have it
    workbook(tmp_path / "form.xlsx", ratings=when)
    assert own(tmp_path, "form.xlsx") == 0 and len(labels(tmp_path)) == 20


@pytest.mark.parametrize(("form", "level"), [("0%", "2"), ('0.0"%"', "0"), ("0.00\\\\%", "0")])
def test_a_percent_is_what_excel_shows(tmp_path, form, level):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    book = workbook(tmp_path / "b.xlsx", ratings=[["image", "rating"], *([f"{n}.png", n / 19] for n in range(20))])
    for row in range(2, 22):
        book["ratings"].cell(row, 2).number_format = form
    book.save(tmp_path / "b.xlsx")
    assert own(tmp_path, "b.xlsx", "--levels", "4", "--range", "0,100", "--allow-empty-levels") == 0
    assert labels(tmp_path)["10.png"][0] == level  # 0.526


# Names of classes beside their numbers.


def upside_down(folder: Path, kind: str) -> str:
    """A file in which class 0 is Good, and 2 is Bad."""
    names = WORDS[::-1]
    if kind == "coco":
        file = {
            "images": [{"id": n, "file_name": f"{n}.png"} for n in range(30)],
            "annotations": [{"id": n, "image_id": n, "category_id": n % 3} for n in range(30)],
            "categories": [{"id": n, "name": name} for n, name in enumerate(names)],
        }
        write(folder / "a.json", json.dumps(file))
        return "a.json"
    if kind == "sagemaker":
        rows = [
            {"source-ref": f"s3://x/{n}.png", "grade": n % 3, "grade-metadata": {"class-name": names[n % 3]}}
            for n in range(30)
        ]
        write(folder / "a.manifest", "".join(json.dumps(row) + "\n" for row in rows))
        return "a.manifest"
    feature = {"rating": {"names": list(names), "_type": "ClassLabel"}}
    table = pyarrow.table({"image": [f"{n}.png" for n in range(30)], "rating": [n % 3 for n in range(30)]})
    metadata = {b"huggingface": json.dumps({"info": {"features": feature}}).encode()}
    parquet.write_table(table.replace_schema_metadata(metadata), folder / "a.parquet")
    return "a.parquet"


@pytest.mark.parametrize("kind", ["coco", "sagemaker", "hugging face"])
def test_the_name_of_a_class_goes_before_its_number(tmp_path, kind):
    images(tmp_path, *(f"{n}.png" for n in range(30)))
    assert own(tmp_path, upside_down(tmp_path, kind), "--levels", ",".join(WORDS)) == 0
    assert [labels(tmp_path)[f"{n}.png"][0] for n in range(3)] == ["2", "1", "0"]


# Numbers that can be read in two ways.


def numbers(folder: Path, cells: list[str]) -> str:
    images(folder, *(f"{n}.png" for n in range(len(cells))))
    write(folder / "a.csv", lines([(f"{n}.png", f'"{cell}"') for n, cell in enumerate(cells)]))
    return "a.csv"


@pytest.mark.parametrize("scale", [("--levels", "3", "--by", "quantiles"), ("--levels", "3", "--range", "0,1500")])
def test_thousands_beside_plain_numbers_are_refused(tmp_path, capsys, scale):
    cells = ["1,200", "850", "430", "1,100"] * 6
    assert "1,200" in refused(tmp_path, capsys, numbers(tmp_path, cells), *scale)
    cells = ["1,200", "2,850", "4,430", "9,100"] * 6
    assert "1,200" in refused(tmp_path, capsys, numbers(tmp_path, cells), *scale)


def test_where_thousands_are_off_the_scale_the_comma_is_for_decimals(tmp_path):
    cells = ["1,333", "4,667", "3", "2,5"] * 6
    assert own(tmp_path, numbers(tmp_path, cells), "--levels", "2", "--range", "1,5", "--by", "equal-width") == 0
    assert [labels(tmp_path)[f"{n}.png"][0] for n in range(4)] == ["0", "1", "1", "0"]


def test_percents_beside_fractions_are_refused(tmp_path, capsys):
    error = refused(
        tmp_path, capsys, numbers(tmp_path, ["50%", "0.5", "90%", "0"] * 6), "--levels", "2", "--range", "0,100"
    )
    assert "50%" in error and "0.5" in error


def test_cells_without_a_value_are_dropped_and_counted(tmp_path, capsys):
    name = numbers(tmp_path, [*["0", "1", "2"] * 7, "NA", "nan", "n/a"])
    assert own(tmp_path, name) == 0
    assert len(labels(tmp_path)) == 21 and "rating is empty" in capsys.readouterr().out


# Raters and records.


def test_raters_in_files_of_their_own(tmp_path):
    """In each file, no image has two rows."""
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    for rater, more in (("anna", 0), ("ben", 2)):
        write(
            tmp_path / f"{rater}.csv",
            lines([(f"{n}.png", n % 3 + more, rater) for n in range(20)], "image,rating,rater"),
        )
    assert own(tmp_path, "anna.csv", "ben.csv", "--levels", "5", "--range", "0,4") == 0
    assert [labels(tmp_path)[f"{n}.png"][0] for n in range(3)] == ["1", "2", "3"]


def test_the_majority_is_of_levels(tmp_path):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    votes = (1, 1.3, 1.5, 4.2, 4.2)
    rows = [(f"{n}.png", vote, f"r{r}") for n in range(20) for r, vote in enumerate(votes)]
    write(tmp_path / "a.csv", lines(rows, "image,rating,rater"))
    scale = ("--levels", "5", "--range", "1,5", "--by", "equal-width", "--raters", "majority", "--allow-empty-levels")
    assert own(tmp_path, "a.csv", *scale) == 0 and {label for label, _ in labels(tmp_path).values()} == {"0"}


def test_a_person_may_be_called_nan_and_a_level_na(tmp_path):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    rows = [(f"{n}.png", ("NA", "low", "high")[n % 3], "Nan" if n < 8 else f"s{n}") for n in range(20)]
    write(tmp_path / "a.csv", lines(rows, "image,rating,subject"))
    assert own(tmp_path, "a.csv", "--levels", "NA,low,high") == 0
    assert labels(tmp_path)["3.png"] == ("0", "Nan")


def test_several_choices_and_keys_are_not_one(tmp_path, capsys):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    tasks = [
        {"data": {"image": f"{n}.png"}, "annotations": [{"result": [{"value": {"choices": ["Bad", "Good"]}}]}]}
        for n in range(20)
    ]
    write(tmp_path / "a.json", json.dumps(tasks))
    assert "Bad and Good" in refused(tmp_path, capsys, "a.json", "--levels", "Bad,Good")
    write(tmp_path / "a.jsonl", "".join(f'{{"image": "{n}.png", "rating": 1, "rating": 2}}\n' for n in range(20)))
    assert "line 1" in refused(tmp_path, capsys, "a.jsonl")


def test_a_path_of_another_machine_may_have_dev_or_test_in_it(tmp_path):
    images(tmp_path, *(f"train/{n}.png" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"/home/dev/test/train/{n}.png", n % 3) for n in range(20)]))
    assert own(tmp_path, "a.csv") == 0 and len(labels(tmp_path)) == 20


# Columns.


def test_a_first_row_that_is_data_is_not_a_header(tmp_path, capsys):
    images(tmp_path, *(f"p{n:02}.png" for n in range(20)))
    rows = "".join(f"p{n:02},{n % 3}\n" for n in range(20))
    write(tmp_path / "a.csv", rows)
    assert "--no-header" in refused(tmp_path, capsys, "a.csv", "--image-column", "p00", "--rating-column", "0")
    columns = ["--image-column", "1", "--rating-column", "2"]
    assert own(tmp_path, "a.csv", "--no-header", *columns) == 0 and len(labels(tmp_path)) == 20


def test_a_header_with_digits_is_a_header(tmp_path):
    images(tmp_path, *(f"p{n:02}.png" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"p{n:02}.png", n % 3, n % 3) for n in range(20)], "image,1,2"))
    assert own(tmp_path, "a.csv", "--rating-column", "1,2") == 0 and len(labels(tmp_path)) == 20


def test_a_column_may_have_a_comma_in_its_name(tmp_path):
    images(tmp_path, *(f"p{n:02}.png" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"p{n:02}.png", n % 3, n) for n in range(20)], 'image,"Score, mean",day'))
    assert own(tmp_path, "a.csv", "--rating-column", "Score, mean") == 0 and len(labels(tmp_path)) == 20


def test_who_uploaded_a_photograph_is_not_its_rater(tmp_path, capsys):
    """As in Adience, whose user_id is the person shown."""
    images(tmp_path, *(f"p{n:02}.png" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"p{n:02}.png", n % 3, f"u{n // 2}") for n in range(20)], "image,rating,user_id"))
    assert own(tmp_path, "a.csv") == 0
    printed = capsys.readouterr().out
    assert "'user_id' is not taken for raters" in printed and "--subject-column user_id" in printed
    assert own(tmp_path, "a.csv", "--subject-column", "user_id") == 0
    assert labels(tmp_path)["p07.png"] == ("1", "u3")


def test_fractions_on_a_scale_of_whole_numbers_name_the_fix(tmp_path, capsys):
    name = numbers(tmp_path, ["1.4", "2", "3.5", "5"] * 6)
    assert "--by equal-width" in refused(tmp_path, capsys, name, "--levels", "5", "--range", "1,5")
    assert "--range 1.4,5 --by equal-width" in refused(tmp_path, capsys, name)
