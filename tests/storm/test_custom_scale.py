"""A user's own scale: levels, derived groups, and errors that name the fix."""

from pathlib import Path

import pytest
import yaml

from storm.custom_scale import load, merged
from storm.levels import OwnScale
from storm.parse import parse
from storm.prompts import STRATEGIES, answers, question
from tests.helpers.paths import EXAMPLE

SCALE = yaml.safe_load((EXAMPLE / "scale.yaml").read_text())


@pytest.fixture
def scale(tmp_path):
    def write(**changes) -> Path:
        path = tmp_path / "scale.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in (SCALE | changes).items() if v != ""}, sort_keys=False))
        return path

    return write


def test_ratings_find_their_level(scale):
    loaded = load(scale())
    assert [loaded.label(r) for r in (1, 1.79, 1.8, 3, 4.2, 5)] == [0, 0, 1, 2, 4, 4]
    assert loaded.label(loaded.score("attractive")) == 3
    for rating in ("0.9", "5.1", "nan", "superb", ""):
        with pytest.raises(ValueError, match="belongs to no level|neither a number nor one of Repelling"):
            loaded.score(rating)


def test_words_alone_count_from_zero_and_numbers_may_have_gaps(scale):
    words = load(scale(levels=["Low", "Mid", "High"], coarse=""))
    assert [words.label(words.score(cell)) for cell in ("low", "1", "High")] == [0, 1, 2]
    numbers = load(scale(levels={"Low": 1, "Mid": 2, "High": 4}, coarse=""))
    assert numbers.label(numbers.score("4")) == 2
    with pytest.raises(ValueError, match="3 belongs to no level"):
        numbers.score("3")


def test_groups_are_derived_as_documented():
    assert merged(5) == [[0, 1], [2], [3, 4]]  # the paper's
    assert merged(8) == [[0, 1], [2, 3], [4, 5], [6, 7]]  # the paper's, for age groups
    assert merged(2) == [[0], [1]] and merged(3) == [[0, 1], [2]]
    for count in range(2, 30):
        assert [level for group in merged(count) for level in group] == list(range(count))


def test_words_may_be_those_that_negate(scale):
    for words in (
        ["Absent", "Unlikely", "Not sure", "Likely"],
        ["No", "Perhaps", "Yes"],
        ["Not good", "Good", "Very good"],
    ):
        loaded = load(scale(levels=words, coarse="")).scale
        assert [parse(loaded, "direct", f"appeal{i}({word})").label for i, word in enumerate(words)] == [
            *range(len(words))
        ]


@pytest.mark.parametrize("coarse", ["", SCALE["coarse"]])
def test_every_answer_reads_back_in_every_strategy(scale, coarse):
    loaded = load(scale(coarse=coarse)).scale
    for strategy in STRATEGIES:
        assert question(loaded, strategy).count("<image>") == 1
        for text, label in answers(loaded, strategy).items():
            assert parse(loaded, strategy, text).label == label


