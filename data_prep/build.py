"""From a dataset's folder to rated rows with usable images: read, check, label. Dropped rows are counted by reason."""

import gc
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from data_prep.downloads import Files
from data_prep.images import Checked, check
from data_prep.options import Options
from data_prep.source import Drop, Reader, Row, same_rating
from data_prep.split import Rated, Split, split
from storm.datasets import DatasetFacts
from storm.images import suffixes
from storm.scales import Scale

KINDS = ("rule", "missing", "unreadable", "duplicate", "leak")


@dataclass
class Built:
    """A dataset ready to be written: what it is, what became of its rows, and its split."""

    name: str
    scale: Scale
    read: int  # rows of the label files, or names
    unlabeled: int  # images that no row names
    split: Split
    drops: list[Drop] = field(default_factory=list)
    checked: dict[str, Checked] = field(default_factory=dict)  # by the path that rows now hold
    facts: DatasetFacts | None = None  # None: there is no paper to compare with


@contextmanager
def no_collection() -> Iterator[None]:
    """Garbage collection off: it walks through millions of rows, which hold no cycles, for a fifth of the time. Not
    while images are decoded."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def prepare(facts: DatasetFacts, read: Reader, folder: str, options: Options) -> Built:
    """Read a dataset below media/folder, check its images, label and split it. Writes only the image cache and copies.
    Raises OSError or ValueError if the folder or label file is not what it should be or nothing is left."""
    files = Files(options.media / folder)
    below = f"{folder}/" if folder else ""
    with no_collection():
        items = list(read(files))
        rows, repeated = once(item for item in items if isinstance(item, Row))
        scores, off_scale = in_range(facts, rows)
        located, absent = locate(files, below, [row for row in rows if row.id in scores])
    drops = [item for item in items if isinstance(item, Drop)] + repeated + off_scale + absent
    checked = check(list(located), facts.name, options)
    with no_collection():
        lowest, highest = min(scores.values(), default=0.0), max(scores.values(), default=0.0)
        rated = []
        for path, row in located.items():
            if reason := checked[path].reason:
                drops.append(Drop(row.id, path, "unreadable", reason))
            else:
                label = facts.label(scores[row.id], lowest, highest)
                rated.append(Rated(row.id, checked[path].image, label, scores[row.id], row.subject, row.part))
        if not rated:
            common = Counter(f"{drop.kind}: {drop.reason}" for drop in drops).most_common(1)
            why = f"; {len(drops)} dropped, most often {common[0][0]!r}" if common else ""
            raise ValueError(f"{files.root}: no usable row out of {len(items)}{why}")
        ends, copies = suffixes(), f"{options.copies}/"  # of an earlier run
        images = {f"{below}{path}" for path in files.paths if path.lower().endswith(ends)}
        unlabeled = sum(not path.startswith(copies) for path in images - located.keys())
        divided = split(facts, rated, options.protocol)
        sound = {result.image: result for result in checked.values() if not result.reason}
        return Built(facts.name, facts.scale, len(items), unlabeled, divided, drops, sound, facts)


def once(rows: Iterable[Row]) -> tuple[list[Row], list[Drop]]:
    """Each id once, and the rows dropped: a repeated row, and every row of an id with two different ratings."""
    kept: dict[str, Row] = {}
    several: dict[str, set[str]] = {}
    drops = []
    for row in rows:
        if (first := kept.setdefault(row.id, row)) is not row:
            if not same_rating(first.score, row.score):
                several.setdefault(row.id, {str(first.score)}).add(str(row.score))
            drops.append(Drop(row.id, row.images[0], "duplicate", f"id {row.id!r} is there twice"))
    for id, ratings in several.items():
        reason = f"id {id!r} has several ratings: {', '.join(sorted(ratings))}"
        drops.append(Drop(id, kept.pop(id).images[0], "duplicate", reason))
    return list(kept.values()), drops


def in_range(facts: DatasetFacts, rows: list[Row]) -> tuple[dict[str, float], list[Drop]]:
    """id -> rating, of the rows whose rating is a number on the owner's scale, and a Drop for each other row."""
    scores: dict[str, float] = {}
    drops = []
    for row in rows:
        try:
            score = float(row.score)
            if not facts.low <= score <= facts.high:  # false for nan, too
                raise ValueError(f"{score:g} is not in {facts.low:g}..{facts.high:g}")
            facts.label(score, facts.low, facts.high)
            scores[row.id] = score
        except (TypeError, ValueError) as error:
            reason = str(error) if not isinstance(error, TypeError) else f"{row.score!r} is not a number"
            drops.append(Drop(row.id, row.images[0], "rule", f"rating {reason}"))
    return scores, drops


def locate(files: Files, below: str, rows: list[Row]) -> tuple[dict[str, Row], list[Drop]]:
    """Path below the image root -> its row, and a Drop for each row without an image of its own."""
    located: dict[str, Row] = {}
    drops = []
    for row in rows:
        end = files.find(*row.images)
        path = f"{below}{end}"
        if end is None:
            drops.append(Drop(row.id, row.images[0], "missing", f"no such image below {files.root.name or files.root}"))
        elif path in located:
            drops.append(Drop(row.id, end, "duplicate", f"the image of {located[path].id!r}"))
        else:
            located[path] = row
    return located, drops


def without(built: Built, leaked: dict[str, str]) -> None:
    """Take train rows out of train and lite: id -> why."""
    built.drops += [Drop(row.id, row.image, "leak", leaked[row.id]) for row in built.split.train if row.id in leaked]
    train, lite = ([row for row in part if row.id not in leaked] for part in (built.split.train, built.split.lite))
    built.split = Split(train, lite, built.split.test)
