"""Predictions of a run for one or several test sets, as arrays that scores, intervals and the report share."""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from eval.inference import posterior
from eval.scoring import testsets
from eval.scoring.metrics import UNPARSED
from eval.scoring.paper import DATASETS as PAPER
from eval.scoring.prediction_files import BadRow, Row, find, read, run_of
from storm.datasets import SCALES
from storm.options import describe
from storm.parse import Rating, parse
from storm.rows import read_examples
from storm.scales import Scale, coarse_of


@dataclass
class Predictions:
    """What a run predicts for one dataset. Arrays have a row each prediction, (n,), in the file's order."""

    run: Path
    path: Path
    dataset: str
    scale: Scale
    strategy: str
    label: np.ndarray
    pred: np.ndarray  # label that the text states, UNPARSED if none; of a distribution the mode
    coarse_pred: np.ndarray  # index of the coarse group that the text states, UNPARSED if none
    line: np.ndarray  # in the file, from 1
    probs: np.ndarray | None = None  # (n, levels) float32, rows of nan for unreadable images; None: only text
    id: list[str] | None = None  # None: the predictions have none and no test file is known
    subject: np.ndarray | None = None  # numbers of subjects, from 0; None: the test file names none
    data: Path | None = None  # the test file joined
    n_test: int | None = None  # how many rows that has
    temperature: float | None = None  # by which probs were flattened
    first_unparsed: dict | None = None  # "line" and "predict" of it

    @property
    def key(self) -> tuple[str, str, str]:
        """What a run is to a reader: its path, strategy and decoding."""
        return str(self.run), self.strategy, self.decode

    @property
    def decode(self) -> str:
        return "text" if self.probs is None else "exact"

    @property
    def median(self) -> np.ndarray:
        """The label that the mean absolute error is of: the median of a distribution, else the prediction."""
        if self.probs is None:
            return self.pred
        labels = np.full(len(self.label), UNPARSED)
        labels[self.has_probs] = posterior.median(self.probs[self.has_probs].astype(float)) + self.scale.lo
        return labels

    @property
    def mean(self) -> np.ndarray:
        """The rating that correlations are of: the mean of a distribution, else the prediction; nan where none."""
        if self.probs is None:
            return np.where(self.pred == UNPARSED, np.nan, self.pred).astype(float)
        return posterior.mean(self.probs.astype(float)) + self.scale.lo

    @property
    def has_probs(self) -> np.ndarray:
        """Rows that have a distribution. TypeError for a run of texts."""
        return ~np.isnan(self.probs[:, 0])

    @property
    def coarse_label(self) -> np.ndarray:
        """Index of the coarse group of the label."""
        groups = [self.scale.coarse.index(coarse_of(self.scale, n)) for n in range(self.scale.lo, self.scale.hi + 1)]
        return np.array(groups)[self.label - self.scale.lo]


class _Columns:
    """What is kept of one dataset while its file is read."""

    def __init__(self, scale: Scale) -> None:
        self.label, self.pred, self.coarse_pred, self.line, self.place = (array("i") for _ in range(5))
        self.levels, self.probs, self.id, self.first_unparsed = scale.hi - scale.lo + 1, array("f"), [], None
        self.unread, self.first_unread = 0, ""

    def add(self, row: Row, rating: Rating | None, place: int) -> None:
        """place: which of the file's rows it is, from 0, bad ones counted."""
        pred, coarse_pred = rating or (UNPARSED, None)
        self.label.append(row.label)
        self.pred.append(pred)
        self.coarse_pred.append(UNPARSED if coarse_pred is None else coarse_pred)
        self.line.append(row.line)
        self.place.append(place)
        self.id.append(row.id)
        if row.probs or self.probs:
            earlier = len(self.label) - 1 - len(self.probs) // self.levels  # images that could not be read
            self.probs.extend([math.nan] * (self.levels * earlier))
            self.probs.extend(row.probs or [math.nan] * self.levels)
        if row.error:
            self.unread, self.first_unread = self.unread + 1, self.first_unread or f"line {row.line}: {row.error}"
        if rating is None and not self.first_unparsed:
            self.first_unparsed = {"line": row.line, "predict": row.predict[:200]}


