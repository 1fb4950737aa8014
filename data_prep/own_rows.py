"""The rows of a user's rating files: image, rating, subject, split and rater as text, and where each stands."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.parts import folder_part, part_in, part_of
from data_prep.rating_columns import columns_of
from data_prep.rating_files import read_ratings
from storm.levels import NUMBER
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
    folder: str = ""  # that of the file, below the image root; "" if it is the root, or not below it
    named: str = ""  # the part that the name of its file says, "" if none


class Reading(NamedTuple):
    """How files are read. asked: names of columns by what they are. header: the first row names the columns. sheet: of
    a workbook with several. root: the image root."""

    asked: Mapping[str, Sequence[str]]
    header: bool = True
    sheet: str = ""
    root: Path = Path()


def read_all(sources: Sequence[Path], how: Reading, notes: list[str]) -> list[Rating]:
    """The rows of all files; of several raters or columns of ratings, one for each rating. Without a split column, the
    names of several files, or the folders of the images, may say the part.

    Raises OSError, or ValueError naming the file, the row and the fix.
    """
    rows, raters, ranges = [], {}, []
    for source in sources:
        ratings = read_ratings(source, how.header, notes, how.sheet)
        columns = columns_of(source, ratings, how.asked, notes)
        if "rater" in columns:
            raters[source.name] = ratings.columns[columns["rater"][0]]
        splits = {cells[columns["split"][0]] for _, cells in ratings.rows} if "split" in columns else set()
        part = part_in(source.stem) if len(sources) > 1 and not any(splits) else ""
        notes += [f"{source.name}: all rows are for {part}, as its name says"] * bool(part)
        numbers = [
            float(cells[n].replace(",", "."))
            for _, cells in ratings.rows
            for n in columns["rating"]
            if NUMBER.fullmatch(cells[n])
        ]
        ranges += [f"{source.name} {min(numbers):g} to {max(numbers):g}"] if numbers else []  # may be of two scales
        folder = _below(source if source.is_dir() else source.parent, how.root)
        for place, cells in ratings.rows:
            text = {role: cells[places[0]] for role, places in columns.items()}
            split = part_of(text.get("split", "")) or part
            if not split and text.get("split"):
                fix = "or --split-column none, if the column is not of a split"
                raise ValueError(f"{source}: {place}: split {text['split']!r} is not train, val or test; {fix}")
            subject = re.sub(r"^(\d+)\.0$", r"\1", text.get("subject", ""))  # as pandas writes a number
            more = text.get("rater", ""), folder, part_in(source.stem)
            row = Rating(place, text["image"], text["rating"], subject, split, *more)
            several = columns["rating"] if len(columns["rating"]) > 1 else ()
            rows += [row._replace(rating=cells[n], rater=ratings.columns[n]) for n in several] or [row]
    notes += [f"ratings: {'; '.join(ranges)}"] if len(ranges) > 1 else []
    rows = _one_case(_drop_lonely_raters(rows, raters, how.asked, notes), notes)
    return _split_by_folders(rows, how.asked, notes)


def _below(folder: Path, root: Path) -> str:
    path = os.path.relpath(os.path.realpath(folder), os.path.realpath(root)).replace(os.sep, "/")
    return "" if path == "." or path.split("/")[0] == ".." else path


def _split_by_folders(rows: list[Rating], asked: Mapping[str, Sequence[str]], notes: list[str]) -> list[Rating]:
    """The rows with the part that the folders of their images say, if no column says it and all folders do."""
    if "split" in asked or any(row.split for row in rows):
        return rows
    parts = [folder_part(re.split(r"[/\\]", row.image)[:-1]) for row in rows]
    if not all(parts) or not {"train", "test"} <= set(parts):
        return rows
    notes.append("no column says train, val or test: each image is for the part that its folder says")
    return [row._replace(split=part) for row, part in zip(rows, parts)]


def _one_case(rows: list[Rating], notes: list[str]) -> list[Rating]:
    """The rows with one spelling of each subject: P0 and p0 are one person, who must not be in two parts."""
    first: dict[str, str] = {}
    spelled = {subject: first.setdefault(subject.casefold(), subject) for subject in (row.subject for row in rows)}
    if other := next((subject for subject, kept in spelled.items() if subject != kept), ""):
        notes.append(f"subjects that differ only in case count as one: {printable(other)}, {printable(spelled[other])}")
    return [row._replace(subject=spelled[row.subject]) for row in rows]


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
