"""Columns of ratings that can be read in two ways: refused, as half of their rows would get a wrong level."""

import re
from collections.abc import Sequence

from data_prep.own_rows import Rating
from storm.levels import NUMBER, PERCENT

THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")


def refuse_ambiguous(rows: Sequence[Rating], highest: float | None = None) -> None:
    """Raises ValueError naming rows that can be read in two ways: 20% beside 0.5, or 1,200.

    highest: rating of the scale, None if it is not known. Up to 999, 1,200 can only be 1.2.
    """
    marked = next((row for row in rows if PERCENT.fullmatch(row.rating)), None)
    plain = next((row for row in rows if NUMBER.fullmatch(row.rating) and float(_point(row.rating))), None)
    if marked and plain:
        what = f"{marked.place} has {marked.rating}, and {plain.place} has {plain.rating}, without %"
        raise ValueError(f"{what}; write all ratings in one way")
    thousands = next((row for row in rows if THOUSANDS.fullmatch(row.rating)), None)
    if not thousands or (highest is not None and highest < 1000):
        return
    if not any("," in row.rating and not THOUSANDS.fullmatch(row.rating) for row in rows):
        what = f"{thousands.place} has {thousands.rating}: is the comma for thousands or for decimals?"
        raise ValueError(f"{what} Write 1200, or 1.2, in all rows")


def _point(cell: str) -> str:
    return cell.replace(",", ".")
