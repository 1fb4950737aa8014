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

from eval.inference.posterior import BINS, bins_of
from eval.scoring import selective
from storm.scales import Scale, coarse_of

if TYPE_CHECKING:
    from eval.scoring.predictions import Predictions

UNPARSED = -1  # below every label, so it equals none
AT_ONCE = 1 << 16  # counts: so many stay in the processor's cache


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
    raw_error: np.ndarray | None = None  # (K,) see Predictions.raw_error
    votes: np.ndarray | None = None  # (K, levels) see Predictions.votes; None: only text

    def total(self, column: np.ndarray | int) -> np.ndarray:
        """The sum of a column over the rows of each resample, (B,)."""
        weights = np.empty(len(self.label))
        weights[:] = column
        return self.counts @ weights

    @cached_property
    def parsed(self) -> np.ndarray:
        return parsed(self)

    @cached_property
    def n_parsed(self) -> np.ndarray:
        return self.total(self.parsed)

    @property
    def error(self) -> np.ndarray:
        return np.abs(self.median - self.label)

    @cached_property
    def parsed_probs(self) -> np.ndarray:
        """The distributions, of 0 where a row has none."""
        return np.where(self.parsed[:, None], self.probs, 0).astype(float)

    @cached_property
    def selective(self) -> selective.Selective:
        return selective.selective(self)


def rows_at(predictions: "Predictions", at: np.ndarray, index: np.ndarray) -> Rows:
    """The rows `at`, (K,), as distinct ones; index: which of them each prediction is, (n,)."""
    columns = (getattr(predictions, name)[at] for name in ("label", "pred", "coarse_pred", "median", "mean"))
    probs, raw_error, sample = predictions.probs, predictions.raw_error, np.bincount(index).astype(float)
    probs, raw_error = (None if column is None else column[at] for column in (probs, raw_error))
    votes = predictions.votes[at] if probs is not None and predictions.votes is not None else None
    return Rows(predictions.scale, *columns, probs, sample, sample[None], raw_error, votes)


def distinct(predictions: "Predictions") -> tuple[Rows, np.ndarray]:
    """The distinct rows of predictions, in order, and the index of each prediction among them, (n,).

    Rows with distributions are all taken for distinct.
    """
    first = index = np.arange(len(predictions.label))
    if predictions.probs is None:
        columns = [predictions.label, predictions.pred, predictions.coarse_pred]
        if predictions.score is not None:
            columns.append(np.unique(predictions.score, return_inverse=True)[1])
        table = np.stack(columns, 1).astype(np.int64) - UNPARSED
        numbers = np.ravel_multi_index(tuple(table.T), tuple(table.max(0) + 1))  # one each, in the order of the rows
        _, first, index = np.unique(numbers, return_index=True, return_inverse=True)
    return rows_at(predictions, first, index), index


def compute(function: Callable[[Rows], np.ndarray], rows: Rows) -> np.ndarray:
    """A function of rows, (B,), without warnings: 0 / 0 is nan, "not defined"."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return function(rows)


def all_rows(rows: "Rows | Predictions") -> np.ndarray:
    return np.full(len(rows.label), True)


def parsed(rows: "Rows | Predictions") -> np.ndarray:
    return rows.pred != UNPARSED


def both_parts(rows: "Rows | Predictions") -> np.ndarray:
    """Rows with a coarse and a fine prediction, of which "consistent" is the share that agree."""
    return parsed(rows) & (rows.coarse_pred != UNPARSED)


def coarse_index(scale: Scale, labels: np.ndarray) -> np.ndarray:
    """Index of the coarse group of each label; UNPARSED stays."""
    groups = [scale.coarse.index(coarse_of(scale, level)) for level in range(scale.lo, scale.hi + 1)]
    return np.array([*groups, UNPARSED])[np.where(labels == UNPARSED, -1, labels - scale.lo)]


def worst_error(scale: Scale, label: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """The error of each row; an unparsed prediction is as far off as the scale allows."""
    farthest = np.maximum(label - scale.lo, scale.hi - label)
    return np.where(pred == UNPARSED, farthest, np.abs(pred - label))


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
    """Pearson's of the ranks, which every resample has anew; ties get the mean rank."""
    at = np.flatnonzero(rows.parsed)
    at = at[np.argsort(rows.mean[at], kind="stable")]
    if not len(at):
        return np.full(len(rows.counts), np.nan)
    levels, level = np.unique(rows.label[at], return_inverse=True)
    of_level = (level[:, None] == np.arange(len(levels))).astype(float)
    group = np.append(0, np.cumsum(np.diff(rows.mean[at]) > 0))
    step = max(1, AT_ONCE // len(at))
    pieces = (rows.counts[begin : begin + step].take(at, 1) for begin in range(0, len(rows.counts), step))
    return np.concatenate([_rank_correlation(counts, of_level, group) for counts in pieces])


def _rank_correlation(counts: np.ndarray, of_level: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Spearman's of a few resamples. counts: (b, K), the lowest mean first; of_level: (K, levels), 1 at the label;
    group: (K,), the same number for equal means. Labels are few, so their ranks are of levels."""
    n, equal = counts.sum(1), counts
    if group[-1] + 1 < len(group):
        equal = np.add.reduceat(counts, np.flatnonzero(np.diff(group, prepend=-1)), axis=1)
    b, labels = _ranks(equal, n), counts @ of_level
    a, weighted = _ranks(labels, n), equal * b
    sums = weighted.sum(1), np.einsum("ij,ij->i", weighted, b)
    if equal is not counts:
        weighted = counts * b.take(group, 1)
    ab = np.einsum("ij,ij->i", weighted @ of_level, a)
    return _correlation(n, (labels * a).sum(1), sums[0], (labels * a * a).sum(1), sums[1], ab)


def _ranks(equal: np.ndarray, n: np.ndarray) -> np.ndarray:
    """The mean rank of rows that are equal, counted from the middle, from how many there are of each value in order."""
    return equal.cumsum(1) - (equal - 1) / 2 - (n[:, None] + 1) / 2


def _gaps(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Confidence less hit of the rows of each bin of confidence, summed: (B, bins), and in the sample, (bins,)."""
    confidence = rows.parsed_probs.max(1)
    gap = (confidence - (rows.parsed_probs.argmax(1) + rows.scale.lo == rows.label)) * rows.parsed
    table = np.where(bins_of(confidence)[:, None] == np.arange(BINS), gap[:, None], 0.0)
    return rows.counts @ table, rows.sample @ table


def calibration_error(rows: Rows) -> np.ndarray:
    return np.abs(_gaps(rows)[0]).sum(1) / rows.n_parsed


def calibration_spread(rows: Rows) -> np.ndarray:
    """By how much the bins of a resample and those of the sample differ, all together."""
    gaps, sample = _gaps(rows)
    return np.abs(gaps / rows.n_parsed[:, None] - sample / (rows.sample @ rows.parsed)).sum(1)


def ranked_probability(rows: Rows) -> np.ndarray:
    """Of each row, (K,): the squared distance of the cumulative distributions, over levels - 1 (Epstein 1969)."""
    levels = rows.probs.shape[1]
    reached = np.arange(levels) >= (rows.label - rows.scale.lo)[:, None]
    return ((rows.parsed_probs.cumsum(1) - reached) ** 2).sum(1) / max(1, levels - 1)
