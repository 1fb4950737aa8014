"""From a dataset's folder to rated rows with usable images: read, check, label. Dropped rows are counted by reason."""

import gc
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

from data_prep.downloads import Files
from data_prep.images import Checked, check
from data_prep.locate import Located, locate, other_naming, too_many_missing, unmatched
from data_prep.options import Options
from data_prep.own_split import own_split
from data_prep.ratings import distribution, empty_levels, on_scale, score_range, shifted
from data_prep.refusals import (
    few_readable,
    levels_without_rows,
    many_ratings,
    need,
    nothing_empty,
    too_many_rows,
    too_many_unusable,
)
from data_prep.source import Drop, Reader, Row, same_rating
from data_prep.split import Rated, Split, split
from storm.datasets import CARVE, DatasetFacts
from storm.scales import Scale
from storm.text import printable

KINDS = ("rule", "missing", "unreadable", "duplicate", "leak", "conflict")
RARE = 0.01  # our choice: with votes in fewer rows, datasets may not see the column in the first 10 MB, and then fails


class Source(NamedTuple):
    """What a dataset was read from. Folders and files are below the image root, "." for the root itself."""

    label_files: list[str]
    image_folders: dict[str, int]  # -> rows with an image of it
    unused_folders: dict[str, int]  # hold images of the same rows
    score_range: tuple[float, float]  # that the levels depend on
    range_of: str  # what that range is, "" if levels do not depend on one
    notes: list[str]  # of the reader


@dataclass
class Built:
    """A dataset ready to be written: what it is, what became of its rows, and its split."""

    name: str
    scale: Scale
    read: int  # rows of the label files, or names
    unlabeled: int  # images that no row names
    split: Split
    drops: list[Drop] = field(default_factory=list)
    checked: dict[str, Checked] = field(default_factory=dict)  # by the path that rows now hold; {} without hashes
    facts: DatasetFacts | None = None  # None: there is no paper to compare with
    source: Source | None = None  # None: rows that others have labeled


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


class Refused(ValueError):
    """Why a dataset is not written, in one line, and the rows that were dropped until then, for the quarantine file."""

    def __init__(self, reason: str, drops: list[Drop]) -> None:
        super().__init__(reason)
        self.drops = drops


def prepare(facts: DatasetFacts, read: Reader, folder: str, options: Options) -> Built:
    """Read a dataset below media/folder, check its images, label and split it. Writes only the image cache and copies.

    Raises OSError or ValueError if the folder or label file is not what it should be, Refused if what comes out cannot
    be right: scores off the scale, levels that never occur, images of other rows, a part without rows.
    """
    copies = os.path.realpath(options.out / "images")
    files, drops = Files(options.media / folder, options.images, skip=copies), []
    try:
        return _prepare(facts, read, files, f"{folder}/" if folder else "", options, drops)
    except ValueError as error:
        raise Refused(str(error), drops) from None


class Labeled(NamedTuple):
    """The rows of a label file that have a label, and the range of raw scores that the labels depend on."""

    read: int  # rows and names that the reader gave, dropped ones, too
    rows: list[Row]
    scores: dict[str, float]  # by id
    labels: dict[str, int]  # by id
    low: float
    high: float
    range_of: str


def _prepare(facts: DatasetFacts, read: Reader, files: Files, below: str, options: Options, drops: list[Drop]) -> Built:
    """The steps of prepare(). Rows that are dropped are added to `drops` at once: an error must not lose them."""
    with no_collection():
        labeled = _label(facts, read, files, options, drops)
        located, unlabeled = _locate(facts, files, labeled, options, drops)
    images = {f"{below}{path}": row for path, row in located.rows.items()}
    rows = len(images) + sum(drop.kind == "missing" for drop in drops)
    located.rows.clear()
    labeled.rows.clear()
    with nullcontext() if options.hashed else no_collection():
        checked = check(list(images), facts.name, options)
    with no_collection():
        rated, sound = _rate(facts, labeled, images, checked, options, drops)
        if not rated:
            common = Counter(f"{drop.kind}: {drop.reason}" for drop in drops).most_common(1)
            why = f"; {len(drops)} dropped, most often {common[0][0]!r}" if common else ""
            raise ValueError(f"{files.root}: no usable row out of {labeled.read}{why}")
        need(options.allow_missing, too_many_unusable(drops, len(rated), rows, facts.missing))
        if 0 < (votes := sum(bool(row.votes) for row in rated)) < RARE * len(rated):
            files.notes.append(f"only {votes:,} of {len(rated):,} rows have votes; they are left out")
            rated = [row._replace(votes=()) for row in rated]
        source = Source(
            label_files=sorted(set(files.label_paths)),
            image_folders={f"{below}{name}".rstrip("/") or ".": n for name, n in located.used.items()},
            unused_folders={f"{below}{name}".rstrip("/") or ".": n for name, n in located.unused.items()},
            score_range=(labeled.low, labeled.high),
            range_of=labeled.range_of,
            notes=files.notes,
        )
        divided = _divide(facts, rated, files, options)
        return Built(facts.name, facts.scale, labeled.read, len(unlabeled), divided, drops, sound, facts, source)


