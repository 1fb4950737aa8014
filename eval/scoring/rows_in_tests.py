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
    """The rows with dataset and label of the test file that has their image or id. Rows without a label that no test
    file has are left out, with an error."""
    known = {dataset for dataset, *_ in tests} | set(SCALES)
    named = any(one.row.dataset not in known and (one.row.id or one.row.image) for one in rows)
    if all(one.row.fits for one in rows) and not named:
        return list(rows)
    places, result, lost = testsets.places_in(tests, scales), [], []
    for one in rows:
        row = one.row
        if row.fits and row.dataset in known:
            result.append(one)
            continue
        example = places.find(row.id, row.image, row.dataset if row.dataset in known else None)
        if example and (fits := _fits(row, example)):
            result.append(one._replace(row=row._replace(dataset=example.dataset, fits=fits)))
        elif row.fits:
            result.append(one)
        else:
            lost.append(one)
    if lost and len(lost) == len(rows):
        try:
            return _in_one_file(path, rows, scales, tests, by_position, notes)
        except ValueError as error:
            errors.append(str(error))
    elif lost:
        what = f"line {lost[0].line}: no label, and no test file (--data) has {_key(lost[0].row)}"
        errors.append(f"{path}, {what}{and_more(lost)} left out")
    return result


def _fits(row: Row, example: Example) -> tuple[Meaning, ...]:
    """What the label of a row means in the dataset of its test row; of a row without one, the label there."""
    if not row.fits:
        strategy = row.strategy_in_id or (row.asked or ("", ""))[1]
        return (Meaning(example.dataset, example.scale, strategy, example.label),)
    return tuple(fit._replace(dataset=example.dataset) for fit in row.fits if fit.scale == example.scale)


def _key(row: Row) -> str:
    key = row.id or row.image or row.number
    return repr(key) if key else "a row without id and image"


def _in_one_file(
    path: Path,
    rows: Sequence[Placed],
    scales: Mapping[str, Scale],
    tests: testsets.Index,
    by_position: bool,
    notes: list[str],
) -> list[Placed]:
    """The rows with the labels of the one test file that can be meant: by their numbers, if these are its ids, or by
    position. Raises ValueError, with the fix, if that was not asked for, or cannot be."""
    if not tests:
        raise ValueError(f"{path}: no labels, and no test file: --data FILE names the one that was predicted")
    datasets = {dataset for dataset, *_ in tests}
    named = rows[0].row.dataset
    if named not in datasets and len(datasets) > 1:
        raise ValueError(f"{path}: no labels; test files of {', '.join(sorted(datasets))}: --data names the one")
    files = testsets.files_of(tests, named if named in datasets else datasets.pop(), path)
    if not files:
        raise ValueError(f"{path}: no labels, and no test file of this part: --data FILE names the one")
    examples = testsets.examples_in(files[0], scales)
    at = testsets.numbered(examples, [one.row for one in rows])
    if by_position or at is None:
        if not by_position:
            fix = "--by-position takes the rows of the test file in their order"
            raise ValueError(f"{path}: no labels, and no test file (--data) has {_key(rows[0].row)}; {fix}")
        if len(examples) != len(rows):
            what = f"{len(rows):,} rows, but {files[0]} has {len(examples):,}"
            raise ValueError(f"{path}: --by-position: {what}; the rows cannot be told apart")
        notes.append(f"{path}: the rows have no labels; they are taken for those of {files[0]}, in its order")
        at = list(range(len(rows)))
    elif at != list(range(len(rows))) and (rows[0].row.counts or counting([one.row.number for one in rows])):
        what = f"{rows[0].row.number!r}, {rows[1].row.number!r} ... may be ids of {files[0]}, or count the rows"
        raise ValueError(f"{path}: no labels; {what}; name images, or --by-position if they count")
    matched = [examples[place] for place in at]
    return [
        one._replace(row=one.row._replace(dataset=row.dataset, id=row.id, fits=_fits(one.row, row)))
        for one, row in zip(rows, matched)
    ]


def counting(numbers: Sequence[str | None]) -> bool:
    """Whether numbers are 0, 1, 2 ... or 1, 2, 3 ..."""
    return numbers in [[str(start + place) for place in range(len(numbers))] for start in (0, 1)]


def pooled_release(
    path: Path, rows: list[Placed], scales: Mapping[str, Scale], tests: testsets.Index, notes: list[str]
) -> list[Placed]:
    """The rows of the authors' pooled file with dataset and id of the release's row of the same number, if the test
    files were made of the release (python -m data_prep release) and all labels agree."""
    alone = all(one.row.fits and not (one.row.id or one.row.image or one.row.number) for one in rows)
    if not alone or not rows or {one.row.dataset for one in rows} & ({dataset for dataset, *_ in tests} | set(scales)):
        return rows
    for name, examples in testsets.by_release_line(tests, scales).items():
        pairs = [(one, examples.get(one.place + 1)) for one in rows]
        matched = [(one, example) for one, example in pairs if example]
        agree = all(
            any(fit.scale == example.scale and fit.label == example.label for fit in one.row.fits)
            for one, example in matched
        )
        if not matched or not agree or len(matched) < len(examples) or max(examples) > len(rows):
            continue
        lost = len(rows) - len(matched)
        notes.append(f"{path}: the rows are those of {name}, in its order; {lost:,} have no image here")
        return [_as(one, example) for one, example in matched]
    return rows


def _as(one: Placed, example: Example) -> Placed:
    fits = tuple(fit._replace(dataset=example.dataset) for fit in one.row.fits if fit.scale == example.scale)
    return one._replace(row=one.row._replace(dataset=example.dataset, id=example.id, fits=fits))
