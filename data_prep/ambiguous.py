"""Columns of ratings that can be read in two ways: refused, as half of their rows would get a wrong level."""

import re
from collections.abc import Sequence

from data_prep.own_rows import Rating
from storm.levels import NUMBER, PERCENT

THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")


def refuse_ambiguous(rows: Sequence[Rating], highest: float | None = None) -> None:
    """Raises ValueError naming two rows that contradict each other: 20% beside 0.5, or 1,200 beside 850.

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
    decimals = any("," in row.rating and not THOUSANDS.fullmatch(row.rating) for row in rows)
    whole = next((row for row in rows if re.fullmatch(r"\d+(?:\.\d+)?", row.rating)), None)
    if whole and not decimals:
        what = f"{thousands.place} has {thousands.rating}, and {whole.place} has {whole.rating}"
        raise ValueError(f"{what}: is the comma for thousands or for decimals? Write 1200, or 1.2")


def _point(cell: str) -> str:
    return cell.replace(",", ".")
