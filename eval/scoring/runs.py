"""A run: what a model said about one or several test sets, as arrays that scores, intervals and the report share."""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from storm.parse import Rating, parse
from storm.scales import Scale, coarse_of
from storm.datasets import SCALES
from eval.scoring import testsets
from eval.inference import posterior
from eval.scoring.metrics import UNPARSED
from eval.scoring.paper import DATASETS as PAPER
from eval.scoring.prediction_files import BadRow, Row, find, read, run_of

LEAST = 50  # rows that come a second time; fewer may agree by chance
ALIKE = 0.75  # of their answers, in a rerun


@dataclass
class Answers:
    """What a run said about one dataset. Arrays have a row each prediction, (n,), in the file's order."""

    run: Path
    path: Path
    dataset: str
    scale: Scale
    strategy: str
    label: np.ndarray  # right label
    said: np.ndarray  # label of the text, UNPARSED if none; of exact ratings the mode
    coarse: np.ndarray  # index of the coarse group said, UNPARSED if none
    line: np.ndarray  # in the file, from 1
    probs: np.ndarray | None = None  # (n, levels) float32, rows of nan for unreadable images; None: only text
    id: list[str] | None = None  # None: the predictions have none and no test file is known
    subject: np.ndarray | None = None  # numbers of people; None: none known
    data: Path | None = None  # the test file joined
    of: int | None = None  # how many rows that has
    temperature: float | None = None  # by which probs were flattened
    first_unparsed: dict | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What a run is to a reader: its path, prompt and decoding."""
        return str(self.run), self.strategy, self.decode

    @property
    def decode(self) -> str:
        return "text" if self.probs is None else "exact"

    @property
    def point(self) -> np.ndarray:
        """The label that the mean absolute error is of: the median of a distribution, else what was said."""
        if self.probs is None:
            return self.said
        found = np.full(len(self.label), UNPARSED)
        found[self.sure] = posterior.median(self.probs[self.sure].astype(float)) + self.scale.lo
        return found

    @property
    def mean(self) -> np.ndarray:
        """The rating that correlations are of: the mean of a distribution, else what was said; nan where nothing."""
        if self.probs is None:
            return np.where(self.said == UNPARSED, np.nan, self.said).astype(float)
        return posterior.mean(self.probs.astype(float)) + self.scale.lo

    @property
    def sure(self) -> np.ndarray:
        """Rows that have a distribution. TypeError for a run of texts."""
        return ~np.isnan(self.probs[:, 0])

    @property
    def coarse_right(self) -> np.ndarray:
        """Index of the right coarse group."""
        groups = [self.scale.coarse.index(coarse_of(self.scale, n)) for n in range(self.scale.lo, self.scale.hi + 1)]
        return np.array(groups)[self.label - self.scale.lo]


class _Columns:
    """What is kept of one dataset while its file is read."""

    def __init__(self, levels: int) -> None:
        self.label, self.said, self.coarse, self.line, self.place = (array("i") for _ in range(5))
        self.levels, self.probs, self.id, self.first_unparsed = levels, array("f"), [], None
        self.unread, self.first_unread = 0, ""

    def add(self, row: Row, rating: Rating | None, place: int) -> None:
        """place: which of the file's rows it is, from 0, bad ones counted."""
        said, coarse = rating or (UNPARSED, None)
        self.label.append(row.label)
        self.said.append(said)
        self.coarse.append(UNPARSED if coarse is None else coarse)
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
    paths: Iterable[Path], scales: Mapping[str, Scale] = SCALES, tests: built.Index | None = None
) -> tuple[list[Answers], list[str]]:
    """All predictions below the paths, and a line for each row, file or dataset that cannot be used.

    Runs come in the order of the paths, datasets of a run in the paper's.
    """
    loaded: dict[tuple, Answers] = {}
    errors: list[str] = []
    for path in paths:
        try:
            files = find(path)
        except OSError as error:
            errors.append(str(error))
            continue
        for file in files:
            for answers in read_file(file, scales, tests or {}, errors):
                key = (answers.run, answers.dataset, answers.strategy, answers.decode)
                if key in loaded:
                    errors.append(f"{file}: {answers.dataset} of the same run is in {loaded[key].path}, too; left out")
                else:
                    loaded[key] = answers
    runs, places = list(dict.fromkeys(key[0] for key in loaded)), {name: i for i, name in enumerate(PAPER)}
    in_order = sorted(loaded.values(), key=lambda a: (runs.index(a.run), places.get(a.dataset, len(places))))
    return in_order, errors


