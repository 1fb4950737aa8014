"""eval/predict.py --images: what the table and the contact sheet say."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from eval.inference.rating_table import Rating, ratings_of, write
from eval.report_page.sheet import MOST, render, sheet_of, spread
from storm.files import read_jsonl, write_jsonl
from storm.prompts import answer
from storm.scales import IQA
from tests.helpers.rating import MONTHS, WORDS, cells, photograph, rate

starts_programs = pytest.mark.slow


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

    rows = [row | {"predict": answer(IQA, "cot", levels[row["image"]])} if "probs" in row else row for row in rows]
    write_jsonl(tmp_path / "rows.jsonl", [*rows, {"image": "removed.png", "error": "lost"}])
    assert [row.image for row in ratings_of(tmp_path / "rows.jsonl", levels, IQA, "cot", order)] == images


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
