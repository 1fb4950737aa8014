"""The distinct rows of a test set and how often they count, and what metrics.py computes from them.

A metric is a function of `Rows`: K distinct rows, and how often each counts in each of B resamples. Its value is the
function with the counts of the sample (B = 1); the bootstrap calls the same function with drawn counts. A result is
(B,), nan where the metric is not defined, as the error of no rows at all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from eval.inference.posterior import BINS
from storm.scales import Scale

if TYPE_CHECKING:
    from eval.scoring.runs import Predictions

UNPARSED = -1  # below every label, so it equals none


@dataclass(frozen=True)
class Rows:
    """The distinct rows of a test set, (K,) each, and how often each of them counts in B resamples."""

    scale: Scale
    label: np.ndarray
    pred: np.ndarray  # UNPARSED if there is no prediction
    coarse_pred: np.ndarray  # index of the coarse group, UNPARSED if there is none
    median: np.ndarray  # the prediction that MAE is of, UNPARSED if there is none
    mean: np.ndarray  # the prediction that correlations are of, nan if there is none
    probs: np.ndarray | None  # (K, levels)
    sample: np.ndarray  # how often each counts in the test set
    counts: np.ndarray  # (B, K)

    def total(self, column: np.ndarray | int) -> np.ndarray:
        """The sum of a column over the rows of each resample, (B,)."""
        return self.counts @ np.broadcast_to(column, self.label.shape).astype(float)

    @cached_property
    def n(self) -> np.ndarray:
        return self.total(1)

    @cached_property
    def parsed(self) -> np.ndarray:
        return self.pred != UNPARSED

    @cached_property
    def n_parsed(self) -> np.ndarray:
        return self.total(self.parsed)

    @cached_property
    def error(self) -> np.ndarray:
        return np.abs(self.median - self.label)

    def coarse_of(self, labels: np.ndarray) -> np.ndarray:
        """Index of the coarse group of each label; UNPARSED stays."""
        sizes = [group.hi - group.lo + 1 for group in self.scale.coarse]
        groups = np.append(np.repeat(np.arange(len(sizes)), sizes), UNPARSED)
        return groups[np.where(labels == UNPARSED, -1, labels - self.scale.lo)]


def distinct(predictions: "Predictions") -> tuple[Rows, np.ndarray]:
    """The distinct rows of predictions, in order, and the index of each prediction among them, (n,).

    Rows with distributions are all taken for distinct.
    """
    table, index = np.stack([predictions.label, predictions.pred, predictions.coarse_pred], 1), None
    if predictions.probs is None:
        _, first, index = np.unique(_keys(table), return_index=True, return_inverse=True)
    else:
        first = index = np.arange(len(table))
    label, pred, coarse_pred = table[first].T
    sample = np.bincount(index).astype(float)
    median, mean = predictions.median[first], predictions.mean[first]
    rows = Rows(predictions.scale, label, pred, coarse_pred, median, mean, predictions.probs, sample, sample[None])
    return rows, index


def _keys(table: np.ndarray) -> np.ndarray:
    """A number for each row of small whole numbers from -1 up, (n, C), in the order of the rows."""
    shifted = table.astype(np.int64) - UNPARSED
    return np.ravel_multi_index(tuple(shifted.T), tuple(shifted.max(0) + 1))


def compute(function: Callable[[Rows], np.ndarray], rows: Rows) -> np.ndarray:
    """A function of rows, (B,), without warnings: 0 / 0 is nan, "not defined"."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return function(rows)


def worst_error(rows: Rows) -> np.ndarray:
    """The error of each row; an unparsed prediction is as far off as the scale allows."""
    farthest = np.maximum(rows.label - rows.scale.lo, rows.scale.hi - rows.label)
    return np.where(rows.parsed, rows.error, farthest)


def kappa(rows: Rows) -> np.ndarray:
    x, y = rows.label * rows.parsed, rows.pred * rows.parsed
    squares = rows.total(x * x + y * y)
    return 1 - (squares - 2 * rows.total(x * y)) / (squares - 2 * rows.total(x) * rows.total(y) / rows.n_parsed)


