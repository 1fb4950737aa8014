"""Intervals of levels that hold the label of 9 in 10 rows of a new subject, whatever is wrong with the distributions.

Split conformal prediction: validation rows tell how far intervals must reach. An interval grows from the mode, each
time by the likelier of the two neighbors, so that it is contiguous (Lu, Angelopoulos & Pomerantz 2022, Improving
Trustworthiness of AI Disease Severity Rating in Medical Imaging with Ordinal Conformal Prediction Sets).

Rows of one subject (person, patient, photograph) are alike, so subjects are exchangeable and rows are not. So each of K
validation subjects weighs 1 / (K + 1), whatever its number of rows, and a new one, of which nothing is known, as much
(Lee, Barber & Willett 2023, Distribution-free Inference with Hierarchical Data; Dunn, Wasserman & Ramdas 2022,
Distribution-Free Prediction Sets for Two-Layer Hierarchical Models). Where rows have no subjects, each is its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from eval.inference import posterior
from eval.scoring.bootstrap import RESAMPLES, resampled
from eval.scoring.interval import interval
from eval.scoring.metrics import METRICS, UNPARSED
from eval.scoring.predictions import Predictions
from storm.datasets import SCALES
from storm.rows import build_command, read_examples
from storm.text import number, printable, table

LEVEL = 0.9  # of subjects' rows that an interval should hold
DIGITS = 6  # of a probability: as many as predictions have


@dataclass
class Coverage:
    """The intervals of one run and dataset, on rows whose subjects they were not calibrated on."""

    run: str
    strategy: str
    decode: str
    dataset: str
    level: float  # the coverage that is wanted
    unit: str  # what counts as exchangeable: "subject" or "row"
    n: int  # rows with a distribution
    units: int  # subjects (or rows) of them
    calibrated_on: int  # subjects (or rows) of validation
    threshold: float | None = None  # probability: see intervals(). None: see `problem`
    coverage: float | None = None  # mean over subjects of the share of their rows, which is what the method promises
    coverage_interval: tuple[float, float] | None = None  # 95%, by the bootstrap of subjects
    coverage_rows: float | None = None  # share of all rows
    width: float | None = None  # mean number of levels, or whole years, in an interval: 1 is a single level
    problem: str = ""  # why there are no intervals
    bounds: np.ndarray | None = field(default=None, repr=False)  # (n, 2) lowest and highest label, UNPARSED without

    def to_json(self) -> dict:
        return {name: part for name, part in vars(self).items() if name != "bounds"}


def masses(probs: np.ndarray) -> np.ndarray:
    """The probability that an interval holds before it grows by each level, (n, levels): 0 of the mode, and the higher
    the later. Of two equal neighbors the lower one comes first (our choice)."""
    n, levels = probs.shape
    rows, low = np.arange(n), posterior.mode(probs)
    high, mass, before = low.copy(), probs[rows, low].astype(float), np.zeros((n, levels))
    for _ in range(levels - 1):
        below = np.where(low > 0, probs[rows, low - 1], -1.0)
        above = np.where(high < levels - 1, probs[rows, np.minimum(high + 1, levels - 1)], -1.0)
        down = below >= above
        before[rows, np.where(down, low - 1, high + 1)] = mass
        mass = mass + np.where(down, below, above)
        low, high = low - down, high + ~down
    return np.round(before, DIGITS)


def needed(level: float = LEVEL) -> int:
    """The fewest subjects for which K / (K + 1) reaches a level: 9 for 0.9."""
    return math.ceil(level / (1 - level) - 1e-9)


def threshold(scores: np.ndarray, subject: np.ndarray, level: float = LEVEL) -> float:
    """The least mass within which lie the labels of `level` of the subjects, counting the new one as beyond all.

    scores: masses() at the labels, (n,); subject: numbers from 0, (n,). Raises ValueError for too few subjects.
    """
    counts = np.bincount(subject)
    if len(counts) < needed(level):
        raise ValueError(f"{len(counts)} are too few for {level:.0%}; {needed(level)} would do")
    order = np.argsort(scores, kind="stable")
    weights = 1 / (len(counts) + 1) / counts[subject[order]]
    return float(scores[order][np.argmax(weights.cumsum() >= level - 1e-9)])


def intervals(probs: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """(lowest, highest) column of each row's interval, (n,) each: all levels whose mass is at most `least`."""
    inside = masses(probs) <= least
    return inside.argmax(1), inside.shape[1] - 1 - inside[:, ::-1].argmax(1)


