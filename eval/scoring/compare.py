"""Is one run better than another? Paired: both predict the same images, so what both find hard cancels out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from eval.scoring import power, sign_flip
from eval.scoring.interval import holm
from eval.scoring.metrics import METRICS
from eval.scoring.pairing import COMPARED, Paired, differences
from eval.scoring.paper import DATASETS as PAPER
from eval.scoring.predictions import Predictions

ERROR = 0.05  # the chance that any of the datasets is called different though none is (Holm 1979)
SHOWN = 0.01  # the smallest p that random signs can show, times the tests, is at most this


@dataclass
class Comparison:
    """One metric of two runs on the same rows of a dataset, or their mean over datasets."""

    dataset: str
    n: int  # rows that both predict; of a mean, datasets
    subjects: int | None
    metric: str
    ours: float
    base: float
    difference: float  # ours less base
    interval: tuple[float, float] | None  # None: of fewer than six subjects or rows, or if none differs
    p: float
    least_p: float  # the smallest p that as many subjects, or rows, can show
    tests: int = 1  # for how many p is corrected
    detectable: float | None = None  # the smallest difference that is likely found; None: there is no telling
    holm: float | None = None  # p after Holm's correction over the datasets, each metric for itself; None: of a mean
    better: str = ""  # "better", "worse", "cannot tell", "no row (or subject) differs" or "too few subjects (or rows)"
    verdict: str = ""  # `better`, and of too few subjects how many would do


def comparison(parts: Sequence[Paired], tests: int = 1, name: str = "") -> Comparison:
    """The difference in one metric on a dataset, or of its mean over several; and how sure it is.

    tests: for how many p is going to be corrected. name: of a mean. The verdict is that of p as it is.
    """
    flipped, (first, *others) = _flipped(parts, tests), parts
    ours, base, difference = (
        float(np.mean([getattr(part, key) for part in parts])) for key in ("ours", "base", "difference")
    )
    p = sign_flip.drawn_p(difference, flipped[0]) if others else sign_flip.p_value(first.sums)
    ends = sign_flip.interval(difference, 1, flipped) if any(part.sums.any() for part in parts) else None
    sizes = (len(parts), None) if others else (first.n, first.subjects)
    line = Comparison(
        name or first.dataset,
        *sizes,
        first.metric,
        ours,
        base,
        difference,
        ends if others else sign_flip.agreeing(ends, p),
        p,
        power.least_p(parts),
        tests,
        power.detectable(parts, ERROR / tests),
    )
    return _concluded(line, p, parts)


def p_value(parts: Sequence[Paired], tests: int) -> float:
    """p of no difference alone, as comparison() has it."""
    if len(parts) == 1:
        return sign_flip.p_value(parts[0].sums)
    return sign_flip.drawn_p(float(np.mean([part.difference for part in parts])), _flipped(parts, tests)[0])


def _flipped(parts: Sequence[Paired], tests: int) -> sign_flip.Draws:
    """Of each random sign, the mean over datasets of the differences, and of the rows, as shares of all."""
    flips = max(sign_flip.FLIPS, int(tests / SHOWN))
    drawn = [sign_flip.draws(part.sums, part.sizes, part.dataset, flips) for part in parts]
    shares = [[column / part.sizes.sum() for column in columns] for part, columns in zip(parts, drawn)]
    sums, sizes = np.mean(shares, 0)
    return sums, sizes


def _concluded(line: Comparison, p: float, parts: Sequence[Paired]) -> Comparison:
    """With the verdict of p."""
    verdict = "cannot tell"
    if p < ERROR:
        verdict = "better" if (line.difference > 0) == (METRICS[line.metric].better == "higher") else "worse"
    elif not any(part.sums.any() for part in parts):
        verdict = "no row differs" if any(part.subjects is None for part in parts) else "no subject differs"
    elif few := too_few(parts, line.tests):
        verdict = few
    return replace(line, better=verdict.partition(" for ")[0], verdict=verdict)


def too_few(parts: Sequence[Paired], tests: int) -> str:
    """That even if all subjects agreed, no difference could pass this many tests, and how many would do; else ""."""
    if power.least_p(parts) * tests <= ERROR:
        return ""
    what = "rows" if any(part.subjects is None for part in parts) else "subjects"
    return f"too few {what} for {tests} comparison{'s' * (tests > 1)}; {power.needed(tests, ERROR)} would do"


def compare(ours: Sequence[Predictions], base: Sequence[Predictions]) -> tuple[list[Comparison], list[str]]:
    """Every dataset that both runs predict, then the mean over those, and a line for each that cannot be paired.

    ours: of one strategy and decoding; of a baseline with several, its predictions with the same ones are taken.
    """
    by_dataset, errors = [], []
    for predictions in ours:
        same = _alike(predictions, base)
        if len(same) != 1:
            compared = f"{len(same) or 'no'} predictions of {predictions.dataset}, not with one"
            errors.append(f"{predictions.path}: compared with {compared}")
            continue
        try:
            by_dataset.append(differences([predictions], same))
        except ValueError as error:
            errors.append(str(error))
    paired = [part for parts in by_dataset for part in parts]
    name = "paper's average" if set(PAPER) <= {part.dataset for part in paired} else "mean of these"
    corrected, means = {}, []
    for metric in COMPARED:
        parts = [part for part in paired if part.metric == metric.name]
        lines = [comparison([part], len(parts)) for part in parts]
        for part, line, p in zip(parts, lines, holm([line.p for line in lines])):
            corrected[part.dataset, part.metric] = replace(_concluded(line, p, [part]), holm=p)
        if len(parts) > 1:
            means.append(comparison(parts, 1, name))
    return [corrected[part.dataset, part.metric] for part in paired] + means, errors


def compare_runs(
    runs: Sequence[Predictions], baseline: Sequence[Predictions]
) -> tuple[dict[tuple[str, str, str], list[Comparison]], list[str]]:
    """The comparisons of each run with the baseline, by its key, and a line for each that cannot be made."""
    compared, errors = {}, []
    for key in dict.fromkeys(predictions.key for predictions in runs):
        lines, more_errors = compare([predictions for predictions in runs if predictions.key == key], baseline)
        errors += more_errors
        if lines:
            compared[key] = lines
    return compared, errors


def _alike(predictions: Predictions, base: Sequence[Predictions]) -> list[Predictions]:
    """The baseline's predictions of a dataset; of several, those of the same strategy, then of the same decoding."""
    same = [other for other in base if other.dataset == predictions.dataset]
    for key in ("strategy", "decode"):
        if len(same) > 1:
            same = [other for other in same if getattr(other, key) == getattr(predictions, key)]
    return same
