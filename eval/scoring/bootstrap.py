"""Metrics of many resamples at once (the bootstrap), from which eval/interval.py tells how sure a score is.

People, where the rows name them, are drawn with all their rows; else rows are drawn. Rows that count alike are one
cell, so that a resample is a handful of numbers. Seeded: the same every time.
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import sparse

from eval.scoring.metrics import CLOSE, UNPARSED, filled
from eval.inference.posterior import BINS, mode
from eval.scoring.runs import Answers

RESAMPLES = 1000
AT_ONCE = 4_000_000  # counts in memory
# A metric that is a sum by another one.
RATIOS = {
    "acc": ("hit", "all"),
    "mae": ("error", "parsed"),
    "mae_worst": ("worst", "all"),
    "unparsed_rate": ("unparsed", "all"),
    "off_by_one": ("next", "all"),
    "cs5": ("close", "all"),
    "coarse_acc": ("group", "all"),
    "consistent": ("inside", "both"),
    "rps": ("rps", "parsed"),
}


class Cells(NamedTuple):
    """Rows that count alike, K cells of them."""

    sums: dict[str, np.ndarray]  # (K,) each: what metrics are sums of, over rows
    label: np.ndarray  # (K,)
    mean: np.ndarray  # (K,) the rating that correlations are of; 0 where nothing was said
    of_row: np.ndarray  # (n,) the cell of each row


def cells(answers: Answers) -> Cells:
    """The cells of a dataset's rows. Of texts, the different answers; of distributions, every row is one."""
    scale, rows = answers.scale, np.stack([answers.label, answers.said, answers.coarse, answers.point], 1)
    mean, probs, of_row = answers.mean, answers.probs, np.arange(len(rows))
    if probs is None:
        rows, first, of_row = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        mean, of_row = mean[first], of_row.ravel()
    label, said, coarse, point = rows.T
    parsed, both = said != UNPARSED, (said != UNPARSED) & (coarse != UNPARSED)
    group_of = np.array([i for i, group in enumerate(scale.coarse) for _ in range(group.lo, group.hi + 1)])
    first = scale.coarse[0].lo
    x, y, m = label * parsed, said * parsed, np.nan_to_num(mean)
    sums = {
        "all": np.ones(len(rows)),
        "parsed": parsed,
        "unparsed": ~parsed,
        "hit": said == label,
        "error": np.abs(point - label) * parsed,
        "worst": np.abs(filled(label, point, scale.lo, scale.hi) - label),
        "next": (np.abs(said - label) <= 1) & parsed,
        "close": (np.abs(point - label) <= CLOSE) & parsed,
        "group": coarse == group_of[label - first],
        "both": both,
        "inside": both & (coarse == group_of[np.where(parsed, said, scale.lo) - first]),
        **{"x": x, "y": y, "xx": x * x, "yy": y * y, "xy": x * y, "m": m, "mm": m * m, "xm": x * m},
    }
    if probs is not None:
        known = np.where(parsed[:, None], probs, 1 / probs.shape[1]).astype(float)
        reached = np.arange(probs.shape[1]) >= (label - scale.lo)[:, None]
        sums["rps"] = ((known.cumsum(1) - reached) ** 2).sum(1) / max(1, probs.shape[1] - 1) * parsed
        confidence = known.max(1)
        bin = np.minimum((confidence * BINS).astype(int), BINS - 1)
        gap = (confidence - (mode(known) == label - scale.lo)) * parsed
        sums |= {f"gap{number}": gap * (bin == number) for number in range(BINS)}
    return Cells({name: np.asarray(column, float) for name, column in sums.items()}, label, m, of_row)


def applies(answers: Answers) -> tuple[str, ...]:
    """The metrics of a dataset: ACC and off by one of levels, CS@5 of years, coarse ones where there is a thought."""
    names = ("acc", "off_by_one") if answers.scale.unit == "level" else ("cs5",)
    names += ("mae", "mae_worst", "unparsed_rate", "qwk", "srcc", "plcc")
    names += ("coarse_acc", "consistent") if answers.strategy != "direct" else ()
    return names + (("ece", "rps") if answers.probs is not None else ())


