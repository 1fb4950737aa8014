"""The table of runs: a row a run, and in each column the best, and those that cannot be told from it."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np

from eval.scoring.compare import ERROR, p_value, too_few
from eval.scoring.interval import holm
from eval.scoring.metrics import METRICS
from eval.scoring.pairing import Paired, differences
from eval.scoring.paper import AVERAGED, OVER
from eval.scoring.predictions import Predictions
from eval.scoring.scores import Average, Score
from eval.scoring.seeds import Entry, entries, p_with_seeds

HARDLY = 0.01  # of the predictions; if more are unparsed, a line says so. Our choice
MANY = 5  # datasets; of more, domains and the paper's average stand for theirs. Our choice: ten columns fit a page


Parts = Callable[[int, int, str], list[Paired] | str]  # (ours, base, dataset) -> differences, or why there are none


class Column(NamedTuple):
    name: str  # of a dataset or average
    metric: str
    datasets: tuple[str, ...]
    average: bool = False


@dataclass
class Cell:
    """A metric of a run, or its mean over the seeds of a recipe."""

    value: float | None = None
    sd: float | None = None  # of the seeds (n - 1); None of a single run
    rank: str = ""  # "best", "cannot tell" (from the best), "worse", "not compared"; "" of a column with one value
    p: float | None = None  # of no difference from the best
    holm: float | None = None  # corrected for all pairs of runs that have a value


@dataclass
class RunTable:
    rows: list[Entry]
    columns: list[Column]
    cells: list[list[Cell]]  # by row, then column
    notes: list[str] = field(default_factory=list)  # what was not averaged or compared, and why

    def to_json(self) -> list[dict]:
        return [
            {"runs": [key[0] for key in row.keys], "name": row.name, "strategy": row.strategy, "decode": row.decode}
            | {"seeds": list(row.seeds), "column": column.name, "metric": column.metric}
            | vars(cell)
            for row, cells in zip(self.rows, self.cells)
            for column, cell in zip(self.columns, cells)
        ]


def run_table(runs: Sequence[Predictions], scores: Sequence[Score], averages: Sequence[Average]) -> RunTable:
    """All runs side by side. The best of a column has the best value; each other run is compared with it, on the rows
    of both. Runs without ids, or without rows in common, are not compared.

    p is corrected for all pairs of runs (Holm 1979), since it is chance, too, which of them is the best: of ten equal
    runs, one or more are called worse in 2% to 3% of cases, and in 11% if corrected for the nine pairs with the best.
    """
    rows, notes = entries(runs)
    columns = _columns(scores, averages)
    of_seeds = _of_seeds(rows, columns, scores, averages)
    cells = [[_cell(seeds) for seeds in row] for row in of_seeds]
    table = RunTable(rows, columns, cells, [*notes, *_lacking(rows, columns, of_seeds), *_unparsed(rows, scores)])
    predictions = {(part.key, part.dataset): part for part in runs}

    @cache
    def parts(ours: int, base: int, dataset: str) -> list[Paired] | str:
        sides = [[predictions[key, dataset] for key in rows[number].keys] for number in (ours, base)]
        return _paired(*sides, table.notes)

    for at, column in enumerate(columns):
        here = {number: row[at] for number, row in enumerate(cells) if row[at].value is not None}
        if len(here) > 1:
            _rank(column, here, {number: of_seeds[number][at] for number in here}, parts, table.notes)
    table.notes = list(dict.fromkeys(table.notes))
    return table


def _columns(scores: Sequence[Score], averages: Sequence[Average]) -> list[Column]:
    """Of ACC, then of MAE: the datasets; of many, the averages that a run has, and the datasets of no average."""
    datasets, columns = list(dict.fromkeys(score.dataset for score in scores)), []
    for metric in OVER:
        names, covered = [], set()
        for name, over in AVERAGED.items() if len(datasets) > MANY else ():
            if any(row.name == name and row.values[metric] is not None for row in averages):
                names.append(Column(name, metric, tuple(dataset for dataset in over if dataset in OVER[metric]), True))
                covered.update(over)
        alone = [name for name in datasets if name not in covered]
        scored = {score.dataset for score in scores if score.values[metric] is not None}
        columns += [*(Column(name, metric, (name,)) for name in alone if name in scored), *names]
    return columns


def _of_seeds(
    rows: Sequence[Entry], columns: Sequence[Column], scores: Sequence[Score], averages: Sequence[Average]
) -> list[list[list[float | None]]]:
    """By row and column, the values of the row's runs."""
    values = {(score.key, score.dataset, False): score.values for score in scores}
    values |= {(average.key, average.name, True): average.values for average in averages}
    return [
        [[values.get((key, c.name, c.average), {}).get(c.metric) for key in row.keys] for c in columns] for row in rows
    ]


