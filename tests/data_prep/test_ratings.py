"""Labels do not depend on how much of a dataset is there, and scores that cannot be the owner's are refused."""

from dataclasses import replace
from math import nan

import pytest

from data_prep.options import Options
from data_prep.ratings import distribution, empty_levels, on_scale, score_range
from data_prep.source import Row
from storm.datasets import DATASETS

OPTIONS = Options(media=None, out=None)
EQUAL = [row for row in DATASETS.values() if row.spread]


def spread_out(facts, count: int) -> dict[str, float]:
    """Scores over the whole range of a dataset, evenly."""
    low, high = facts.spread
    return {str(i): low + (high - low) * i / (count - 1) for i in range(count)}


def rows(*scores) -> list[Row]:
    return [Row(str(number), (f"{number}.jpg",), score) for number, score in enumerate(scores)]


@pytest.mark.parametrize("facts", EQUAL, ids=lambda facts: facts.name)
def test_a_part_gets_the_labels_of_the_whole_file(facts):
    whole = spread_out(facts, facts.rows)
    part = dict(list(whole.items())[facts.rows // 3 : facts.rows // 2])
    assert score_range(facts, whole, OPTIONS)[:2] == score_range(facts, part, OPTIONS)[:2] == facts.spread
    low, high = facts.spread
    assert [facts.label(low + (high - low) * share, low, high) for share in (0, 0.19, 0.21, 0.79, 0.81, 1)] == [
        0, 0, 1, 3, 4, 4
    ]  # fmt: skip


@pytest.mark.parametrize("facts", EQUAL, ids=lambda facts: facts.name)
@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda score, low, high: score / 10, "divided by 10"),
        (lambda score, low, high: (score - low) / (high - low), "0 to 1"),
        (lambda score, low, high: (score - (low + high) / 2) / (high - low) * 5, "z-scored"),
        (lambda score, low, high: 1 + (score - low) / (high - low) * 4, "1 to 5"),
        (lambda score, low, high: score * 10, "multiplied by 10"),
    ],
)
@pytest.mark.parametrize("share", [1, 0.2])
def test_scores_that_were_changed_are_refused_with_the_likely_cause(facts, change, cause, share):
    low, high = facts.spread
    scores = {id: change(score, low, high) for id, score in spread_out(facts, int(facts.rows * share)).items()}
    with pytest.raises(ValueError, match="scores") as error:
        score_range(facts, scores, OPTIONS)
    if not (facts.name == "tad66k" and cause == "1 to 5"):  # 1..5 lies in TAD66K's range: the whole range tells
        assert cause in str(error.value)


def test_rounded_scores_are_not_outside():
    facts = DATASETS["koniq"]
    scores = {id: round(score, 1) for id, score in spread_out(facts, 10_073).items()}
    assert min(scores.values()) < facts.spread[0] and score_range(facts, scores, OPTIONS)[:2] == facts.spread


def test_one_mistyped_score_is_named():
    facts = DATASETS["spaq"]
    with pytest.raises(ValueError, match="1 of 11,126 scores .* 990"):
        score_range(facts, spread_out(facts, 11_125) | {"x": 990.0}, OPTIONS)


def test_a_file_that_claims_to_be_whole_must_reach_both_ends():
    facts = DATASETS["tad66k"]
    with pytest.raises(ValueError, match="all 66,327 rows are 3 to 7"):
        score_range(facts, {str(i): 3 + 4 * i / 66_326 for i in range(66_327)}, OPTIONS)


def test_the_range_of_ava_is_observed_only_in_the_whole_file():
    facts = DATASETS["ava"]
    whole = {str(i): 1.81 + (8.6 - 1.81) * i / 254_999 for i in range(255_000)}
    assert score_range(facts, whole, OPTIONS)[:2] == (1.81, 8.6)
    part = dict(list(whole.items())[1000:200_000])
    with pytest.raises(ValueError, match="--score-range.*--allow-partial"):
        score_range(facts, part, OPTIONS)
    given = replace(OPTIONS, score_range=(1.81, 8.6))
    assert score_range(facts, part, given)[:2] == (1.81, 8.6)
    assert score_range(facts, part, replace(OPTIONS, allow_partial=True))[0] == part["1000"]
    with pytest.raises(ValueError, match="outside of 3 to 4"):
        score_range(facts, part, replace(OPTIONS, score_range=(3.0, 4.0)))


