"""Which rows the report shows: a sample of each run and dataset, and the rows that changed most between two runs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from eval.report_page.sections import distances, hits
from eval.scoring.compare import Comparison, compare, paired
from eval.scoring.metrics import UNPARSED
from eval.scoring.runs import Predictions

CHANGED = 12  # rows shown of two runs that predict differently
Pick = tuple[Predictions, int]  # one row of a run
Change = tuple[float, Pick, Pick]  # by what share of the scale ours is further off, -1 .. 1; ours; the base


class Difference(NamedTuple):
    """A run beside the first one, on the datasets of both."""

    run: int
    comparisons: list[Comparison]
    hits: list[tuple[str, list[int]]]  # dataset, rows that are hits of both, only the base, only ours, neither
    changes: list[Change]  # the largest ones


def confidence(run: Predictions) -> np.ndarray:
    """The probability of the prediction, (n,); nan where there is no distribution."""
    return np.full(len(run.label), np.nan) if run.probs is None else run.probs.max(1).astype(float)


def sample(run: Predictions, share: int) -> list[int]:
    """At most `share` rows: half the worst (unparsed first, of equals the surest), half evenly over the others."""
    sure, n = np.nan_to_num(confidence(run)), len(run.label)
    worst = np.lexsort((np.arange(n), -sure, -distances(run)))[: (share + 1) // 2]
    rest = np.setdiff1d(np.arange(n), worst)
    count = min(share - len(worst), len(rest))
    return [*worst.tolist(), *rest[np.arange(count) * len(rest) // max(count, 1)].tolist()]


def picks(runs: Sequence[Predictions], most: int) -> list[Pick]:
    """At most `most` rows, as many of each run and dataset, the worst of all first."""
    share, more = divmod(most, len(runs))
    ranked = []
    for number, run in enumerate(runs):
        off, sure = distances(run) / (run.scale.hi - run.scale.lo), np.nan_to_num(confidence(run))
        ranked += [(-off[at], -sure[at], (run, at)) for at in sample(run, share + (number < more))]
    return [pick for *_, pick in sorted(ranked, key=lambda row: row[:2])]


def further_off(ours: Predictions, base: Predictions) -> np.ndarray:
    """By what share of its scale each prediction is further off than the base's, (n,), -1 .. 1; rows as paired() gives.

    An unparsed prediction is as far off as can be.
    """
    lo, hi = ours.scale.lo, ours.scale.hi
    worst = np.maximum(ours.label - lo, hi - ours.label)
    off, base_off = (np.where(run.pred == UNPARSED, worst, np.abs(run.pred - run.label)) for run in (ours, base))
    return (off - base_off) / (hi - lo)


def difference(
    number: int, run: dict[str, Predictions], first: dict[str, Predictions]
) -> tuple[Difference | None, list[str]]:
    """Run `number` beside the first one, by dataset; None if they share no dataset. And a line for what cannot be
    paired."""
    shared = [name for name in run if name in first]
    if not shared:
        return None, []
    comparisons, errors = compare([run[name] for name in shared], [first[name] for name in shared])
    counts, changes = [], []
    for name in [name for name in shared if any(row.dataset == name for row in comparisons)]:
        ours, base = paired(run[name], first[name])
        hit, base_hit = hits(ours), hits(base)
        kinds = (hit & base_hit, base_hit & ~hit, hit & ~base_hit, ~(hit | base_hit))
        counts.append((name, [int(kind.sum()) for kind in kinds]))
        off = further_off(ours, base)
        changes += [(float(off[at]), (ours, at), (base, at)) for at in np.flatnonzero(off).tolist()]
    changes = sorted(changes, key=lambda change: -abs(change[0]))[:CHANGED]
    return Difference(number, comparisons, counts, changes), errors
