"""Reads runs: the predictions files below the paths, and of each file the datasets that can be trusted."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eval.scoring import testsets
from eval.scoring.file_rows import Group, settle
from eval.scoring.inputs import Options
from eval.scoring.metrics import UNPARSED
from eval.scoring.paper import DATASETS as PAPER
from eval.scoring.predicted_rows import Row, read
from eval.scoring.prediction_files import PART, prediction_files, run_of, with_parts
from eval.scoring.predictions import Predictions
from eval.scoring.rows_in_tests import Placed
from storm.datasets import SCALES
from storm.options import describe
from storm.parse import Reading, read_exact
from storm.parse import read as read_answer
from storm.scales import Scale

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
    options: Options = Options(),  # noqa: B008 - a NamedTuple cannot change
) -> tuple[list[Predictions], list[str]]:
    """All predictions below the paths, and a line for each row, file or dataset that cannot be used.

    Runs come in the order of the paths, datasets of a run in the paper's.
    """
    from tqdm import tqdm

    loaded: dict[tuple, Predictions] = {}
    files: list[Path] = []
    errors: list[str] = []
    for path in paths:
        try:
            read_files, more_errors = prediction_files(path, options.keys, options.by_position)
        except OSError as error:
            read_files, more_errors = [], [describe(error)]
        files += read_files
        errors += more_errors
    for source in tqdm(with_parts(files), "predictions", unit="file", disable=None, leave=False, delay=1):
        parts, more_errors = read_file(source.path, scales, tests or {}, options, source.parts)
        errors += more_errors
        for part in parts:
            key = (*part.key, part.dataset)
            if key in loaded:
                what = f"{part.dataset} of the same run is in {loaded[key].path}, too"
                errors.append(f"{source.path}: {what}; left out")
            else:
                loaded[key] = part
    runs = {run: place for place, run in enumerate(dict.fromkeys(part.run for part in loaded.values()))}
    places = {name: i for i, name in enumerate(PAPER)}
    in_order = sorted(loaded.values(), key=lambda p: (runs[p.run], places.get(p.dataset, len(places))))
    return in_order, errors


def read_file(
    path: Path,
    scales: Mapping[str, Scale],
    tests: testsets.Index,
    options: Options = Options(),  # noqa: B008
    parts: Sequence[Path] = (),
) -> tuple[list[Predictions], list[str]]:
    """The datasets of a file that can be trusted, and a line for what cannot: bad rows, reruns, other data. parts: more
    files of it."""
    rows: list[Placed] = []
    loaded, errors, bad, place = [], [], [], -1
    try:
        for place, (number, row, fault) in enumerate(
            read(path, scales, {dataset for dataset, *_ in tests}, options.keys, parts)
        ):
            if fault:
                bad.append(f"line {number}: {fault}")
            else:
                rows.append(Placed(number, place, row))
    except OSError as error:
        return [], [describe(error)]
    except ValueError as error:  # the file is damaged; what was read before counts
        errors.append(str(error))
    if bad:
        more = f" and {len(bad) - 1:,} more" if len(bad) > 1 else ""
        errors.append(f"{path}, {bad[0]}; this row{more} left out")
    elif place < 0 and not errors:
        errors.append(f"{path}: the file is empty")
    if len(models := dict.fromkeys(one.row.model for one in rows)) > 1:
        names = ", ".join(map(repr, list(models)[:3]))
        return [], [*errors, f"{path}: rows of {len(models)} models ({names}); write a file for each; left out"]
    try:
        settled = settle(path, rows, scales, tests, options.by_position)
    except (OSError, ValueError) as error:  # of a test file
        return [], [*errors, str(error)]
    errors += settled.errors
    for group in settled.groups:
        try:
            loaded += _of_group(path, group, scales, tests, options, parts)
        except ValueError as error:
            errors.append(f"{path}: {error}; {group.dataset} left out")
            continue
        if unread := [f"line {one.line}: {one.row.error}" for one in group.rows if one.row.error]:
            what = f"{len(unread):,} rows have an error and no answer, which counts as unparsed ({unread[0]})"
            errors.append(f"{path}: {what}; the same eval/predict.py command tries them again")
    if loaded:
        loaded[0].notes = [*settled.notes, *loaded[0].notes]
    return loaded, errors


def _of_group(
    path: Path,
    group: Group,
    scales: Mapping[str, Scale],
    tests: testsets.Index,
    options: Options,
    parts: Sequence[Path],
) -> list[Predictions]:
    """The predictions of a group: of rows with probabilities and of rows of text, apart. Raises ValueError."""
    reader = lru_cache(maxsize=100_000)(PARSERS[options.parser])
    kept = [Kept(*one, _reading(one.row, group, reader)) for one in group.rows]
    exact = [one for one in kept if one.row.probs or one.row.error]
    text = [one for one in kept if not one.row.probs and not one.row.error]
    if not any(one.row.probs for one in exact):
        exact, text = [], kept
    loaded = []
    for rows in filter(None, (exact, text)):
        named = path.with_name(PART.sub("", path.stem) + path.suffix) if parts else path
        predictions = _predictions(path, run_of(named, scales), group, rows, options.keys)
        predictions.parts = tuple(parts)
        if parts:
            names = ", ".join(file.name for file in (path, *parts))
            predictions.notes.append(f"{path.parent}: {names} are parts of one run: no id is in two of them")
        if file := testsets.file_of(tests, group.dataset, group.strategy, path, group.part):
            _join(predictions, rows, file, scales, options.by_position)
        elif group.scale.unit == "level" and any(one.row.numbered for one in rows):
            ends = [f"{level.lo} is {level.word}" for level in (group.scale.fine[0], group.scale.fine[-1])]
            predictions.notes.append(f"{path}: labels are numbers, taken for levels: {', '.join(ends)}")
        loaded.append(predictions)
    if len(loaded) > 1:
        what = f"{len(exact):,} rows have probabilities and {len(text):,} have only texts; they are scored apart"
        loaded[0].notes = [f"{path}: {group.dataset}: {what}", *loaded[0].notes]
    return loaded


def _reading(row: Row, group: Group, reader: Callable[[Scale, str, str], Reading]) -> Reading:
    """How the text of a row is read. Of rows whose labels are numbers, a number is a level, too. Of pooled ages, by the
    row's own scale, which has its groups; an age beyond it by that of all ages."""
    if row.none:
        return Reading(None, None, row.none)
    reading = reader(row.scale, group.strategy, row.predict)
    if row.scale != group.scale:
        if reading.label is None:
            reading = reader(group.scale, group.strategy, row.predict)
        elif reading.coarse is not None:  # the same words, other numbers
            words = [part.word for part in group.scale.coarse]
            reading = reading._replace(coarse=words.index(row.scale.coarse[reading.coarse].word))
    if reading.label is None and row.numbered and row.predict.isdecimal() and group.scale.unit == "level":
        level = int(row.predict[:4])
        return Reading(level, None, "number") if group.scale.lo <= level <= group.scale.hi else reading
    return reading


