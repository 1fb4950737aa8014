"""The table that is printed before own ratings are written: which ratings became which level, so that a scale that is
shifted or turned around is seen."""

from collections.abc import Iterable

from data_prep.build import Built
from data_prep.parts import PARTS
from data_prep.split import Rated
from storm.levels import OwnScale
from storm.scales import Candidate
from storm.text import Cell, table

EXAMPLES = 3  # file names of each level


def own_levels_table(built: Built, scale: OwnScale) -> str:
    """One line a level, of a scale that counts one line a coarse group: its ratings on the scale, the rows of each
    part, the lowest and highest rating that occurs, and a few file names."""
    groups = scale.scale.coarse if scale.scale.counted else scale.scale.fine
    rows = {part: getattr(built.split, part) for part in PARTS}
    body = [_line(group, scale, rows) for group in groups]
    return table([["level", "word", "ratings", *PARTS, "lowest", "highest", "files"], *body])


def _line(group: Candidate, scale: OwnScale, parts: dict[str, list[Rated]]) -> list[Cell]:
    inside = {part: [row for row in rows if group.lo <= row.label <= group.hi] for part, rows in parts.items()}
    every = sorted(row for rows in inside.values() for row in rows)
    scores = [row.score for row in every]
    ends = (min(scores), max(scores)) if scores else ()
    number = str(group.lo) if group.lo == group.hi else f"{group.lo}-{group.hi}"
    counts = [len(rows) for rows in inside.values()]
    lowest, highest = [f"{end:g}" for end in ends] or ["", ""]
    if scale.listed and every:
        lowest = highest = group.word
    return [number, group.word, _ratings(group, scale), *counts, lowest, highest, _files(every)]


def _ratings(group: Candidate, scale: OwnScale) -> str:
    """The ratings that mean a group of levels, as the scale has them."""
    if scale.listed:  # her ratings are the words themselves
        return group.word
    first = scale.scale.lo
    ends = [end for label in range(group.lo, group.hi + 1) for end in scale.ranges[label - first]]
    low, high = min(ends), max(ends)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _files(rows: Iterable[Rated]) -> str:
    return ", ".join([row.id for row in rows][:EXAMPLES])
