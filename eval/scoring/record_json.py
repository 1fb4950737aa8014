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
    """The rows of a text that is read as a whole: JSON, or JSON lines in UTF-16."""
    try:
        data = loads(text.lstrip("\ufeff"))
    except ValueError as error:
        values = list(_values(text))
        if len(values) < 2:
            raise ValueError(f"{path}: not JSON ({error}); is it cut off? Write it again") from None
        data = values
    rows = data if isinstance(data, list) else [data] if is_row(data, known) else _held(data)
    if rows is None:
        raise ValueError(
            f"{path}: JSON without rows of predictions ({_keys(data)}); --keys predict=KEY,label=KEY names them"
        )
    for number, row in enumerate(rows, start=1):
        yield Line(number, row)


def _values(text: str) -> Iterator[Any]:
    """JSON values that stand one behind the other, as far as they can be read."""
    decoder, at = json.JSONDecoder(), 0
    while match := re.compile(r"[\s,\ufeff]*(?=[{\[])").match(text, at):
        try:
            value, at = decoder.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            return
        yield value


def _held(data: dict) -> list | None:
    """The rows that an object holds: a list of them, columns (pandas), rows by their id, or texts by id."""
    lists = [data[key] for key in LISTS if isinstance(data.get(key), list) and data[key]]
    if isinstance(data.get("columns"), list) and lists:
        return [dict(zip(data["columns"], row)) for row in lists[0] if isinstance(row, list)]
    if len(lists) == 1 and all(isinstance(row, dict) for row in lists[0]):
        return lists[0]
    inner = list(data.values())
    if inner and all(isinstance(column, list) and len(column) == len(inner[0]) for column in inner):
        return [dict(zip(data, cells)) for cells in zip(*inner)]
    if inner and all(isinstance(column, dict) for column in inner):
        by_column = [key for key in ("predict", "prediction", "response", "label", "answer", "output") if key in data]
        if by_column:
            places = dict.fromkeys(place for column in inner for place in column)
            return [{name: column.get(place) for name, column in data.items()} for place in places]
        return [{"id": id, **row} for id, row in data.items()]
    if inner and all(isinstance(text, str) for text in inner):
        return [{"id": id, "predict": text} for id, text in data.items()]
    return None


def _keys(data: Any) -> str:
    return "keys: " + printable(", ".join(map(str, list(data)[:8]))) if isinstance(data, dict) else "a single value"
