"""How sure a score is: its 95% interval, and whether a difference can be told from chance, from resamples of it.

Intervals are percentiles, widened for few people or rows (Hesterberg 2015, What Teachers Should Know About the
Bootstrap); of very few, Student's; of a share that is 0 or 1, where there is nothing to resample, Clopper and
Pearson's.
"""

import numpy as np
from scipy import stats

LEVEL = 0.95
SHARES = ("acc", "off_by_one", "cs5", "unparsed_rate", "coarse_acc", "consistent")
BOUNDS = dict.fromkeys((*SHARES, "ece", "rps"), (0, 1)) | dict.fromkeys(("mae", "mae_worst"), (0, None))
BOUNDS |= dict.fromkeys(("qwk", "srcc", "plcc"), (-1, 1))
FEW = 10  # people; four have 35 different resamples


def interval(values: np.ndarray, units: int, metric: str = "", point: float | None = None) -> tuple | None:
    """The middle 95% of resamples, widened for few units; None of one unit, or if 1 in 20 resamples has no value.

    values: a metric's, or differences of one (metric ""). Below FEW units, of which there are too few different
    resamples, Student's interval with their standard deviation. Of ECE, to which noise only adds, in the sample as
    again in each resample: its value, `point`, and to both sides how far apart the bins of resamples and sample are
    (values: ece_apart); this holds the truth in 95% of cases or more, 0 too.
    """
    if units < 2 or np.isnan(values).mean() > 1 - LEVEL:
        return None
    if metric == "ece":
        apart = float(np.nanquantile(values, LEVEL))
        return max(0.0, point - apart), min(1.0, point + apart)
    if not metric and np.nanmin(values) == np.nanmax(values) != 0 and _all_one_way(units) > 1 - LEVEL:
        return None
    if metric in SHARES and np.nanmin(values) == np.nanmax(values) in (0, 1):
        exact = stats.binomtest(units * int(np.nanmax(values)), units).proportion_ci(LEVEL)
        return float(exact.low), float(exact.high)
    wide, student = np.sqrt(units / (units - 1)), stats.t.isf((1 - LEVEL) / 2, units - 1)
    if units < FEW:
        reach = student * wide * np.nanstd(values)
        low, high = np.clip([np.nanmean(values) - reach, np.nanmean(values) + reach], *BOUNDS.get(metric, (None, None)))
    else:
        tail = stats.norm.sf(wide * student)
        low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _all_one_way(units: int) -> float:
    """The chance that as many units all differ by the same, in one direction, if both were as likely."""
    return 2 * 0.5**units


def p_value(differences: np.ndarray, units: int) -> float:
    """Two-sided p of no difference: below .05 just where interval() leaves 0 out, 1 where there is no interval.

    1,000 resamples reach to 0.002.
    """
    known = differences[~np.isnan(differences)]
    if units < 2 or len(known) < LEVEL * len(differences):
        return 1.0
    if np.ptp(known) == 0:
        return max(_all_one_way(units), 2 / (len(known) + 1)) if known[0] else 1.0
    wide = np.sqrt(units / (units - 1))
    if units < FEW:
        return float(2 * stats.t.sf(abs(known.mean()) / (wide * known.std()), units - 1))
    beyond = min((known <= 0).sum(), (known >= 0).sum())
    tail = min(0.5, (1 + int(beyond)) / (len(known) + 1))
    return float(2 * stats.t.sf(stats.norm.isf(tail) / wide, units - 1))
