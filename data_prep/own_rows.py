"""The rows of a user's rating files: image, rating, subject, split and rater as text, and where each stands."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.rating_columns import columns_of
from data_prep.rating_files import Ratings, read_ratings
from storm.text import printable

PARTS = ("train", "val", "test")
EMPTY = {"na", "n/a", "nan", "null", "#n/a"}  # cells of programs that have no value
WORDS = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}  # other names


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
    rows = []
    for source in sources:
        ratings = read_ratings(source, header, notes, sheet)
        columns = columns_of(source, ratings, asked, notes)
        _drop_lonely_raters(source, ratings, columns, asked, notes)
        part = part_in(source.stem) if len(sources) > 1 and "split" not in columns else ""
        notes += [f"{source.name}: all rows are for {part}, as its name says"] * bool(part)
        for place, cells in ratings.rows:
            cells = ["" if cell.lower() in EMPTY else cell for cell in cells]
            text = {role: cells[places[0]] for role, places in columns.items()}
            split = part_of(text.get("split", "")) or part
            if not split and text.get("split"):
                raise ValueError(f"{source}: {place}: split {text['split']!r} is not train, val or test")
            row = Rating(place, text["image"], text["rating"], text.get("subject", ""), split, text.get("rater", ""))
            several = columns["rating"] if len(columns["rating"]) > 1 else ()
            rows += [row._replace(rating=cells[n], rater=ratings.columns[n]) for n in several] or [row]
    return rows


def _drop_lonely_raters(
    source: Path, ratings: Ratings, columns: dict[str, list[int]], asked: Mapping[str, Sequence[str]], notes: list[str]
) -> None:
    """Take out a column of raters that nobody asked for if no image has two rows: it may name the people shown."""
    if "rater" not in columns or "rater" in asked:
        return
    images = [cells[columns["image"][0]] for _, cells in ratings.rows]
    if len(set(images)) == len(images):
        name = printable(ratings.columns[columns.pop("rater")[0]])
        what = f"no image has two rows, so {name!r} is not taken for raters"
        notes.append(f"{source.name}: {what}; --subject-column {name} if it is the person or thing shown")


def part_in(name: str) -> str:
    """The part that the name of a file says, "" if none or several: test of NNEW_test_0, train of labels-trainval."""
    words = re.split(r"[^a-z]+", name.lower())
    parts = {part for word in words if (part := "train" if word == "trainval" else part_of(word))}
    return parts.pop() if len(parts) == 1 else ""


def part_of(word: str) -> str:
    """train, val or test, as a word says it, in any case; "" if it says none."""
    word = WORDS.get(word.strip().lower(), word.strip().lower())
    return word if word in PARTS else ""
