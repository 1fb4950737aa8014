"""How sure a score is: its 95% interval, and whether a difference can be told from chance, from resamples of it.

Intervals are percentiles, widened for few subjects or rows (Hesterberg 2015, What Teachers Should Know About the
Bootstrap); of very few, Student's; of a share that is 0 or 1, where there is nothing to resample, Clopper and
Pearson's.
"""

import numpy as np

from eval.scoring.metrics import Metric

LEVEL = 0.95
FEW = 10  # subjects; four have 35 different resamples


def interval(values: np.ndarray, units: int, metric: Metric | None = None, value: float | None = None) -> tuple | None:
    """The middle 95% of resamples, widened for few units; None of one unit, or if 1 in 20 resamples has no value.

    values: a metric's, or differences of one (metric None). Below FEW units, of which there are too few different
    resamples, Student's interval with their standard deviation. Of a metric with a spread (ECE), to which noise only
    adds, in the sample as again in each resample: its value, and to both sides how far apart resamples and sample are
    (values: the spread); this holds the truth in 95% of cases or more, 0 too.
    """
    from scipy.special import ndtr, stdtrit

    if units < 2 or np.isnan(values).mean() > 1 - LEVEL:
        return None
    if metric and metric.spread:
        reach, (low, high) = float(np.nanquantile(values, LEVEL)), metric.bounds
        return max(float(low), value - reach), min(float(high), value + reach)
    lowest, highest = np.nanmin(values), np.nanmax(values)
    if not metric and lowest == highest != 0 and _all_one_way(units) > 1 - LEVEL:
        return None
    if metric and metric.share and lowest == highest in (0, 1):
        bound = ((1 - LEVEL) / 2) ** (1 / units)  # Clopper and Pearson (1934) for all or none of the units
        return (bound, 1.0) if highest else (0.0, 1 - bound)
    wide, student = np.sqrt(units / (units - 1)), -stdtrit(units - 1, (1 - LEVEL) / 2)
    if units < FEW:
        reach, center = student * wide * np.nanstd(values), np.nanmean(values)
        low, high = np.clip([center - reach, center + reach], *(metric.bounds if metric else (None, None)))
    else:
        tail = ndtr(-wide * student)
        low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _all_one_way(units: int) -> float:
    """The chance that as many units all differ by the same, in one direction, if both were as likely."""
    return 2 * 0.5**units


def p_value(differences: np.ndarray, units: int) -> float:
    """Two-sided p of no difference: below .05 just where interval() leaves 0 out, 1 where there is no interval.

    1,000 resamples reach to 0.002.
    """
    from scipy.special import ndtri, stdtr

    defined = differences[~np.isnan(differences)]
    if units < 2 or len(defined) < LEVEL * len(differences):
        return 1.0
    if np.ptp(defined) == 0:
        return max(_all_one_way(units), 2 / (len(defined) + 1)) if defined[0] else 1.0
    wide = np.sqrt(units / (units - 1))
    if units < FEW:
        return float(2 * stdtr(units - 1, -abs(defined.mean()) / (wide * defined.std())))
    beyond = min((defined <= 0).sum(), (defined >= 0).sum())
    tail = min(0.5, (1 + int(beyond)) / (len(defined) + 1))
    return float(2 * stdtr(units - 1, ndtri(tail) / wide))


def holm(p: list[float]) -> list[float]:
    """p-values of several comparisons, corrected so that few are called different by chance (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    corrected = np.minimum(1, np.maximum.accumulate(np.array(p)[order] * np.arange(len(p), 0, -1)))
    return corrected[np.argsort(order)].tolist()