def read_file(path: Path, scales: Mapping[str, Scale], tests: built.Index, errors: list[str]) -> list[Answers]:
    """The datasets of a file that can be trusted. What cannot is a line in errors: bad rows, reruns, other data."""
    columns: dict[tuple[str, Scale, str], _Columns] = {}
    read_rating = lru_cache(maxsize=100_000)(parse)
    first_bad, bad, place = None, 0, -1
    try:
        for place, row in enumerate(read(path, scales, {dataset for dataset, _ in tests})):
            if isinstance(row, BadRow):
                first_bad, bad = first_bad or row, bad + 1
                continue
            kept = columns.setdefault((row.dataset, row.scale, row.strategy), _Columns(row.scale.hi - row.scale.lo + 1))
            kept.add(row, read_rating(row.scale, row.strategy, row.predict), place)
    except OSError as error:
        errors.append(str(error))
        return []
    if first_bad:
        others = f" and {bad - 1} more" if bad > 1 else ""
        errors.append(f"{path}, line {first_bad.line}: {first_bad.reason}; this row{others} left out")
    elif place < 0:
        errors.append(f"{path}: the file is empty")
    made = []
    for (dataset, scale, strategy), kept in columns.items():
        try:
            answers = _answers(run_of(path, scales), path, dataset, scale, strategy, kept)
            if file := tests.get((dataset, strategy)):
                _join(answers, kept, file, scales)
            made.append(answers)
        except ValueError as error:
            errors.append(f"{path}: {error}; {dataset} left out")
            continue
        if kept.unread:
            what = f"{kept.unread:,} images could not be read, which counts as unparsed ({kept.first_unread})"
            errors.append(f"{path}: {what}; the same eval/predict.py command asks for them again")
    return made


def _answers(run: Path, path: Path, dataset: str, scale: Scale, strategy: str, kept: _Columns) -> Answers:
    """Raises ValueError for rows that are there twice."""
    label, said, coarse, line = (np.array(column) for column in (kept.label, kept.said, kept.coarse, kept.line))
    if None in kept.id:
        begin = rerun(kept.label, kept.said)
        if begin is not None:
            raise ValueError(f"from line {line[begin]} on it repeats itself from line {line[0]} on: an appended rerun")
    elif len(set(kept.id)) < len(kept.id):
        twice, _ = Counter(kept.id).most_common(1)[0]
        lines = [str(number) for number, id in zip(kept.line, kept.id) if id == twice]
        raise ValueError(f"id {twice!r} is in lines {' and '.join(lines[:2])}: an appended rerun")
    probs = None
    if kept.probs:
        probs = np.array(kept.probs, dtype=np.float32).reshape(-1, kept.levels)
        probs /= probs.sum(1, keepdims=True)  # to one, whatever digits the file has
        sure = ~np.isnan(probs[:, 0])
        said = np.where(sure, np.argmax(probs, 1) + scale.lo, UNPARSED)
    ids = None if None in kept.id else kept.id
    return Answers(
        run, path, dataset, scale, strategy, label, said, coarse, line, probs, ids, first_unparsed=kept.first_unparsed
    )


def _join(answers: Answers, kept: _Columns, file: Path, scales: Mapping[str, Scale]) -> None:
    """Adds what the test file knows. Raises ValueError where the two part."""
    known = built.rows(file, scales)
    places = built.join(file, known, kept.id, kept.place, kept.label, kept.line)
    people = [known[place].subject for place in places]
    answers.id, answers.data, answers.of = [known[place].id for place in places], file, len(known)
    if any(people):  # somebody whom the file does not name is nobody else
        alone = [person or f"\0{place}" for person, place in zip(people, places)]
        answers.subject = np.unique(alone, return_inverse=True)[1]


def rerun(labels: Sequence[int], said: Sequence[int]) -> int | None:
    """Where rows begin to repeat the first ones up to the end, for LEAST rows or more; else None.

    A rerun has the same labels, and mostly the same answers: greedy ones, too, depend a little on the batch. What
    repeats after fewer than LEAST rows is none: the demo's labels go round in fives.
    """
    borders = [0] * len(labels)  # Knuth, Morris, Pratt: the longest beginning that is also the end of labels[: i + 1]
    for i in range(1, len(labels)):
        border = borders[i - 1]
        while border and labels[i] != labels[border]:
            border = borders[border - 1]
        borders[i] = border + (labels[i] == labels[border])
    period = len(labels) - borders[-1] if labels else 0
    if period < LEAST or len(labels) - period < LEAST:
        return None
    again = sum(one == other for one, other in zip(said, said[period:]))
    return period if again >= ALIKE * (len(labels) - period) else None
