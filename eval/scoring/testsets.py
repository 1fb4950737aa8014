"""The test files that predictions are about: which there are, and which of their rows each prediction is of.

LLaMA-Factory and the authors' scripts write no ids, only rows in order. A prediction is joined to its test file by id
or image if it has one, else by position, and never where a label disagrees: that would be another data build.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from storm.options import describe
from storm.rows import Example, dataset_and_part, read_examples
from storm.scales import Scale

if TYPE_CHECKING:
    from eval.scoring.predicted_rows import Row
    from eval.scoring.runs import Kept

PARTS = ("test", "val")  # of a dataset, that are predicted

Index = dict[tuple[str, str, str], Path]  # (dataset, strategy, part) -> its test or validation file


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


def file_of(tests: Index, dataset: str, strategy: str, predictions: Path, part: str = "") -> Path | None:
    """The file that predictions are about: of the part that they, or their name, say; if none does, test rows go first.
    Of this strategy, or of another: rows, labels and subjects are the same."""
    return next(iter(files_of(tests, dataset, predictions, strategy, part)), None)


def files_of(tests: Index, dataset: str, predictions: Path, strategy: str = "", part: str = "") -> list[Path]:
    """The files of a dataset that predictions can be about, the most likely first."""
    named_part = part or dataset_and_part(predictions.stem)[1]
    parts = [named_part] if named_part in PARTS else PARTS
    keys = [key for part in parts for key in tests if key[0] == dataset and key[2] == part]
    files = [tests[key] for key in sorted(keys, key=lambda key: (parts.index(key[2]), key[1] != strategy))]
    trained = named_part in ("train", "lite")  # such rows are not in a test file
    return [file for file in files if not trained or dataset_and_part(file.stem)[1] == named_part]


@lru_cache(maxsize=2)
def _examples(file: Path, state: tuple[int, int], scales: tuple[tuple[str, Scale], ...]) -> list[Example]:
    return list(read_examples(file, dict(scales)))


def examples_in(file: Path, scales: Mapping[str, Scale]) -> list[Example]:
    """The rows of a test file. Raises OSError or ValueError naming file and line."""
    seen = file.stat()
    return _examples(file, (seen.st_mtime_ns, seen.st_size), tuple(scales.items()))


def by_release_line(tests: Index, scales: Mapping[str, Scale]) -> dict[str, dict[int, Example]]:
    """File of the authors' release -> line in it -> row of the test files made of it."""
    lines: dict[str, dict[int, Example]] = {}
    for file in _one_strategy(tests):
        first = next(read_examples(file, scales), None)
        for example in examples_in(file, scales) if first and first.release else ():
            name, _, line = example.release.rpartition(":")
            lines.setdefault(name, {})[int(line)] = example
    return lines


def _one_strategy(tests: Index) -> list[Path]:
    """A file of each dataset and part: those of other strategies have the same rows."""
    return list({(dataset, part): file for (dataset, _, part), file in tests.items()}.values())


def places_in(tests: Index, scales: Mapping[str, Scale]) -> "Places":
    """All rows of the test files, which are read once for all predictions."""
    states = tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in tests.values())
    return _places(tuple(tests.items()), states, tuple(scales.items()))


@lru_cache(maxsize=1)
def _places(tests: tuple, states: tuple, scales: tuple) -> "Places":
    return Places(dict(tests), dict(scales))


class Places:
    """All rows of the test files by id and by image, for rows that name no dataset. Files are read when first asked."""

    def __init__(self, tests: Index, scales: Mapping[str, Scale]):
        self._tests, self._scales = tests, scales

    @cached_property
    def _by_name(self) -> dict[str, list[Example]]:
        """The rows by id, and by the name of the image without its folders."""
        named: dict[str, list[Example]] = {}
        for file in _one_strategy(self._tests):
            for example in examples_in(file, self._scales):
                for key in {example.id, _last(example.image)}:
                    named.setdefault(key, []).append(example)
        return named

    def find(self, id: str | None, image: str | None, dataset: str | None = None) -> Example | None:
        """The one row with this image and this id, None if there is none or several. id: it may be a path, too."""
        keys = [key for key in (image, id) if key]
        matching = [self._one(key, dataset) for key in keys]
        if len(matching) == 2 and None not in matching and matching[0] != matching[1]:
            return None  # they are of two rows
        return next(filter(None, matching), None)

    def _one(self, key: str, dataset: str | None) -> Example | None:
        alike = [row for row in self._by_name.get(_last(key), ()) if dataset in (None, row.dataset)]
        matching = [row for row in alike if same_image(key, row.image)]
        matching = matching or [
            row for row in self._by_name.get(key, ()) if row.id == key and dataset in (None, row.dataset)
        ]
        if not matching and dataset and "." in _last(key):
            matching = alike  # the one image of this name
        return matching[0] if len(matching) == 1 else None