def test_what_is_not_a_number_on_the_scale_is_dropped_with_its_value():
    facts = DATASETS["eyepacs"]
    scores, drops = on_scale(facts, rows(*range(5), *[0] * 95, "5", "two", "", None, nan, 2.5))
    assert len(scores) == 100 and [drop.id for drop in drops] == [str(i) for i in range(100, 106)]
    assert "5 is not in 0..4" in drops[0].reason and "'two'" in drops[1].reason


def test_many_grades_off_the_scale_are_another_column():
    """Grades from 1 to 5: without this, four of five levels would be shifted by one."""
    with pytest.raises(ValueError, match="20 of 100 ratings .*5 is the lowest of these, 5 the highest"):
        on_scale(DATASETS["eyepacs"], rows(*[1, 2, 3, 4, 5] * 20))


def test_many_ratings_that_are_no_numbers_are_another_column_or_spelling():
    with pytest.raises(ValueError, match="40 of 100 ratings are not numbers .'47;35' is the first"):
        on_scale(DATASETS["spaq"], rows(*[50.0] * 60, *["47;35"] * 40))


def test_levels_that_never_occur_are_named_and_ages_may_be_missing():
    assert "level 2, 3, 4 (only 0, 1 occur)" in empty_levels(DATASETS["eyepacs"].scale, {0: 10, 1: 3}, "row")
    assert "only 0 occurs" in empty_levels(DATASETS["aptos"].scale, {0: 10}, "row")
    assert empty_levels(DATASETS["aptos"].scale, dict.fromkeys(range(5), 1), "row") == ""
    assert (
        empty_levels(DATASETS["utk"].scale, {30: 1, 40: 1}, "row")
        == ""
        != empty_levels(DATASETS["utk"].scale, {30: 9}, "row")
    )


def test_all_rows_reach_the_ends_of_the_known_range():
    facts, options = replace(DATASETS["spaq"], rows=100), OPTIONS
    scores = {str(n): 6.8 + 84.6 * n / 99 for n in range(100)}  # 2..96 times 0.9 and 5 more
    with pytest.raises(ValueError, match="6.8 to 91.4"):
        score_range(facts, scores, options)
    assert score_range(replace(facts, rows=101), scores, options)[:2] == (2, 96), "a row may be missing at the end"
    with pytest.raises(ValueError, match="widen it"):
        score_range(facts, scores, replace(options, score_range=(10.0, 90.0)))


def test_votes_go_to_the_level_that_a_mean_of_the_vote_would_get():
    ava = Row("1", ("1.jpg",), 5.0, votes=(1, 0, 0, 0, 2, 0, 0, 0, 0, 1))
    shares = distribution(DATASETS["ava"], 1.81, 8.6)(ava, 5.0)
    assert shares == (0.25, 0, 0.5, 0, 0.25)
    aesthetics = Row("1", ("1.jpg",), 3.2, votes=(0, 0, 4, 1, 0))
    assert distribution(DATASETS["aesthetics"], 1, 5)(aesthetics, 3.2) == (0, 0, 0.8, 0.2, 0)


def test_a_standard_deviation_is_a_normal_distribution_over_the_levels():
    facts = DATASETS["spaq"]
    low, high = facts.spread
    shares = distribution(facts, low, high)(Row("1", ("1.jpg",), 49, sd=18.8), 49.0)
    assert sum(shares) == pytest.approx(1, abs=3e-6) and shares == pytest.approx(shares[::-1], abs=2e-6)
    assert shares[2] == pytest.approx(0.382925, abs=2e-6), "half a standard deviation to both sides"
    assert distribution(facts, low, high)(Row("1", ("1.jpg",), 96, sd=1e-3), 96.0) == (0, 0, 0, 0, 1)


@pytest.mark.parametrize("more", [{}, {"sd": 0.0}, {"sd": nan}, {"sd": -1.0}, {"votes": (0, 0, 0)}])
def test_rows_without_votes_have_none(more):
    assert distribution(DATASETS["spaq"], 2.0, 96.0)(Row("1", ("1.jpg",), 49, **more), 49.0) == ()
