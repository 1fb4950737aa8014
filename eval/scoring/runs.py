"""Predictions of a run for one or several test sets, as arrays that scores, intervals and the report share."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eval.inference import posterior
from eval.scoring import testsets
from eval.scoring.metrics import UNPARSED
from eval.scoring.paper import DATASETS as PAPER
from eval.scoring.prediction_files import Row, prediction_files, read, run_of
from storm.datasets import SCALES
from storm.options import describe
from storm.parse import Reading, read_exact
from storm.parse import read as read_answer
from storm.rows import read_examples
from storm.scales import Scale


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
    score: np.ndarray | None = None  # raw ratings on a user's own scale; None: unknown, or there are only labels
    data: Path | None = None  # the test file joined
    n_test: int | None = None  # how many rows that has
    temperature: float | None = None  # by which probs were flattened
    first_unparsed: dict | None = None  # "line" and "predict" of it
    votes: np.ndarray | None = None  # (n, levels) share of the raters who chose each, nan: none; None: no row has any
    rule: list[str] | None = None  # by which each text was read, or why not (storm/parse.py)

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
    def raw_error(self) -> np.ndarray | None:
        """How far a prediction is from the raw rating, (n,), in the user's unit, 0 where unparsed; None without those.

        A level stands for its value on the scale; a distribution for the expected value.
        """
        if self.score is None:
            return None
        parsed, values = self.pred != UNPARSED, np.array(self.scale.values, float)
        expected = values[np.where(parsed, self.pred - self.scale.lo, 0)] if self.probs is None else self.probs @ values
        return np.where(parsed, np.abs(expected - self.score), 0.0)

    @property
    def has_probs(self) -> np.ndarray:
        """Rows that have a distribution. TypeError for a run of texts."""
        return ~np.isnan(self.probs[:, 0])


PARSERS = {"strict": read_answer, "exact": read_exact}  # storm/parse.py; exact: only trained answers count


class Kept(NamedTuple):
    """A row that can be scored."""

    line: int
    place: int  # which of the file's rows it is, from 0, bad ones counted
    row: Row
    rating: Reading


def load(
    paths: Iterable[Path],
    scales: Mapping[str, Scale] = SCALES,
    tests: testsets.Index | None = None,
    parser: str = "strict",
) -> tuple[list[Predictions], list[str]]:
    """All predictions below the paths, and a line for each row, file or dataset that cannot be used.

    parser: a key of PARSERS. Runs come in the order of the paths, datasets of a run in the paper's.
    """
    loaded: dict[tuple, Predictions] = {}
    errors: list[str] = []
    for path in paths:
        try:
            files = prediction_files(path)
        except OSError as error:
            errors.append(describe(error))
            continue
        for file in files:
            parts, more_errors = read_file(file, scales, tests or {}, parser)
            errors += more_errors
            for part in parts:
                key = (*part.key, part.dataset)
                if key in loaded:
                    errors.append(f"{file}: {part.dataset} of the same run is in {loaded[key].path}, too; left out")
                else:
                    loaded[key] = part
    runs, places = list(dict.fromkeys(part.run for part in loaded.values())), {name: i for i, name in enumerate(PAPER)}
    in_order = sorted(loaded.values(), key=lambda p: (runs.index(p.run), places.get(p.dataset, len(places))))
    return in_order, errors


def read_file(
    path: Path, scales: Mapping[str, Scale], tests: testsets.Index, parser: str = "strict"
) -> tuple[list[Predictions], list[str]]:
    """The datasets of a file that can be trusted, and a line for what cannot: bad rows, reruns, other data."""
    datasets: dict[tuple[str, Scale, str], list[Kept]] = defaultdict(list)
    loaded, errors, bad, place = [], [], [], -1
    read_rating = lru_cache(maxsize=100_000)(PARSERS[parser])
    try:
        for place, (number, row, fault) in enumerate(read(path, scales, {dataset for dataset, *_ in tests})):
            if fault:
                bad.append(f"line {number}: {fault}")
                continue
            rating = read_rating(row.scale, row.strategy, row.predict)
            datasets[row.dataset, row.scale, row.strategy].append(Kept(number, place, row, rating))
    except OSError as error:
        return [], [describe(error)]
    if bad:
        more = f" and {len(bad) - 1:,} more" if len(bad) > 1 else ""
        errors.append(f"{path}, {bad[0]}; this row{more} left out")
    elif place < 0:
        errors.append(f"{path}: the file is empty")
    for (dataset, _, strategy), rows in datasets.items():
        try:
            predictions = _predictions(path, run_of(path, scales), rows)
            if file := testsets.file_of(tests, dataset, strategy, path):
                _join(predictions, rows, file, scales)
        except ValueError as error:
            errors.append(f"{path}: {error}; {dataset} left out")
            continue
        loaded.append(predictions)
        if unread := [f"line {part.line}: {part.row.error}" for part in rows if part.row.error]:
            what = f"{len(unread):,} images could not be read, which counts as unparsed ({unread[0]})"
            errors.append(f"{path}: {what}; the same eval/predict.py command tries them again")
    return loaded, errors


def _predictions(path: Path, run: Path, rows: Sequence[Kept]) -> Predictions:
    """Raises ValueError for an id that is there twice."""
    (dataset, scale, strategy, *_), ids = rows[0].row, [part.row.id for part in rows]
    if None in ids:
        ids = None
    elif len(set(ids)) < len(ids):
        twice, _ = Counter(ids).most_common(1)[0]
        lines = [str(part.line) for part in rows if part.row.id == twice]
        raise ValueError(f"id {twice!r} is in lines {' and '.join(lines[:2])}: an appended rerun")
    label, line = np.array([(part.row.label, part.line) for part in rows]).T
    ratings = [part.rating[:2] if part.rating.label is not None else (UNPARSED, UNPARSED) for part in rows]
    pred, coarse_pred = np.array(ratings, float).T
    pred, coarse_pred = pred.astype(int), np.nan_to_num(coarse_pred, nan=UNPARSED).astype(int)  # None is nan
    probs, unparsed = None, next((part for part in rows if part.rating.label is None), None)
    if any(part.row.probs for part in rows):
        none = [math.nan] * (scale.hi - scale.lo + 1)
        probs = np.array([part.row.probs or none for part in rows], np.float32)
        probs /= probs.sum(1, keepdims=True)  # to one, whatever digits the file has
        pred = np.where(np.isnan(probs[:, 0]), UNPARSED, np.argmax(probs, 1) + scale.lo)
    first_unparsed = unparsed and {"line": unparsed.line, "predict": unparsed.row.predict[:200]}
    arrays = (label, pred, coarse_pred, line, probs)
    rule = [part.rating.rule for part in rows]
    return Predictions(run, path, dataset, scale, strategy, *arrays, id=ids, first_unparsed=first_unparsed, rule=rule)


def _join(predictions: Predictions, kept: Sequence[Kept], file: Path, scales: Mapping[str, Scale]) -> None:
    """Adds what the test file knows. Raises ValueError, naming the line, where they differ."""
    examples = list(read_examples(file, scales))
    rows = testsets.join(file, examples, kept)
    predictions.id, predictions.data, predictions.n_test = [examples[row].id for row in rows], file, len(examples)
    if predictions.scale.rated and None not in (scores := [examples[row].score for row in rows]):
        predictions.score = np.array(scores, float)
    if any(examples[row].votes for row in rows):
        none = (math.nan,) * (predictions.scale.hi - predictions.scale.lo + 1)
        predictions.votes = np.array([examples[row].votes or none for row in rows])
    subjects = [examples[row].subject for row in rows]
    if any(subjects):  # a row without a subject is of nobody else
        alone = [subject or f"\0{row}" for subject, row in zip(subjects, rows)]
        predictions.subject = np.unique(alone, return_inverse=True)[1]
