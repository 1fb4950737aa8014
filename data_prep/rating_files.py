"""Files of ratings in the forms that people have, as one table: text columns, and where each row stands.

csv, tsv and the like, blank-separated text, .xlsx, .parquet, JSON (records, a Label Studio export, COCO with a rating),
JSON lines (records, a SageMaker manifest), or a folder with a folder for each level. Which column is what is the matter
of rating_columns.py.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_prep.parts import part_of
from data_prep.rating_json import json_lines, json_records
from data_prep.rating_sheets import sheet_rows
from data_prep.tables import cells_of
from storm.files import open_regular
from storm.images import suffixes
from storm.text import printable

TEXT = (".csv", ".tsv", ".txt", ".dat", ".data", ".lst")


class Ratings(NamedTuple):
    """Names of the columns, and (place in words, cells as text) of each row. Without a header, columns are 1, 2 ..."""

    columns: list[str]
    rows: list[tuple[str, list[str]]]


def read_ratings(path: Path, header: bool, notes: list[str], sheet: str = "") -> Ratings:
    """The table in a file or folder. header: the first row of a text file or sheet names the columns. sheet: of a
    workbook with several.

    Raises OSError, or ValueError in one line that says what the file looks like and what to do.
    """
    if path.is_dir():
        return _folder(path)
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson", ".manifest"):
        return _records(path, json_lines(path))
    if suffix == ".parquet":
        return _parquet(path)
    if suffix == ".json" or (suffix in TEXT and _looks_like_json(path)):
        return _records(path, json_records(path))
    if suffix == ".xlsx":
        return _table(path, header, sheet_rows(path, notes, sheet))
    if suffix in TEXT or suffix == ".xls":
        return _table(path, header, cells_of(path, notes))
    known = ", ".join((*TEXT, ".xlsx", ".parquet", ".json", ".jsonl"))
    raise ValueError(f"{path}: {suffix or 'no extension'} is not a known kind of rating file ({known}, or a folder)")


def _table(path: Path, header: bool, lines: Iterable[tuple[int, list[str]]]) -> Ratings:
    rows = [(line, cells) for line, cells in lines if any(cells)]
    if rows and max(len(cells) for _, cells in rows) == 1 and len(rows[0][1][0].split()) > 1:
        rows = [(line, cells[0].split()) for line, cells in rows]  # "a.jpg 1.5", as SCUT-FBP5500 has it
        width = len(rows[0][1])
        if short := next(((line, cells) for line, cells in rows if len(cells) < width), None):
            what = f"{len(short[1])} cells for {width} columns ({_short(short[1])})"
            raise ValueError(f"{path}, line {short[0]}: {what}; with blanks between columns, no cell may be empty")
    if not rows:
        raise ValueError(f"{path}: no rows; download or save it again")
    first = rows[0][1]
    if header:
        columns, rows = first, rows[1:]
        if any(name.lower().endswith(suffixes()) for name in first) or _like_the_others(first, rows):
            raise ValueError(
                f"{path}: the first row, {_short(first)}, is not a header; --no-header says that there is none"
            )
        if not rows:
            raise ValueError(f"{path}: no rows below the header; download or save it again")
    else:
        columns = [str(place + 1) for place in range(len(first))]
    while (
        columns
        and not columns[-1]
        and not any(len(cells) >= len(columns) and cells[len(columns) - 1] for _, cells in rows)
    ):
        columns = columns[:-1]
    for line, cells in rows:
        if any(cells[len(columns) :]):
            what = f"{len(cells)} cells for {len(columns)} columns ({_short(cells)})"
            raise ValueError(f"{path}, line {line}: {what}; quote a cell that holds a separator, or a blank")
    name = path.name
    return Ratings(columns, [(f"{name}, line {line}", _filled(cells, len(columns))) for line, cells in rows])


def _like_the_others(first: Sequence[str], rows: Sequence[tuple[int, list[str]]]) -> bool:
    """Whether each cell of a first row is written as most cells below it, but for digits: "p00, 1" above "p01, 2"."""

    def form(cell: str) -> str:
        return re.sub(r"\d+(?:[.,]\d+)?", "9", cell)

    if not any(re.search(r"\d", name) for name in first):
        return False
    for place, name in enumerate(first):
        below = [form(cells[place]) for _, cells in rows if place < len(cells)]
        if name and 2 * below.count(form(name)) <= len(below):
            return False
    return True


def _filled(cells: Sequence[str], width: int) -> list[str]:
    return [*cells[:width], *[""] * (width - len(cells))]


def _short(cells: Iterable[str]) -> str:
    return printable(", ".join(map(str, cells)))[:100]


def _looks_like_json(path: Path) -> bool:
    with open_regular(path) as file:
        return file.read(1000).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{")


def _records(path: Path, records: Iterable[tuple[str, dict]]) -> Ratings:
    """Records as a table. Columns of which all values are lists or objects are left out."""
    rows = list(records)
    columns = list(dict.fromkeys(key for _, record in rows for key, value in record.items() if _plain(value)))
    if not rows or not columns:
        raise ValueError(f"{path}: no records; each needs an image and a rating")
    return Ratings(columns, [(place, [_text(record.get(name)) for name in columns]) for place, record in rows])


def _plain(value: Any) -> bool:
    return value is not None and not isinstance(value, (list, dict))


def _text(value: Any) -> str:
    if value is None or value != value:  # NaN, as pandas has an empty cell
        return ""
    return str(value).strip() if _plain(value) else json.dumps(value, default=str)  # which is not a rating


def _parquet(path: Path) -> Ratings:
    """A table of Parquet; an image column of Hugging Face's datasets (bytes and path) counts by its path."""
    import numpy as np
    import pyarrow
    from pyarrow import parquet

    try:
        with open_regular(path) as file:
            table = parquet.read_table(file)
            single = {field.name for field in table.schema if field.type in (pyarrow.float16(), pyarrow.float32())}
            rows, names = table.to_pylist(), _class_names(table.schema.metadata or {})
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(
            f"{path}: not a readable Parquet file ({str(error).splitlines()[0]}); download it again"
        ) from None
    for row in rows:
        for name, value in row.items():
            if isinstance(value, dict) and set(value) == {"bytes", "path"}:
                if value["bytes"] and not value["path"]:
                    raise ValueError(f"{path}: column {name!r} holds the images themselves; save them as files first")
                row[name] = value["path"]
            elif name in names and value is not None and value == int(value):
                row[name] = names[name][int(value)] if 0 <= value < len(names[name]) else ""
            elif name in single and value is not None:
                row[name] = float(str(np.float32(value)))  # 2.6, not 2.5999999046325684
    return _records(path, ((f"{path.name}, row {number}", row) for number, row in enumerate(rows, start=1)))


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Column -> the names of its numbers, as Hugging Face's datasets write a ClassLabel into the metadata."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {name: part["names"] for name, part in features.items() if part.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _folder(path: Path) -> Ratings:
    """image, rating and split of a folder with a folder for each level, which may lie in train/, val/ and test/.

    Raises ValueError if images lie deeper, or beside the folders of the levels.
    """
    rows, faults = [], []
    for file in sorted(path.rglob("*")):
        inside = file.relative_to(path).parts
        if not file.name.lower().endswith(suffixes()) or any(part.startswith(".") for part in inside):
            continue
        part = inside[0] if len(inside) > 1 and part_of(inside[0]) else ""
        level = inside[1:-1] if part else inside[:-1]
        if len(level) != 1:
            faults.append("/".join(inside))
            continue
        rows.append(("/".join(inside), ["/".join(inside), level[0], part]))
    if faults or not rows:
        have = f"{printable(faults[0])} is in none" if faults else "there is none"
        raise ValueError(f"{path}: a folder must have a folder for each level with its images; {have}")
    return Ratings(["image", "rating", "split"], rows)
