"""JSON that holds rows of predictions: a list, rows one behind the other, or the tables that pandas writes."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from storm.files import Line
from storm.text import printable

LISTS = ("logs", "predictions", "results", "data", "rows", "samples", "responses", "items")  # keys of a list of rows
Known = Callable[[Mapping], bool]  # whether an object is a row


def is_row(data: Any, known: Known) -> bool:
    """Whether a value is a row, rather than a table by columns, whose keys are those of a row."""
    if not isinstance(data, dict) or not known(data):
        return False
    return len(data) < 2 or not any(all(isinstance(value, kind) for value in data.values()) for kind in (dict, list))


def loads(text: str | bytes) -> Any:
    """JSON, with the NaN, Infinity and halves of letters that Python writes. Raises ValueError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        signs = ("NaN", "Infinity", "\\ud")
        if not any((sign.encode() if isinstance(text, bytes) else sign) in text for sign in signs):
            raise
        return json.loads(text)


def of_text(path: Path, text: str, known: Known) -> Iterator[Line]:
    """The rows of a text that is one JSON value, or several, one behind the other. Raises ValueError naming the file if
    it holds no rows."""
    text, number = text.lstrip("\ufeff"), 0
    try:
        data = loads(text)
    except ValueError as error:
        data, rest = _values(text)
        if not data or (len(data) < 2 and not is_row(data[0], known)):
            raise ValueError(f"{path}: not JSON ({error}); is it cut off? Write it again") from None
    else:
        rest = ""
    lines = [Line(0, row) for row in data] if isinstance(data, list) else _held(data, known)
    if isinstance(data, dict) and is_row(data, known):
        lines = [Line(0, data)]
    if lines is None:
        fix = "--keys predict=KEY,label=KEY names them"
        raise ValueError(f"{path}: JSON without rows of predictions ({_keys(data)}); {fix}")
    for number, line in enumerate(lines, start=1):
        row = (
            line.row[0] if isinstance(line.row, list) and len(line.row) == 1 else line.row
        )  # pipelines of transformers
        yield line._replace(number=number, row=row)
    if rest:
        yield Line(number + 1, None, f"not JSON, and nothing behind it is read: {printable(rest[:60])!r}")


def _values(text: str) -> tuple[list, str]:
    """JSON values that stand one behind the other, and what is left behind the last one that can be read."""
    decoder, at, values = json.JSONDecoder(), 0, []
    while match := re.compile(r"[\s,\ufeff]*(?=[{\[])").match(text, at):
        try:
            value, at = decoder.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            break
        values.append(value)
    return values, text[at:].strip(" \t\r\n,")


def _held(data: dict, known: Known) -> list[Line] | None:
    """The rows that an object holds: a list of them, columns (pandas), rows by their id, or texts by image."""
    lists = {key: rows for key, rows in data.items() if isinstance(rows, list) and rows}
    named = [key for key in LISTS if key in lists]
    if isinstance(data.get("columns"), list) and named:
        columns = data["columns"]
        return [_zipped(columns, row) for row in lists[named[0]]]
    if len(named) == 1 and all(isinstance(row, dict) for row in lists[named[0]]):
        others = [key for key, rows in lists.items() if key != named[0] and any(isinstance(row, dict) for row in rows)]
        more = [Line(0, None, f"the key {key!r} holds more rows, which are not read; cut one out") for key in others]
        return [Line(0, row) for row in lists[named[0]]] + more
    inner = list(data.values())
    if inner and all(isinstance(column, list) and len(column) == len(inner[0]) for column in inner):
        return [Line(0, dict(zip(data, cells))) for cells in zip(*inner)]
    if inner and all(isinstance(column, dict) for column in inner):
        if known(data):  # columns, each with its cells by row
            places = dict.fromkeys(place for column in inner for place in column)
            return [Line(0, {name: column.get(place) for name, column in data.items()}) for place in places]
        return [Line(0, {"id": id, **row}) for id, row in data.items()]
    if inner and all(isinstance(text, str) for text in inner):
        return [Line(0, {"id": id, "predict": text}) for id, text in data.items()]
    return None


def _zipped(columns: list, cells: Any) -> Line:
    """A row of pandas' split form."""
    if not isinstance(cells, list) or len(cells) != len(columns):
        return Line(0, None, f"not {len(columns)} cells but {printable(str(cells))[:60]!r}")
    return Line(0, dict(zip(columns, cells)))


def _keys(data: Any) -> str:
    return "keys: " + printable(", ".join(map(str, list(data)[:8]))) if isinstance(data, dict) else "a single value"
