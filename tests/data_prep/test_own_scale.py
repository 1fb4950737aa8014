"""A scale from --levels and --range: which rating is which level."""

import re
from collections import Counter

import pytest

from data_prep.__main__ import main
from data_prep.own_rows import Rating
from data_prep.own_scale import Asked, plain_name, scale_text
from storm.custom_scale import read
from tests.helpers.downloads import write

WORDS = "Bad,Poor,Fair,Good,Excellent"


@pytest.mark.parametrize(
    ("levels", "ends", "by", "cells"),
    [
        (WORDS, (1, 5), None, {"1": 0, "3": 2, "5.0": 4, "Good": 3}),  # as many whole numbers as levels
        (WORDS, (0, 4), "values", {"0": 0, "4": 4}),
        (WORDS, (1, 5), "equal-width", {"1": 0, "1.79": 0, "1.8": 1, "4.2": 4, "5": 4}),
        (WORDS, (0, 100), None, {"0": 0, "19": 0, "20": 1, "100": 4, "99%": 4}),
        (WORDS, (-1, 1), None, {"-1": 0, "0": 2, "1": 4}),
        ("5", (1, 5), None, {"1": 0, "5": 4}),
        ("6", (0, 5), None, {"0": 0, "1": 1, "5": 5}),  # never the word 1
        ("a,b", (0, 1), None, {"0": 0, "1": 1}),
        ("5", (0, 100), None, {"4": 0, "21": 1}),  # a rating, not the word 4
        ("1,2,3", None, None, {"1": 0, "2.0": 1, "3": 2}),
        ("low, mid ,high", None, None, {"low": 0, "HIGH": 2, "1": 1}),
    ],
)
def test_each_rating_has_its_level(levels, ends, by, cells):
    scale = read(scale_text(Asked(levels, ends, by), "my ratings.csv"))
    assert {cell: scale.label(scale.score(cell)) for cell in cells} == cells
    assert scale.scale.name == "my_ratings"


@pytest.mark.parametrize("cell", ["2.5", "0", "6", "80%"])
def test_what_is_between_or_beyond_whole_numbers_is_refused(cell):
    with pytest.raises(ValueError):
        read(scale_text(Asked(WORDS, (1, 5)), "a")).score(cell)


@pytest.mark.parametrize(
    ("levels", "ends", "by", "said"),
    [
        ("5", None, None, "--range"),
        ("1", (1, 5), None, "2 to 50"),
        ("a,b,a", None, None, "twice"),
        (WORDS, (1, 9), "values", "equal-width"),
    ],
)
def test_levels_and_ranges_that_do_not_go_together(levels, ends, by, said):
    with pytest.raises(ValueError, match=said):
        scale_text(Asked(levels, ends, by), "a")


def test_a_name_is_made_of_the_name_of_the_file():
    names = ("Ratings 2024 (final).csv", "2024.csv", "Bewertung-A.xlsx")
    assert [plain_name(name) for name in names] == ["ratings_2024_final", "ratings_2024", "bewertung_a"]
    assert [plain_name(name) for name in ("mugs/ratings_train.csv", "mugs/train.csv")] == ["ratings", "mugs"]


def test_the_scale_is_printed_written_and_can_be_given_back(tmp_path, capsys):
    rows = [f"{n}.jpg,{1 + n % 5}" for n in range(20)]
    write(tmp_path / "mine.csv", "\n".join(["image,rating", *rows]))
    for n in range(20):
        write(tmp_path / f"{n}.jpg", "x")
    out = ["--out", str(tmp_path / "out"), "--check", "exists"]
    made = ["--levels", WORDS, "--range", "1,5", "--rates", "the sharpness of a photograph"]
    assert main(["own", f"{tmp_path}/mine.csv", *made, *out]) == 0
    assert "Excellent: 5" in capsys.readouterr().out
    first = (tmp_path / "out/cot/mine_train.jsonl").read_bytes()
    assert b"sharpness of a photograph" in first
    assert main(["own", f"{tmp_path}/mine.csv", "--scale", f"{tmp_path}/out/scale.yaml", *out]) == 0
    assert (tmp_path / "out/cot/mine_train.jsonl").read_bytes() == first


@pytest.mark.parametrize("wrong", [["--levels", WORDS, "--scale", "a.yaml"], ["--scale", "a.yaml", "--range", "1,5"]])
def test_one_of_scale_and_levels_is_needed(tmp_path, capsys, wrong):
    write(tmp_path / "mine.csv", "image,rating\n")
    with pytest.raises(SystemExit) as stop:
        main(["own", f"{tmp_path}/mine.csv", *wrong])
    assert stop.value.code == 2 and "--levels" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", " ", "///", "评分"])
def test_a_name_that_names_no_file_is_refused(tmp_path, capsys, name):
    """Letters beyond a to z would be dropped, and the files be called `ratings`."""
    write(tmp_path / "mine.csv", "image,rating\n")
    with pytest.raises(SystemExit) as stop:
        main(["own", f"{tmp_path}/mine.csv", "--levels", WORDS, "--name", name])
    assert stop.value.code == 2 and "--name shoes" in capsys.readouterr().err


def rated(*cells: str) -> list[Rating]:
    return [Rating(f"line {n}", f"{n}.jpg", cell, "", "") for n, cell in enumerate(cells)]


