"""The pictures of the report, as SVG: each is drawn for a light page and again for a dark one.

Only numbers, units, which are letters, and our own words come into a picture. Names of runs, datasets and levels,
which users choose, stand in the page around it. The same numbers give the same bytes.
"""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor")
LINES = ("axes.edgecolor", "xtick.color", "ytick.color", "grid.color")
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "storm", "text.parse_math": False, "axes.axisbelow": True}
STYLE |= {"axes.spines.top": False, "axes.spines.right": False, "axes.grid.axis": "y", "axes.grid": True}
STYLE |= {"grid.linewidth": 0.6}


class Theme(NamedTuple):
    """Colors of the page and its pictures. Runs after the last color begin with the first one again."""

    ink: str
    line: str
    runs: tuple[str, ...]


LIGHT = Theme(
    "#1b1f24", "#dfe2e6", ("#2563eb", "#c2410c", "#0b7a53", "#9333ea", "#8a6508", "#0b7490", "#c2255c", "#5c6770")
)
DARK = Theme(
    "#e7e9ec", "#343a43", ("#6ea0ff", "#ff9257", "#4ccb98", "#c18bff", "#e0b64a", "#4cc3e0", "#ff7fa8", "#a9b3bd")
)


class Picture(NamedTuple):
    """One picture as two data: URIs."""

    light: str
    dark: str


class GroupError(NamedTuple):
    """Errors of the rows of one group of labels, in the unit that is counted, such as years."""

    n: int
    mae: float
    signed: float  # mean of prediction - label


def draw_errors(names: Sequence[str], runs: Mapping[int, Sequence[GroupError | None]], unit: str) -> Picture:
    """Errors by group of labels of runs, by their numbers: absolute error above, signed error below."""

    def draw(figure: "Figure", ink: str) -> None:
        above, below = figure.subplots(2, sharex=True, height_ratios=(3, 2))
        shown = [i for i in range(len(names)) if any(rows[i] for rows in runs.values())]
        for number, rows in runs.items():
            for axes, key in ((above, "mae"), (below, "signed")):
                values = [getattr(rows[i], key) if rows[i] else np.nan for i in shown]
                axes.plot(range(len(shown)), values, "o-", color=f"C{number}", markersize=4, linewidth=1.6)
        below.axhline(0, color=ink, linewidth=0.8)
        above.set(ylim=(0, None), ylabel="mean absolute error")
        below.set(ylabel="prediction − label", xlabel=f"label, {unit}")
        every = 1 + len(shown) // 8
        below.set_xticks(range(0, len(shown), every), [names[i] for i in shown[::every]])

    return _picture(draw, (4.8, 4.0))


def draw_reliability(runs: Mapping[int, Sequence[dict]]) -> Picture:
    """posterior.reliability() of runs, by their numbers: points as large as their bins, and the diagonal to reach."""

    def draw(figure: "Figure", ink: str) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], "--", color=ink, linewidth=0.8)
        for number, bins in runs.items():
            x, y, n = (np.array([row[key] for row in bins]) for key in ("confidence", "accuracy", "n"))
            axes.plot(x, y, color=f"C{number}", linewidth=1.2)
            axes.scatter(x, y, 20 + 180 * n / n.sum(), color=f"C{number}", alpha=0.75, linewidths=0)
        axes.set(xlim=(0, 1.03), ylim=(0, 1.03), xlabel="confidence of the prediction", ylabel="accuracy")
        axes.set_aspect("equal")
        axes.grid(axis="both")

    return _picture(draw, (4.4, 4.0))


def draw_risk(runs: Mapping[int, Sequence[dict]], risk: str) -> Picture:
    """selective.curve() of runs, by their numbers. risk: what is on the y axis."""

    def draw(figure: "Figure", ink: str) -> None:
        axes = figure.subplots()
        for number, points in runs.items():
            x, y = (np.array([point[key] for point in points]) for key in ("coverage", "risk"))
            axes.plot(x, y, color=f"C{number}", linewidth=1.6)
        axes.set(xlim=(0, 1.03), ylim=(0, None), xlabel="coverage (share of rows, the surest first)", ylabel=risk)

    return _picture(draw, (4.4, 3.2))


def _picture(draw: Callable[["Figure", str], None], inches: tuple[float, float]) -> Picture:
    """draw: gets the figure and the color of its text."""
    import matplotlib
    from cycler import cycler
    from matplotlib.figure import Figure

    pictures = []
    for theme in (LIGHT, DARK):
        colors = dict.fromkeys(INK, theme.ink) | dict.fromkeys(LINES, theme.line)
        with matplotlib.rc_context(STYLE | colors | {"axes.prop_cycle": cycler(color=theme.runs)}):
            figure, file = Figure(inches, layout="constrained"), io.BytesIO()
            draw(figure, theme.ink)
            figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
        pictures.append("data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode())
    return Picture(*pictures)
