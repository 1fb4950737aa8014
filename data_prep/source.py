"""What a reader of a source yields: rated images as their owner distributes them, and rows that cannot be used.

A reader is a module in sources/, named like its dataset, with a docstring (what to download, what is odd about it) and
`read(files)`. Readers only read: joining images, checking ranges, dropping duplicates and splitting are the same for
all (build.py), and the facts of a dataset are a row of storm/datasets.py.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import NamedTuple

from data_prep.downloads import Files

# Our choice: of two versions of the same photographs, the preferred one is taken if it has this share of the other's.
FULL = 0.95


class Row(NamedTuple):
    """One rated image, as a label file or a file name gives it.

    `images`: names it may have, best guess first; each is the end of a path below the dataset's folder, without the
    names of folders that only hold the images ("10_left.jpeg", not "train/10_left.jpeg"; "<patient>/1_l1.jpg"). What
    stands before it on disk is an image folder: locate.py takes all rows from the same ones. Any extension of an image
    is found. `score`: the raw rating, a number or its text; build.py makes a label of it and drops what is not a
    number. `subject`: the person or patient, "" if unknown. `part`: "train" or "test" if the owner splits, else "".
    `votes`: how many people gave 1, 2, 3 ... on the owner's scale, () if unknown. `sd`: the standard deviation of the
    votes, in the unit of `score`, None if unknown. `shares`: of the levels among the votes, if known at once.
    """

    id: str
    images: tuple[str, ...]
    score: float | str
    subject: str = ""
    part: str = ""
    votes: tuple[int, ...] = ()
    sd: float | None = None
    shares: tuple[float, ...] = ()


class Drop(NamedTuple):
    """A row that does not become a conversation. `kind` is a column of the final table: rule, missing, unreadable,
    duplicate, leak or conflict. `reason` says it in words, with the value."""

    id: str
    file: str
    kind: str
    reason: str


Items = Iterator[Row | Drop]
Reader = Callable[[Files], Items]


def reader(dataset: str) -> Reader:
    """The reader of one of storm's datasets. Only its module is imported."""
    return import_module(f"data_prep.sources.{dataset}").read


def same_rating(one: float | str, other: float | str) -> bool:
    """Are two raw ratings equal, as numbers ("1" and "1.0") or else as texts?"""
    try:
        return float(one) == float(other)
    except (TypeError, ValueError):
        return str(one) == str(other)
