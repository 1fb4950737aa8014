"""What eval/report.py draws of each dataset, as numbers, and as SVG where matplotlib draws it.

Only numbers and our own words come into an SVG; names of runs, datasets and levels, which are not ours, stand in the
page around it. Colours are the page's (CSS variables), so that a picture is dark where the page is.
"""

import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from storm import prompts
from storm.scales import Scale
from eval.scoring.metrics import CLOSE, UNPARSED
from eval.scoring.runs import Answers
from storm.rows import tasks

AGES = 5  # years of a group of ages
RUNS = 8  # colours of runs; after these they come again
INK, LINE = "#010101", "#020202"
COLOURS = {INK: "var(--ink)", LINE: "var(--line)"} | {f"#0300{i:02x}": f"var(--run{i})" for i in range(RUNS)}
PLAIN = {"svg.fonttype": "none", "axes.spines.top": False, "axes.spines.right": False, "text.parse_math": False}
PLAIN |= {name: INK for name in ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor")}
PLAIN |= {name: LINE for name in ("axes.edgecolor", "xtick.color", "ytick.color", "grid.color")}


def confusion(answers: Answers) -> np.ndarray:
    """How often each level was taken for which: (levels, levels), rows right; a last column, if any, unparsed."""
    levels = list(range(answers.scale.lo, answers.scale.hi + 1))
    labels = [*levels, UNPARSED] if (answers.said == UNPARSED).any() else levels
    return confusion_matrix(answers.label, answers.said, labels=labels)[: len(levels)]


def right(answers: Answers) -> np.ndarray:
    """Rows that are right, (n,): of ages, at most 5 years off."""
    return errors(answers) <= (CLOSE if answers.scale.unit == "years" else 0)


def errors(answers: Answers) -> np.ndarray:
    """How far off each row's answer is, (n,), in the scale's unit; inf where none could be parsed."""
    return np.where(answers.said == UNPARSED, np.inf, np.abs(answers.said - answers.label))


def thoughts(answers: Answers) -> list[int] | None:
    """Rows whose thought and rating are right, only the thought, only the rating, neither; and without either part.

    Right, of an age, is at most 5 years off. None where no thought was asked for.
    """
    if answers.strategy == "direct":
        return None
    both = (answers.said != UNPARSED) & (answers.coarse != UNPARSED)
    thought = answers.coarse == answers.coarse_right
    rating = right(answers)
    pairs = (thought & rating, thought & ~rating, ~thought & rating, ~thought & ~rating)
    return [int((pair & both).sum()) for pair in pairs] + [int((~both).sum())]


def labels(runs: Iterable[Answers], scales: Mapping[str, Scale], errors: list[str]) -> dict[str, np.ndarray]:
    """Right labels of a dataset by the name of their set: train and test, or those of the rows that were answered."""
    known = next((one for one in runs if one.data), None)
    if known is None:
        return {"rows answered": next(iter(runs)).label}
    train, found = known.data.with_name("_train".join(known.data.name.rsplit("_test", 1))), {}
    for name, file in {"train": train, "test": known.data}.items():
        try:
            if name == "test" or (file != known.data and file.is_file()):
                found[name] = (
                    known.label if name == "test" and len(known.label) == known.of else right_of(file, known, scales)
                )
        except (OSError, ValueError) as error:
            errors.append(str(error))
    return found


def right_of(file: Path, like: Answers, scales: Mapping[str, Scale]) -> np.ndarray:
    """The right labels of a file of conversations, lowest first. Raises ValueError naming an answer that is none."""
    counts = Counter(task.answer for task in tasks(file, scales))
    known = questions.answers(like.scale, like.strategy)
    if strange := next((text for text in counts if text not in known), None):
        raise ValueError(f"{file}: {strange[:60]!r} is no answer of the scale {like.scale.name}; left out")
    return np.sort(np.repeat([known[text] for text in counts], list(counts.values())))


def groups(scale: Scale) -> tuple[list[str], np.ndarray]:
    """(names, group of each label, lowest first): the levels themselves, or five years of age."""
    if scale.unit == "level":
        return [level.word for level in scale.fine], np.arange(len(scale.fine))
    years = np.arange(scale.lo, scale.hi + 1)
    starts = np.unique(years // AGES * AGES)
    ends = [(max(start, scale.lo), min(start + AGES - 1, scale.hi)) for start in starts]
    names = [f"{lo}–{hi}" if lo < hi else str(lo) for lo, hi in ends]
    return names, (years // AGES) - starts[0] // AGES


def distribution(scale: Scale, labels: Mapping[str, np.ndarray]) -> list[tuple[str, dict[str, float]]]:
    """Of each level or five years, the share of every set of labels (n,), n > 0; ages that no set has are left out."""
    names, group = groups(scale)
    shares = {k: np.bincount(group[found - scale.lo], minlength=len(names)) / len(found) for k, found in labels.items()}
    rows = [(name, {key: float(share[i]) for key, share in shares.items()}) for i, name in enumerate(names)]
    return rows if scale.unit == "level" else [row for row in rows if any(row[1].values())]


def section(runs: Mapping[int, Answers], scores: Mapping[int, dict], found: Mapping[str, np.ndarray]) -> dict:
    """What the page shows of one dataset: runs and scores by the runs' numbers, labels as labels() finds them."""
    first = next(iter(runs.values()))
    made = {"name": first.dataset, "scale": first.scale.name, "unit": first.scale.unit, "runs": []}
    for number, one in runs.items():
        matrix = confusion(one).tolist() if one.scale.unit == "level" else None
        levels = [level.word for level in one.scale.fine]
        made["runs"].append({"by": number, "score": scores[number], "levels": levels, "confusion": matrix})
        made["runs"][-1]["thoughts"] = thoughts(one)
    ages = {n: age_errors(one) for n, one in runs.items() if one.scale == first.scale and one.scale.unit == "years"}
    bins = {number: score["reliability"] for number, score in scores.items() if score.get("reliability")}
    names, _ = groups(first.scale)
    made["ages"] = {"runs": ages, "names": names, "picture": draw_ages(names, ages)} if ages else None
    made["reliability"] = {"runs": bins, "picture": draw_reliability(bins)} if bins else None
    rows = distribution(first.scale, found)
    made["labels"] = {"sizes": {name: len(column) for name, column in found.items()}, "rows": rows}
    made["labels"]["highest"] = max(share for _, shares in rows for share in shares.values())
    return made


def age_errors(answers: Answers) -> list[dict | None]:
    """Of each five years of true age: n, mean absolute and signed error (said - right); None without parsed rows."""
    names, group = groups(answers.scale)
    point = answers.point
    error, of = (point - answers.label).astype(float), group[answers.label - answers.scale.lo]
    parsed, found = point != UNPARSED, []
    for number in range(len(names)):
        here = error[parsed & (of == number)]
        found.append({"n": len(here), "mae": abs(here).mean(), "signed": here.mean()} if len(here) else None)
    return found


def draw_ages(names: Sequence[str], runs: Mapping[int, Sequence[dict | None]]) -> Markup:
    """age_errors() of runs, by their numbers: absolute error above, signed below."""
    with matplotlib.rc_context(PLAIN):
        figure = Figure((4.8, 4.0), layout="constrained")
        above, below = figure.subplots(2, sharex=True, height_ratios=(3, 2))
        shown = [i for i in range(len(names)) if any(rows[i] for rows in runs.values())]
        for number, rows in runs.items():
            for axes, key in ((above, "mae"), (below, "signed")):
                values = [rows[i][key] if rows[i] else np.nan for i in shown]
                axes.plot(range(len(shown)), values, "o-", color=_colour(number), markersize=4, linewidth=1.6)
        below.axhline(0, color=INK, linewidth=0.8)
        above.set(ylim=(0, None), ylabel="mean absolute error")
        below.set(ylabel="said − right", xlabel="right age, years")
        every = 1 + len(shown) // 8
        below.set_xticks(range(0, len(shown), every), [names[i] for i in shown[::every]])
        for axes in (above, below):
            _grid(axes, "y")
        return _svg(figure, "age")


def draw_reliability(runs: Mapping[int, Sequence[dict]]) -> Markup:
    """posterior.reliability() of runs, by their numbers: points as large as their bins, and the diagonal to reach."""
    with matplotlib.rc_context(PLAIN):
        figure = Figure((4.4, 4.0), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], "--", color=INK, linewidth=0.8)
        for number, bins in runs.items():
            x, y = ([bin[key] for bin in bins] for key in ("confidence", "accuracy"))
            sizes = 20 + 180 * np.array([bin["n"] for bin in bins]) / sum(bin["n"] for bin in bins)
            axes.plot(x, y, color=_colour(number), linewidth=1.2)
            axes.scatter(x, y, sizes, color=_colour(number), alpha=0.75, linewidths=0)
        axes.set(xlim=(0, 1.03), ylim=(0, 1.03), xlabel="confidence of the answer", ylabel="share that is right")
        axes.set_aspect("equal")
        _grid(axes, "both")
        return _svg(figure, "reliability")


def _colour(number: int) -> str:
    return f"#0300{number % RUNS:02x}"


def _grid(axes: Axes, which: str) -> None:
    axes.grid(axis=which, linewidth=0.6)
    axes.set_axisbelow(True)


def _svg(figure: Figure, kind: str) -> Markup:
    """The figure as an <svg> element in the page's colours, hidden from screen readers: a table says the same."""
    written = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": kind}):  # else its ids are others every time
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(written, format="svg", transparent=True, metadata=nothing)
    text = written.getvalue()
    text = re.sub(r"<style.*?</style>", "", text)  # would hold for the whole page
    text = re.sub(r'<g id="[^"]*"', "<g", text[text.index("<svg") :])  # the same in every figure of a page
    text = re.sub(r"#0[0-9a-f]{5}\b", lambda found: COLOURS.get(found[0], found[0]), text)
    return Markup(text.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1))  # noqa: S704
