"""Files of ratings in the forms that people have, as one table: text columns, and where each row stands.

csv, tsv and the like, blank-separated text, .xlsx, .parquet, JSON (records, a Label Studio export, COCO with a rating),
JSON lines (records, a SageMaker manifest), or a folder with a folder for each level. Which column is what is the matter
of rating_columns.py.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from data_prep.tables import cells_of, decoded
from storm.files import open_regular, read_jsonl
from storm.images import suffixes
from storm.text import printable

TEXT = (".csv", ".tsv", ".txt", ".dat", ".data", ".lst")
PARTS = ("train", "training", "val", "valid", "validation", "dev", "test", "testing")  # folders above the levels


class Ratings(NamedTuple):
    """Names of the columns, and (place in words, cells as text) of each row. Without a header, columns are 1, 2 ..."""

    columns: list[str]
    rows: list[tuple[str, list[str]]]


def read_ratings(path: Path, header: bool, notes: list[str]) -> Ratings:
    """The table in a file or folder. header: the first row of a text file or sheet names the columns.

    Raises OSError, or ValueError in one line that says what the file looks like and what to do.
    """
    if path.is_dir():
        return _folder(path)
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson", ".manifest"):
        return _records(path, _json_lines(path))
    if suffix == ".parquet":
        return _parquet(path)
    if suffix == ".json" or (suffix in TEXT and _looks_like_json(path)):
        return _records(path, _json(path))
    if suffix in TEXT or suffix in (".xlsx", ".xls"):
        return _table(path, header, notes)
    known = ", ".join((*TEXT, ".xlsx", ".parquet", ".json", ".jsonl"))
    raise ValueError(f"{path}: {suffix or 'no extension'} is not a known kind of rating file ({known}, or a folder)")


def _table(path: Path, header: bool, notes: list[str]) -> Ratings:
    rows = [(line, cells) for line, cells in cells_of(path, notes) if any(cells)]
    if rows and max(len(cells) for _, cells in rows) == 1 and len(rows[0][1][0].split()) > 1:
        rows = [(line, cells[0].split()) for line, cells in rows]  # "a.jpg 1.5", as SCUT-FBP5500 has it
    if not rows:
        raise ValueError(f"{path}: no rows; download or save it again")
    first = rows[0][1]
    if header:
        columns, rows = first, rows[1:]
        if any(name.lower().endswith(suffixes()) for name in first):
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


def _filled(cells: Sequence[str], width: int) -> list[str]:
    return [*cells[:width], *[""] * (width - len(cells))]


def _short(cells: Iterable[str]) -> str:
    return printable(", ".join(map(str, cells)))[:100]


def _looks_like_json(path: Path) -> bool:
    with open_regular(path) as file:
        return file.read(1000).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{")


def _json(path: Path) -> Iterator[tuple[str, dict]]:
    """(place, record) of a JSON file: a list of records, a Label Studio export, COCO, or a rating for each name."""
    try:
        data = orjson.loads(decoded(path))
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not JSON ({error.msg}); JSON lines end in .jsonl") from None
    if isinstance(data, dict) and isinstance(data.get("images"), list) and isinstance(data.get("annotations"), list):
        yield from _coco(path, data)
        return
    if isinstance(data, dict):
        lists = [value for value in data.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
        if len(lists) == 1:
            data = lists[0]
        elif data and all(isinstance(value, (str, int, float)) for value in data.values()):
            data = [{"image": name, "rating": value} for name, value in data.items()]
    if not isinstance(data, list) or not all(isinstance(record, dict) for record in data):
        raise ValueError(f'{path}: JSON, but not a list of records such as {{"image": ..., "rating": ...}}')
    studio = all(isinstance(task.get("data"), dict) and "annotations" in task for task in data)
    for number, record in enumerate(data, start=1):
        yield from _tasks(path, number, record) if studio and data else [(f"{path.name}, record {number}", record)]


def _json_lines(path: Path) -> Iterator[tuple[str, dict]]:
    for line in read_jsonl(path):
        if line.fault or not isinstance(line.row, dict):
            raise ValueError(f"{path}, line {line.number}: {line.fault or 'not a record'}; one {{...}} on each line")
        yield f"{path.name}, line {line.number}", line.row


def _tasks(path: Path, number: int, task: dict) -> Iterator[tuple[str, dict]]:
    """The annotations of a task of Label Studio, one record each: several people may have rated an image."""
    done = [one for one in task["annotations"] if isinstance(one, dict) and not one.get("was_cancelled")]
    for annotation in done:
        values = [item.get("value") or {} for item in annotation.get("result") or () if isinstance(item, dict)]
        ratings = [_rated(value) for value in values if _rated(value) is not None]
        place = f"{path.name}, record {number}"
        if len(ratings) > 1:
            raise ValueError(
                f"{path}, record {number}: {len(ratings)} ratings in one annotation; export one question only"
            )
        who = annotation.get("completed_by")
        who = who.get("email") or who.get("id") if isinstance(who, dict) else who
        yield place, task["data"] | {"rating": ratings[0] if ratings else ""} | ({} if who is None else {"rater": who})
    if not done:
        yield f"{path.name}, record {number}", task["data"] | {"rating": ""}


def _rated(value: dict) -> Any:
    """The rating in a result of Label Studio: stars, a number, or one choice; None if it is another thing."""
    choices = value.get("choices")
    return next((value[key] for key in ("rating", "number") if key in value), choices[0] if choices else None)


def _coco(path: Path, data: dict) -> Iterator[tuple[str, dict]]:
    """The annotations of a file like COCO's, with the name of their image and their attributes."""
    images = {image.get("id"): image for image in data["images"] if isinstance(image, dict)}
    for number, annotation in enumerate(data["annotations"], start=1):
        image = images.get(annotation.get("image_id"))
        if image is None:
            raise ValueError(f"{path}, annotation {number}: no image has the id {annotation.get('image_id')!r}")
        attributes = annotation.get("attributes")
        record = annotation | (attributes if isinstance(attributes, dict) else {})
        record = {
            key: value for key, value in record.items() if key not in ("id", "image_id", "bbox", "area", "iscrowd")
        }
        yield f"{path.name}, annotation {number}", record | {"file_name": image.get("file_name", "")}


