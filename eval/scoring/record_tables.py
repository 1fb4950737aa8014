"""Predictions in tables: csv, tsv and the like, .xlsx and .parquet, row by row."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from storm.files import Line, open_regular
from storm.text import printable

DELIMITERS = ",;\t|"
LONGEST = 100_000_000  # letters of a cell, as of images that some tools keep in a column as text


def text_table(path: Path, file: IO[bytes], encoding: str) -> Iterator[Line]:
    """The rows of csv, tsv and the like; the first names the columns. A cell may have several lines; an empty one is
    None. Raises ValueError naming file and line for what is no table."""
    csv.field_size_limit(LONGEST)
    text = io.TextIOWrapper(file, encoding, newline="")
    line = 1
    try:
        first, above = text.readline(1 << 20), 0
        if named := re.fullmatch(r"sep=(.)\r?\n", first):  # what Excel writes to name the delimiter
            first, above = text.readline(1 << 20), 1
        delimiter = named[1] if named else max(DELIMITERS, key=first.count)
        reader = csv.reader(_with(first, text), delimiter=delimiter, strict=True)
        columns = [name.strip() for name in next(reader, [])]
        if len(columns) < 2 or not first.endswith("\n"):
            raise ValueError(f"{path}: neither JSON nor a table with a header: {printable(first[:60])}")
        _refuse_twice(path, columns)
        line = reader.line_num + above + 1
        for cells in reader:
            if any(cells):
                fault = f"{len(cells)} cells for {len(columns)} columns" if len(cells) != len(columns) else ""
                yield Line(line, None if fault else dict(zip(columns, (cell or None for cell in cells))), fault)
            line = reader.line_num + above + 1
    except csv.Error as error:
        raise ValueError(f"{path}, line {line}: {error}; close or double the quote there") from None
    except UnicodeDecodeError:
        name = encoding.removesuffix("-sig").upper()
        raise ValueError(f"{path}, line {line} or below: not {name}; save it as UTF-8") from None


def _refuse_twice(path: Path, columns: list[str]) -> None:
    """Raises ValueError for a column that is there twice, of which one would be lost."""
    if twice := next((name for at, name in enumerate(columns) if name and name in columns[:at]), ""):
        raise ValueError(f"{path}: column {printable(twice)!r} is there twice; rename one")


def _with(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def workbook(path: Path) -> Iterator[Line]:
    """The rows of the one sheet of an .xlsx file. Raises ValueError for another archive."""
    from zipfile import ZipFile, is_zipfile

    from data_prep.rating_sheets import sheet_rows

    if path.suffix.lower() in (".gz", ".zst"):
        raise ValueError(f"{path}: a packed .xlsx or .zip file; unpack it, with gunzip or unzstd, and name that")
    if not is_zipfile(path) or "xl/workbook.xml" not in ZipFile(path).namelist():
        raise ValueError(f"{path}: a zip archive; unpack it and name the file in it")
    rows = iter(sheet_rows(path, []))
    _, columns = next(rows, (0, []))
    _refuse_twice(path, columns)
    for number, cells in rows:
        yield Line(number, dict(zip(columns, (cell or None for cell in cells))))


def parquet(path: Path) -> Iterator[Line]:
    """The rows of a .parquet file, without columns of bytes (images). Raises ValueError if it is damaged."""
    from pyarrow import ArrowException, types
    from pyarrow.parquet import ParquetFile

    if path.suffix.lower() in (".gz", ".zst"):
        raise ValueError(f"{path}: a packed .parquet file; unpack it, with gunzip or unzstd, and name that")
    try:
        with open_regular(path) as opened, ParquetFile(opened) as file:
            names = [field.name for field in file.schema_arrow if not types.is_binary(field.type)]
            rows = (row for batch in file.iter_batches(columns=names) for row in batch.to_pylist())
            for number, row in enumerate(rows, start=1):
                yield Line(number, row)
    except (ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a readable .parquet file ({printable(str(error))[:100]})") from None
