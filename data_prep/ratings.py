"""Raw scores: on the owner's scale or not, and the range that levels of equal width divide. Votes -> the distribution
over the levels.

The range is that of the owner's whole label file, whatever part of it is there: a label never depends on which rows a
user has.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from data_prep.options import Options
from data_prep.source import Drop, Row, same_rating
from storm.datasets import DatasetFacts, equal_width
from storm.scales import Scale

WHOLE = 0.9  # our choice: a label file with this share of the owner's rows claims to be whole
# Our choice: the scores of nearly a whole file come so near to both ends of the known range, a share of its width.
# Those of all rows reach them.
NEAR = 0.1
ROUNDED = 0.005  # our choice: a score may lie so far outside since it was rounded, a share of the width
OFF_SCALE = 0.05  # our choice: with more scores off the scale, the column is another one
USUAL = ((0, 1), (1, 5), (0, 5), (1, 10), (0, 10), (0, 100))  # ranges that people rescale to


def on_scale(facts: DatasetFacts, rows: Sequence[Row]) -> tuple[dict[str, float], list[Drop]]:
    """id -> score, of the rows whose score is a number on the owner's scale, and a Drop for each other row.

    Raises ValueError if more than OFF_SCALE of the ratings that are not empty are not numbers or are off the scale.
    """
    scores: dict[str, float] = {}
    drops, off, texts = [], [], []
    for row in rows:
        try:
            number = row.score
            score = float(number.replace("_", "x") if isinstance(number, str) else number)  # Python takes 9_0 for 90
        except (TypeError, ValueError):
            empty = str(row.score or "") == ""
            reason = "rating is empty" if empty else f"rating {row.score!r} is not a number"
            drops.append(Drop(row.id, row.images[0], "rule", reason))
            texts += [] if empty else [row.score]
            continue
        reason = _off_scale(facts, score)
        if not reason:
            scores[row.id] = score
            continue
        drops.append(Drop(row.id, row.images[0], "rule", f"rating {reason}"))
        if score == score:  # not NaN, which is no rating
            off.append(score)
    if len(texts) > OFF_SCALE * (len(scores) + len(off) + len(texts)):
        what = f"{len(texts):,} of {len(rows):,} ratings are not numbers ({texts[0]!r} is the first)"
        raise ValueError(f"{what}; take the owner's label file, and write numbers as 1.5")
    if len(off) > OFF_SCALE * (len(scores) + len(off)) and not facts.spread:  # else known_range says the likely cause
        raise ValueError(
            f"{len(off):,} of {len(scores) + len(off):,} ratings are not on the owner's scale, {facts.low:g} to "
            f"{facts.high:g} ({min(off):g} is the lowest of these, {max(off):g} the highest); "
            "take the owner's label file"
        )
    return scores, drops


def _off_scale(facts: DatasetFacts, score: float) -> str:
    """Why a score has no label, "" if it has one. On an equal-width scale every number has one: see score_range."""
    if facts.spread and math.isfinite(score):
        return ""
    if not facts.low <= score <= facts.high:  # false for nan, too
        return f"{score:g} is not in {facts.low:g}..{facts.high:g}"
    try:
        facts.label(score, facts.low, facts.high)
    except ValueError as error:
        return str(error)
    return ""


def score_range(facts: DatasetFacts, scores: Mapping[str, float], options: Options) -> tuple[float, float, str]:
    """(lowest, highest, what they are) of the raw scores that the labels depend on.

    Raises ValueError, with the likely cause, for scores outside of the known range, and for a label file that claims to
    be whole but spans less of it; if the range is unknown and the label file is not whole.
    """
    lowest, highest = min(scores.values(), default=0.0), max(scores.values(), default=0.0)
    share = len(scores) / facts.rows if facts.rows else 1
    if facts.label is not equal_width:
        return lowest, highest, ""
    if options.score_range or facts.spread:
        low, high = options.score_range or facts.spread
        room, near = ROUNDED * (high - low), (NEAR if len(scores) < facts.rows else ROUNDED) * (high - low)
        outside = [score for score in scores.values() if not low - room <= score <= high + room]
        whose = "--score-range" if options.score_range else "the range of the owner's whole file"
        occur = f"{lowest:g} to {highest:g} occur"
        if outside:
            raise ValueError(
                f"{len(outside):,} of {len(scores):,} scores are outside of {low:g} to {high:g}, {whose} ({occur}): "
                f"{'widen it' if options.score_range else _cause(lowest, highest, low, high)}"
            )
        if share >= WHOLE and (lowest > low + near or highest < high - near):
            raise ValueError(
                f"the scores of all {len(scores):,} rows are {lowest:g} to {highest:g}, but {whose} is {low:g} to "
                f"{high:g}: {_cause(lowest, highest, low, high)}"
            )
        return low, high, whose
    if len(scores) < facts.observed and not options.allow_partial:
        raise ValueError(
            f"the label file has {len(scores):,} of {facts.rows:,} rows, so the range of all scores is unknown, and "
            "the levels depend on it; take the whole file, or --score-range LOWEST,HIGHEST, or --allow-partial to "
            f"divide the range that is there ({lowest:.3f} to {highest:.3f})"
        )
    part = "the whole file" if len(scores) >= facts.observed else "a part of the file"
    return lowest, highest, f"observed in {part}"


def _cause(lowest: float, highest: float, low: float, high: float) -> str:
    """What may have been done to scores that should be in low..high, and what to do."""

    def reach(start: float, end: float) -> bool:
        near = NEAR * (end - start)
        return abs(lowest - start) <= near and abs(highest - end) <= near

    factors = {10: "divided by 10", 100: "divided by 100", 0.1: "multiplied by 10"}
    scaled = {factor: what for factor, what in factors.items() if reach(low / factor, high / factor)}
    causes = [*scaled.values(), *(f"rescaled to {start} to {end}" for start, end in USUAL if reach(start, end))]
    if lowest < 0 and highest < 10:
        causes.append("z-scored (mean 0)")
    if not causes:  # of a part of the rows, only the factor can be told
        scaled = {k: what for k, what in factors.items() if low <= lowest * k and highest * k <= high}
        causes = list(scaled.values())
    if not causes:
        return "other scores, or a mistyped one; take the owner's label file"
    undo = f", or multiply by {min(scaled):g}" if list(scaled.values()) == causes and len(scaled) == 1 else ""
    return f"probably {' or '.join(causes)}; take the owner's scores{undo}"


def distribution(facts: DatasetFacts, low: float, high: float) -> Callable[[Row, float], tuple[float, ...]]:
    """A function of (row, its score): the votes as shares of the levels, by the rule of the label; () without votes.

    Each vote goes to the level that a mean of that vote would get. From a standard deviation: the normal distribution
    around the score, integrated over the levels' intervals, the end levels open (our choice).
    """
    levels = facts.scale.hi - facts.scale.lo + 1
    cuts = [low + (high - low) * level / levels for level in range(1, levels)]
    level_of: list[int] = []  # of the votes 1, 2, 3 ...

    def shares_of(row: Row, score: float) -> tuple[float, ...]:
        if row.shares:
            return _rounded(list(row.shares))
        if row.votes:
            if not (total := sum(row.votes)):
                return ()
            while len(level_of) < len(row.votes):
                level_of.append(facts.label(len(level_of) + 1, low, high) - facts.scale.lo)
            counts = [0] * levels
            for level, count in zip(level_of, row.votes):
                counts[level] += count
            return _rounded([count / total for count in counts])
        if row.sd is None or not 0 < row.sd < math.inf or not high > low:
            return ()
        below = [0.0, *((1 + math.erf((cut - score) / row.sd / math.sqrt(2))) / 2 for cut in cuts), 1.0]
        return _rounded([after - before for before, after in zip(below, below[1:])])

    return shares_of


def _rounded(shares: list[float]) -> tuple[float, ...]:
    """Shares to six digits; the largest takes what is left to 1."""
    kept = [round(share, 6) for share in shares]
    largest = kept.index(max(kept))
    kept[largest] = round(1 - sum(kept) + kept[largest], 6)
    return tuple(kept)


def shifted(facts: DatasetFacts, rows: Sequence[Row], labels: Mapping[int, int]) -> str:
    """A line if a level at one end is empty and grades lie one beyond the other end, "" if not: 1..5 in place of 0..4.

    labels: label -> how many rows.
    """
    low, high = facts.scale.lo, facts.scale.hi
    if facts.label is equal_width or facts.scale.counted or not facts.rows:
        return ""
    for empty, beyond in ((low, high + 1), (high, low - 1)):
        count = sum(same_rating(row.score, beyond) for row in rows)
        if count and not labels.get(empty):
            what = f"no row has level {empty}, and {count:,} rows have {beyond}, which is not one of {low} to {high}"
            return f"{what}: are the grades shifted by one? Take the owner's label file, or shift them back"
    return ""


def empty_levels(scale: Scale, labels: Mapping[int, int], what: str) -> str:
    """A line that names the levels without a row, "" if all occur. Of a scale that counts, as years do, two are enough.

    labels: label -> how many rows. what: of which rows.
    """
    if scale.counted:
        one = len(labels) == 1
        return f"every {what} has {next(iter(labels))} {scale.unit}; --allow-empty-levels builds it" if one else ""
    empty = [label for label in range(scale.lo, scale.hi + 1) if not labels.get(label)]
    if not empty or not labels:
        return ""
    if scale.own:
        words = ", ".join(scale.fine[label - scale.lo].word for label in empty)
        return f"no {what} has level {', '.join(map(str, empty))} ({words}); name fewer levels, or --allow-empty-levels"
    names, there = ", ".join(map(str, empty)), ", ".join(map(str, sorted(labels)))
    return (
        f"no {what} has level {names} (only {there} {'occur' if len(labels) > 1 else 'occurs'}): grades merged, a "
        "submission file, or a part of the data? Take the whole label file, or --allow-empty-levels"
    )
