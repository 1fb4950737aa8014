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
from data_prep.locate import locate, other_naming, too_many_missing, unmatched
from data_prep.options import Options
from data_prep.ratings import distribution, empty_levels, on_scale, score_range
from data_prep.source import Drop, Reader, Row, same_rating
from data_prep.split import Rated, Split, split
from storm.datasets import DatasetFacts
from storm.scales import Scale
from storm.text import printable

KINDS = ("rule", "missing", "unreadable", "duplicate", "leak", "conflict")
MORE = 1.02  # our choice: with more rows than this share of the owner's, other rows are among them
RARE = 0.01  # our choice: with votes in fewer rows, datasets may not see the column in the first 10 MB, and then fails
UNREADABLE = 0.5  # our choice: with more rows that break the rules, it is another table; of Adience's, 11% do


class Source(NamedTuple):
    """What a dataset was read from. Folders and files are below the image root, "." for the root itself."""

    label_files: list[str]
    image_folders: dict[str, int]  # -> rows with an image of it
    unused_folders: dict[str, int]  # hold images of the same rows
    score_range: tuple[float, float]  # that the levels depend on
    range_of: str  # what that range is
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
    source: "Source | None" = None  # None: rows that others have labelled


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


def _prepare(facts: DatasetFacts, read: Reader, files: Files, below: str, options: Options, drops: list[Drop]) -> Built:
    """The steps of prepare(). Rows that are dropped are added to `drops` at once: an error must not lose them."""
    with no_collection():
        items = list(read(files))
        drops += [item for item in items if isinstance(item, Drop)]
        rows, repeated = once(item for item in items if isinstance(item, Row))
        drops += repeated
        few_unreadable(drops, len(items))
        scores, off_scale = on_scale(facts, rows)
        drops += off_scale
        need(False, too_many_rows(facts, len(scores)))
        if len(scores) < (1 - facts.missing) * facts.rows:
            files.notes.append(f"a part: {len(scores):,} of the {facts.rows:,} rows of the whole dataset")
        low, high, whose = score_range(facts, scores, options)
        labels = {id: facts.label(score, low, high) for id, score in scores.items()}
        need(options.allow_empty_levels, empty_levels(facts, Counter(labels.values()), "row of the label file"))
        located = locate(files, [row for row in rows if row.id in scores], facts.folders)
        drops += located.drops
        located.drops += [item for item in items if isinstance(item, Drop) and item.kind == "missing"]
        unlabeled = unmatched(files, located)
        if facts.rows:  # of own ratings, names are exact, and unrated images are usual
            need(False, other_naming(located, unlabeled, facts.missing))
        need(options.allow_missing, too_many_missing(files, located, facts.missing))
    images = {f"{below}{path}": row for path, row in located.rows.items()}
    read, count = len(items), len(images)
    located.rows.clear()
    del items, rows
    with nullcontext() if options.hashed else no_collection():
        checked = check(list(images), facts.name, options)
    with no_collection():
        shares_of = distribution(facts, low, high)
        rated, sound = [], {}
        while images:  # one by one: rows of AVA take 100 MB
            path, row = images.popitem()
            result = checked.pop(path)
            if result.reason:
                drops.append(Drop(row.id, path, "unreadable", result.reason))
                continue
            if options.hashed:
                sound[result.image] = result
            score = scores[row.id]
            facts_of_row = labels[row.id], score, row.subject, row.part, shares_of(row, score)
            rated.append(Rated(row.id, result.image, *facts_of_row))
        if not rated:
            common = Counter(f"{drop.kind}: {drop.reason}" for drop in drops).most_common(1)
            why = f"; {len(drops)} dropped, most often {common[0][0]!r}" if common else ""
            raise ValueError(f"{files.root}: no usable row out of {read}{why}")
        if len(rated) < (1 - facts.missing) * count:
            first = next(drop for drop in drops if drop.kind == "unreadable")
            what = f"{count - len(rated):,} of {count:,} images cannot be used"
            first_image = f"the first is {printable(first.file)} ({first.reason})"
            need(options.allow_missing, f"{what}, {first_image}; download them again, or --allow-missing")
        need(options.allow_empty_levels, empty_levels(facts, Counter(row.label for row in rated), "usable row"))
        if 0 < (votes := sum(bool(row.votes) for row in rated)) < RARE * len(rated):
            files.notes.append(f"only {votes:,} of {len(rated):,} rows have votes; they are left out")
            rated = [row._replace(votes=()) for row in rated]
        source = Source(
            label_files=sorted(set(files.label_paths)),
            image_folders={f"{below}{name}".rstrip("/") or ".": n for name, n in located.used.items()},
            unused_folders={f"{below}{name}".rstrip("/") or ".": n for name, n in located.unused.items()},
            score_range=(low, high),
            range_of=whose,
            notes=files.notes,
        )
        divided = split(facts, rated, options.protocol, options.val)
        for part, rows in (("training", divided.train), ("testing", divided.test)):
            one = {row.label for row in rows}
            if len(rows) >= 20 and len(one) == 1:
                need(options.allow_empty_levels, f"all {len(rows):,} rows for {part} have the label {min(one)}")
        if facts.rows:  # own ratings have a check of their own
            need(options.allow_missing, nothing_empty(divided))
        return Built(facts.name, facts.scale, read, len(unlabeled), divided, drops, sound, facts, source)


