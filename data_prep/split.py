"""Train, lite, validation and test, as the paper divides and, by choice, with no subject on both sides.

Source of the sizes: Tables 1, 6 and 7. The paper names no seed and no lists, so which rows go where is our choice:
rows sorted by id, then shuffled by random.Random(0). The same rows give the same split on every machine.

The paper has no validation rows. Ours are rows of train that are not in lite, so that the sizes stay the paper's: what
was trained on lite, or not trained, can be chosen and calibrated on them; what was trained on all of train cannot. With
--val a share of train is taken out instead, and train is smaller than the paper's.
"""

import math
import random
from collections import Counter
from operator import itemgetter
from typing import NamedTuple

from storm.datasets import DatasetFacts

SEED = 0
ID = itemgetter(0)  # of a row: ids are unique, and to compare texts is faster than to compare rows
VAL = 2_000  # the most validation rows that stay in train, too. Our choice: an accuracy of .5 +- .02


class Rated(NamedTuple):
    """A row with its label and a usable image (path relative to the image root)."""

    id: str
    image: str
    label: int
    score: float
    subject: str
    part: str
    votes: tuple[float, ...] = ()  # shares of the levels, () if unknown
    release: str = ""  # "FILE.jsonl:LINE" of the authors' data release, "" of another source


class Split(NamedTuple):
    """Rows in shuffled order: LLaMA-Factory's max_samples takes the first ones, which are then a fair sample."""

    train: list[Rated]
    lite: list[Rated]
    test: list[Rated]
    val: list[Rated] = []  # rows of train that are not in lite, or, with --val, rows taken out of train


def split(facts: DatasetFacts, rows: list[Rated], protocol: str, val: float | None = None) -> Split:
    """Divide by protocol "paper" or "subject". val: the share of train to take out as validation rows; 0: there are
    none; None: rows that stay in train, too, see above.

    Raises ValueError if a subject stands on both sides of the latter.
    """
    rows, rng = sorted(rows, key=ID), random.Random(SEED)
    rng.shuffle(rows)
    given = [row for row in rows if row.part == "val"]  # the validation rows of somebody's own split
    rows = [row for row in rows if row.part != "val"] if given else rows
    by_subject = protocol == "subject" and any(row.subject for row in rows)
    if protocol == "subject" and facts.test and not facts.subject_part and by_subject:
        train, test = _by_subject(rows, len(rows) // facts.test, rng)
    elif facts.test is None or (protocol == "subject" and facts.subject_part):
        train, test = ([row for row in rows if row.part == part] for part in ("train", "test"))
    elif facts.per_class:
        train, test = _by_class(rows, rng)
    else:
        count = len(rows) // facts.test
        train, test = rows[count:], rows[:count]
    carved = given
    if val and not given:
        owners = facts.test is None and not _subjects(train) & _subjects(test)  # its parts share no subject
        whole = any(row.subject for row in train) and (by_subject or owners)
        train, carved = _carved(train, val, whole, facts.per_class)
    size = lite_size(facts.lite, len(train))
    inside = carved if given or val is not None else _inside(train, size, by_subject)
    in_val = {row.id for row in inside}
    lite = [row for row in train if row.id not in in_val][:size] if size < len(train) else train[:size]
    divided = Split(train, lite, test, inside)
    for part, other in (("train", "test"), ("val", "test")) + (("train", "val"),) * bool(carved):
        if protocol == "subject" and (both := _subjects(getattr(divided, part)) & _subjects(getattr(divided, other))):
            what = f"subject {min(both)!r} is in {part} and in {other}"
            raise ValueError(f"{facts.name}: {what} ({len(both)} such subjects)")
    return divided


def _carved(rows: list[Rated], share: float, by_subject: bool, per_class: bool) -> tuple[list[Rated], list[Rated]]:
    """(train, val): a share of the rows taken out of train as the test set is drawn: by row, of each class, or whole
    subjects."""
    rng = random.Random(SEED)
    if by_subject:
        return _by_subject(rows, round(len(rows) * share), rng)
    chosen: set[str] = set()
    for label in sorted({row.label for row in rows}) if per_class else (None,):
        of_class = [row.id for row in rows if label in (None, row.label)]
        chosen |= set(rng.sample(of_class, round(len(of_class) * share)))
    return [row for row in rows if row.id not in chosen], [row for row in rows if row.id in chosen]


def _inside(train: list[Rated], lite: int, by_subject: bool) -> list[Rated]:
    """Up to VAL rows of train for validation, so that `lite` rows are left: those behind them, or whole subjects."""
    wanted = min(VAL, len(train) - lite)
    if by_subject and wanted < len(train):
        rest, chosen = _by_subject(train, wanted, random.Random(SEED))
        return chosen if len(rest) >= lite and wanted else []
    return train[lite : lite + wanted]


def _by_subject(rows: list[Rated], wanted: int, rng: random.Random) -> tuple[list[Rated], list[Rated]]:
    """Whole subjects, drawn one by one until the test set has the wanted size or just over. Our choice. A row without a
    subject is one of its own: it may show anyone."""
    sizes = Counter(map(_who, rows))
    subjects = sorted(sizes)
    rng.shuffle(subjects)
    chosen, count = set(), 0
    for subject in subjects:
        if count >= wanted:
            break
        chosen.add(subject)
        count += sizes[subject]
    return [row for row in rows if _who(row) not in chosen], [row for row in rows if _who(row) in chosen]


def _who(row: Rated) -> tuple[str, str]:
    return (row.subject, "" if row.subject else row.id)


def _by_class(rows: list[Rated], rng: random.Random) -> tuple[list[Rated], list[Rated]]:
    """Ten folds class by class, n // 10 to each and what is left to the last, which is the test set. Gives EyePACS'
    31,599 and 3,527 exactly; the rule is that of Ord2Seq, an earlier repository of the same group."""
    train, test = [], []
    for label in sorted({row.label for row in rows}):
        of_class = [row for row in rows if row.label == label]
        cut = len(of_class) // 10 * 9
        train += of_class[:cut]
        test += of_class[cut:]
    rng.shuffle(train)
    rng.shuffle(test)
    return train, test


def lite_size(rule: str, train: int) -> int:
    """Rows of the lite train set (Tables 6 and 7): all, a ninth rounded up, a quarter rounded down, or none."""
    return {"train": train, "ninth": math.ceil(train / 9), "quarter": train // 4, "none": 0}[rule]


def val_in_train(divided: Split) -> bool:
    """Whether the validation rows are rows of train, too: a model that was trained on all of train has seen them."""
    return bool(divided.val) and not {row.id for row in divided.val}.isdisjoint(row.id for row in divided.train)


def shared_subjects(divided: Split) -> set[str]:
    """The subjects with rows in train and in test."""
    return _subjects(divided.train) & _subjects(divided.test)


def _subjects(rows: list[Rated]) -> set[str]:
    return {row.subject for row in rows if row.subject}