def pearson(rows: Rows) -> np.ndarray:
    x, y = (_centered(column, rows) for column in (rows.label, rows.mean))
    sums = [rows.total(column) for column in (x, y, x * x, y * y, x * y)]
    return _correlation(rows.n_parsed, *sums)


def _centered(column: np.ndarray, rows: Rows) -> np.ndarray:
    """The column less its mean in the sample, which keeps digits; 0 where unparsed."""
    column = np.where(rows.parsed, column, 0.0)
    return np.where(rows.parsed, column - rows.sample @ column / max(1, rows.sample @ rows.parsed), 0.0)


def _correlation(n: np.ndarray, x, y, xx, yy, xy) -> np.ndarray:
    """Pearson's from sums; nan where one side is constant (its variance is then 0 but for rounding)."""
    a, b = n * xx - x * x, n * yy - y * y
    return np.where((a > 1e-9 * n * xx) & (b > 1e-9 * n * yy), (n * xy - x * y) / np.sqrt(a * b), np.nan)


def spearman(rows: Rows) -> np.ndarray:
    """Pearson's of the ranks, which every resample has anew; equals share the middle one."""
    counts = rows.counts[:, rows.parsed]
    a, b = (_ranks(column[rows.parsed], counts) for column in (rows.label, rows.mean))
    sums = [np.einsum("ij,ij->i", counts, column) for column in (a, b, a * a, b * b, a * b)]
    return _correlation(counts.sum(1), *sums)


def _ranks(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The rank of each row in each resample, (B, K), from the middle of all: equal values share one."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=-np.inf))
    if not len(starts):
        return counts
    equal = np.add.reduceat(counts[:, order], starts, axis=1)
    rank = equal.cumsum(1) - (equal - 1) / 2 - (counts.sum(1, keepdims=True) + 1) / 2
    back = np.empty(len(order), int)
    back[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))
    return rank[:, back]


def both_parts(rows: "Rows | Predictions") -> np.ndarray:
    """Rows with a coarse and a fine prediction, of which "consistent" is the share that agree."""
    return (rows.pred != UNPARSED) & (rows.coarse_pred != UNPARSED)


def consistent(rows: Rows) -> np.ndarray:
    both = both_parts(rows)
    return rows.total(both & (rows.coarse_pred == rows.coarse_of(rows.pred))) / rows.total(both)


def _gaps(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Confidence less hit of the rows of each bin of confidence, summed: (B, bins), and in the sample, (bins,)."""
    probs = np.where(rows.parsed[:, None], rows.probs, 0).astype(float)
    confidence = probs.max(1)
    gap = (confidence - (probs.argmax(1) + rows.scale.lo == rows.label)) * rows.parsed
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    table = np.where(bins[:, None] == np.arange(BINS), gap[:, None], 0.0)
    return rows.counts @ table, rows.sample @ table


def calibration_error(rows: Rows) -> np.ndarray:
    return np.abs(_gaps(rows)[0]).sum(1) / rows.n_parsed


def calibration_spread(rows: Rows) -> np.ndarray:
    """By how much the bins of a resample and those of the sample are apart, all together."""
    gaps, sample = _gaps(rows)
    return np.abs(gaps / rows.n_parsed[:, None] - sample / (rows.sample @ rows.parsed)).sum(1)


def ranked_probability(rows: Rows) -> np.ndarray:
    """Squared distance of the cumulative distributions, over levels - 1 (Epstein 1969)."""
    levels = rows.probs.shape[1]
    probs = np.where(rows.parsed[:, None], rows.probs, 0).astype(float)
    reached = np.arange(levels) >= (rows.label - rows.scale.lo)[:, None]
    distance = ((probs.cumsum(1) - reached) ** 2).sum(1) / max(1, levels - 1)
    return rows.total(distance * rows.parsed) / rows.n_parsed


def constant_accuracy(rows: Rows) -> np.ndarray:
    return np.max([rows.total(rows.label == label) for label in np.unique(rows.label)], 0) / rows.n


def constant_error(rows: Rows) -> np.ndarray:
    return np.min([rows.total(np.abs(rows.label - label)) for label in np.unique(rows.label)], 0) / rows.n
