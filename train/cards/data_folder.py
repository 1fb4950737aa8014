"""A folder that data_prep or the demo wrote, as its files are now: rows, labels, subjects, what the build dropped."""

import csv
import hashlib
import io
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from storm.custom_scale import load
from storm.datasets import SCALES
from storm.files import open_regular, read_json, read_jsonl
from storm.levels import OwnScale
from storm.prompts import STRATEGIES, strategy_of
from storm.rows import PARTS, dataset_and_part
from storm.scales import IQA

BESIDE = ("summary.json", "scale.yaml", "dataset_info.json", "leaks.csv", "conflicts.csv")
FOLDERS = ("manifest", "quarantine")  # of tables, one a dataset
BUILD = "name a folder that data_prep or demo.photographs wrote, such as data/storm, data/own_demo or data/demo"


@dataclass(frozen=True)
class File:
    path: Path
    name: str  # below the folder, with /
    size: int  # bytes
    sha256: str


@dataclass
class Dataset:
    name: str
    rows: dict[tuple[str, str], File] = field(default_factory=dict)  # (strategy, part) -> its file
    labels: dict[str, Counter] = field(default_factory=dict)  # part -> label -> rows
    subjects: dict[str, set] = field(default_factory=dict)  # part -> who is in it
    summary: dict = field(default_factory=dict)  # of summary.json; {} where there is none

    @property
    def sizes(self) -> dict[str, int]:
        """part -> rows."""
        return {part: labels.total() for part, labels in self.labels.items()}

    @property
    def scored(self) -> dict[str, File]:
        """part -> its file in the first strategy: the other strategies ask for the same labels in other words."""
        files: dict[str, File] = {}
        for strategy in STRATEGIES:
            files = {part: file for (of, part), file in self.rows.items() if of == strategy} | files
        return {part: files[part] for part in PARTS if part in files}


@dataclass(frozen=True)
class DataFolder:
    folder: Path
    datasets: dict[str, Dataset]
    beside: dict[str, File]  # what else data_prep wrote: name -> file
    listed: dict[str, int | None]  # leaks.csv, conflicts.csv -> rows in it; None if the file is not there
    scale: OwnScale | None  # of scale.yaml
    others: tuple[str, ...]  # names of folders with something else, such as images

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def files(self) -> list[File]:
        rows = [file for dataset in self.datasets.values() for file in dataset.rows.values()]
        return sorted([*rows, *self.beside.values()], key=lambda file: file.name)


def read_data(folder: Path) -> DataFolder:
    """Read all of its files. Raises ValueError naming a file that is damaged or of another build, OSError."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; {BUILD}")
    datasets: dict[str, Dataset] = {}
    for path in sorted([*folder.glob("*.jsonl"), *(p for name in STRATEGIES for p in folder.glob(f"{name}/*.jsonl"))]):
        name, part = dataset_and_part(path.stem)
        if part:
            strategy = path.parent.name if path.parent != folder else strategy_of(path.stem).name
            datasets.setdefault(name, Dataset(name)).rows[strategy, part] = _file(folder, path)
    if not datasets:
        raise ValueError(f"{folder}: no rows in it; {BUILD}")
    summaries = read_json(folder / "summary.json") if (folder / "summary.json").exists() else {}
    if not isinstance(summaries, dict):
        raise ValueError(f"{folder / 'summary.json'}: not a summary; build the data again")
    for dataset in datasets.values():
        dataset.summary = summaries.get(dataset.name) or {}
        _count(dataset)
        _check(dataset, folder)
    tables = [path for name in FOLDERS for path in sorted(folder.glob(f"{name}/*.csv")) if path.stem in datasets]
    beside = [path for path in (*(folder / name for name in BESIDE), *tables) if path.is_file()]
    own = load(folder / "scale.yaml") if (folder / "scale.yaml").is_file() else None
    others = {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
    return DataFolder(
        folder,
        datasets,
        {file.name: file for file in (_file(folder, path) for path in beside)},
        {name: _lines(folder / name) for name in ("leaks.csv", "conflicts.csv")},
        own,
        tuple(sorted(others - {*STRATEGIES, *FOLDERS})),
    )


def _file(folder: Path, path: Path) -> File:
    with open_regular(path) as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
        return File(path, path.relative_to(folder).as_posix(), opened.tell(), digest)


def _count(dataset: Dataset) -> None:
    """Labels and subjects of each part, from its rows."""
    for part, file in dataset.scored.items():
        labels, subjects = Counter(), set()
        for line in read_jsonl(file.path):
            label = line.row.get("label") if isinstance(line.row, dict) else None
            if type(label) is not int:
                raise ValueError(f"{file.path}, line {line.number}: {line.fault or 'no label'}; build the data again")
            labels[label] += 1
            subjects |= {str(line.row["subject"])} if line.row.get("subject") else set()
        dataset.labels[part], dataset.subjects[part] = labels, subjects


def _check(dataset: Dataset, folder: Path) -> None:
    """Raises ValueError if the summary is not of these rows."""
    sizes = dataset.summary.get("sizes") or {}
    for part, count in dataset.sizes.items() if sizes else ():
        if sizes.get(part) != count:
            about = f"{folder / 'summary.json'}: {sizes.get(part)} rows of {dataset.name}, {part}"
            raise ValueError(f"{about}, but {dataset.scored[part].path} has {count}; build the data again")


def _lines(path: Path) -> int | None:
    """Rows of a table below its head, None if there is no such file."""
    if not path.is_file():
        return None
    with open_regular(path) as file:
        return max(0, sum(1 for _ in csv.reader(io.TextIOWrapper(file, "utf-8", newline=""))) - 1)


def shared_subjects(dataset: Dataset) -> int:
    """Subjects of the test rows that are also in train, lite or val."""
    test = dataset.subjects.get("test", set())
    return len(test & set().union(*(who for part, who in dataset.subjects.items() if part != "test")))


def levels(dataset: Dataset, own: OwnScale | None) -> dict[int, str]:
    """label -> its word, for a scale of levels; {} for one that counts, or that is not at hand."""

    scale = (SCALES | {"demo": IQA}).get(dataset.name) or (
        own.scale if own and own.scale.name == dataset.name else None
    )
    return {} if scale is None or scale.counted else {row.lo: row.word for row in scale.fine}
