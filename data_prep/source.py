"""What a source dataset is: rated images as their owner distributes them, and the rules that make labels of ratings.

A dataset is one module with a docstring (what to download, what is odd about it), `read(files)` and one `Dataset`.
Readers only read: joining images, checking ranges, dropping duplicates and splitting are the same for all (build.py).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from data_prep.downloads import Files


class Row(NamedTuple):
    """One rated image, as a label file or a file name says it.

    `images`: where it may lie, best guess first; each is the end of a path below the dataset's folder.
    `score`: the raw rating, a number or the text of one; build.py turns it into a label and drops what is no number.
    `subject`: the person or patient, "" if unknown. `part`: "train" or "test" if the owner splits, else "".
    """

    id: str
    images: tuple[str, ...]
    score: float | str
    subject: str = ""
    part: str = ""


class Drop(NamedTuple):
    """A row that does not become a conversation. `kind` is a column of the final table: rule, missing, unreadable,
    duplicate or leak. `reason` says it in words, with the value."""

    id: str
    file: str
    kind: str
    reason: str


def same_rating(one: float | str, other: float | str) -> bool:
    """Are two raw ratings equal, as numbers ("1" and "1.0") or else as texts?"""
    try:
        return float(one) == float(other)
    except (TypeError, ValueError):
        return str(one) == str(other)


def equal_width(score: float, lo: float, hi: float) -> int:
    """Five levels of equal width over the observed lo..hi. Our choice; a constant prediction on AVA speaks for it."""
    if hi == lo:
        return 0
    return min(max(int((score - lo) / (hi - lo) * 5), 0), 4)


def as_is(score: float, lo: float, hi: float) -> int:
    """The rating is the label: a grade, a group or an age in years. Raises ValueError if it is not a whole number."""
    if score != int(score):
        raise ValueError(f"{score!r} is not a whole number")
    return int(score)


@dataclass(frozen=True)
class Sizes:
    """Rows in the paper (Tables 6 and 7). lite None: a zero-shot dataset; its train split, what is left of Table 1, is
    for single-domain runs."""

    train: int
    lite: int | None
    test: int


@dataclass(frozen=True)
class Dataset:
    """How one source becomes labels and splits. Sources of the numbers: Tables 1, 6 and 7 unless the module says."""

    name: str  # the module, the folder below data/raw, the key of scales.SCALES
    read: Callable[[Files], Iterator[Row | Drop]]
    label: Callable[[float, float, float], int]  # (score, lowest observed, highest observed) -> label
    low: float  # raw ratings below are dropped as out of range
    high: float
    sizes: Sizes
    test: int | None  # one in so many rows is for testing, rounded down; None: the owner's split (Row.part)
    lite: str = "none"  # "train": all of it, "ninth": ceil(train / 9), "quarter": train // 4, "none"
    per_class: bool = False  # test = the last of ten folds made class by class (EyePACS)
    subject_part: bool = False  # with --split subject, Row.part is the owner's split by person (Adience)
    difference: str = ""  # why a complete copy differs from the paper's sizes, if it does