def need(allowed: bool, fault: str) -> None:
    """Raises ValueError for a fault, if there is one, unless it is allowed."""
    if fault and not allowed:
        raise ValueError(fault)


def too_many_rows(facts: DatasetFacts, rows: int) -> str:
    """A line if there are more rows than the owner has, "" if not."""
    if not facts.rows or rows <= MORE * facts.rows:
        return ""
    return (
        f"{rows:,} rows, but the owner has {facts.rows:,}: are rows of others among them? Take the owner's files only"
    )


def nothing_empty(divided: Split) -> str:
    """A line if no row is for training or none for testing, "" if both have rows."""
    for part, rows in (("training", divided.train), ("testing", divided.test)):
        if not rows:
            usable = len(divided.train) + len(divided.test)
            what = f"none of {usable:,} usable rows is for {part}"
            return f"{what}; complete the data, or --allow-missing builds the part that is there"
    return ""


def few_unreadable(drops: list[Drop], read: int) -> None:
    """Raises ValueError if so many rows break the dataset's rules that it is probably another table."""
    reasons = [drop.reason for drop in drops if drop.kind == "rule"]
    if len(reasons) > UNREADABLE * read:
        raise ValueError(f"{len(reasons):,} of {read:,} rows cannot be used, the first because {reasons[0]}")


def once(rows: Iterable[Row]) -> tuple[list[Row], list[Drop]]:
    """Each id once, and the rows dropped: a repeated row, and every row of an id with two different ratings.

    Raises ValueError for ids that stand in both train and test, since one of the files is then not what it says.
    """
    kept: dict[str, Row] = {}
    several: dict[str, set[str]] = {}
    drops, both = [], []
    for row in rows:
        if (first := kept.setdefault(row.id, row)) is not row:
            both += [row.id] * (row.part != first.part)
            if not same_rating(first.score, row.score):
                several.setdefault(row.id, {str(first.score)}).add(str(row.score))
            drops.append(Drop(row.id, row.images[0], "duplicate", f"id {row.id!r} is there twice"))
    if both:
        parts = f"{len(both):,} ids stand in more than one of train, val and test, {printable(both[0])!r} first"
        raise ValueError(f"{parts}: a label file holds the rows of another; take the owner's files")
    for id, ratings in several.items():
        reason = f"id {id!r} has several ratings: {', '.join(sorted(ratings))}"
        drops.append(Drop(id, kept.pop(id).images[0], "duplicate", reason))
    return list(kept.values()), drops


def without(
    built: Built, kind: str, dropped: Mapping[str, str], parts: Sequence[str] = ("train", "lite", "val")
) -> None:
    """Take rows out of parts of the split: id -> why. kind: "leak" or "conflict", a kind of Drop."""
    split = built.split._asdict()
    rows = {row.id: row for part in parts for row in split[part] if row.id in dropped}
    built.drops += [Drop(id, row.image, kind, dropped[id]) for id, row in rows.items()]
    built.split = built.split._replace(**{part: [row for row in split[part] if row.id not in rows] for part in parts})
