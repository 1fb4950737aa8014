"""The test files that predictions are about: which there are, and which of their rows each prediction answers.

LLaMA-Factory and the authors' scripts write no ids, only rows in order. A prediction is joined to its test file by id
if it has one, else by position, and never where a label disagrees: that would be another data build.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from storm.custom_scale import load as load_scale
from storm.scales import Scale
from storm.prompts import answers
from storm.datasets import SCALES
from storm.rows import tasks

PLACES = (Path("data/storm"), Path("data/demo"))  # what data_prep and the demo write


class Known(NamedTuple):
    """A row of a test file, as far as scores need it."""

    id: str
    label: int
    subject: str


Index = dict[tuple[str, str], Path]  # (dataset, strategy) -> its test file


def known(scale: Path | None, data: Sequence[Path] | None, errors: list[str]) -> tuple[dict[str, Scale], Index]:
    """The scales, with one of the user's own, and the test files named, or of PLACES and beside that scale."""
    scales, places = dict(SCALES), list(data or (place for place in PLACES if place.exists()))
    try:
        if scale:
            own = load_scale(scale).scale
            scales[own.name] = own
            places += [] if data else [scale.parent]
    except (OSError, ValueError) as error:
        errors.append(str(error))
    return scales, index(places, scales, errors)


def index(paths: Iterable[Path], scales: Mapping[str, Scale], errors: list[str]) -> Index:
    """The test files named, or below folders. One that cannot be used is a line in errors; of two of a kind, both."""
    found: Index = {}
    twice = set()
    for path in dict.fromkeys(paths):
        if not path.exists():
            errors.append(f"--data {path}: no such file or folder")
            continue
        for file in sorted(path.rglob("*_test*.jsonl")) if path.is_dir() else [path]:
            try:
                first = next(tasks(file, scales), None)
            except (OSError, ValueError) as error:
                errors.append(str(error))
                continue
            if first is None:
                continue
            key = (first.dataset, first.strategy)
            if key in found:
                errors.append(f"--data: two test files of {' '.join(key)}: {found[key]} and {file}: name one")
                twice.add(key)
            found.setdefault(key, file)
    return {key: file for key, file in found.items() if key not in twice}


def rows(path: Path, scales: Mapping[str, Scale]) -> list[Known]:
    """A test file's rows, in its order. Raises ValueError as tasks() does, and for an answer that is none."""
    known, labels = [], cache(answers)
    for number, task in enumerate(tasks(path, scales), 1):
        label = labels(task.scale, task.strategy).get(task.answer)
        if label is None:
            raise ValueError(f"{path}, line {number}: {task.answer[:60]!r} is no answer to its question")
        known.append(Known(task.id, label, task.subject))
    return known


def join(
    path: Path,
    known: Sequence[Known],
    ids: Sequence[str | None],
    places: Sequence[int],
    labels: Sequence[int],
    lines: Sequence[int],
) -> list[int]:
    """Of each prediction, the position of its row in a test file. Raises ValueError naming the line where they part.

    A prediction has an id, or None and its place in its own file; its label and line number.
    """
    at = {row.id: place for place, row in enumerate(known)}
    found = []
    for id, place, label, line in zip(ids, places, labels, lines):
        if id is not None:
            if id not in at:
                raise ValueError(f"line {line}: {path} has no row with the id {id!r}: another data build?")
            place = at[id]
        elif place >= len(known):
            raise ValueError(f"line {line}: {path} has only {len(known):,} rows: an appended rerun?")
        if known[place].label != label:
            raise ValueError(f"line {line}: label {label}, but {known[place].label} in {path}, line {place + 1}")
        found.append(place)
    return found
