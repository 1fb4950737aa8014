"""How sure a score is: its 95% interval, and whether a difference can be told from chance, from resamples of it.

Most intervals are percentiles, widened for few subjects or rows (Hesterberg 2015, What Teachers Should Know About the
Bootstrap). Below FEW subjects, the interval is Student's. A share that is 0 or 1 in all resamples gets the interval of
Clopper and Pearson (1934).
"""

import numpy as np

from eval.scoring.metrics import Metric

LEVEL = 0.95
FEW = 10  # subjects; four have 35 different resamples


def interval(values: np.ndarray, n: int, metric: Metric | None = None, value: float | None = None) -> tuple | None:
    """The middle 95% of resamples of n subjects or rows, widened for few.

    values: of a metric, or differences of one (metric None).
    None: n is 1, or 1 in 20 resamples has no value.
    Below FEW: Student's interval from the standard deviation of the resamples. There are too few different ones.
    A metric with an interval_function (ECE), which noise can only raise: value +- the 95% quantile of `values`, the
    distances of resamples and sample. The interval holds the truth in 95% of cases or more.
    """
    from scipy.special import ndtr, stdtrit

    if n < 2 or np.isnan(values).mean() > 1 - LEVEL:
        return None
    if metric and metric.interval_function:
        reach, (low, high) = float(np.nanquantile(values, LEVEL)), metric.bounds
        return max(float(low), value - reach), min(float(high), value + reach)
    lowest, highest = np.nanmin(values), np.nanmax(values)
    # The chance that all n differ by the same, in one direction, if both directions were as likely: 2 * 0.5**n.
    if not metric and lowest == highest != 0 and 2 * 0.5**n > 1 - LEVEL:
        return None
    if metric and metric.share and lowest == highest in (0, 1):
        bound = ((1 - LEVEL) / 2) ** (1 / n)  # Clopper and Pearson (1934) for all or none of them
        return (bound, 1.0) if highest else (0.0, 1 - bound)
    wide, student = np.sqrt(n / (n - 1)), -stdtrit(n - 1, (1 - LEVEL) / 2)
    if n < FEW:
        reach, center = student * wide * np.nanstd(values), np.nanmean(values)
        low, high = np.clip([center - reach, center + reach], *(metric.bounds if metric else (None, None)))
    else:
        tail = ndtr(-wide * student)
        low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


def p_value(differences: np.ndarray, n: int) -> float:
    """Two-sided p of no difference: below .05 just where interval() leaves 0 out, 1 where there is no interval.

    1,000 resamples reach to 0.002.
    """
    from scipy.special import ndtri, stdtr

    defined = differences[~np.isnan(differences)]
    if n < 2 or len(defined) < LEVEL * len(differences):
        return 1.0
    if np.ptp(defined) == 0:
        return max(2 * 0.5**n, 2 / (len(defined) + 1)) if defined[0] else 1.0
    wide = np.sqrt(n / (n - 1))
    if n < FEW:
        return float(2 * stdtr(n - 1, -abs(defined.mean()) / (wide * defined.std())))
    beyond = min((defined <= 0).sum(), (defined >= 0).sum())
    tail = min(0.5, (1 + int(beyond)) / (len(defined) + 1))
    return float(2 * stdtr(n - 1, ndtri(tail) / wide))


def holm(p: list[float]) -> list[float]:
    """p-values of several comparisons, corrected so that few are called different by chance (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    corrected = np.minimum(1, np.maximum.accumulate(np.array(p)[order] * np.arange(len(p), 0, -1)))
    return corrected[np.argsort(order)].tolist()
