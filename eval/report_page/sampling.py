"""Which rows the report shows: a sample of each run and dataset, and the rows that changed most between two runs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from eval.report_page.sections import distances, hits
from eval.scoring.compare import Comparison, compare
from eval.scoring.pairing import paired
from eval.scoring.predictions import Predictions
from eval.scoring.weighted_rows import worst_error

OF_RULE = 3  # rows of each rule by which texts were read that are not as trained; our choice
CHANGED = 12  # rows shown of two runs that predict differently
Pick = tuple[Predictions, int]  # one row of a run
Change = tuple[float, Pick, Pick]  # by what share of the scale ours is further off, -1 .. 1; ours; the base


class Difference(NamedTuple):
    """A run beside the first one, on the datasets of both."""

    run: int
    comparisons: list[Comparison]
    hits: list[tuple[str, list[int]]]  # dataset, rows that both predict correctly, only the base, only ours, neither
    changes: list[Change]  # the largest ones


def confidence(run: Predictions) -> np.ndarray:
    """The probability of the prediction, (n,); nan where there is no distribution."""
    return np.full(len(run.label), np.nan) if run.probs is None else run.probs.max(1).astype(float)


def sample(run: Predictions, share: int) -> list[int]:
    """At most `share` rows: half the worst; up to a quarter, a few of each rule of texts that are not as trained; the
    others evenly. Unparsed is worst; ties: the surest."""
    sure, n = np.nan_to_num(confidence(run)), len(run.label)
    worst = np.lexsort((np.arange(n), -sure, -distances(run)))[: (share + 1) // 2]
    worst = np.array(list(dict.fromkeys([*worst.tolist(), *_of_rules(run, share // 4)])), int)
    rest = np.setdiff1d(np.arange(n), worst)
    count = min(share - len(worst), len(rest))
    return [*worst.tolist(), *rest[np.arange(count) * len(rest) // max(count, 1)].tolist()]


def _of_rules(run: Predictions, most: int) -> list[int]:
    """The first rows of each rule but that of trained answers; of exact predictions, none."""
    by_rule: dict[str, list[int]] = {}
    for at, rule in enumerate(run.rule if run.rule and run.probs is None else ()):
        if rule != "exact" and len(by_rule.setdefault(rule, [])) < OF_RULE:
            by_rule[rule].append(at)
    return [at for rows in by_rule.values() for at in rows][:most]


def picks(runs: Sequence[Predictions], most: int) -> list[Pick]:
    """At most `most` rows, as many of each run and dataset, the worst of all first."""
    share, more = divmod(most, len(runs))
    ranked = []
    for number, run in enumerate(runs):
        off, sure = distances(run) / (run.scale.hi - run.scale.lo), np.nan_to_num(confidence(run))
        ranked += [(-off[at], -sure[at], (run, at)) for at in sample(run, share + (number < more))]
    return [pick for *_, pick in sorted(ranked, key=lambda row: row[:2])]


def difference(
    number: int, run: dict[str, Predictions], first: dict[str, Predictions]
) -> tuple[Difference | None, list[str]]:
    """Run `number` beside the first one; None if they share no dataset. And a line for each that cannot be paired."""
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
        error, base_error = (worst_error(part.scale, part.label, part.pred) for part in (ours, base))
        off = (error - base_error) / (ours.scale.hi - ours.scale.lo)
        changes += [(float(off[at]), (ours, at), (base, at)) for at in np.flatnonzero(off).tolist()]
    changes = sorted(changes, key=lambda change: -abs(change[0]))[:CHANGED]
    return Difference(number, comparisons, counts, changes), errors
