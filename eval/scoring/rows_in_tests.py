"""Rows that say too little, found in the test files: by id, by image, by the line of the authors' release, or, if that
is asked for, by position."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from eval.scoring import testsets
from eval.scoring.label_texts import Meaning
from eval.scoring.predicted_rows import Row
from storm.datasets import SCALES
from storm.rows import Example
from storm.scales import Scale


class Placed(NamedTuple):
    line: int
    place: int  # which of the file's rows it is, from 0, bad ones counted
    row: Row


def and_more(rows: Sequence) -> str:
    return f"; this row and {len(rows) - 1:,} more" if len(rows) > 1 else "; this row"


def placed_by_test_files(
    path: Path,
    rows: Sequence[Placed],
    scales: Mapping[str, Scale],
    tests: testsets.Index,
    by_position: bool,
    errors: list[str],
    notes: list[str],
) -> list[Placed]:
    """The rows with dataset and label of the test file that has their id or image. Rows without a label that no test
    file has are left out, with an error."""
    strange = {one.row.dataset for one in rows} - {dataset for dataset, *_ in tests} - set(SCALES)
    unlabelled = [one for one in rows if not one.row.fits]
    if not unlabelled and (not strange or not any(one.row.id or one.row.image for one in rows)):
        return list(rows)
    places, result, lost = testsets.Places(tests, scales), [], []
    for one in rows:
        row = one.row
        known = row.dataset not in strange
        if row.fits and known:
            result.append(one)
            continue
        example = places.find(row.id, row.image, row.dataset if known else None)
        if example:
            meaning = Meaning(example.dataset, example.scale, row.asked or (row.question or ("", ""))[1], example.label)
            fits = tuple(fit._replace(dataset=example.dataset) for fit in row.fits if fit.scale == example.scale)
            row = row._replace(dataset=example.dataset, fits=fits or (meaning,)) if fits or not row.fits else row
            result.append(one._replace(row=row))
        elif row.fits:
            result.append(one)
        else:
            lost.append(one)
    if lost and len(lost) == len(rows):
        try:
            return _by_position(path, rows, scales, tests, by_position, notes)
        except ValueError as error:
            errors.append(str(error))
    elif lost:
        what = f"line {lost[0].line}: no label, and no test file (--data) has {_key(lost[0].row)}"
        errors.append(f"{path}, {what}{and_more(lost)} left out")
    return result


def _key(row: Row) -> str:
    return repr(row.id or row.image) if row.id or row.image else "a row without id and image"


def _by_position(
    path: Path,
    rows: Sequence[Placed],
    scales: Mapping[str, Scale],
    tests: testsets.Index,
    by_position: bool,
    notes: list[str],
) -> list[Placed]:
    """The rows with the labels of the one test file that can be meant, in its order. Raises ValueError, with the fix,
    if that was not asked for, or cannot be."""
    if not tests:
        raise ValueError(f"{path}: no labels, and no test file: --data FILE names the one that was predicted")
    key = _key(rows[0].row)
    if not by_position:
        fix = "--by-position takes the rows of the test file in their order"
        raise ValueError(f"{path}: no labels, and no test file (--data) has {key}; {fix}")
    datasets = {dataset for dataset, *_ in tests}
    named = rows[0].row.dataset
    if named not in datasets and len(datasets) > 1:
        raise ValueError(f"{path}: --by-position: test files of {', '.join(sorted(datasets))}; --data names one")
    files = testsets.files_of(tests, named if named in datasets else datasets.pop(), path)
    examples = testsets.examples_in(files[0], scales)
    if len(examples) != len(rows):
        what = f"{len(rows):,} rows, but {files[0]} has {len(examples):,}"
        raise ValueError(f"{path}: --by-position: {what}; the rows cannot be told apart")
    notes.append(f"{path}: the rows have no labels; they are taken for those of {files[0]}, in its order")
    return [
        one._replace(
            row=one.row._replace(
                dataset=example.dataset,
                id=example.id,
                fits=(Meaning(example.dataset, example.scale, "", example.label),),
            )
        )
        for one, example in zip(rows, examples)
    ]


def pooled_release(
    path: Path, rows: list[Placed], scales: Mapping[str, Scale], tests: testsets.Index, notes: list[str]
) -> list[Placed]:
    """The rows of the authors' pooled file with dataset and id of the release's row of the same number, if the test
    files were made of the release (python -m data_prep release) and all labels agree."""
    alone = all(one.row.fits and one.row.id is None and one.row.image is None for one in rows)
    if not alone or not rows or {one.row.dataset for one in rows} & ({dataset for dataset, *_ in tests} | set(scales)):
        return rows
    for name, examples in testsets.by_release_line(tests, scales).items():
        pairs = [(one, examples.get(one.place + 1)) for one in rows]
        found = [(one, example) for one, example in pairs if example]
        agree = all(
            any(fit.scale == example.scale and fit.label == example.label for fit in one.row.fits)
            for one, example in found
        )
        if not found or not agree or len(found) < len(examples) or max(examples) > len(rows):
            continue
        lost = len(rows) - len(found)
        notes.append(f"{path}: the rows are those of {name}, in its order; {lost:,} have no image here")
        return [_as(one, example) for one, example in found]
    return rows


def _as(one: Placed, example: Example) -> Placed:
    fits = tuple(fit._replace(dataset=example.dataset) for fit in one.row.fits if fit.scale == example.scale)
    return one._replace(row=one.row._replace(dataset=example.dataset, id=example.id, fits=fits))
