"""The table of ratings, a row an image, from the rows of a prediction: csv, xlsx, parquet or JSON lines.

Columns: image, label (the level's number), word (of what is counted, its number with the unit), value (the expected
rating in the user's own unit), coarse (the word of the coarse prediction), the probability of each level, entropy, mass
(of all valid answers together) and error. In csv and xlsx, each level has a column p_<word>, but for scales that count:
those have up to 121 levels. In parquet and JSON lines, probs is a list. An image that cannot be read has an error only.
"""

import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import IO

from eval.inference.ratings import Rating, rating_of
from storm.files import read_jsonl, whole_files, write_rows
from storm.scales import Scale
from storm.text import printable

SHEET_ROWS = 1_048_576  # most rows of an xlsx sheet, with the header
ORDERS = ("value", "image")


def ratings_of(path: Path, images: Collection[str], scale: Scale, strategy: str, order: str = "") -> list[Rating]:
    """The ratings in a file of predictions, in its order, as far as they are of these images.

    order: "value": the highest first, and those without one last; "image": by name.
    """
    wanted = set(images)
    rows = [rating_of(line.row, scale, strategy) for line in read_jsonl(path) if line.row["image"] in wanted]
    if order == "value":
        rows.sort(key=lambda row: (row.value is None, -(row.value or 0)))
    elif order:
        rows.sort(key=lambda row: row.image)
    return rows


def median_mass(ratings: Iterable[Rating]) -> float | None:
    """The median of the mass; None if no image could be read."""
    masses = [row.mass for row in ratings if row.mass is not None]
    return median(masses) if masses else None


def write(path: Path, ratings: Sequence[Rating], scale: Scale) -> None:
    """Write the table in the form that the path's ending says, whole or not at all. Raises ValueError for another one,
    or for too many rows."""
    kind = kind_of(path)
    with whole_files() as open_:
        WRITERS[kind](open_(path), ratings, scale)


def kind_of(path: Path) -> str:
    """The ending of a table's name. Raises ValueError for one that is not known."""
    if path.suffix.lower() not in WRITERS:
        raise ValueError(f"--out {path}: the name must end with {', '.join(WRITERS)}")
    return path.suffix.lower()


def flat(ratings: Sequence[Rating], scale: Scale) -> Iterator[list]:
    """The header, and the cells of each row, for tables that hold no lists."""
    words = [] if scale.counted else [level.word for level in scale.fine]
    yield ["image", "label", "word", "value", "coarse", *(f"p_{word}" for word in words), "entropy", "mass", "error"]
    for row in ratings:
        probs = (row.probs or [None] * len(words))[: len(words)]
        yield [row.image, row.label, row.word, row.value, row.coarse, *probs, row.entropy, row.mass, row.error]


def _csv(file: IO[bytes], ratings: Sequence[Rating], scale: Scale) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    csv.writer(text, lineterminator="\n").writerows(flat(ratings, scale))
    text.detach()


def _xlsx(file: IO[bytes], ratings: Sequence[Rating], scale: Scale) -> None:
    """Text stays text, also where it begins with "="; control characters, which a sheet cannot hold, are codes."""
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    if len(ratings) >= SHEET_ROWS:
        raise ValueError(f"--out: {len(ratings):,} rows, more than a sheet of .xlsx holds; write .csv or .parquet")
    book = Workbook(write_only=True)
    sheet = book.create_sheet("ratings")
    sheet.freeze_panes = "A2"

    def cell(value: str | float | None) -> object:
        if not isinstance(value, str):
            return value
        made = WriteOnlyCell(sheet, printable(value))
        made.data_type = "s"
        return made

    for row in flat(ratings, scale):
        sheet.append([cell(value) for value in row])
    book.save(file)


def _parquet(file: IO[bytes], ratings: Sequence[Rating], scale: Scale) -> None:
    import pyarrow
    from pyarrow import parquet

    number, text = pyarrow.float64(), pyarrow.string()
    kinds = {"label": pyarrow.int64(), "probs": pyarrow.list_(number)}
    kinds |= dict.fromkeys(("value", "entropy", "mass"), number)
    schema = pyarrow.schema([(name, kinds.get(name, text)) for name in Rating._fields])
    parquet.write_table(pyarrow.Table.from_pylist([row._asdict() for row in ratings], schema), file)


def _jsonl(file: IO[bytes], ratings: Sequence[Rating], scale: Scale) -> None:
    write_rows(file, (row._asdict() for row in ratings))


WRITERS: dict[str, Callable[[IO[bytes], Sequence[Rating], Scale], None]] = {
    ".csv": _csv,
    ".xlsx": _xlsx,
    ".parquet": _parquet,
    ".jsonl": _jsonl,
}
