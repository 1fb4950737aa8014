"""The report's tables of scores and averages: a row for each run, and below them the paper's."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from eval.scoring import paper
from eval.scoring.metrics import METRICS, UNPARSED
from eval.scoring.predictions import Predictions
from eval.scoring.scores import Average, Score
from storm.prompts import STRATEGIES

PAPER = tuple(line for line in paper.TABLES["table2"] if line.name.startswith("STORM"))  # Tables 2 and 3
Key = tuple[str, str, str]  # of a run: path, strategy, decoding


class Column(NamedTuple):
    name: str
    label: str
    legend: str
    first: str  # the order after the first click

    def cell(self, score: Score) -> "Cell":
        if self.name in METRICS:
            return Cell(score.values.get(self.name), score.intervals.get(self.name))
        return Cell(getattr(score, self.name))


class Cell(NamedTuple):
    """A number with its interval; of the paper's numbers, why it is not sure."""

    value: float | None
    interval: tuple[float, float] | None = None
    unsure: str = ""


class Row(NamedTuple):
    """A row of a table: of a run, by its number, or of the paper."""

    name: str  # of the dataset or average
    run: int | None
    cells: dict[str, Cell]
    paper: str = ""  # the name of the paper's line
    missing: Sequence[str] = ()  # datasets without which there is no average


COUNTS = (
    Column("n", "n", "rows that were scored.", "descending"),
    Column("n_test", "n_test", "rows of the test file that the predictions are joined to.", "descending"),
    Column("n_paper", "n_paper", "rows of the paper's test set (Tables 6 and 7).", "descending"),
)


def columns(units: Iterable[str] = ()) -> list[Column]:
    """All columns: the counts and every metric. The first click puts the best values first. units: of the scales."""
    first = {"lower": "ascending", "higher": "descending"}
    return [*COUNTS, *(Column(m.name, m.label, m.explained(units), first[m.better]) for m in METRICS.values())]


class Reading(NamedTuple):
    """How many texts of a run were read by one rule, or could not be for one reason."""

    run: int
    form: str  # of the files: the tool that wrote them
    rule: str
    texts: int
    share: float  # of the run's texts


def readings(runs: Sequence[Mapping[str, Predictions]]) -> list[Reading]:
    """Of each run of texts with any that is not as trained: its rules, those with a rating first, then by number."""
    rows = []
    for number, run in enumerate(runs):
        parts = [part for part in run.values() if part.probs is None and part.rule]
        counts = Counter(rule for part in parts for rule in part.rule)
        read = {rule for part in parts for rule, pred in zip(part.rule, part.pred) if pred != UNPARSED}
        forms = ", ".join(dict.fromkeys(part.form for part in parts if part.form))
        order = sorted(counts.items(), key=lambda item: (item[0] not in read, -item[1], item[0]))
        if set(counts) - {"exact"}:
            rows += [Reading(number, forms, rule, texts, texts / counts.total()) for rule, texts in order]
    return rows


def shown_columns(scores: Sequence[Score]) -> list[Column]:
    """The columns in which a score has a number; without n_test if every test file was predicted as a whole."""
    whole = all(score.n_test in (None, score.n) for score in scores)
    units = [score.unit for score in scores]
    filled = [column for column in columns(units) if any(column.cell(score).value is not None for score in scores)]
    return [column for column in filled if column.name != "n_test" or not whole]


def score_rows(scores: Sequence[Score], numbers: Mapping[Key, int], datasets: Iterable[str]) -> list[Row]:
    """The table of scores: of each dataset the runs, then the paper. numbers: of the runs."""
    rows = []
    for dataset in datasets:
        for score in (score for score in scores if score.dataset == dataset):
            cells = {column.name: column.cell(score) for column in columns()}
            rows.append(Row(dataset, numbers[score.key], cells))
        if dataset in paper.DATASETS:
            rows += [Row(dataset, None, paper_cells(line, dataset), line.name) for line in lines_beside(numbers)]
    return rows


def average_rows(averages: Sequence[Average], numbers: Mapping[Key, int]) -> list[Row]:
    """The table of averages: of each domain, and of all, the runs that have some of its datasets, then the paper."""
    rows = []
    for name, datasets in paper.AVERAGED.items():
        title = name if name in paper.DOMAINS else f"all {len(datasets)}"
        ours = [row for row in averages if row.name == name and {*row.missing["mae"]} != {*datasets}]
        for row in ours:
            cells = {metric: Cell(value, row.intervals.get(metric)) for metric, value in row.values.items()}
            missing = list(dict.fromkeys(dataset for names in row.missing.values() for dataset in names))
            rows.append(Row(title, numbers[row.key], cells, missing=missing))
        lines = lines_beside(numbers) if ours else ()
        rows += [Row(title, None, paper_cells(line, name), line.name) for line in lines]
    return rows


def lines_beside(keys: Iterable[Key]) -> tuple[paper.Line, ...]:
    """The paper's lines that stand beside runs: STORM's, and where a run is asked without a coarse step, the lines of
    other models, too, which are asked so (of "Lite", Table 4 says it: "w/o CoT")."""
    direct = any(not STRATEGIES[strategy].coarse for _, strategy, _ in keys if strategy in STRATEGIES)
    return paper.TABLES["table2"] if direct else PAPER


def paper_cells(line: paper.Line, name: str) -> dict[str, Cell]:
    """ACC and MAE of a line of Tables 2 and 3: of a dataset, a domain, or all ("paper"), and why they are unsure."""
    cells, datasets = {}, paper.AVERAGED.get(name, (name,))
    if datasets == paper.DATASETS:
        return {metric: Cell(getattr(line, f"{metric}_average")) for metric in paper.OVER}
    for metric, over in paper.OVER.items():
        names = [dataset for dataset in datasets if dataset in over]
        value = paper.average(getattr(line, metric), metric, names) if names else None
        reasons = [paper.UNSURE.get(("table2", line.name, metric, dataset)) for dataset in names]
        cells[metric] = Cell(value, unsure="; ".join(filter(None, reasons)))
    return cells