def test_years_and_other_units_count():
    years = read(scale_text(Asked(range=(0, 120), unit="years"), "ages.csv"))
    assert years.label(years.score("34")) == 34 and years.scale.hi == 120
    months = read(scale_text(Asked(range=(0, 36), unit="months", rates="the age of a baby"), "b.csv"))
    assert months.scale.unit == "months" and months.label(months.score("7")) == 7


def test_quantiles_give_each_level_about_as_many_images():
    rows = rated(*(str(n * n) for n in range(100)))
    scale = read(scale_text(Asked("low,mid,high,top", by="quantiles"), "a", rows))
    assert Counter(scale.label(scale.score(row.rating)) for row in rows) == {0: 25, 1: 25, 2: 25, 3: 25}
    with pytest.raises(ValueError, match="same number"):
        scale_text(Asked("5", by="quantiles"), "a", rated(*["1"] * 90, *"2345"))


def test_quantiles_of_several_raters_are_of_the_means():
    rows = [Rating("", f"{n}.jpg", str(vote), "", "", rater) for n in range(10) for rater, vote in (("a", 0), ("b", n))]
    scale = read(scale_text(Asked("low,high", by="quantiles"), "a", rows))
    assert scale.ranges == ((0, 2.5), (2.5, 9)), "the ends hold every vote"
    with pytest.raises(ValueError, match="--range 0,9"):
        scale_text(Asked("low,high", (0, 4), "quantiles"), "a", rows)


def test_school_grades_fall():
    scale = read(scale_text(Asked("Bad,Fair,Good", (1, 3), order="descending"), "a"))
    assert [scale.label(scale.score(cell)) for cell in "321"] == [0, 1, 2]
    wide = read(scale_text(Asked("Bad,Good", (1, 6), order="descending"), "a"))
    assert [wide.label(wide.score(cell)) for cell in ("6", "3,5", "3.4", "1")] == [0, 0, 1, 1]


def test_levels_that_are_only_counted_keep_their_numbers_if_they_fall():
    for asked in (Asked("3", (1, 3), order="descending"), Asked(order="descending")):
        scale = read(scale_text(asked, "a", rated("1", "2", "3")))
        assert [level.word for level in scale.scale.fine] == ["3", "2", "1"]
        assert [scale.label(scale.score(cell)) for cell in "321"] == [0, 1, 2]


@pytest.mark.parametrize("asked", [Asked(range=(1, 5)), Asked(by="quantiles")])
def test_range_and_by_are_not_ignored_without_levels(asked):
    with pytest.raises(ValueError, match="--levels"):
        scale_text(asked, "a", rated("1", "2", "3", "4"))


def test_ratings_that_are_a_few_whole_numbers_need_no_scale():
    scale = read(scale_text(Asked(), "knees", rated("0", "4.0", "1", "3", "2", "", "2")))
    assert [level.word for level in scale.scale.fine] == ["0", "1", "2", "3", "4"]
    assert scale.label(scale.score("4.0")) == 4


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (("1", "2", "4"), "--range 1,4"),  # is 3 a level?
        (("1.5", "2.25", "4"), "--range 1.5,4"),
        (("good", "bad"), '--levels "WORST,...,BEST"'),
        (("a.jpg",), "--levels WORDS"),
    ],
)
def test_of_other_ratings_the_option_to_give_is_said(cells, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        scale_text(Asked(), "a", rated(*cells))


def test_the_levels_are_shown_before_anything_is_written(tmp_path, capsys):
    """A row for each level: its ratings, the rows of each part, the lowest and highest rating, and three files."""
    for n in range(20):
        write(tmp_path / "mine" / f"{n % 5}" / f"{n:02}.jpg", "x")
    out = ["--out", str(tmp_path / "out"), "--check", "exists"]
    assert main(["own", f"{tmp_path}/mine", "--test", "0.2", "--stratify", *out]) == 0
    printed = capsys.readouterr().out
    lines = [line.split() for line in printed.splitlines()]
    (line,) = [line for line in lines if line[:3] == ["3", "3", "3"]]
    assert sum(map(int, line[3:6])) == 4 and line[6:8] == ["3", "3"]
    assert [cell.strip(",") for cell in line[8:]] == ["3/03.jpg", "3/08.jpg", "3/13.jpg"]
    assert printed.index("3/03.jpg") < printed.index("dataset  read")
    # A refused build shows why, and writes nothing.
    more = ["--levels", "6", "--range", "0,5", "--check", "exists", "--out", f"{tmp_path}/no"]
    assert main(["own", f"{tmp_path}/mine", *more]) == 1
    assert "level 5" in capsys.readouterr().err and not list((tmp_path / "no").rglob("*.jsonl"))


@pytest.mark.parametrize(
    "wrong",
    [
        ["--years", "0,100", "--levels", "5"],
        ["--years", "0,100", "--range", "0,5"],
        ["--unit", "months"],
        ["--unit", "months", "--range", "0,5"],
        ["--order", "descending", "--scale", "a.yaml"],
    ],
)
def test_options_that_exclude_each_other(tmp_path, wrong, capsys):
    write(tmp_path / "mine.csv", "image,rating\na.jpg,1\n")
    with pytest.raises(SystemExit) as stop:
        main(["own", f"{tmp_path}/mine.csv", *wrong])
    assert stop.value.code == 2 and wrong[0] in capsys.readouterr().err