def load(
    paths: Iterable[Path], scales: Mapping[str, Scale] = SCALES, tests: testsets.Index | None = None
) -> tuple[list[Predictions], list[str]]:
    """All predictions below the paths, and a line for each row, file or dataset that cannot be used.

    Runs come in the order of the paths, datasets of a run in the paper's.
    """
    loaded: dict[tuple, Predictions] = {}
    errors: list[str] = []
    for path in paths:
        try:
            files = find(path)
        except OSError as error:
            errors.append(str(error))
            continue
        for file in files:
            parts, wrong = read_file(file, scales, tests or {})
            errors += wrong
            for part in parts:
                key = (part.run, part.dataset, part.strategy, part.decode)
                if key in loaded:
                    errors.append(f"{file}: {part.dataset} of the same run is in {loaded[key].path}, too; left out")
                else:
                    loaded[key] = part
    runs, places = list(dict.fromkeys(key[0] for key in loaded)), {name: i for i, name in enumerate(PAPER)}
    in_order = sorted(loaded.values(), key=lambda p: (runs.index(p.run), places.get(p.dataset, len(places))))
    return in_order, errors


def read_file(path: Path, scales: Mapping[str, Scale], tests: testsets.Index) -> tuple[list[Predictions], list[str]]:
    """The datasets of a file that can be trusted, and a line for what cannot: bad rows, reruns, other data."""
    columns: dict[tuple[str, Scale, str], _Columns] = {}
    errors, bad, place = [], [], -1
    read_rating = lru_cache(maxsize=100_000)(parse)
    try:
        for place, row in enumerate(read(path, scales, {dataset for dataset, _ in tests})):
            if isinstance(row, BadRow):
                bad.append(row)
                continue
            key = (row.dataset, row.scale, row.strategy)
            if key not in columns:
                columns[key] = _Columns(row.scale)
            columns[key].add(row, read_rating(row.scale, row.strategy, row.predict), place)
    except OSError as error:
        return [], [describe(error)]
    if bad:
        more = f" and {len(bad) - 1:,} more" if len(bad) > 1 else ""
        errors.append(f"{path}, line {bad[0].line}: {bad[0].reason}; this row{more} left out")
    elif place < 0:
        errors.append(f"{path}: the file is empty")
    loaded = []
    for (dataset, scale, strategy), kept in columns.items():
        try:
            predictions = _predictions(kept, run_of(path, scales), path, dataset, scale, strategy)
            if file := tests.get((dataset, strategy)):
                _join(predictions, kept, file, scales)
            loaded.append(predictions)
        except ValueError as error:
            errors.append(f"{path}: {error}; {dataset} left out")
            continue
        if kept.unread:
            what = f"{kept.unread:,} images could not be read, which counts as unparsed ({kept.first_unread})"
            errors.append(f"{path}: {what}; the same eval/predict.py command asks for them again")
    return loaded, errors


def _predictions(kept: _Columns, run: Path, path: Path, dataset: str, scale: Scale, strategy: str) -> Predictions:
    """Raises ValueError for an id that is there twice."""
    label, pred, coarse_pred, line = (
        np.array(column) for column in (kept.label, kept.pred, kept.coarse_pred, kept.line)
    )
    ids, probs = None if None in kept.id else kept.id, None
    if ids and len(set(ids)) < len(ids):
        twice, _ = Counter(ids).most_common(1)[0]
        lines = [str(number) for number, id in zip(kept.line, ids) if id == twice]
        raise ValueError(f"id {twice!r} is in lines {' and '.join(lines[:2])}: an appended rerun")
    if kept.probs:
        probs = np.array(kept.probs, dtype=np.float32).reshape(-1, kept.levels)
        probs /= probs.sum(1, keepdims=True)  # to one, whatever digits the file has
        pred = np.where(np.isnan(probs[:, 0]), UNPARSED, np.argmax(probs, 1) + scale.lo)
    arrays = (label, pred, coarse_pred, line, probs)
    return Predictions(run, path, dataset, scale, strategy, *arrays, id=ids, first_unparsed=kept.first_unparsed)


def _join(predictions: Predictions, kept: _Columns, file: Path, scales: Mapping[str, Scale]) -> None:
    """Adds what the test file knows. Raises ValueError, naming the line, where the two part."""
    examples = list(read_examples(file, scales))
    try:
        rows = testsets.join(file, examples, kept.id, kept.place, kept.label)
    except testsets.Mismatch as mismatch:
        number, reason = mismatch.args
        raise ValueError(f"line {kept.line[number]}: {reason}") from None
    subjects = [examples[row].subject for row in rows]
    predictions.id, predictions.data, predictions.n_test = [examples[row].id for row in rows], file, len(examples)
    if any(subjects):  # a row without a subject is of nobody else
        alone = [subject or f"\0{row}" for subject, row in zip(subjects, rows)]
        predictions.subject = np.unique(alone, return_inverse=True)[1]