def _last(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def same_image(one: str, other: str) -> bool:
    """Whether one path is the end of the other: /data/spaq/TestImage/1.jpg and TestImage/1.jpg."""
    paths = [[part for part in path.replace("\\", "/").split("/") if part] for path in (one, other)]
    short = min(map(len, paths))
    return short > 0 and paths[0][-short:] == paths[1][-short:]


def numbered(examples: Sequence[Example], rows: Sequence["Row"]) -> list[int] | None:
    """The position in a test file of each row by its number, None if these are not ids of the file."""
    ids = {example.id: place for place, example in enumerate(examples)}
    shorter = {id.lstrip("0") or "0": place for id, place in ids.items() if id.isdecimal()}
    if len(shorter) == len(ids):  # as spreadsheet programs write 00107
        ids = shorter | ids
    at = [ids.get(row.number or "") for row in rows]
    return None if None in at else at


def join(
    path: Path, examples: Sequence[Example], rows: Sequence["Kept"], by_position: bool = False
) -> tuple[list[int], bool]:
    """Of each prediction, the position of its row in a test file, and whether it was found by image or id; else by its
    position in the predictions: if the rows name none, if their numbers only count (the labels tell), or if asked for.

    Raises ValueError where they differ: an id that the file does not have, or of another row than the image, a row that
    is there twice, another label.
    """
    keyed = any(row.id or row.image for _, _, row, _ in rows)
    positions, by_key = _by_key(path, examples, rows) if keyed else _by_number(examples, rows), True
    if positions is None or (by_position and not any(at is not None for at in positions)):
        positions, by_key = [place for _, place, _, _ in rows], False
    seen: dict[int, int] = {}
    for (line, _, row, _), at in zip(rows, positions):
        if at is None:
            what = f"line {line}: {path} has no row with the id {row.id or row.image!r}: another data build?"
            fix = "" if row.from_predict else " If the rows are in the order of the test file: --by-position"
            raise ValueError(what + fix)
        if at >= len(examples):
            raise ValueError(f"line {line}: {path} has only {len(examples):,} rows: an appended rerun?")
        if examples[at].label != row.label:
            raise ValueError(f"line {line}: label {row.label}, but {examples[at].label} in {path}, row {at + 1}")
        if (other := seen.setdefault(at, line)) != line:
            raise ValueError(f"id {examples[at].id!r} is in lines {other} and {line}: an appended rerun")
    return positions, by_key


def _by_key(path: Path, examples: Sequence[Example], rows: Sequence["Kept"]) -> list[int | None]:
    """The position of each row by its image, else by its id. Raises ValueError for a row whose two are of two rows."""
    ids = {example.id: place for place, example in enumerate(examples)}
    named: dict[str, list[int]] = {}
    if any(row.image or "/" in (row.id or "") for _, _, row, _ in rows):
        for place, example in enumerate(examples):
            named.setdefault(_last(example.image), []).append(place)

    def by_image(key: str | None) -> int | None:
        alike = named.get(_last(key or ""), ())
        same = [at for at in alike if same_image(key, examples[at].image)] or alike  # else the one of this name
        return same[0] if len(same) == 1 else None

    positions = []
    for line, _, row, _ in rows:
        at, image = ids.get(row.id or "", by_image(row.id)), by_image(row.image)
        if None not in (at, image) and at != image and not row.from_predict:
            what = f"line {line}: the id {row.id!r} is of row {at + 1} of {path}, the image {row.image!r} of row"
            raise ValueError(f"{what} {image + 1}")
        positions.append(image if at is None else at)
    return positions


def _by_number(examples: Sequence[Example], rows: Sequence["Kept"]) -> list[int] | None:
    """The position of each row by its number, None if the numbers only count the rows: they are no ids, or the labels
    are those of the rows in order; where ids and order both fit, the name of the key decides."""
    at = numbered(examples, [row for _, _, row, _ in rows])
    if at is None:
        return None
    by_id = all(examples[place].label == row.label for place, (_, _, row, _) in zip(at, rows))
    labels = [example.label for example in examples]
    in_order = all(labels[place : place + 1] == [row.label] for _, place, row, _ in rows)
    return at if by_id and not (in_order and rows[0].row.counts) else None
