"""The test files that predictions are about: which there are, and which of their rows each prediction is of.

LLaMA-Factory and the authors' scripts write no ids, only rows in order. A prediction is joined to its test file by id
if it has one, else by position, and never where a label disagrees: that would be another data build.
"""

import os
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eval.inference.settings import scales_with
from storm.datasets import SCALES
from storm.options import describe
from storm.rows import Example, dataset_and_part, read_examples
from storm.scales import Scale

if TYPE_CHECKING:
    from eval.scoring.runs import Kept

PLACES = (Path("data/storm"), Path("data/demo"))  # what data_prep and the demo write
PARTS = ("test", "val")  # of a dataset, that are predicted

Index = dict[tuple[str, str, str], Path]  # (dataset, strategy, part) -> its test or validation file


def add_inputs(parser: ArgumentParser) -> None:
    """The arguments of a command that scores: paths, --data and --scale."""
    add = parser.add_argument
    add("paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER", help="predictions, or folders of them")
    text = f"built test files (default: those in {' and '.join(map(str, PLACES))}, and beside --scale)"
    add("--data", nargs="+", type=Path, metavar="FILE_OR_FOLDER", help=text)
    add("--scale", type=Path, metavar="SCALE.yaml", help="a scale of your own (python -m data_prep own)")


def add_calibrate(parser: ArgumentParser) -> None:
    """The argument of a command that calibrates exact predictions."""
    text = "fit a temperature and intervals of levels (90%%) to these predictions of validation rows"
    add = parser.add_argument
    add("--calibrate", type=Path, metavar="PREDICTIONS", help=f"{text}, which the model was not trained on")


def scales_and_test_files(scale: Path | None, data: Sequence[Path] | None) -> tuple[dict[str, Scale], Index, list[str]]:
    """All scales, with a user's own; the test files in `data`, or in PLACES and beside that scale; and errors."""
    scales, places, errors = dict(SCALES), list(data or (place for place in PLACES if place.exists())), []
    try:
        scales = scales_with(scale)
        places += [scale.parent] if scale and not data else []
    except (OSError, ValueError) as error:
        errors.append(describe(error))
    tests, more_errors = index(places, scales)
    return scales, tests, errors + more_errors


def index(paths: Iterable[Path], scales: Mapping[str, Scale]) -> tuple[Index, list[str]]:
    """The test and validation files named, or below folders, and a line for each that cannot be used: of two of a kind,
    neither."""
    tests: dict[tuple[str, str, str], list[Path]] = {}
    errors = []
    for path in dict.fromkeys(paths):
        if not path.exists():
            errors.append(f"--data {path}: no such file or folder; python -m data_prep writes test files")
            continue
        for file in _below(path) if path.is_dir() else [path]:
            try:
                first = next(read_examples(file, scales), None)
            except (OSError, ValueError) as error:
                errors.append(describe(error))
                continue
            if first:
                tests.setdefault((first.dataset, first.strategy, part_of(file)), []).append(file)
    for key, (file, *others) in tests.items():
        errors += [f"--data: two files of {' '.join(key)}: {file} and {other}: name one" for other in others]
    return {key: file for key, (file, *others) in tests.items() if not others}, errors


def _below(folder: Path) -> list[Path]:
    """The files below a folder whose names say one of PARTS. Folders named images may be huge: left out."""
    files = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "images" and not name.startswith("."))
        files += [Path(root, name) for name in sorted(names) if name.endswith(".jsonl")]
    return [file for part in PARTS for file in files if f"_{part}" in file.stem]


def part_of(file: Path) -> str:
    """The part that a file's name says, "test" if none."""
    part = dataset_and_part(file.stem)[1]
    return part if part in PARTS else PARTS[0]


def file_of(tests: Index, dataset: str, strategy: str, predictions: Path) -> Path | None:
    """The file that predictions are about: of the part that their name says; if it says none, test rows go first."""
    said = dataset_and_part(predictions.stem)[1]
    parts = [said] if said in PARTS else PARTS
    file = next((tests[key] for part in parts if (key := (dataset, strategy, part)) in tests), None)
    if file and said in ("train", "lite") and dataset_and_part(file.stem)[1] != said:
        return None  # train rows are not in a test file
    return file


def join(path: Path, examples: Sequence[Example], rows: Sequence["Kept"]) -> list[int]:
    """Of each prediction, the position of its row in a test file. Raises ValueError where they differ."""
    position, positions = {example.id: number for number, example in enumerate(examples)}, []
    for line, place, row, _ in rows:
        at = place if row.id is None else position.get(row.id)
        if at is None:
            raise ValueError(f"line {line}: {path} has no row with the id {row.id!r}: another data build?")
        if at >= len(examples):
            raise ValueError(f"line {line}: {path} has only {len(examples):,} rows: an appended rerun?")
        if examples[at].label != row.label:
            raise ValueError(f"line {line}: label {row.label}, but {examples[at].label} in {path}, row {at + 1}")
        positions.append(at)
    return positions
