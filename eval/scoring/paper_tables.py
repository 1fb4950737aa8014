"""The paper's Tables 2-5 as text, our runs below its lines."""

from collections.abc import Sequence

from storm.text import aligned
from eval.scoring import paper

TABLES = {"2": ("table2", ("acc",)), "3": ("table2", ("mae",)), "4": ("table4", ("acc", "mae"))}
TABLES |= {"5": ("table5", ("acc", "mae"))}


def cell(value: float | int | str | None, interval: tuple[float, float] | None = None) -> str | int | None:
    """A number with its interval: "0.779 (0.725, 0.829)"."""
    if not isinstance(value, float):
        return value
    return f"{value:.3f}" + (f" ({interval[0]:.3f}, {interval[1]:.3f})" if interval else "")


def beside(table: str, scores: Sequence[dict], means: Sequence[dict]) -> str:
    """Table 2 (ACC), 3 (MAE), 4 or 5 (both): the paper's lines as printed, then a line for each run, empty where the
    run has nothing. ~: a number that our copy of the paper does not show, recovered from the line's average."""
    name, metrics = TABLES[table]
    columns = tuple(paper.DOMAINS) if table == "5" else paper.DATASETS
    parts = []
    for metric in metrics:
        shown = [column for column in columns if metric == "mae" or column not in paper.YEARS]
        lines = [[f"Table {table}, {metric.upper()}", *shown, "average"]]
        for line in paper.TABLES[name]:
            printed = [paper.printed(name, line, metric, column) for column in shown]
            lines.append([line.name, *printed, getattr(line, f"{metric}_average")])
        for run in dict.fromkeys((s["run"], s["strategy"], s["decode"]) for s in scores):
            own = [s for s in scores if (s["run"], s["strategy"], s["decode"]) == run]
            ours = {s["dataset"]: (s[metric], s["intervals"].get(metric)) for s in own}
            ours |= {
                m["average"]: (m[metric], m[f"{metric}_interval"])
                for m in means
                if (m["run"], m["strategy"], m["decode"]) == run
            }
            lines.append([f"ours: {' '.join(run)}", *(cell(*ours.get(c, (None,))) for c in (*shown, "paper"))])
        parts.append(aligned(lines))
    return "\n\n".join(parts)
