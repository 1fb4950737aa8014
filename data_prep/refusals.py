"""Why a dataset must not be written: each function returns a line, or "" if all is well."""

from collections import Counter
from collections.abc import Sequence

from data_prep.ratings import empty_levels
from data_prep.source import Drop
from data_prep.split import Split
from storm.datasets import DatasetFacts
from storm.scales import Scale
from storm.text import printable

MORE = 1.02  # our choice: with more rows than this share of the owner's, other rows are among them
UNREADABLE = 0.25  # our choice: with more rows that break the rules, it is another table; of Adience's, 11% do
UNNAMED = 0.5  # our choice: the same where file names are the labels, since folders hold other images, too
SEVERAL = 0.05  # our choice: with more ids that have two ratings, tables were mixed


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


def many_ratings(facts: DatasetFacts, drops: Sequence[Drop], rows: int) -> str:
    """A line if many ids have several different ratings, "" if not."""
    ids = {drop.id: drop.reason for drop in drops if drop.kind == "duplicate" and "several ratings" in drop.reason}
    if len(ids) <= max(2, SEVERAL * rows):
        return ""
    first = min(ids)
    fix = "take the owner's label file" if facts.rows else "of several raters, write the mean, one row an image"
    return f"{len(ids):,} of {rows + len(ids):,} ids have several ratings ({ids[first]}); {fix}"


def too_many_unusable(drops: Sequence[Drop], usable: int, rows: int, share: float) -> str:
    """A line if more rows have no usable image than the share that is usual, "" if not: with those without an image."""
    if usable >= (1 - share) * rows:
        return ""
    first = min((drop for drop in drops if drop.kind == "unreadable"), default=None)
    example = f", the first is {printable(first.file)} ({first.reason})" if first else ""
    what = f"{rows - usable:,} of {rows:,} rows have no image that can be used{example}"
    return f"{what}; download them again, or --allow-missing"


def nothing_empty(divided: Split) -> str:
    """A line if no row is for training or none for testing, "" if both have rows."""
    for part, rows in (("training", divided.train), ("testing", divided.test)):
        if not rows:
            usable = len(divided.train) + len(divided.test)
            what = f"none of {usable:,} usable rows is for {part}"
            return f"{what}; complete the data, or --allow-missing builds the part that is there"
    return ""


def levels_without_rows(scale: Scale, divided: Split) -> str:
    """A line if a level has no usable row, or all rows of a part have one label, "" if not."""
    for part, rows in (("training", divided.train), ("testing", divided.test)):
        one = {row.label for row in rows}
        if len(rows) >= 20 and len(one) == 1:
            return f"all {len(rows):,} rows for {part} have the label {min(one)}; --allow-empty-levels builds it"
    parts = (divided.train, divided.val, divided.test)
    return empty_levels(scale, Counter(row.label for rows in parts for row in rows), "usable row")


def few_readable(drops: Sequence[Drop], read: int, names: bool) -> str:
    """A line if so many rows break the dataset's rules that it is probably another table, "" if not. names: file names
    are the labels, without a table."""
    reasons = [drop.reason for drop in drops if drop.kind == "rule"]
    if len(reasons) <= (UNNAMED if names else UNREADABLE) * read:
        return ""
    what = f"{len(reasons):,} of {read:,} rows cannot be used, the first because {reasons[0]}"
    return f"{what}; is it another {'dataset' if names else 'table'}? Take the owner's files"
