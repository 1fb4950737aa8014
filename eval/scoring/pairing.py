"""Two runs on the same rows: which rows they share, and by how much they differ, subject by subject."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import lcm

import numpy as np

from eval.scoring.metrics import METRICS, Metric
from eval.scoring.predictions import Predictions
from eval.scoring.weighted_rows import Rows

COMPARED = (METRICS["acc"], METRICS["mae"])  # means of whole numbers over rows, which the exact test needs


@dataclass(frozen=True)
class Paired:
    """One metric of two runs on the same rows of a dataset. A subject without a row that counts is left out."""

    dataset: str
    metric: str
    n: int  # rows that count
    subjects: int | None  # None: the test file names none, and each row is one
    ours: float
    base: float
    sums: np.ndarray  # (subjects or rows,) of each, the differences of its rows, ours less base, in whole numbers
    sizes: np.ndarray  # (subjects or rows,) what they are divided by; all over all is the difference of the metric

    @property
    def difference(self) -> float:
        return float(self.sums.sum() / self.sizes.sum())


def paired(*runs: Predictions) -> tuple[Predictions, ...]:
    """The rows that all predict, in the order of the first: by id, or by position if one has none.

    Raises ValueError where they differ.
    """
    first, *others = runs
    for other in others:
        first, _ = _pair(first, other)
    return (first, *(_pair(first, other)[1] for other in others))


def _pair(ours: Predictions, base: Predictions) -> tuple[Predictions, Predictions]:
    if ours.id is not None and base.id is not None:
        if ours.id != base.id:
            _, at, at_base = np.intersect1d(ours.id, base.id, return_indices=True)
            if not len(at):
                raise ValueError(f"{ours.path} and {base.path} have no id in common")
            order = np.argsort(at)
            ours, base = _rows(ours, at[order]), _rows(base, at_base[order])
    elif len(ours.label) != len(base.label):
        have = f"{ours.path} has {len(ours.label):,} rows, {base.path} {len(base.label):,}"
        raise ValueError(f"{have}: without ids (--data names the test files) they cannot be paired")
    differ = np.flatnonzero(ours.label != base.label)
    if len(differ):
        left, right = (f"{p.path}, line {p.line[differ[0]]}, label {p.label[differ[0]]}" for p in (ours, base))
        raise ValueError(f"{left}; {right}: not the same test data")
    return ours, base


def _rows(predictions: Predictions, at: np.ndarray) -> Predictions:
    """A part of the rows. Subjects who are in none of them are forgotten."""
    subject = None if predictions.subject is None else np.unique(predictions.subject[at], return_inverse=True)[1]
    columns = {name: getattr(predictions, name)[at] for name in ("label", "pred", "coarse_pred", "line")}
    for name in ("probs", "score", "votes"):
        columns[name] = None if getattr(predictions, name) is None else getattr(predictions, name)[at]
    id = predictions.id and [predictions.id[i] for i in at]
    return replace(predictions, **columns, id=id, subject=subject)


def differences(ours: Sequence[Predictions], base: Sequence[Predictions]) -> list[Paired]:
    """Of each metric in COMPARED that applies, the differences on the rows that all predict.

    ours, base: predictions of one dataset; of several seeds, each row's values are averaged. MAE is over the rows that
    all parsed: a run must not win by leaving the hard ones out. Raises ValueError as paired() does.
    """
    runs = paired(*ours, *base)
    subject = next((run.subject for run in runs if run.subject is not None), None)
    rows = [_every_row(run) for run in runs]
    return [
        _differences(metric, rows, len(ours), subject, runs[0].dataset)
        for metric in COMPARED
        if metric.applies(runs[0]) and np.logical_and.reduce([metric.counted_rows(part) for part in rows]).any()
    ]


def _every_row(run: Predictions) -> Rows:
    """All rows as distinct ones, without what a mean of whole numbers does not need."""
    once, none = np.ones(len(run.label)), np.full(len(run.label), np.nan)
    return Rows(run.scale, run.label, run.pred, run.coarse_pred, run.median, none, None, once, once[None])


def _differences(metric: Metric, rows: Sequence[Rows], first: int, subject: np.ndarray | None, dataset: str) -> Paired:
    """rows: of `first` runs of ours, then of the base."""
    at = np.flatnonzero(np.logical_and.reduce([metric.counted_rows(part) for part in rows]))
    sides = [np.sum([metric.row(part)[at].astype(int) for part in side], 0) for side in (rows[:first], rows[first:])]
    counts = first, len(rows) - first
    unit = lcm(*counts)
    difference = sides[0] * (unit // counts[0]) - sides[1] * (unit // counts[1])
    sums, sizes = difference, np.full(len(at), unit)
    if subject is not None:
        number = np.unique(subject[at], return_inverse=True)[1]
        sums, sizes = (np.rint(np.bincount(number, column)).astype(int) for column in (sums, sizes))
    ours, base = (float(side.mean() / count) for side, count in zip(sides, counts))
    return Paired(dataset, metric.name, len(at), None if subject is None else len(sums), ours, base, sums, sizes)
