"""What the report shows of doubt: how good the surest predictions are, intervals of levels, doubtful labels, raters."""

from collections.abc import Sequence
from typing import NamedTuple

from eval.report_page.cards import Card
from eval.report_page.figures import Picture, draw_risk
from eval.scoring.conformal import Coverage
from eval.scoring.metrics import METRICS
from eval.scoring.scores import Score
from eval.scoring.selective import SHARES

MOST = 24  # labels shown that the model finds least likely; `eval/score.py --flag-labels` writes them all


class Covered(NamedTuple):
    """One run and dataset: ACC, or on a counted scale MAE, at each coverage in percent, the lowest first."""

    run: int
    score: Score
    values: list[tuple[int, float | None, tuple[float, float] | None]]  # (percent, value, interval)


class Part(NamedTuple):
    """One dataset with exact predictions."""

    name: str
    metric: str  # "ACC" or "MAE"
    rows: list[Covered]
    picture: Picture


class Doubtful(NamedTuple):
    """A row whose label the model finds unlikely."""

    card: Card
    counted: bool  # whether the scale is
    p: float  # of the label
    beyond: float  # that the rating is the label, or further off on the same side
    expected: float


class Doubt(NamedTuple):
    """The section. Runs are by their numbers."""

    parts: list[Part]
    coverages: list[tuple[int, Coverage]]
    raters: list[tuple[str, dict]]  # of each dataset with votes
    note: str  # what is not known of the calibration


def doubt(scores: Sequence[Score], keys: Sequence[tuple], coverages: Sequence[Coverage], note: str) -> Doubt:
    """The section of all scores. keys: of the runs, in their order."""
    parts = []
    for name in dict.fromkeys(score.dataset for score in scores):
        rows = [covered(keys.index(s.key), s) for s in scores if s.dataset == name and s.risk_coverage]
        if rows:
            unit = rows[0].score.unit
            rows = [row for row in rows if row.score.unit == unit]
            curves = {row.run: row.score.risk_coverage for row in rows}
            risk = f"MAE, {unit}" if _counted(rows[0].score) else "1 − ACC"
            parts.append(Part(name, METRICS[_metric(rows[0].score)].label, rows, draw_risk(curves, risk)))
    numbered = [(keys.index((row.run, row.strategy, row.decode)), row) for row in coverages]
    raters = [(score.dataset, score.raters) for score in scores if score.raters]
    return Doubt(parts, numbered, [pair for at, pair in enumerate(raters) if pair not in raters[:at]], note)


def covered(run: int, score: Score) -> Covered:
    metric = _metric(score)
    names = [(percent, f"{metric}_at_{percent}") for percent in SHARES] + [(100, metric)]
    return Covered(run, score, [(p, score.values[name], score.intervals.get(name)) for p, name in names])


def _metric(score: Score) -> str:
    return "mae" if _counted(score) else "acc"


def _counted(score: Score) -> bool:
    return score.unit != "level"
