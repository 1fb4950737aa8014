"""Metrics of ordinal predictions, in scikit-learn's argument order and made of its and SciPy's functions.

All take integer arrays of shape (n,); an answer that could not be parsed is UNPARSED. Errors are in the scale's unit:
levels or years. None: not defined, as the error of no answers at all. resample.py has the same for weighted rows.
"""

import numpy as np
from scipy import stats
from sklearn import metrics

UNPARSED = -1  # below every label, so it is equal to none
CLOSE = 5  # years: CS@5, the cumulative score of the age papers


def accuracy(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Share of exact hits, 0..1, best 1. An unparsed answer is wrong (our choice: the paper does not say)."""
    return float(metrics.accuracy_score(y_true, y_pred))


def within(y_true: np.ndarray, y_pred: np.ndarray, reach: int) -> float:
    """Share of answers at most `reach` off: off-by-one accuracy for 1, CS@5 for CLOSE. An unparsed one is wrong."""
    return float(np.mean((np.abs(y_pred - y_true) <= reach) & (y_pred != UNPARSED)))


def mean_absolute_error(y_true: np.ndarray, y_pred: np.ndarray) -> float | None:
    """Mean distance over the parsed answers only, best 0."""
    parsed = y_pred != UNPARSED
    return float(metrics.mean_absolute_error(y_true[parsed], y_pred[parsed])) if parsed.any() else None


def filled(y_true: np.ndarray, y_pred: np.ndarray, lo: int, hi: int) -> np.ndarray:
    """y_pred with an unparsed answer as far off as the scale lo..hi allows."""
    return np.where(y_pred == UNPARSED, np.where(y_true - lo > hi - y_true, lo, hi), y_pred)


def worst_mean_absolute_error(y_true: np.ndarray, y_pred: np.ndarray, *, lo: int, hi: int) -> float:
    """Mean distance where an unparsed answer is as far off as the scale lo..hi allows, best 0."""
    return float(metrics.mean_absolute_error(y_true, filled(y_true, y_pred, lo, hi)))


def quadratic_weighted_kappa(y_true: np.ndarray, y_pred: np.ndarray, *, lo: int, hi: int) -> float | None:
    """Agreement beyond chance over the parsed answers, -1 .. 1, best 1; an error counts by its square.

    lo..hi: the scale. Without it scikit-learn would count levels that nobody has as no distance.
    """
    parsed = y_pred != UNPARSED
    y_true, y_pred = y_true[parsed], y_pred[parsed]
    if not len(y_true) or (np.ptp(y_true) == 0 and np.array_equal(y_true, y_pred)):
        return None
    return float(metrics.cohen_kappa_score(y_true, y_pred, labels=list(range(lo, hi + 1)), weights="quadratic"))


def correlation(y_true: np.ndarray, y_pred: np.ndarray, *, ranks: bool = False) -> float | None:
    """Pearson's, or Spearman's if ranks: -1 .. 1, best 1. None where one side is constant. y_pred may be fractions."""
    if len(y_true) < 2 or np.ptp(y_true) == 0 or np.ptp(y_pred) == 0:
        return None
    return float((stats.spearmanr if ranks else stats.pearsonr)(y_true, y_pred).statistic)


def constant_baseline(y_true: np.ndarray) -> tuple[float, float]:
    """(accuracy, mean absolute error) of the best answer that is always the same: the mode, and the median.

    What a model must beat to have looked at the images at all.
    """
    _, counts = np.unique(y_true, return_counts=True)
    median = np.full_like(y_true, np.quantile(y_true, 0.5, method="inverted_cdf"))
    return float(counts.max() / counts.sum()), float(metrics.mean_absolute_error(y_true, median))
