"""Strict tables: csv with any delimiter and encoding, and .xlsx. What is not a sound table is refused with its line.

Columns are asked for by all the names that people give them: case, blanks, "_", "-" and "#" do not matter.
"""

import csv
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from zipfile import BadZipFile

from storm.files import open_regular
from storm.text import printable

BYTES = 500_000_000  # the largest label file has 13 MB (AVA.txt)
DELIMITERS = ",;\t|"
SIGNS = "€–—‘’“”…•°·«»§"  # beside letters, what text in cp1252 has
# How a file that is not a table begins -> what it is and what to do.
OTHERS = {
    b"PK\x03\x04": "a zip or .xlsx file; unpack it, or give it the extension .xlsx",
    b"\xd0\xcf\x11\xe0": "an old Excel file; save it as .xlsx or CSV UTF-8",
    b"version https://git-lfs": "a pointer of Git LFS, not the file; get it with: git lfs pull",
    b"\x1f\x8b": "a gzip file; unpack it with: gunzip",
    b"\x89HDF": "an HDF5 file, not a table of text",
}


class NoColumn(ValueError):
    """A table without a column that is needed: it is another table."""


Columns = Mapping[str, Sequence[str]]  # our name of a column -> the names it may have, the most trusted first
TextRow = tuple[int, dict[str, str]]  # line or row number from 1, our name -> text without blanks at its ends


def read_table(
    path: Path, columns: Columns, optional: Columns | None = None, notes: list[str] | None = None
) -> Iterator[TextRow]:
    """Rows of a table with a header, as (line, our name of the column -> text). Empty rows are left out.

    Only the columns that are asked for are read; an `optional` one that is not there is not in the rows. A row cut
    short has "" in its last columns. An encoding other than UTF-8 is added to `notes`. Raises OSError, or ValueError
    naming the file, the line and the fix: no table, a column that is missing or there twice, a quote that does not end,
    a row with more cells than columns, no rows.
    """
    rows = cells_of(path, notes)
    _, header = next(rows, (1, []))
    places = _places(path, header, columns, optional or {})
    width = max((place for place, name in enumerate(header, start=1) if name), default=0)
    empty = True
    for line, cells in rows:
        if len(cells) > width and any(cells[width:]):
            text = printable(",".join(cells))[:120]
            fix = 'write numbers as 1.5, and quote a cell that holds ","'
            raise ValueError(f"{path}, line {line}: {len(cells)} cells for {width} columns ({text}); {fix}")
        if any(cells):
            empty = False
            yield line, {name: cells[place] if place < len(cells) else "" for name, place in places.items()}
    if empty:
        raise ValueError(f"{path}: no rows below the header; download it again")


def cells_of(path: Path, notes: list[str] | None = None) -> Iterator[tuple[int, list[str]]]:
    """(line, stripped cells) of each row, the header first. Raises OSError, or ValueError naming the file."""
    if path.suffix.lower() == ".xls":
        raise ValueError(f"{path}: an old Excel file; save it as .xlsx or CSV UTF-8")
    return _sheet(path) if path.suffix.lower() == ".xlsx" else _text_rows(path, decoded(path, notes))


def check_size(path: Path, size: int) -> None:
    """Raises ValueError if a file has too many bytes to be a label file."""
    if size > BYTES:
        raise ValueError(f"{path}: {size:,} bytes, more than {BYTES:,}; is it a label file? Download it again")


def plain(name: str) -> str:
    """A column's name for comparing."""
    return "".join(letter for letter in name.casefold() if letter not in " _-#\ufeff")


def _places(path: Path, header: Sequence[str], columns: Columns, optional: Columns) -> dict[str, int]:
    """Our name of each column -> its place. Raises ValueError for one that is missing or there twice."""
    names = [plain(name) for name in header]
    for place, name in enumerate(names):
        if name and name in names[:place] and name.replace(".", "").isdecimal():
            raise ValueError(f"{path}, line 1: data, not the names of columns; write those above it")
        if name and name in names[:place]:
            raise ValueError(f"{path}, line 1: column {printable(header[place])!r} is there twice; rename one")
    places = {}
    for ours, known in (*columns.items(), *optional.items()):
        place = next((names.index(plain(name)) for name in known if plain(name) in names), None)
        if place is not None:
            places[ours] = place
        elif ours in columns:
            have = printable(", ".join(filter(None, header)) or "none")[:300]
            what = f"{path}: no column {' or '.join(map(repr, known))} (there are: {have}); is it another file?"
            raise NoColumn(f"{what} Rename the column if it is there, or take the owner's file")
    return places


def decoded(path: Path, notes: list[str] | None = None) -> str:
    """The text of a file. Raises ValueError naming the file if it is too large, empty, not text, or a web page."""
    with open_regular(path) as file:
        check_size(path, os.fstat(file.fileno()).st_size)
        data = file.read()
    if not data.strip():
        raise ValueError(f"{path}: empty; download it again")
    for start, what in OTHERS.items():
        if data.startswith(start):
            raise ValueError(f"{path}: {what}")
    if data.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        raise ValueError(f"{path}: a web page, perhaps of a login; download the file itself")
    text = _text(path, data, notes)
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ValueError(
            f"{path}, line {line}: a NUL character: UTF-16, or a damaged file; save it as UTF-8, or download it again"
        )
    return text


