"""The table of runs as text, as LaTeX (booktabs) and Markdown for papers, and all scores as a tidy csv file."""

import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from eval.scoring.many_runs import Cell, RunTable
from eval.scoring.metrics import METRICS
from eval.scoring.pairing import COMPARED
from eval.scoring.scores import Score
from storm.files import write_text
from storm.text import harmless, printable, table

MARKS = {"best": "*", "cannot tell": "=", "not compared": "?"}
PAPER_MARKS = "Bold: best. Underlined: cannot be told from the best. {}: not compared with it."
BEST = """\
The best of each column was chosen on these same rows, so it may be best by chance. "Cannot be told": p of the paired
sign-flip test against the best is .05 or more, corrected for all pairs of runs in the column (Holm 1979)."""
SEEDS = """\
± is the standard deviation over seeds; their values are averaged, and p counts what other seeds would change."""
LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"} | {sign: f"\\{sign}" for sign in "{}$&#_%"}
LATEX["["] = "{[}"  # behind the end of a row, a bracket would be its height
HEAD = ("run", "recipe", "seed", "dataset", "scale", "strategy", "decode", "metric", "value", "low", "high")
HEAD += ("unit", "n", "n_test", "subjects", "unparsed")


def text(runs: RunTable) -> str:
    """The table with its legend."""
    rows = [[*_heads(runs), *(f"{column.name} {METRICS[column.metric].label}" for column in runs.columns)]]
    for names, cells in _rows(runs):
        rows.append([*names, *(f"{MARKS.get(cell.rank, '')}{_number(cell)}" for cell in cells)])
    marks = {cell.rank for row in runs.cells for cell in row}
    meanings = {
        "best": "best",
        "cannot tell": "cannot be told from the best",
        "not compared": "not compared with the best",
    }
    legend = ", ".join(f"{MARKS[rank]} {words}" for rank, words in meanings.items() if rank in marks)
    return "\n".join([table(rows), *([f"{legend}."] if legend else []), *_legend(runs)])


def _legend(runs: RunTable) -> list[str]:
    ranked = any(cell.rank for row in runs.cells for cell in row)
    return [*([BEST] if ranked else []), *([SEEDS] if any(row.seeds for row in runs.rows) else []), *runs.notes]


def latex(runs: RunTable) -> str:
    """A tabular of booktabs; what a reader must know stands above it as comments."""
    marks = {"best": r"\textbf{%s}", "cannot tell": r"\underline{%s}", "not compared": r"%s$^\dagger$"}
    legend = "\n".join([f"Needs booktabs. {PAPER_MARKS.format('Dagger')}", *_legend(runs)])
    names, columns, first = _heads(runs), runs.columns, len(_heads(runs)) + 1
    groups, rules = [""] * len(names), []
    for metric in COMPARED:
        count = sum(column.metric == metric.name for column in columns)
        if count:
            arrow = r"$\uparrow$" if metric.better == "higher" else r"$\downarrow$"
            groups.append(rf"\multicolumn{{{count}}}{{c}}{{{metric.label} {arrow}}}")
            rules.append(rf"\cmidrule(lr){{{first}-{first + count - 1}}}")
            first += count
    body = [[*map(_latex, names), *(_latex(column.name) for column in columns)]]
    for row, cells in _rows(runs, short=True):
        body.append([*map(_latex, row), *(_marked(cell, marks, r" $\pm$ ") for cell in cells)])
    lines = [" & ".join(row) + r" \\" for row in (groups, *body)]
    return "\n".join(
        [
            *(f"% {printable(line)}" for line in legend.splitlines()),
            rf"\begin{{tabular}}{{{'l' * len(names)}{'r' * len(columns)}}}",
            *(r"\toprule", lines[0], " ".join(rules), lines[1], r"\midrule", *lines[2:], r"\bottomrule"),
            r"\end{tabular}",
        ]
    )


def _latex(name: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in printable(name)).replace("--", "-{}-")


def markdown(runs: RunTable) -> str:
    marks = {"best": "**%s**", "cannot tell": "<ins>%s</ins>", "not compared": "%s†"}
    rows = [[*_heads(runs), *(f"{_markdown(column.name)} {METRICS[column.metric].label}" for column in runs.columns)]]
    for names, cells in _rows(runs, short=True):
        rows.append([*map(_markdown, names), *(_marked(cell, marks, " ± ") for cell in cells)])
    legend = [PAPER_MARKS.format("†"), *map(_markdown, _legend(runs))]
    return "\n\n".join([table(rows, "markdown"), " ".join(" ".join(legend).split())])


def _markdown(name: str) -> str:
    """A name as it is; table() takes care of "|"."""
    return re.sub(r"([\\`*_{}\[\]<>#~&$])", r"\\\1", name)


def write_csv(path: Path, scores: Sequence[Score], runs: RunTable) -> None:
    """A row for each run, dataset and metric. Raises OSError. low, high: the 95% interval. seed: of several of one
    recipe."""
    of_key = {key: (row.name, seed) for row in runs.rows for key, seed in zip(row.keys, row.seeds or [""])}
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(HEAD)
    for score in scores:
        facts = [score.run, *of_key[score.key], score.dataset, score.scale, score.strategy, score.decode]
        ends = [score.unit, score.n, score.n_test, score.subjects, score.unparsed]
        for name, value in score.values.items():
            if value is not None:
                writer.writerow([*map(harmless, facts), name, value, *(score.intervals.get(name) or ("", "")), *ends])
    write_text(path, file.getvalue())


def _heads(runs: RunTable) -> list[str]:
    """What names a row: the run, and what else differs between the rows."""
    differ = [key for key in ("strategy", "decode") if len({getattr(row, key) for row in runs.rows}) > 1]
    return ["run", *differ]


def _rows(runs: RunTable, short: bool = False) -> Iterable[tuple[list[str], list[Cell]]]:
    """short: without the folder that all runs are in."""
    folders = [Path(row.name).parent.parts for row in runs.rows]
    shared = len(os.path.commonprefix(folders)) if short else 0
    heads = _heads(runs)[1:]
    for row, cells in zip(runs.rows, runs.cells):
        title = row.title.removeprefix(row.name)
        name = str(Path(*Path(row.name).parts[shared:])) if shared else row.name
        yield [name + title, *(getattr(row, key) for key in heads)], cells


def _number(cell: Cell, between: str = " ± ") -> str:
    if cell.value is None:
        return ""
    return f"{cell.value:.3f}" + ("" if cell.sd is None else f"{between}{cell.sd:.3f}")


def _marked(cell: Cell, marks: dict[str, str], between: str) -> str:
    """The number with its mark; the spread over seeds stands behind it, unmarked."""
    value, *spread = _number(cell, between).partition(between)
    return marks.get(cell.rank, "%s").replace("%s", value) + "".join(spread)
