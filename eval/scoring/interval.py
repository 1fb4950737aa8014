"""How sure a score is: its 95% interval, from resamples of it; and p-values corrected for several comparisons.

Most intervals are percentiles, widened for few subjects or rows (Hesterberg 2015, What Teachers Should Know About the
Bootstrap). Below FEW subjects, the interval is Student's. A share that is 0 or 1 in all resamples gets the interval of
Clopper and Pearson (1934).
"""

import numpy as np

from eval.scoring.metrics import Metric

LEVEL = 0.95
FEW = 10  # subjects; four have 35 different resamples


def interval(values: np.ndarray, n: int, metric: Metric, value: float | None = None) -> tuple | None:
    """The middle 95% of resamples of n subjects or rows, widened for few.

    values: of the metric in resamples. value: of the sample; only a metric with an interval_function needs it.
    None: n is 1, or 1 in 20 resamples has no value.
    Below FEW: Student's interval from the standard deviation of the resamples. There are too few different ones.
    A metric with an interval_function (ECE), which noise can only raise: value +- the 95% quantile of `values`, the
    distances of resamples and sample. The interval holds the truth in 95% of cases or more.
    """
    from scipy.special import ndtr, stdtrit

    if n < 2 or np.isnan(values).mean() > 1 - LEVEL:
        return None
    if metric.interval_function:
        reach, (low, high) = float(np.nanquantile(values, LEVEL)), metric.bounds
        return max(float(low), value - reach), min(float(high), value + reach)
    lowest, highest = np.nanmin(values), np.nanmax(values)
    if metric.share and lowest == highest in (0, 1):
        bound = ((1 - LEVEL) / 2) ** (1 / n)  # Clopper and Pearson (1934) for all or none of them
        return (bound, 1.0) if highest else (0.0, 1 - bound)
    wide, student = np.sqrt(n / (n - 1)), -stdtrit(n - 1, (1 - LEVEL) / 2)
    if n < FEW:
        reach, center = student * wide * np.nanstd(values), np.nanmean(values)
        low, high = np.clip([center - reach, center + reach], *metric.bounds)
    else:
        tail = ndtr(-wide * student)
        values = values[~np.isnan(values)]
        low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def holm(p: list[float], tests: int = 0) -> list[float]:
    """p-values of several comparisons, corrected so that few are called different by chance (Holm 1979).

    tests: how many comparisons there are, if more than those of p; the others are taken to have larger ones.
    """
    order, tests = np.argsort(p, kind="stable"), tests or len(p)
    corrected = np.minimum(1, np.maximum.accumulate(np.array(p)[order] * np.arange(tests, tests - len(p), -1)))
    return corrected[np.argsort(order)].tolist()