def _text(path: Path, data: bytes, notes: list[str] | None) -> str:
    """UTF-8, UTF-16 with a byte order mark, or what charset-normalizer finds, which is noted."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    else:
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            from charset_normalizer import from_bytes

            likely = [match.encoding for match in from_bytes(data)]
            if not likely:
                raise ValueError(f"{path}: not text in a known encoding; save it as CSV UTF-8") from None
            western = all(
                sign.isascii() or sign.isalpha() or sign in SIGNS for sign in data.decode("cp1252", "replace")
            )
            encoding = "cp1252" if western or "cp1252" in likely else likely[0]  # what Windows writes in the West
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not {encoding} ({error.reason}); save it as CSV UTF-8") from None
    if notes is not None:
        notes.append(f"{path.name} is read as {encoding}")
    return text


def _text_rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """(line, stripped cells) of each row, the header first. Raises ValueError for a quote that does not end."""
    csv.field_size_limit(BYTES)  # of a cell; that of Python, 131,072, would be reported as a quote that never ends
    first, _, _ = text.partition("\n")
    line = 1
    if said := re.match(r"\ufeff?sep=(.)\r?\n", text):  # what Excel reads and writes to name the delimiter
        first, line = said[1] * 9, 2
        text = text[said.end() :]
    delimiter = max(DELIMITERS, key=first.count)
    if not first.count(delimiter) and first.count("=") > 1:  # as the votes of EVA
        delimiter = "="
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    before = line - 1  # lines above those of the reader
    try:
        for cells in reader:
            if reader.line_num + before > line:
                raise ValueError(
                    f"{path}, line {line}: a quote opens here and ends on line {reader.line_num + before}; "
                    "close it, or put the cell on one line"
                )
            yield line, [cell.strip() for cell in cells]
            line = reader.line_num + before + 1
    except csv.Error as error:
        if "unexpected end" in str(error) or "field larger" in str(error):
            raise ValueError(f"{path}, line {line}: a quote opens here and never ends; close or remove it") from None
        raise ValueError(f"{path}, line {line}: {error}; a quote stands where none may") from None


def _sheet(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(row, cells as text) of the first sheet that is not empty. Raises ValueError naming the file if it is damaged."""
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    with open_regular(path) as file:
        check_size(path, os.fstat(file.fileno()).st_size)
        try:
            book = load_workbook(file, read_only=True, data_only=True)
        except (BadZipFile, InvalidFileException, KeyError, ValueError, OSError) as error:
            raise ValueError(f"{path}: not a readable .xlsx file ({error}); unpack the archive again") from None
        with closing(book):
            for sheet in book.worksheets:
                empty = True
                for row, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
                    empty = empty and all(cell is None for cell in cells)
                    if not empty:
                        yield row, ["" if cell is None else str(cell).strip() for cell in cells]
                if not empty:
                    return


def read_together(
    paths: Sequence[Path], columns: Columns, optional: Columns | None = None, notes: list[str] | None = None
) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of several files of one table, as (place in words, row). `columns` names the id first.

    Raises ValueError with the list of files if they hold the same id twice or not the same columns.
    """
    if len(paths) > 1 and len({columns_of(path, columns, optional or {}) for path in paths}) > 1:
        raise ValueError(f"{_list(paths)}: they have different columns; move away what is not meant")
    seen: dict[str, Path] = {}
    key = next(iter(columns))
    for path in paths:
        for line, row in read_table(path, columns, optional, notes):
            if len(paths) > 1 and (other := seen.setdefault(row[key], path)) != path:
                what = f"{row[key]!r} is in {other.name} and in {path.name}"
                raise ValueError(f"{_list(paths)}: {what}; which file is meant? Move the others away")
            yield f"{path.name}, line {line}", row
    if len(paths) > 1 and notes is not None:
        notes.append(f"{len(paths)} label files are read together: {', '.join(path.name for path in paths)}")


def _list(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))


def decimal(text: str) -> str:
    """A number with a point: "47,35", as spreadsheet programs write it in many languages, is 47.35."""
    return text.replace(",", ".") if re.fullmatch(r"-?\d+,\d+", text) else text


def columns_of(path: Path, columns: Columns, optional: Columns) -> tuple[str, ...]:
    """The names that a table has for these columns, as plain() gives them. Raises as read_table does."""
    _, header = next(cells_of(path), (1, []))
    return tuple(plain(header[place]) for place in _places(path, header, columns, optional).values())


def has_columns(path: Path, columns: Columns) -> bool:
    """Whether a table has all of these columns. Raises OSError or ValueError if it is not a sound table."""
    try:
        _places(path, next(cells_of(path), (1, []))[1], columns, {})
    except NoColumn:
        return False
    return True
