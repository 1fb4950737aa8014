"""storm.width=fit against values worked out by hand."""

import math

import pytest

from storm.rows import Example
from storm.scales import IQA

pytestmark = pytest.mark.slow  # imports torch


def rows(*votes: tuple[float, ...], label: int = 0) -> list[Example]:
    return [Example(str(n), "demo", "x.png", label, IQA, "cot", votes=shares) for n, shares in enumerate(votes)]


def fitted(target: str, examples: list[Example]) -> float:
    from train.training.width import fit_width

    return fit_width(target, examples)


def test_two_levels_by_hand():
    """Laplace gives the other level 1 / (1 + e^(1 / width)): a quarter of the votes if width is 1 / ln 3."""
    assert fitted("laplace", rows((1.0, 0.0), (0.5, 0.5))) == pytest.approx(1 / math.log(3), rel=1e-3)
    # The normal one e^(-1 / (2 width^2)) / (1 + that).
    assert fitted("normal", rows((0.75, 0.25))) == pytest.approx(math.sqrt(0.5 / math.log(3)), rel=1e-3)


@pytest.mark.parametrize("target", ["laplace", "normal"])
@pytest.mark.parametrize("width", [0.3, 0.8, 2.0])
def test_the_width_that_the_votes_have_is_given_back(target, width):
    from train.training.objectives import TARGETS

    votes = [tuple(TARGETS[target](label, 5, width, ()).tolist()) for label in range(5)]
    examples = [row for label in range(5) for row in rows(votes[label], label=label)]
    assert fitted(target, examples) == pytest.approx(width, rel=1e-3)


def test_raters_who_agree_leave_the_label_alone():
    assert fitted("laplace", rows((1.0, 0.0, 0.0, 0.0, 0.0))) < 0.1


def test_rows_without_votes_are_refused_with_another_way():
    with pytest.raises(ValueError, match=r"^x.jsonl: 1 .*storm.width=0.5") as raised:
        fitted("laplace", [row._replace(file="x.jsonl") for row in rows((1.0, 0.0), ())])
    assert "\n" not in str(raised.value)