def _label(facts: DatasetFacts, read: Reader, files: Files, options: Options, drops: list[Drop]) -> Labeled:
    """Read a dataset's label files. Raises ValueError if they are another table, or cannot be right."""
    items = list(read(files))
    drops += [item for item in items if isinstance(item, Drop)]
    rows, repeated = once(item for item in items if isinstance(item, Row))
    drops += repeated
    scores, off_scale = on_scale(facts, rows)
    drops += off_scale
    if facts.rows:  # own ratings have a check of their own, and may be empty for most images
        need(False, few_readable(drops, len(items), names=not files.label_paths))
    need(False, too_many_rows(facts, len(scores)))
    need(False, many_ratings(facts, drops, len(rows)))
    if len(items) < (1 - facts.missing) * facts.rows:
        files.notes.append(f"a part: {len(items):,} of the {facts.rows:,} rows of the whole dataset")
    low, high, whose = score_range(facts, scores, options)
    labels = {id: facts.label(score, low, high) for id, score in scores.items()}
    counts = Counter(labels.values())
    need(False, shifted(facts, rows, counts))
    need(options.allow_empty_levels, empty_levels(facts.scale, counts, "row of the label file"))
    return Labeled(len(items), [row for row in rows if row.id in scores], scores, labels, low, high, whose)


def _locate(
    facts: DatasetFacts, files: Files, labeled: Labeled, options: Options, drops: list[Drop]
) -> tuple[Located, list[str]]:
    """Find the rows' images, and those without a row. Raises ValueError if many are missing, or of other rows."""
    located = locate(files, labeled.rows, facts.folders)
    not_there = [drop for drop in drops if drop.kind == "missing"]  # which the reader found out
    drops += located.drops
    located.drops += not_there
    unlabeled = unmatched(files, located)
    if facts.rows:  # of own ratings, names are exact, and unrated images are usual
        need(False, other_naming(located, unlabeled, facts.missing))
    fault = too_many_missing(files, located, facts.missing)
    if fault and not_there:
        fault += f"; the first: {not_there[0].file}: {printable(not_there[0].id)}: {not_there[0].reason}"
    need(options.allow_missing, fault)
    return located, unlabeled


def _rate(
    facts: DatasetFacts,
    labeled: Labeled,
    images: dict[str, Row],
    checked: dict[str, Checked],
    options: Options,
    drops: list[Drop],
) -> tuple[list[Rated], dict[str, Checked]]:
    """The rows whose images are usable, and what is known of those. Empties `images` and `checked`, one by one: rows
    of AVA take 100 MB."""
    shares_of = distribution(facts, labeled.low, labeled.high)
    rated, sound = [], {}
    while images:
        path, row = images.popitem()
        result = checked.pop(path)
        if result.reason:
            drops.append(Drop(row.id, path, "unreadable", result.reason))
            continue
        if options.hashed:
            sound[result.image] = result
        score = labeled.scores[row.id]
        of_row = labeled.labels[row.id], score, row.subject, row.part, shares_of(row, score)
        rated.append(Rated(row.id, result.image, *of_row))
    return rated, sound


def _divide(facts: DatasetFacts, rated: list[Rated], files: Files, options: Options) -> Split:
    """Split the rows. Raises ValueError if a part has no rows, or a level none."""
    if options.shares:
        divided = own_split(rated, options.shares, files.notes)
    else:
        divided = split(facts, rated, options.protocol, options.val)
    if not divided.val and options.val != 0:
        few = f"--val {options.val:g} of {len(divided.train):,} rows is none" if options.val else ""
        files.notes.append(f"no validation rows: {few or f'lite is all of train;{CARVE} takes some out'}")
    need(options.allow_empty_levels, levels_without_rows(facts.scale, divided))
    if facts.rows:  # own ratings have a check of their own
        need(options.allow_missing, nothing_empty(divided))
    return divided


def once(rows: Iterable[Row]) -> tuple[list[Row], list[Drop]]:
    """Each id once, and the rows dropped: a repeated row, and every row of an id with two different ratings.

    Raises ValueError for ids that stand in both train and test, since one of the files is then not what it says.
    """
    kept: dict[str, Row] = {}
    ratings: dict[str, set[str]] = {}  # of the ids with several
    repeated, both = [], []
    for row in rows:
        if (first := kept.setdefault(row.id, row)) is not row:
            both += [row.id] * (row.part != first.part)
            if not same_rating(first.score, row.score):
                ratings.setdefault(row.id, {str(first.score)}).add(str(row.score))
            repeated.append(row)
    if both:
        parts = f"{len(both):,} ids stand in more than one of train, val and test, {printable(both[0])!r} first"
        raise ValueError(f"{parts}: one part holds rows of another; remove them, or take the owner's files")
    repeated += [kept.pop(id) for id in ratings]

    def reason(id: str) -> str:
        several = ", ".join(sorted(ratings.get(id, ())))
        return f"id {id!r} has several ratings: {several}" if several else f"id {id!r} is there twice"

    return list(kept.values()), [Drop(row.id, row.images[0], "duplicate", reason(row.id)) for row in repeated]


def without(
    built: Built, kind: str, dropped: Mapping[str, str], parts: Sequence[str] = ("train", "lite", "val")
) -> None:
    """Take rows out of parts of the split: id -> why. kind: "leak" or "conflict", a kind of Drop."""
    split = built.split._asdict()
    rows = {row.id: row for part in parts for row in split[part] if row.id in dropped}
    built.drops += [Drop(id, row.image, kind, dropped[id]) for id, row in rows.items()]
    built.split = built.split._replace(**{part: [row for row in split[part] if row.id not in rows] for part in parts})
