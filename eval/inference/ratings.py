"""One image's rating in the user's words and unit, from a row of a prediction."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from storm.prompts import STRATEGIES, answers
from storm.scales import Scale, coarse_of

LITTLE = 0.5  # of all valid answers' probability; our choice: a model trained on the question gives nearly 1
DOUBT = "this model was probably not trained on this question"


class Rating(NamedTuple):
    """What is known of one image. All but the image is None where it cannot be read, and then error says why."""

    image: str  # relative to the image root
    label: int | None = None
    word: str | None = None
    value: float | None = None  # the expected rating in the user's own unit
    coarse: str | None = None  # None also if the strategy asks for none
    probs: list[float] | None = None  # of each level, lowest first
    entropy: float | None = None
    mass: float | None = None
    error: str | None = None


def rating_of(row: dict, scale: Scale, strategy: str) -> Rating:
    """The rating in a row of Rater.rate, with a distribution."""
    if "error" in row:
        return Rating(row["image"], error=row["error"])
    label = answers(scale, strategy)[row["predict"]]
    level, coarse = scale.fine[label - scale.lo], STRATEGIES[strategy].coarse
    return Rating(
        image=row["image"],
        label=label,
        word=level.number if scale.counted else level.word,
        value=float(f"{expected(scale, row['probs']):.9g}"),
        coarse=coarse_of(scale, label).word if coarse else None,
        probs=row["probs"],
        entropy=row["entropy"],
        mass=row["mass"],
    )


def values(scale: Scale) -> tuple[float, ...]:
    """The rating that each level stands for; on the paper's scales, its label."""
    return scale.values or tuple(range(scale.lo, scale.hi + 1))


def expected(scale: Scale, probs: Sequence[float]) -> float:
    """The expected rating, in the user's own unit. probs: of each level, lowest first."""
    return sum(p * value for p, value in zip(probs, values(scale), strict=True))


def digits(scale: Scale) -> int:
    """Places of an expected rating behind the point: four digits of the span of the scale; of what is counted, one."""
    if scale.counted:
        return 1
    return max(0, 3 - math.floor(math.log10(max(values(scale)) - min(values(scale)))))


def in_unit(scale: Scale, value: float) -> str:
    """An expected rating as text, of what is counted with its unit: "23.4 months"."""
    return f"{value:.{digits(scale)}f}" + (f" {scale.unit}" if scale.counted else "")