def _records(path: Path, records: Iterable[tuple[str, dict]]) -> Ratings:
    """Records as a table. Values that are lists or objects are no cells: their columns are left out."""
    rows = list(records)
    columns = list(dict.fromkeys(key for _, record in rows for key, value in record.items() if _plain(value)))
    if not rows or not columns:
        raise ValueError(f"{path}: no records; each needs an image and a rating")
    return Ratings(columns, [(place, [_text(record.get(name)) for name in columns]) for place, record in rows])


def _plain(value: Any) -> bool:
    return value is not None and not isinstance(value, (list, dict))


def _text(value: Any) -> str:
    if value is None or not _plain(value) or value != value:  # NaN, as pandas has an empty cell
        return ""
    return str(value).strip()


def _parquet(path: Path) -> Ratings:
    """A table of Parquet; an image column of Hugging Face's datasets (bytes and path) counts by its path."""
    import pyarrow
    from pyarrow import parquet

    try:
        with open_regular(path) as file:
            rows = parquet.read_table(file).to_pylist()
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
    return _records(path, ((f"{path.name}, row {number}", row) for number, row in enumerate(rows, start=1)))


def _folder(path: Path) -> Ratings:
    """image, rating and split of a folder with a folder for each level, which may lie in train/, val/ and test/.

    Raises ValueError if images lie deeper, or beside the folders of the levels.
    """
    rows, faults = [], []
    for file in sorted(path.rglob("*")):
        inside = file.relative_to(path).parts
        if not file.name.lower().endswith(suffixes()) or any(part.startswith(".") for part in inside):
            continue
        part = inside[0] if len(inside) > 1 and inside[0].lower() in PARTS else ""
        level = inside[1:-1] if part else inside[:-1]
        if len(level) != 1:
            faults.append("/".join(inside))
            continue
        rows.append(("/".join(inside), ["/".join(inside), level[0], part]))
    if faults or not rows:
        have = f"{printable(faults[0])} is in none" if faults else "there is none"
        raise ValueError(f"{path}: a folder must have a folder for each level with its images; {have}")
    return Ratings(["image", "rating", "split"], rows)
