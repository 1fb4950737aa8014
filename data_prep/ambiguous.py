"""Columns of ratings that can be read in two ways: refused, as half of their rows would get a wrong level."""

import re
from collections.abc import Sequence

from data_prep.own_rows import Rating
from storm.levels import NUMBER, NUMBERED, PERCENT, OwnScale, spelled

NUMBERS = '--levels "Bad,Good" --range 1,2'
THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")
POINTS = re.compile(r"[1-9]\d{0,2}\.\d{3}")  # of thousands in German and other languages, or of decimals


def refuse_ambiguous(rows: Sequence[Rating], highest: float | None = None) -> None:
    """Raises ValueError naming rows that can be read in two ways: 20% beside 0.5, or 1,200, or 1.200 beside 850.

    highest: rating of the scale, None if it is not known. Up to 999, 1,200 and 1.200 can only be 1.2.
    """
    marked = next((row for row in rows if PERCENT.fullmatch(row.rating)), None)
    plain = next((row for row in rows if NUMBER.fullmatch(row.rating) and float(_point(row.rating))), None)
    if marked and plain:
        what = f"{marked.place} has {marked.rating}, and {plain.place} has {plain.rating}, without %"
        raise ValueError(f"{what}; write all ratings in one way")
    thousands = next((row for row in rows if THOUSANDS.fullmatch(row.rating)), None)
    if highest is not None and highest < 1000:
        return
    if thousands and not any("," in row.rating and not THOUSANDS.fullmatch(row.rating) for row in rows):
        what = f"{thousands.place} has {thousands.rating}: is the comma for thousands or for decimals?"
        raise ValueError(f"{what} Write 1200, or 1.2, in all rows")
    pointed = next((row for row in rows if POINTS.fullmatch(row.rating)), None)
    whole = max((row for row in rows if row.rating.isdecimal()), key=lambda row: float(row.rating), default=None)
    if not pointed or not whole or (highest is None and float(whole.rating) < 100):
        return
    if not any("." in row.rating and not POINTS.fullmatch(row.rating) for row in rows):
        what = f"{pointed.place} has {pointed.rating}, and {whole.place} has {whole.rating}"
        raise ValueError(f"{what}: is the point for thousands or for decimals? Write 1200, or 1.2, in all rows")


def _point(cell: str) -> str:
    return cell.replace(",", ".")


def refuse_two_orders(rows: Sequence[Rating], scale: OwnScale) -> None:
    """Raises ValueError for a list of words whose ratings count in two ways: a number with two words, plain numbers
    beside words, or one above the last place, as of ratings from 1."""
    if not scale.listed:
        return
    places = [row for row in rows if NUMBER.fullmatch(row.rating)]
    words = {spelled(level.word) for level in scale.scale.fine}
    named = (row for row in rows if not NUMBER.fullmatch(row.rating) and _word(row.rating) in words)
    spoken = next(named, None)
    if places and spoken:
        what = f"{places[0].place} has {places[0].rating}, and {spoken.place} has {spoken.rating}"
        raise ValueError(f"{what}: is the number a place, from 0 or from 1? Give each word its rating, as in {NUMBERS}")
    numbered: dict[str, Rating] = {}
    for row in rows:
        if match := NUMBERED.fullmatch(row.rating):
            other = numbered.setdefault(match["number"], row)
            if _word(other.rating) != _word(row.rating):
                raise ValueError(f"{other.place} has {other.rating}, and {row.place} has {row.rating}; correct one")
    above = [row for row in places if float(_point(row.rating)) == len(scale.ranges)]
    if above and not all(NUMBER.fullmatch(level.word) for level in scale.scale.fine):
        raise ValueError(f"{above[0].place} has {above[0].rating}; {scale.hint(['1', str(len(scale.ranges))])}")


def _word(cell: str) -> str:
    """The word in a cell, without a number before it, for comparing."""
    match = NUMBERED.fullmatch(cell)
    return spelled(match["word"] if match else cell)
