"""Train, validation and test rows of a user's own ratings: her split column, else shares drawn by subject.

An image without a subject is a subject of its own. The same rows, shares and seed give the same split everywhere.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from data_prep.split import Rated, Split
from storm.text import printable


class Shares(NamedTuple):
    """How rows are divided that no split column divides. The defaults are our choice."""

    test: float = 0.1  # of all rows
    val: float = 0.1  # of the rows that are left for training
    seed: int = 0
    stratify: bool = False  # the levels' shares are about the same in all parts
    allow_shared_subjects: bool = False  # that the user's own split has the same subject in two parts


def own_split(rows: Sequence[Rated], shares: Shares, notes: list[str]) -> Split:
    """Divide the rows. Of the user's own parts, those that no row names are drawn from train.

    Raises ValueError naming a subject in two parts of the user's own split.
    """
    rows, rng = sorted(rows), random.Random(shares.seed)
    rng.shuffle(rows)
    given = {row.part for row in rows} - {""}
    parts = {part: [row for row in rows if row.part == part] for part in ("train", "val", "test")}
    parts["train"] += [row for row in rows if not row.part]
    for part in ("test", "val"):
        wanted = round(getattr(shares, part) * len(parts["train"]))
        if part not in given and wanted:
            left, drawn = _drawn(parts["train"], wanted, shares.stratify, rng)
            if left or part == "test":
                parts["train"], parts[part] = left, drawn
            else:
                notes.append("no validation rows: one subject is left for training")
    labels = {row.label for row in rows}
    if shares.stratify and (missing := sorted(labels - {row.label for row in parts["test"]})):
        notes.append(f"no test rows of level {', '.join(map(str, missing))}: too few subjects have it")
    _no_shared(parts, shares.allow_shared_subjects, notes)
    return Split(parts["train"], [], parts["test"], parts["val"])


def _drawn(rows: list[Rated], wanted: int, stratify: bool, rng: random.Random) -> tuple[list[Rated], list[Rated]]:
    """(rows that stay, drawn rows): whole subjects, one by one, until there are the wanted rows or just over; with
    stratify, of the subjects of each level (the most common one of their rows) its own share."""
    of_subject: dict[tuple[str, str], list[Rated]] = defaultdict(list)
    for row in rows:
        of_subject[who(row)].append(row)
    strata: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for subject, own in sorted(of_subject.items()):
        labels = Counter(row.label for row in own)
        strata[min(labels, key=lambda label: (-labels[label], label)) if stratify else 0].append(subject)
    chosen: set[tuple[str, str]] = set()
    before = 0
    for _, subjects in sorted(strata.items()):
        first, before, count = before, before + sum(len(of_subject[subject]) for subject in subjects), 0
        share = round(wanted * before / len(rows)) - round(wanted * first / len(rows))
        rng.shuffle(subjects)
        for subject in subjects:
            if count >= share:
                break
            chosen.add(subject)
            count += len(of_subject[subject])
    return [row for row in rows if who(row) not in chosen], [row for row in rows if who(row) in chosen]


def who(row: Rated) -> tuple[str, str]:
    return (row.subject, "" if row.subject else row.id)


def _no_shared(parts: dict[str, list[Rated]], allowed: bool, notes: list[str]) -> None:
    subjects = {part: {row.subject for row in rows if row.subject} for part, rows in parts.items()}
    for part, other in (("train", "test"), ("val", "test"), ("train", "val")):
        if both := sorted(subjects[part] & subjects[other]):
            names = printable(", ".join(both[:3])) + (" ..." if len(both) > 3 else "")
            what = f"{len(both)} subjects are in {part} and in {other} of your split ({names})"
            if not allowed:
                raise ValueError(f"{what}: the test is easier than real use; --allow-shared-subjects builds it")
            notes.append(what)