def _predictions(
    path: Path, run: Path, group: Group, rows: Sequence[Kept], keys: Mapping[str, str] | None
) -> Predictions:
    """Raises ValueError for an id that is there twice."""
    scale, ids = group.scale, [part.row.id or part.row.image or part.row.number for part in rows]
    if None in ids:
        ids = None
    elif len(set(ids)) < len(ids):
        twice, _ = Counter(ids).most_common(1)[0]
        lines = [str(part.line) for part in rows if twice in (part.row.id, part.row.image, part.row.number)]
        raise ValueError(f"id {twice!r} is in lines {' and '.join(lines[:2])}: an appended rerun")
    label, line = np.array([(part.row.label, part.line) for part in rows]).T
    ratings = [part.rating[:2] if part.rating.label is not None else (UNPARSED, UNPARSED) for part in rows]
    pred, coarse_pred = np.array(ratings, float).T
    pred, coarse_pred = pred.astype(int), np.nan_to_num(coarse_pred, nan=UNPARSED).astype(int)  # None is nan
    differ, probs, unparsed = 0, None, next((part for part in rows if part.rating.label is None), None)
    if any(part.row.probs for part in rows):
        none = [math.nan] * (scale.hi - scale.lo + 1)
        probs = np.array([part.row.probs or none for part in rows], np.float32)
        probs /= probs.sum(1, keepdims=True)  # to one, whatever digits the file has
        pred, stated = np.where(np.isnan(probs[:, 0]), UNPARSED, np.argmax(probs, 1) + scale.lo), pred
        differ = int(((pred != stated) & (pred != UNPARSED) & (stated != UNPARSED)).sum())
    text = unparsed and (unparsed.row.predict[:200] or unparsed.row.none)
    first_unparsed = unparsed and {"line": unparsed.line, "predict": text}
    arrays = (label, pred, coarse_pred, line, probs)
    rule = [part.rating.rule for part in rows]
    forms = ", ".join(dict.fromkeys(part.row.form for part in rows))
    more = {"id": ids, "first_unparsed": first_unparsed, "rule": rule, "form": forms, "keys": keys}
    predictions = Predictions(run, path, group.dataset, scale, group.strategy, *arrays, **more)
    if differ:
        what = f"{differ:,} texts are another level than the likeliest one of their probabilities, which are scored"
        predictions.notes.append(f"{path}: {what}")
    return predictions


def _join(
    predictions: Predictions, kept: Sequence[Kept], file: Path, scales: Mapping[str, Scale], by_position: bool
) -> None:
    """Adds what the test file knows. Raises ValueError, naming the line, where they differ."""
    examples = testsets.examples_in(file, scales)
    rows, by_key = testsets.join(file, examples, kept, by_position)
    if not by_key and predictions.id is not None:
        what = f"no id is one of {file}, so rows are joined by their position, and all labels agree"
        predictions.notes = [*predictions.notes, f"{predictions.path}: {what}"]
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
