"""The test files that predictions are about: which there are, and which of their rows each prediction is of.

LLaMA-Factory and the authors' scripts write no ids, only rows in order. A prediction is joined to its test file by id
if it has one, else by position, and never where a label disagrees: that would be another data build.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from storm.custom_scale import load as load_scale
from storm.datasets import SCALES
from storm.options import describe
from storm.rows import Example, read_examples
from storm.scales import Scale

PLACES = (Path("data/storm"), Path("data/demo"))  # what data_prep and the demo write

Index = dict[tuple[str, str], Path]  # (dataset, strategy) -> its test file


def known(scale: Path | None, data: Sequence[Path] | None) -> tuple[dict[str, Scale], Index, list[str]]:
    """The scales, with one of the user's own, the test files named, or of PLACES and beside that scale, and errors."""
    scales, places, errors = dict(SCALES), list(data or (place for place in PLACES if place.exists())), []
    try:
        if scale:
            loaded = load_scale(scale).scale
            scales[loaded.name] = loaded
            places += [] if data else [scale.parent]
    except (OSError, ValueError) as error:
        errors.append(describe(error))
    tests, wrong = index(places, scales)
    return scales, tests, errors + wrong


def index(paths: Iterable[Path], scales: Mapping[str, Scale]) -> tuple[Index, list[str]]:
    """The test files named, or below folders, and a line for each that cannot be used; two of a kind both cannot."""
    tests: dict[tuple[str, str], list[Path]] = {}
    errors = []
    for path in dict.fromkeys(paths):
        if not path.exists():
            errors.append(f"--data {path}: no such file or folder; python -m data_prep writes test files")
            continue
        for file in sorted(path.rglob("*_test*.jsonl")) if path.is_dir() else [path]:
            try:
                first = next(read_examples(file, scales), None)
            except (OSError, ValueError) as error:
                errors.append(describe(error))
                continue
            if first:
                tests.setdefault((first.dataset, first.strategy), []).append(file)
    for key, (file, *others) in tests.items():
        errors += [f"--data: two test files of {' '.join(key)}: {file} and {other}: name one" for other in others]
    return {key: file for key, (file, *others) in tests.items() if not others}, errors


def join(
    path: Path, examples: Sequence[Example], ids: Sequence[str | None], places: Sequence[int], labels: Sequence[int]
) -> list[int]:
    """Of each prediction, the position of its row in a test file. Raises Mismatch where the two part.

    A prediction has an id, or None and its place in its file, and a label.
    """
    position = {example.id: number for number, example in enumerate(examples)}
    rows = []
    for number, (id, place, label) in enumerate(zip(ids, places, labels)):
        row = place if id is None else position.get(id)
        if row is None:
            raise Mismatch(number, f"{path} has no row with the id {id!r}: another data build?")
        if row >= len(examples):
            raise Mismatch(number, f"{path} has only {len(examples):,} rows: an appended rerun?")
        if examples[row].label != label:
            raise Mismatch(number, f"label {label}, but {examples[row].label} in {path}, row {row + 1}")
        rows.append(row)
    return rows


class Mismatch(ValueError):
    """A prediction, by its number from 0, that is not of the test file, and why."""