def _lacking(rows: Sequence[Entry], columns: Sequence[Column], of_seeds: Sequence[Sequence[list]]) -> list[str]:
    """A line for each mean that is not there because some of its seeds have no value."""
    notes = []
    for row, cells in zip(rows, of_seeds):
        for column, values in zip(columns, cells):
            lacking = [str(seed) for seed, value in zip(row.seeds, values) if value is None]
            if 0 < len(lacking) < len(values):
                what = f"{METRICS[column.metric].label} of {column.name}"
                notes.append(f"{row.title}: no mean {what}, which seed {', '.join(lacking)} lacks")
    return notes


def _unparsed(rows: Sequence[Entry], scores: Sequence[Score]) -> list[str]:
    notes, of_run = [], defaultdict(list)
    for score in scores:
        of_run[score.key].append((score.unparsed, score.n))
    for row in rows:
        sizes = [size for key in row.keys for size in of_run[key]]
        share = sum(unparsed for unparsed, _ in sizes) / sum(n for _, n in sizes)
        if share > HARDLY:
            notes.append(f"{row.title}: {share:.1%} of the predictions are unparsed: wrong for ACC, left out of MAE")
    return notes


def _cell(values: Sequence[float | None]) -> Cell:
    if None in values:
        return Cell()
    return Cell(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)


def _paired(ours: Sequence[Predictions], base: Sequence[Predictions], notes: list[str]) -> list[Paired] | str:
    """The differences of two rows of the table on one dataset, or why there are none."""
    runs = [*ours, *base]
    nameless = next((run for run in runs if run.id is None), None)
    if nameless:
        return f"{nameless.path} has no ids (--data names the test files)"
    try:
        paired_parts = differences(ours, base)
    except ValueError as error:
        return str(error)
    same = all(run.id == runs[0].id for run in runs)
    common = len(runs[0].id) if same else len(set(runs[0].id).intersection(*(run.id for run in runs[1:])))
    for run in runs:
        if len(run.id) > common:
            notes.append(f"{run.path}: compared on {common:,} of its {len(run.id):,} rows of {run.dataset}")
    return paired_parts


def _rank(
    column: Column, cells: Mapping[int, Cell], of_seeds: Mapping[int, list[float]], parts: Parts, notes: list[str]
) -> None:
    """Compare each cell of a column, by the number of its row, with the best. of_seeds: the values of its runs.

    A cell is only worse if it is so on the rows of both, too: a run that leaves out the hard rows has a small MAE.
    """
    highest, metric = METRICS[column.metric].better == "higher", METRICS[column.metric].label
    best = (max if highest else min)(cells, key=lambda number: cells[number].value)
    cells[best].rank = "best"
    p, behind, pairs = {}, {}, len(cells) * (len(cells) - 1) // 2
    for number in (number for number in cells if number != best):
        paired_parts = _of_column(column, [parts(number, best, dataset) for dataset in column.datasets])
        if isinstance(paired_parts, str):
            notes.append(f"not compared: {paired_parts}")
            cells[number].rank = "not compared"
            continue
        p[number] = max(p_value(paired_parts, pairs), p_with_seeds(paired_parts, of_seeds[number], of_seeds[best]))
        behind[number] = (np.mean([part.difference for part in paired_parts]) < 0) == highest
        if few := too_few(paired_parts, pairs):
            notes.append(f"{column.name} {metric}: {few}")
    for number, corrected in zip(p, holm([*p.values()], pairs) if p else []):
        cell = cells[number]
        cell.p, cell.holm = p[number], corrected
        told = "worse" if corrected < ERROR and behind[number] else "cannot tell"
        cell.rank = "best" if cell.value == cells[best].value else told


def _of_column(column: Column, paired_parts: Sequence[list[Paired] | str]) -> list[Paired] | str:
    """The differences in a column's metric on each of its datasets, or why one of them has none."""
    if reasons := [reason for reason in paired_parts if isinstance(reason, str)]:
        return reasons[0]
    parts = [part for several in paired_parts for part in several if part.metric == column.metric]
    return parts if len(parts) == len(column.datasets) else f"no row of {column.name} that both runs parsed"
