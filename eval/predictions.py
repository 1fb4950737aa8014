"""Reads predictions files, row by row, and tells which dataset, scale and prompt strategy a row belongs to."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from data_prep.questions import STRATEGIES, Scale, answers
from data_prep.scales import SCALES


class Row(NamedTuple):
    """One prediction: line number in its file (from 1), dataset, scale, strategy, true label, the model's text."""

    line: int
    dataset: str
    scale: Scale
    strategy: str
    label: int
    predict: str


class BadRow(NamedTuple):
    """A line that cannot be scored, and why."""

    line: int
    reason: str


class Meaning(NamedTuple):
    """What a label text stands for in one dataset and strategy."""

    dataset: str
    scale: Scale
    strategy: str
    label: int


def find(path: Path) -> list[Path]:
    """The predictions files meant by a path: itself, or each generated_predictions.jsonl below a folder, sorted.

    Raises FileNotFoundError, naming the path, if there is none.
    """
    if path.is_dir():
        found = sorted(path.rglob("generated_predictions.jsonl"))
        if not found:
            raise FileNotFoundError(f"{path}: no generated_predictions.jsonl in this folder or below it")
        return found
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file or folder")
    return [path]


def read(path: Path, scales: dict[str, Scale] = SCALES) -> Iterator[Row | BadRow]:
    """The rows of a predictions file, one at a time. A line that cannot be read becomes a BadRow; blank lines pass."""
    named, meanings = _dataset_of(path, scales), _meanings(scales)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield _row(number, json.loads(line), named, scales, meanings)
            except UnicodeDecodeError:
                yield BadRow(number, f"not UTF-8: {line[:60]!r}")
            except json.JSONDecodeError as error:
                cut = "" if line.endswith(b"\n") else ", and the line ends unfinished (truncated file?)"
                yield BadRow(number, f"not JSON: {error.msg} at character {error.pos}{cut}")
            except (KeyError, TypeError, ValueError) as error:
                yield BadRow(number, str(error.args[0]))


def _row(number: int, row: object, named: str, scales: dict[str, Scale], meanings: dict[str, list[Meaning]]) -> Row:
    if not isinstance(row, dict):
        raise TypeError(f"not an object with keys but {str(row)[:60]!r}")
    for key in ("predict", "label"):
        if not isinstance(row.get(key), str):
            found = f"is {row[key]!r}, not a text" if key in row else f"is missing (keys: {', '.join(row) or 'none'})"
            raise KeyError(f"key {key!r} {found}")
    dataset, text = str(row.get("dataset") or named), row["label"].strip()
    fits = [meaning for meaning in meanings.get(text, ()) if dataset not in scales or meaning.dataset == dataset]
    if not fits:
        of = f"the scale of {dataset}" if dataset in scales else "any known scale (one of your own? --scale SCALE.yaml)"
        raise ValueError(f"label {text[:80]!r} is not an answer of {of}")
    if len({(fit.scale.name, fit.strategy) for fit in fits}) > 1:
        names = ", ".join(fit.dataset for fit in fits)
        raise ValueError(f"label {text[:80]!r} fits {names}: name the folder after the dataset")
    return Row(number, dataset, fits[0].scale, fits[0].strategy, fits[0].label, row["predict"])


def _meanings(scales: dict[str, Scale]) -> dict[str, list[Meaning]]:
    """Answer text -> what it can mean."""
    known: dict[str, list[Meaning]] = {}
    for dataset, scale in scales.items():
        for strategy in STRATEGIES:
            for text, label in answers(scale, strategy).items():
                known.setdefault(text, []).append(Meaning(dataset, scale, strategy, label))
    return known


def _dataset_of(path: Path, scales: dict[str, Scale]) -> str:
    """The dataset that a file's or its folder's name holds as a word (storm_lite_spaq), else the folder's name."""
    names = (path.stem, path.resolve().parent.name)
    for name in names:
        for word in (name, *re.split(r"[^a-z0-9]+", name.lower())):
            if word in scales:
                return word
    return names[1] if path.stem == "generated_predictions" else names[0]
