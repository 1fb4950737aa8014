"""The one table of the paper's numbers and ours, side by side: for eval/score.py --table and for the sweep's results.

    paper_table("table2", "acc", {"STORM-3B Lite": with_averages(acc_by_dataset, "acc")}, "markdown")

Values of a line of the paper come from `values_of_line(line, {run: {dataset: value}})`, which knows Single's five runs.
"""

from collections.abc import Mapping

from eval.scoring.paper import DATASETS, DOMAINS, SINGLE, TABLES, Line, average, printed
from storm.datasets import DATASETS as FACTS
from storm.text import Cell
from storm.text import table as draw

AVERAGE = "average"
Values = Mapping[str, float | None]  # dataset -> ACC or MAE
NUMBERS = {  # the paper's table -> where its numbers are in paper.TABLES, and the metrics that it prints
    "2": ("table2", ("acc",)),
    "3": ("table2", ("mae",)),
    "4": ("table4", ("acc", "mae")),
    "5": ("table5", ("acc", "mae")),
    "8": ("table8", ("acc",)),
    "9": ("table8", ("mae",)),
}


def paper_table(table: str, metric: str, ours: Mapping[str, Mapping[str, Cell]], kind: str = "text") -> str:
    """A table of the paper, "table2", "table4", "table5" or "table8", for "acc" or "mae", as text or Markdown.

    ours: name of a row -> its cells, by column (dataset, in table5 domain) or "average"; see with_averages(). A row
    with the name of a line of the paper stands below that line ("NAME, paper", "NAME, ours"), all others at the end.
    A cell that is missing is empty. "~": our copy of the paper does not show the number; the line's average gives it.
    """
    names = tuple(getattr(TABLES[table][0], metric))  # the domains of Table 5, or the datasets that have the metric
    number = next(number for number, (name, metrics) in NUMBERS.items() if name == table and metric in metrics)
    rows: list[list[Cell]] = [[f"Table {number}, {metric.upper()}", *names, AVERAGE]]
    lines = {line.name: line for line in TABLES[table]}
    for name, line in lines.items():
        cells = [printed(table, line, metric, column) for column in names]
        rows.append([f"{name}, paper" if name in ours else name, *cells, getattr(line, f"{metric}_average")])
        if name in ours:
            rows.append([f"{name}, ours", *(ours[name].get(column) for column in (*names, AVERAGE))])
    for name in [name for name in ours if name not in lines]:
        rows.append([name, *(ours[name].get(column) for column in (*names, AVERAGE))])
    return draw(rows, kind)


def with_averages(values: Values, metric: str) -> dict[str, float | None]:
    """The cells of a row of ours: the value of each dataset, the mean of each domain, and the paper's "average".

    A mean of which a dataset is missing is None.
    """
    means = {domain: average(values, metric, names) for domain, names in DOMAINS.items()}
    return {**values, **means, AVERAGE: average(values, metric, DATASETS)}


def values_of_line(line: Line, results: Mapping[str, Values]) -> dict[str, float | None]:
    """The value of each dataset for a line of the paper: its run's, or those of Single's five runs, one a domain.

    results: run -> dataset -> value of one metric.
    """
    runs = {name: line.run or SINGLE[FACTS[name].domain] for name in DATASETS}
    return {name: results.get(run, {}).get(name) for name, run in runs.items()}