def metrics(found: Cells, counts: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Each metric of each resample, (B,); nan where it is not defined. counts: (B, K), how often each cell is in it.

    ece_apart: by how much ECE's bins are apart from the sample's, all together; see interval().
    """
    sums = dict(zip(found.sums, (counts @ np.stack(list(found.sums.values()), 1)).T))
    with np.errstate(divide="ignore", invalid="ignore"):
        made = {name: sums[over] / sums[under] for name, (over, under) in RATIOS.items() if name in names}
        n, x, y, xx, yy, m = (sums[name] for name in ("parsed", "x", "y", "xx", "yy", "m"))
        made["qwk"] = 1 - (xx + yy - 2 * sums["xy"]) / (xx + yy - 2 * x * y / n)
        made["plcc"] = _correlation(n, x, m, xx, sums["mm"], sums["xm"])
        made["srcc"] = _spearman(found, counts)
        if "ece" in names:
            gaps = [f"gap{number}" for number in range(BINS)]
            made["ece"] = sum(np.abs(sums[gap]) for gap in gaps) / n
            sample = found.sums["parsed"].sum()
            made["ece_apart"] = sum(np.abs(sums[gap] / n - found.sums[gap].sum() / sample) for gap in gaps)
    return made


def _correlation(n: np.ndarray, x, y, xx, yy, xy) -> np.ndarray:
    """Pearson's from sums; nan where one side is constant (its variance is then 0 but for rounding)."""
    a, b = n * xx - x * x, n * yy - y * y
    return np.where((a > 1e-9 * n * xx) & (b > 1e-9 * n * yy), (n * xy - x * y) / np.sqrt(a * b), np.nan)


def _spearman(found: Cells, counts: np.ndarray) -> np.ndarray:
    """Pearson's of the ranks, which each resample has its own of; equals share the middle one."""
    parsed = found.sums["parsed"] > 0
    counts = counts[:, parsed]
    a, b = (_ranks(values[parsed], counts) for values in (found.label, found.mean))
    sums = [(counts * part).sum(1) for part in (a, b, a * a, b * b, a * b)]
    return _correlation(counts.sum(1), *sums)


def _ranks(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The rank of each cell in each resample, (B, K), from the middle of all: rows of equal values share one."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=-np.inf))
    if not len(starts):
        return counts
    equal = np.add.reduceat(counts[:, order], starts, axis=1)
    rank = equal.cumsum(1) - (equal - 1) / 2 - (counts.sum(1, keepdims=True) + 1) / 2
    back = np.empty(len(order), int)
    back[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))
    return rank[:, back]


def resampled(of_row: np.ndarray, subject: np.ndarray | None, seed: int, size: int) -> Iterator[np.ndarray]:
    """How often each cell is in each of `size` resamples: (B, K) in pieces. of_row: (n,) the cell of each row."""
    rng, n, k = np.random.default_rng(seed), len(of_row), int(of_row.max()) + 1
    units = n if subject is None else int(subject.max()) + 1
    table = None if subject is None else sparse.csr_array((np.ones(n), (subject, of_row)), (units, k)).T.tocsr()
    step = max(1, AT_ONCE // max(units, k))
    for begin in range(0, size, step):
        some = min(step, size - begin)
        if table is None and k < n:
            yield rng.multinomial(n, np.bincount(of_row) / n, some).astype(float)
            continue
        drawn = rng.integers(0, units, (some, units)) + np.arange(some)[:, None] * units
        counts = np.bincount(drawn.ravel(), minlength=some * units).reshape(some, units).astype(float)
        yield counts if table is None else (table @ counts.T).T


def replicates(answers: Answers, size: int = RESAMPLES) -> dict[str, np.ndarray]:
    """Each metric that applies, of each of `size` resamples: (size,)."""
    found, names = cells(answers), applies(answers)
    pieces = [metrics(found, counts, names) for counts in resampled(found.of_row, answers.subject, seed(answers), size)]
    names += ("ece_apart",) if "ece" in names else ()
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in names}


def seed(answers: Answers) -> int:
    """The dataset's own, so that its interval does not depend on what else is scored."""
    return zlib.crc32(answers.dataset.encode())


def units(answers: Answers, metric: str = "") -> int:
    """How many people, or rows, are drawn; of them, those that the metric is about."""
    about = (answers.said != UNPARSED) & (answers.coarse != UNPARSED) if metric == "consistent" else slice(None)
    return len(answers.label[about]) if answers.subject is None else len(np.unique(answers.subject[about]))
