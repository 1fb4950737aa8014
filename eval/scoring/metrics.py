"""The metrics as rows: what each is called, when it applies, and the one function that computes it.

Errors are in the scale's unit: levels or years. A new metric is one more row of `METRICS`; see weighted_rows.py for
what its function gets.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from eval.inference.posterior import BINS
from eval.scoring import weighted_rows as weighted
from eval.scoring.weighted_rows import UNPARSED as UNPARSED  # for all who need it
from eval.scoring.weighted_rows import Rows
from storm.prompts import STRATEGIES

if TYPE_CHECKING:
    from eval.scoring.runs import Predictions

CLOSE = 5  # years: CS@5, the cumulative score of the age papers


@dataclass(frozen=True)
class Metric:
    """Everything that is true of one metric."""

    name: str  # the key in --json
    label: str  # the head of its column
    legend: str  # what it is, in a sentence or two
    better: str  # "higher" or "lower"
    bounds: tuple[float | None, float | None]  # (lowest, highest possible value); None: open
    function: Callable[[Rows], np.ndarray]  # (B,)
    applies: Callable[["Predictions"], bool] = lambda predictions: True
    share: bool = False  # a share of rows: if it is 0 or 1, its interval is Clopper and Pearson's
    interval: bool = True  # whether it has one
    spread: Callable[[Rows], np.ndarray] | None = None  # (B,) distance of resample and sample, where noise only adds
    about: Callable[["Predictions"], np.ndarray] | None = None  # (n,) which rows it is a share of; None: all


def _of_levels(predictions: "Predictions") -> bool:
    return predictions.scale.unit == "level"


def _with_coarse(predictions: "Predictions") -> bool:
    return STRATEGIES[predictions.strategy].coarse


def _with_probs(predictions: "Predictions") -> bool:
    return predictions.probs is not None


_ROWS = (
    Metric(
        name="acc",
        label="ACC",
        legend="accuracy, the share of predictions that equal the label. An unparsed prediction is wrong (our choice:"
        " the paper does not say). A dataset of ages has none.",
        better="higher",
        bounds=(0, 1),
        function=lambda rows: rows.total(rows.pred == rows.label) / rows.n,
        applies=_of_levels,
        share=True,
    ),
    Metric(
        name="mae",
        label="MAE",
        legend="mean absolute error of the parsed predictions, in levels, or in years for a dataset of ages.",
        better="lower",
        bounds=(0, None),
        function=lambda rows: rows.total(rows.error * rows.parsed) / rows.n_parsed,
    ),
    Metric(
        name="mae_worst",
        label="MAE worst",
        legend="MAE if an unparsed prediction counts as the largest possible error.",
        better="lower",
        bounds=(0, None),
        function=lambda rows: rows.total(weighted.worst_error(rows)) / rows.n,
    ),
    Metric(
        name="unparsed_rate",
        label="unparsed rate",
        legend="share of the texts in which no rating can be read.",
        better="lower",
        bounds=(0, 1),
        function=lambda rows: rows.total(~rows.parsed) / rows.n,
        share=True,
    ),
    Metric(
        name="off_by_one",
        label="off by one",
        legend="share of predictions that are at most one level off.",
        better="higher",
        bounds=(0, 1),
        function=lambda rows: rows.total((np.abs(rows.pred - rows.label) <= 1) & rows.parsed) / rows.n,
        applies=_of_levels,
        share=True,
    ),
    Metric(
        name="cs5",
        label=f"CS@{CLOSE}",
        legend=f"cumulative score, the share of predictions that are at most {CLOSE} years off.",
        better="higher",
        bounds=(0, 1),
        function=lambda rows: rows.total((rows.error <= CLOSE) & rows.parsed) / rows.n,
        applies=lambda predictions: predictions.scale.unit == "years",
        share=True,
    ),
    Metric(
        name="qwk",
        label="QWK",
        legend="quadratic weighted kappa of the parsed predictions: agreement beyond chance, 1 is perfect.",
        better="higher",
        bounds=(-1, 1),
        function=weighted.kappa,
    ),
    Metric(
        name="srcc",
        label="SRCC",
        legend="Spearman's rank correlation of prediction and label.",
        better="higher",
        bounds=(-1, 1),
        function=weighted.spearman,
    ),
    Metric(
        name="plcc",
        label="PLCC",
        legend="Pearson's linear correlation of prediction and label (no logistic fit).",
        better="higher",
        bounds=(-1, 1),
        function=weighted.pearson,
    ),
    Metric(
        name="coarse_acc",
        label="coarse ACC",
        legend="share of rows whose coarse prediction is the group of the label.",
        better="higher",
        bounds=(0, 1),
        function=lambda rows: rows.total(rows.coarse_pred == rows.coarse_of(rows.label)) / rows.n,
        applies=_with_coarse,
        share=True,
    ),
    Metric(
        name="consistent",
        label="consistent",
        legend="of the predictions with both parts, the share whose coarse group contains the fine prediction.",
        better="higher",
        bounds=(0, 1),
        function=weighted.consistent,
        applies=_with_coarse,
        share=True,
        about=weighted.both_parts,
    ),
    Metric(
        name="ece",
        label="ECE",
        legend=f"expected calibration error of the mode's probability, in {BINS} bins; 0 is best.",
        better="lower",
        bounds=(0, 1),
        function=weighted.calibration_error,
        applies=_with_probs,
        spread=weighted.calibration_spread,
    ),
    Metric(
        name="rps",
        label="RPS",
        legend="ranked probability score, the squared distance of the cumulative distributions; 0 is best.",
        better="lower",
        bounds=(0, 1),
        function=weighted.ranked_probability,
        applies=_with_probs,
    ),
    Metric(
        name="constant_acc",
        label="constant ACC",
        legend="ACC of the constant baseline: the best one label for all images.",
        better="higher",
        bounds=(0, 1),
        function=weighted.constant_accuracy,
        applies=_of_levels,
        interval=False,
    ),
    Metric(
        name="constant_mae",
        label="constant MAE",
        legend="MAE of the constant baseline: the best one label for all images.",
        better="lower",
        bounds=(0, None),
        function=weighted.constant_error,
        interval=False,
    ),
)
METRICS = {row.name: row for row in _ROWS}  # in the order of the tables


def applying(predictions: "Predictions") -> list[Metric]:
    """The metrics that these predictions have."""
    return [metric for metric in METRICS.values() if metric.applies(predictions)]


def value(metric: Metric, rows: Rows) -> float | None:
    """The metric of the whole sample; None where it is not defined."""
    result = float(weighted.compute(metric.function, replace(rows, counts=rows.sample[None]))[0])
    return None if np.isnan(result) else result
