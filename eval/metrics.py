"""Metrics of ordinal predictions, in scikit-learn's argument order and made of its functions where it has them.

All take integer arrays of shape (n,) and a sample_weight of shape (n,), so that counts of equal pairs do for rows.
A prediction that could not be parsed is UNPARSED. Error is in the scale's unit: levels or years.
"""

import numpy as np
from scipy import stats
from sklearn import metrics

UNPARSED = -1  # below every label, so it is equal to none


def accuracy(y_true: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray) -> float:
    """Share of exact hits, 0..1, best 1. An unparsed answer is wrong (our choice: the paper does not say)."""
    return float(metrics.accuracy_score(y_true, y_pred, sample_weight=sample_weight))


def mean_absolute_error(y_true: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray) -> float | None:
    """Mean distance over the parsed answers only, best 0. None if there are none."""
    parsed = y_pred != UNPARSED
    if not parsed.any():
        return None
    weight = sample_weight[parsed]
    return float(metrics.mean_absolute_error(y_true[parsed], y_pred[parsed], sample_weight=weight))


def worst_mean_absolute_error(
    y_true: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray, *, lo: int, hi: int
) -> float:
    """Mean distance where an unparsed answer is as far off as the scale lo..hi allows, best 0."""
    farthest = np.where(y_true - lo > hi - y_true, lo, hi)
    filled = np.where(y_pred == UNPARSED, farthest, y_pred)
    return float(metrics.mean_absolute_error(y_true, filled, sample_weight=sample_weight))


def correlation(y_true: np.ndarray, y_pred: np.ndarray, *, ranks: bool = False) -> float | None:
    """Pearson's, or Spearman's if ranks: -1 .. 1, best 1. None where one side is constant. One value a row."""
    if len(y_true) < 2 or np.ptp(y_true) == 0 or np.ptp(y_pred) == 0:
        return None
    return float((stats.spearmanr if ranks else stats.pearsonr)(y_true, y_pred).statistic)


def constant_baseline(y_true: np.ndarray, sample_weight: np.ndarray) -> tuple[float, float]:
    """(accuracy, mean absolute error) of the best answer that is always the same: the mode, and the median.

    What a model must beat to have looked at the images at all.
    """
    labels, where = np.unique(y_true, return_inverse=True)
    counts = np.bincount(where, weights=sample_weight)
    median = labels[np.searchsorted(np.cumsum(counts), counts.sum() / 2)]
    error = metrics.mean_absolute_error(y_true, np.full_like(y_true, median), sample_weight=sample_weight)
    return float(counts.max() / counts.sum()), float(error)
