"""What the model's answer for one photograph means to a reader, on the page and in a batch."""

import math
from typing import NamedTuple

from eval.inference.ratings import DOUBT, LITTLE, expected, in_unit
from storm.prompts import STRATEGIES, answers, shown
from storm.scales import Scale, coarse_of


class Result(NamedTuple):
    coarse: str
    rating: str
    value: str  # the expected value in the user's unit
    warning: str  # "" if there is none
    decisions: list[list[str]]  # name, value, what it is good for
    levels: list[list]  # of every level, in order: its name, its coarse prediction, its probability


def coarse_name(scale: Scale, strategy: str, label: int) -> str:
    """The coarse prediction that goes with a label, "" if none is asked for."""
    return shown(coarse_of(scale, label), strategy) if STRATEGIES[strategy].coarse else ""


def result_of(row: dict, scale: Scale, strategy: str) -> Result:
    """What a row of Rater.rate, with its distribution, means to a reader."""
    label = answers(scale, strategy)[row["predict"]]
    names = [shown(level, strategy) for level in scale.fine]
    groups = [coarse_name(scale, strategy, level) or "none" for level in range(scale.lo, scale.hi + 1)]
    decisions = [
        ["mode", names[label - scale.lo], "the likeliest level: best for accuracy"],
        ["median", names[row["median"] - scale.lo], "best for the absolute error"],
        ["mean", f"{row['mean']:.3f}", f"best for correlation; levels count from {scale.lo} to {scale.hi}"],
        ["entropy", f"{row['entropy']:.3f}", f"0: certain; {math.log(len(names)):.3f}: all levels are equally likely"],
        ["mass", f"{row['mass']:.3g}", "of all valid answers; far below 1: the model does not know this question"],
    ]
    levels = [list(line) for line in zip(names, groups, row["probs"])]
    value = in_unit(scale, expected(scale, row["probs"]))
    warning = f"mass {row['mass']:.3g}, less than {LITTLE}: {DOUBT}" if row["mass"] < LITTLE else ""
    return Result(groups[label - scale.lo], names[label - scale.lo], value, warning, decisions, levels)
