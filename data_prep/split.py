"""Train, lite and test, as the paper divides and, by choice, with no subject on both sides.

Source of the sizes: Tables 1, 6 and 7. The paper names no seed and no lists, so which rows go where is our choice:
rows sorted by id, then shuffled by random.Random(0). The same rows give the same split on every machine.
"""

import math
import random
from collections import Counter
from typing import NamedTuple

from storm.datasets import DatasetFacts

SEED = 0


class Rated(NamedTuple):
    """A row with its label and a usable image (path relative to the image root)."""

    id: str
    image: str
    label: int
    score: float
    subject: str
    part: str


class Split(NamedTuple):
    """Rows in shuffled order: LLaMA-Factory's max_samples takes the first ones, which are then a fair sample."""

    train: list[Rated]
    lite: list[Rated]
    test: list[Rated]


def split(facts: DatasetFacts, rows: list[Rated], protocol: str) -> Split:
    """Divide by protocol "paper" or "subject". Raises ValueError if a subject stands on both sides of the latter."""
    rows, rng = sorted(rows), random.Random(SEED)
    rng.shuffle(rows)
    if protocol == "subject" and facts.test and not facts.subject_part and any(row.subject for row in rows):
        train, test = _by_subject(rows, len(rows) // facts.test, rng)
    elif facts.test is None or (protocol == "subject" and facts.subject_part):
        train, test = ([row for row in rows if row.part == part] for part in ("train", "test"))
    elif facts.per_class:
        train, test = _by_class(rows, rng)
    else:
        count = len(rows) // facts.test
        train, test = rows[count:], rows[:count]
    divided = Split(train, train[: lite_size(facts.lite, len(train))], test)
    both = shared_subjects(divided)
    if protocol == "subject" and both:
        raise ValueError(f"{facts.name}: subject {min(both)!r} is in train and in test ({len(both)} such subjects)")
    return divided


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


def shared_subjects(divided: Split) -> set[str]:
    """The subjects with rows in train and in test."""
    return {row.subject for row in divided.train if row.subject} & {row.subject for row in divided.test}