WRONG = {
    "no name": ({"name": ""}, "name None must be"),
    "a paper's name": ({"name": "spaq"}, "name 'spaq' must be"),
    "a name with a path": ({"name": "../x"}, "name '../x' must be"),
    "an unknown key": ({"level": 3}, "unknown key 'level'"),
    "one level": ({"levels": ["Good"]}, "levels must be a list of 2 to 50"),
    "yes is a boolean": ({"levels": [True, "Maybe"], "coarse": ""}, "level True must be a word"),
    "a bracket": ({"levels": ["Good (very)", "Bad"], "coarse": ""}, "without brackets"),
    "the same word twice": ({"levels": ["Good", "good"], "coarse": ""}, "cannot be told apart"),
    "overlapping ranges": (
        {"levels": {"Bad": [1, 3], "Good": [2, 5]}, "coarse": ""},
        "level 'Good' starts at 2, and the one below it ends at 3",
    ),
    "a range backwards": ({"levels": {"Bad": [3, 1], "Good": 5}, "coarse": ""}, "level 'Bad': [3, 1] must be"),
    "a group of strangers": ({"coarse": {"All": ["Superb"]}}, "coarse: 'Superb' is not a level"),
    "a level left out": ({"coarse": {"All": ["Repelling"]}}, "every level once"),
    "nothing rated": ({"rates": ""}, "rates None must say"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_scale_is_one_line_that_names_it(kind, scale):
    changes, message = WRONG[kind]
    path = scale(**changes)
    with pytest.raises(ValueError) as error:
        load(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value) and "\n" not in str(error.value)


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    """PyYAML takes the last one, and a level vanishes."""
    path = tmp_path / "scale.yaml"
    path.write_text("name: x\nrates: things\nlevels:\n  Bad: [0, 1]\n  Bad: [1, 2]\n  Good: [2, 3]\n")
    with pytest.raises(ValueError, match=r"scale\.yaml.*'Bad' is there twice"):
        load(path)


def scale_of(tmp_path, levels: str) -> OwnScale:
    (tmp_path / "scale.yaml").write_text(f"name: mine\nrates: a photograph\nlevels: {levels}\n")
    return load(tmp_path / "scale.yaml")


STARS = "{Bad: 1, Poor: 2, Fair: 3, Very Good: 4, Excellent: 5}"


@pytest.mark.parametrize(
    ("levels", "cell", "level"),
    [
        ("['1', '2', '3']", "1", 0),
        ("['1', '2', '3']", "1.0", 0),  # pandas; never the second level
        ("['1', '2', '3']", "3,0", 2),
        ("{'1': [0, 20], '2': [20, 40], '3': [40, 60]}", "3", 0),  # a rating, not the word 3
        (STARS, "very_good", 3),
        (STARS, "VERY-GOOD", 3),
        (STARS, "1 - Bad", 0),
        (STARS, "4/5", 3),
        (STARS, "5.0", 4),
        ("{low: [0, 50], high: [50, 100]}", "49%", 0),
        ("{low: [0, 50], high: [50, 100]}", "50%", 1),
        ("{young: [0, 12], teen: [13, 19], mature: [20, 59]}", "12", 0),
        ("{young: [0, 12], teen: [13, 19], mature: [20, 59]}", "13", 1),
        ("{low: [1, 2], high: [2, 3]}", "2", 1),
    ],
)
def test_a_cell_is_read_in_the_one_sensible_way(tmp_path, levels, cell, level):
    scale = scale_of(tmp_path, levels)
    assert scale.label(scale.score(cell)) == level


@pytest.mark.parametrize(
    ("levels", "cell"),
    [
        ("['1', '2', '3']", "4"),
        ("['1', '2', '3']", "1.5"),
        (STARS, "2.5"),
        (STARS, "4/10"),
        (STARS, "80%"),
        (STARS, "0"),
        (STARS, "good"),
        (STARS, "nan"),
        (STARS, "1_0"),
        ("{young: [0, 12], teen: [13, 19]}", "12.5"),
    ],
)
def test_a_cell_that_could_mean_several_things_is_refused(tmp_path, levels, cell):
    with pytest.raises(ValueError):
        scale_of(tmp_path, levels).score(cell)


def test_a_level_may_be_called_old(tmp_path):
    scale = scale_of(tmp_path, "{child: [0, 12], teen: [13, 19], adult: [20, 59], old: [60, 120]}")
    assert [scale.label(age) for age in (0, 12, 13, 59, 60, 99)] == [0, 0, 1, 2, 3, 3]


def test_ratings_from_1_for_a_list_of_words_are_explained(tmp_path):
    hint = scale_of(tmp_path, "[Bad, Fair, Good]").hint(["1", "2", "3"])
    assert "0 to 2" in hint and "1 to 3" in hint and "Bad: 1" in hint


def test_a_mean_of_raters_is_rounded_half_up(tmp_path):
    scale = scale_of(tmp_path, STARS)
    assert [scale.rounded(mean) for mean in (1, 1.49, 1.5, 2.5, 4.5, 5)] == [0, 0, 1, 2, 4, 4]


ODD = {
    "grades": ["0+", "1+", "2+", "3+"],
    "bounds": ["<1", "1-10", ">10"],
    "shares": ["0%", "50%", "100%"],
    "agreement": [
        "Strongly disagree", "Disagree", "Somewhat disagree", "Neither agree nor disagree",
        "Somewhat agree", "Agree", "Strongly agree",
    ],
    "numbers that are other levels": ["1", "2", "3"],
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_words_of_grades_read_back_as_trained_and_never_as_another_level(kind, scale):
    loaded = load(scale(levels=ODD[kind], coarse=""))
    for strategy in STRATEGIES:
        for text, label in answers(loaded.scale, strategy).items():
            assert parse(loaded.scale, strategy, text).label == label
    for level, word in enumerate(ODD[kind]):
        assert loaded.label(loaded.score(word)) == level
        rating = parse(loaded.scale, "cot", word)
        assert rating is None or rating.label == level


def test_a_digit_that_is_the_word_of_one_level_and_the_number_of_another_is_no_reading(scale):
    loaded = load(scale(levels=["1", "2", "3"], coarse="")).scale
    assert parse(loaded, "cot", "1") is None and parse(loaded, "direct", "2") is None
    assert parse(loaded, "text", "1").label == 0
    assert parse(loaded, "num", "0").label == 0


def test_descending_ratings(scale):
    """School grades: 1 is the best."""
    loaded = load(scale(levels={"Bad": [4, 6], "Fair": [2, 4], "Good": [1, 2]}, order="descending", coarse=""))
    assert [loaded.label(rating) for rating in (6, 4, 3.9, 2, 1)] == [0, 0, 1, 1, 2]
    assert loaded.values == (5, 3, 1.5)
    words = load(scale(levels=["Bad", "Fair", "Good"], order="descending", coarse=""))
    assert [words.label(words.score(cell)) for cell in ("0", "2", "good")] == [2, 0, 2]
    with pytest.raises(ValueError, match="descending"):
        load(scale(levels={"Bad": 5, "Good": 1}, coarse=""))


def test_a_mean_between_whole_number_ranges_is_rounded_half_up(scale):
    loaded = load(scale(levels={"child": [0, 12], "teen": [13, 19]}, coarse=""))
    assert [loaded.rounded(mean) for mean in (12.4, 12.5, 19)] == [0, 1, 1]


NUMBERED = {"1 - Bad": 0, "0_bad": 0, "3Good": 2, "2 - Good": None, "5 - Good": None, "1 - Good": None}


@pytest.mark.parametrize(("cell", "level"), NUMBERED.items())
def test_a_number_before_a_word_must_be_its_own(scale, cell, level):
    loaded = load(scale(levels={"Bad": 1, "Fair": 2, "Good": 3}, coarse=""))
    if level is not None:
        assert loaded.label(loaded.score(cell)) == level
    else:
        with pytest.raises(ValueError):
            loaded.score(cell)
