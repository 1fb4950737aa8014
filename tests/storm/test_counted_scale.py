"""A user's own scale on which each whole number of a unit is a level."""

import pytest
import yaml

from storm.custom_scale import load
from storm.levels import OwnScale
from storm.parse import parse
from storm.prompts import STRATEGIES, answers, question

MONTHS = {"name": "baby", "rates": "the age of a baby", "unit": "months", "range": [0, 36]}


@pytest.fixture
def counted(tmp_path):
    def load_with(**changes) -> OwnScale:
        (tmp_path / "scale.yaml").write_text(yaml.safe_dump(MONTHS | changes))
        return load(tmp_path / "scale.yaml")

    return load_with


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"unit": "years", "range": [0, 120]},
        {"unit": "year", "range": [1900, 1999]},
        {"coarse": {"New": [0, 2], "Old": [3, 36]}},
    ],
)
def test_each_whole_number_of_a_unit_is_a_level(changes, counted):
    loaded = counted(**changes)
    lo, hi = (MONTHS | changes)["range"]
    for strategy in STRATEGIES:
        assert len(question(loaded.scale, strategy)) < 1500
        for text, label in answers(loaded.scale, strategy).items():
            assert parse(loaded.scale, strategy, text).label == label
    assert [loaded.label(loaded.score(str(n))) for n in (lo, hi)] == [lo, hi] and len(loaded.values) == hi - lo + 1
    assert loaded.rounded(lo + 0.5) == lo + 1
    for rating in (str(hi + 1), f"{lo}.5"):
        with pytest.raises(ValueError, match="no level|not a whole number"):
            loaded.score(rating)


def test_months_are_not_years(counted):
    loaded = counted().scale
    assert parse(loaded, "direct", "The baby is 7 months old").label == 7
    assert parse(loaded, "direct", "2 years") is None


WRONG_COUNTS = {
    "too many": {"range": [0, 121]},
    "a fraction": {"range": [0, 1.5]},
    "below zero": {"range": [-5, 5]},
    "levels too": {"levels": ["a", "b"]},
    "no range": {"range": None},
    "a hole in the groups": {"coarse": {"New": [0, 2], "Old": [4, 36]}},
}


@pytest.mark.parametrize("kind", WRONG_COUNTS)
def test_a_wrong_unit_is_one_line(kind, counted):
    with pytest.raises(ValueError, match=r"scale\.yaml: (range|coarse|levels)"):
        counted(**WRONG_COUNTS[kind])


def test_a_number_with_its_unit_is_a_rating(counted):
    loaded = counted()
    assert loaded.score("12 months") == 12
    with pytest.raises(ValueError):
        loaded.score("")


def test_years_of_the_calendar_have_no_ages(counted):
    loaded = counted(unit="years", range=[1900, 2000]).scale
    assert [group.word for group in loaded.coarse] == ["Low", "Middle", "High"]