def coverage(predictions: Predictions, validation: Sequence[Predictions], level: float = LEVEL) -> Coverage:
    """How often intervals hold the label, calibrated on validation rows; or why there are none.

    Raises ValueError if a subject is in both: intervals would seem better than they are.
    """
    result = Coverage(*predictions.key, predictions.dataset, level, "row", int(predictions.has_probs.sum()), 0, 0)
    if not result.n:
        result.problem = "no row that is scored has a distribution"
        return result
    parts = [predictions, *validation]
    unknown = next((part for part in parts if part.data is None), None)
    if unknown is not None:
        result.problem = f"no built file of {unknown.path} (--data) says its subjects"
        return result
    names = [_subjects(part) for part in parts]
    named = [any(name[:1] != "\0" for name in part) for part in names]
    result.unit = "subject" if any(named) else "row"
    if len(set(named)) > 1:
        with_, without = (parts[named.index(has)].data for has in (True, False))
        result.problem = f"{with_} names subjects, {without} does not; build both in one command"
        return result
    test, fit = names[0], [name for part in names[1:] for name in part]
    result.units, result.calibrated_on = len(set(test)), len(set(fit))
    if shared := set(test).intersection(fit):
        what = f"{len(shared):,} subjects of {predictions.dataset} are scored, too ({min(shared)!r})"
        build = build_command(predictions.dataset)
        seem = "so intervals, and ECE and RPS with the temperature, would seem better than they are; no intervals"
        raise ValueError(f"{what}, {seem}; split by subject: {build} --split subject")
    if result.calibrated_on < needed(level):
        few = f"{result.calibrated_on} validation {result.unit}{'s' * (result.calibrated_on != 1)} cannot give"
        result.problem = f"{few} intervals for {level:.0%}; {needed(level)} would do"
        return result
    probs = np.concatenate([part.probs[part.has_probs] for part in validation])
    labels = np.concatenate([part.label[part.has_probs] for part in validation]) - predictions.scale.lo
    scores = masses(probs)[np.arange(len(labels)), labels]
    result.threshold = threshold(scores, np.unique(fit, return_inverse=True)[1], level)
    low, high = intervals(predictions.probs[predictions.has_probs], result.threshold)
    label = predictions.label[predictions.has_probs] - predictions.scale.lo
    inside, subject = (low <= label) & (label <= high), np.unique(test, return_inverse=True)[1]
    share = np.bincount(subject, inside) / np.bincount(subject)
    drawn = resampled(np.arange(len(share)), None, predictions.dataset, RESAMPLES)
    means = np.concatenate([counts @ share / counts.sum(1) for counts in drawn])
    result.coverage, result.coverage_rows = float(share.mean()), float(inside.mean())
    result.coverage_interval = interval(means, len(share), METRICS["acc"])  # a share, too
    result.width = float((high - low + 1).mean())
    result.bounds = np.full((len(predictions.label), 2), UNPARSED)
    result.bounds[predictions.has_probs] = np.stack([low, high], 1) + predictions.scale.lo
    return result


def _subjects(predictions: Predictions) -> list[str]:
    """The subject of each row with a distribution. A row without one is of nobody else: NUL and its id."""
    scales = {**SCALES, predictions.scale.name: predictions.scale}
    subject = {example.id: example.subject or f"\0{example.id}" for example in read_examples(predictions.data, scales)}
    return [subject[id] for id, exact in zip(predictions.id, predictions.has_probs) if exact]


LEGEND = """\
intervals: levels that hold the label of {:.0%} of the rows of a new subject, calibrated by subject on the validation
rows. coverage: how often they do, the mean over subjects, and over rows. width: levels (or whole years) in an interval;
a subject is a person, patient or photograph. Distributions are taken as predicted, without the temperature."""


def printed(rows: Sequence[Coverage]) -> str:
    """The intervals as a table, then why others are missing; "" without any."""
    head = ["run", "dataset", "rows", "subjects", "calibrated on", "coverage", "coverage of rows", "width"]
    body = [
        [
            *(" ".join((row.run, row.strategy)), row.dataset, row.n, row.units if row.unit == "subject" else None),
            *(f"{row.calibrated_on:,} {row.unit}s", number(row.coverage, row.coverage_interval), row.coverage_rows),
            row.width,
        ]
        for row in rows
        if not row.problem
    ]
    lines = [f"no intervals for {printable(row.dataset)}: {printable(row.problem)}" for row in rows if row.problem]
    if body:
        lines = [LEGEND.format(rows[0].level), *lines]
    return "\n".join([table([head, *body])] * bool(body) + lines)
