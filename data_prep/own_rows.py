"""The rows of a user's rating files: image, rating, subject, split and rater as text, and where each stands."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.parts import part_in, part_of
from data_prep.rating_columns import columns_of
from data_prep.rating_files import read_ratings
from storm.text import printable

EMPTY = {"na", "n/a", "nan", "null", "#n/a"}  # cells of programs that have no value


class Rating(NamedTuple):
    """A row of a rating file as text. `place`: file and row, in words."""

    place: str
    image: str
    rating: str
    subject: str
    split: str
    rater: str = ""  # "" if there is one rating for each image


def read_all(
    sources: Sequence[Path], asked: Mapping[str, Sequence[str]], header: bool, notes: list[str], sheet: str = ""
) -> list[Rating]:
    """The rows of all files; of several raters or columns of ratings, one for each rating. Of several files without a
    split column, the name of each may say its part. sheet: of a workbook with several.

    Raises OSError, or ValueError naming the file, the row and the fix.
    """
    rows, raters = [], {}
    for source in sources:
        ratings = read_ratings(source, header, notes, sheet)
        columns = columns_of(source, ratings, asked, notes)
        if "rater" in columns:
            raters[source.name] = ratings.columns[columns["rater"][0]]
        part = part_in(source.stem) if len(sources) > 1 and "split" not in columns else ""
        notes += [f"{source.name}: all rows are for {part}, as its name says"] * bool(part)
        for place, cells in ratings.rows:
            text = {role: cells[places[0]] for role, places in columns.items()}
            split = part_of(text.get("split", "")) or part
            if not split and text.get("split"):
                raise ValueError(f"{source}: {place}: split {text['split']!r} is not train, val or test")
            row = Rating(place, text["image"], text["rating"], text.get("subject", ""), split, text.get("rater", ""))
            several = columns["rating"] if len(columns["rating"]) > 1 else ()
            rows += [row._replace(rating=cells[n], rater=ratings.columns[n]) for n in several] or [row]
    return _drop_lonely_raters(rows, raters, asked, notes)


def _drop_lonely_raters(
    rows: list[Rating], columns: Mapping[str, str], asked: Mapping[str, Sequence[str]], notes: list[str]
) -> list[Rating]:
    """The rows without a column of raters that nobody asked for, if no image has two rows: it may name the people
    shown. columns: source -> name of that column."""
    if not columns or "rater" in asked or len({row.image for row in rows}) < len(rows):
        return rows
    names = printable(", ".join(dict.fromkeys(columns.values())))
    what = f"no image has two rows, so {names!r} is not taken for raters"
    notes.append(f"{what}; --subject-column {names} if it is the person or thing shown")
    return [row._replace(rater="") for row in rows]
