"""A scale from --levels and --range: which rating is which level."""

import pytest

from data_prep.__main__ import main
from data_prep.own_scale import plain_name, scale_text
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
        ("5", (0, 100), None, {"4": 0, "21": 1}),  # a rating, not the word 4
        ("1,2,3", None, None, {"1": 0, "2.0": 1, "3": 2}),
        ("low, mid ,high", None, None, {"low": 0, "HIGH": 2, "1": 1}),
    ],
)
def test_each_rating_has_its_level(levels, ends, by, cells):
    scale = read(scale_text(levels, ends, by, None, "my ratings.csv"))
    assert {cell: scale.label(scale.score(cell)) for cell in cells} == cells
    assert scale.scale.name == "my_ratings"


@pytest.mark.parametrize("cell", ["2.5", "0", "6", "80%"])
def test_what_is_between_or_beyond_whole_numbers_is_refused(cell):
    with pytest.raises(ValueError):
        read(scale_text(WORDS, (1, 5), None, None, "a")).score(cell)


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
        scale_text(levels, ends, by, None, "a")


def test_a_name_is_made_of_the_name_of_the_file():
    names = ("Ratings 2024 (final).csv", "2024.csv", "Bewertung-A.xlsx")
    assert [plain_name(name) for name in names] == ["ratings_2024_final", "ratings_2024", "bewertung_a"]


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


@pytest.mark.parametrize(
    "wrong", [[], ["--levels", WORDS, "--scale", "a.yaml"], ["--scale", "a.yaml", "--range", "1,5"]]
)
def test_one_of_scale_and_levels_is_needed(tmp_path, capsys, wrong):
    write(tmp_path / "mine.csv", "image,rating\n")
    with pytest.raises(SystemExit) as stop:
        main(["own", f"{tmp_path}/mine.csv", *wrong])
    assert stop.value.code == 2 and "--levels" in capsys.readouterr().err
