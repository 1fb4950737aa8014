"""The metrics as rows: what each is called, when it applies, and the one function that computes it.

Errors are in the scale's unit: levels, or what it counts, such as years. A new metric is one more row of `METRICS`; see
weighted_rows.py for what its function gets.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from eval.inference.posterior import BINS
from eval.scoring import selective, votes
from eval.scoring import weighted_rows as weighted
from eval.scoring.weighted_rows import UNPARSED as UNPARSED  # for all who need it
from eval.scoring.weighted_rows import Rows, coarse_index
from storm.prompts import STRATEGIES

if TYPE_CHECKING:
    from eval.scoring.predictions import Predictions

UNITS = "levels, or in what the scale counts, such as years"  # of errors in general
CLOSE = 5  # years: CS@5, the cumulative score of the age papers
WHEN: dict[str, Callable[["Predictions"], bool]] = {  # when a metric applies, as docs print it
    "always": lambda predictions: True,
    "levels": lambda predictions: not predictions.scale.counted,
    "years": lambda predictions: predictions.scale.unit == "years",
    "with a coarse step": lambda predictions: STRATEGIES[predictions.strategy].coarse,
    "exact": lambda predictions: predictions.probs is not None,
    "exact, levels": lambda predictions: predictions.probs is not None and not predictions.scale.counted,
    "exact, counted": lambda predictions: predictions.probs is not None and predictions.scale.counted,
    "exact, votes": lambda predictions: predictions.probs is not None and predictions.votes is not None,
    "own ratings": lambda predictions: predictions.score is not None,
}
RowValues = Callable[[Rows], np.ndarray]  # (K,)


@dataclass(frozen=True)
class Metric:
    name: str  # the key in --json
    label: str  # the head of its column
    better: str  # "higher" or "lower"
    bounds: tuple[float | None, float | None]  # (lowest, highest possible value); None: open
    function: Callable[[Rows], np.ndarray]  # (B,)
    legend: str  # what it is, in a sentence or two; {unit} stands for the unit of errors
    when: str = "always"  # a key of WHEN
    share: bool = False  # a share of rows: if it is 0 or 1, its interval is Clopper and Pearson's
    interval: bool = True  # whether it has one
    interval_function: Callable[[Rows], np.ndarray] | None = None  # (B,) distance of resample and sample: see ECE
    row: RowValues | None = None  # of a metric that is a mean over rows: the value of each
    counted_rows: Callable[["Rows | Predictions"], np.ndarray] = weighted.all_rows  # the rows of that mean

    def applies(self, predictions: "Predictions") -> bool:
        return WHEN[self.when](predictions)

    def explained(self, units: Iterable[str] = ()) -> str:
        """The legend. units: of the scales that are scored; none: in general."""
        names = dict.fromkeys("levels" if unit == "level" else unit for unit in units)
        return self.legend.replace("{unit}", " or ".join(names) or UNITS)


def _mean(name: str, label: str, better: str, row: RowValues, counted_rows=weighted.all_rows, **more) -> Metric:
    """A metric that is the mean of `row` over counted_rows."""

    def function(rows: Rows) -> np.ndarray:
        counted = counted_rows(rows)
        return rows.total(row(rows) * counted) / rows.total(counted)

    return Metric(name, label, better, function=function, row=row, counted_rows=counted_rows, **more)


def _share(name: str, label: str, better: str, row: RowValues, **more) -> Metric:
    """A metric that is the share of rows for which `row` is true."""
    return _mean(name, label, better, row, bounds=(0, 1), share=True, **more)


def _at_coverage(percent: int, counted: bool) -> Metric:
    """ACC, or on a counted scale MAE, of the rows that the model is surest of."""
    place = selective.SHARES.index(percent)

    def function(rows: Rows) -> np.ndarray:
        risk = rows.selective.risk[:, place]
        return risk if counted else 1 - risk

    name, better, bounds, when = _COVERED[counted]
    legend = f"{name} of the {percent}% of rows with the {_SURE[counted]}."
    return Metric(
        f"{name.lower()}_at_{percent}",
        f"{name} at {percent}%",
        better,
        bounds,
        function,
        legend,
        when=when,
        share=not counted,
        counted_rows=lambda rows: selective.surest(rows, percent),
    )


# Of levels, and of counted scales.
_COVERED = ("ACC", "higher", (0, 1), "exact, levels"), ("MAE", "lower", (0, None), "exact, counted")
_SURE = "highest probability of the mode", "least expected absolute error"


# fmt: off
_ROWS = (
    _share("acc", "ACC", "higher", lambda rows: rows.pred == rows.label, when="levels",
           legend="accuracy, the share of predictions that equal the label. An unparsed prediction is wrong (our"
                  " choice). A scale that counts, such as ages, has none."),
    _mean("mae", "MAE", "lower", lambda rows: rows.error, bounds=(0, None), counted_rows=weighted.parsed,
          legend="mean absolute error of the parsed predictions, in {unit}."),
    _mean("mae_raw", "MAE raw", "lower", lambda rows: rows.raw_error, bounds=(0, None), counted_rows=weighted.parsed,
          when="own ratings",
          legend="mean absolute error in the unit of your ratings: from the rating that the predicted level stands for"
                 " (exact: the expected rating) to the raw rating of the row."),
    _mean("mae_worst", "MAE worst", "lower", lambda rows: weighted.worst_error(rows.scale, rows.label, rows.median),
          bounds=(0, None), legend="MAE if an unparsed prediction counts as the largest possible error."),
    _share("unparsed_rate", "unparsed rate", "lower", lambda rows: ~rows.parsed,
           legend="share of the texts in which no rating can be read."),
    _share("off_by_one", "within 1", "higher", lambda rows: (np.abs(rows.pred - rows.label) <= 1) & rows.parsed,
           when="levels", legend="share of predictions that are the label or a level next to it."),
    _share("cs5", f"CS@{CLOSE}", "higher", lambda rows: (rows.error <= CLOSE) & rows.parsed, when="years",
           legend=f"cumulative score, the share of predictions that are at most {CLOSE} years off."),
    Metric("qwk", "QWK", "higher", (-1, 1), weighted.kappa,
           "quadratic weighted kappa of the parsed predictions: agreement beyond chance, 1 is perfect."),
    Metric("srcc", "SRCC", "higher", (-1, 1), weighted.spearman,
           "Spearman's rank correlation of prediction and label."),
    Metric("plcc", "PLCC", "higher", (-1, 1), weighted.pearson,
           "Pearson's linear correlation of prediction and label (no logistic fit)."),
    _share("coarse_acc", "coarse ACC", "higher", lambda rows: rows.coarse_pred == coarse_index(rows.scale, rows.label),
           when="with a coarse step", legend="share of rows whose coarse prediction is the group of the label."),
    _share("consistent", "consistent", "higher", lambda rows: rows.coarse_pred == coarse_index(rows.scale, rows.pred),
           when="with a coarse step", counted_rows=weighted.both_parts,
           legend="of the predictions with both parts, the share whose coarse group contains the fine prediction."),
    Metric("ece", "ECE", "lower", (0, 1), weighted.calibration_error,
           f"expected calibration error of the mode's probability, in {BINS} bins; 0 is best.",
           when="exact", interval_function=weighted.calibration_spread),
    _mean("rps", "RPS", "lower", weighted.ranked_probability, bounds=(0, 1), counted_rows=weighted.parsed, when="exact",
          legend="ranked probability score, the squared distance of the cumulative distributions; 0 is best."),
    Metric("aurc", "AURC", "lower", (0, None), lambda rows: rows.selective.area, when="exact",
           legend="area under the risk-coverage curve: 1 - ACC, on counted scales MAE, of rows taken from the surest"
                  " down; 0 is best."),
    *(_at_coverage(percent, counted) for counted in (False, True) for percent in selective.SHARES),
    _mean("emd", "EMD", "lower", lambda rows: votes.from_votes(rows, 1), bounds=(0, 1), counted_rows=votes.voted,
          when="exact, votes",
          legend="earth mover's distance of the distribution and the votes of the raters, as a share of the scale."),
    _mean("rps_votes", "RPS votes", "lower", lambda rows: votes.from_votes(rows, 2), bounds=(0, 1),
          counted_rows=votes.voted, when="exact, votes",
          legend="ranked probability score against the votes of the raters instead of the label."),
    Metric("constant_acc", "constant ACC", "higher", (0, 1),
           lambda rows: np.max([rows.total(rows.label == label) for label in set(rows.label)], 0) / rows.total(1),
           "ACC of the constant baseline: the best one label for all images.", when="levels", interval=False),
    Metric("constant_mae", "constant MAE", "lower", (0, None),
           lambda rows: np.min([rows.total(abs(rows.label - label)) for label in set(rows.label)], 0) / rows.total(1),
           "MAE of the constant baseline: the best one label for all images.", interval=False),
)
# fmt: on
METRICS = {row.name: row for row in _ROWS}  # in the order of the tables


def applying(predictions: "Predictions") -> list[Metric]:
    return [metric for metric in METRICS.values() if metric.applies(predictions)]


def value(metric: Metric, rows: Rows) -> float | None:
    """The metric of the whole sample; None where it is not defined."""
    result = float(weighted.compute(metric.function, replace(rows, counts=rows.sample[None]))[0])
    return None if np.isnan(result) else result
