"""All scores of a run with their 95% intervals: of each dataset, of each domain, and as the paper averages."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from eval.inference.posterior import reliability
from eval.scoring import bootstrap, testsets
from eval.scoring.interval import interval
from eval.scoring.metrics import METRICS, UNPARSED, applying, value
from eval.scoring.paper import AVERAGED, OVER, average
from eval.scoring.paper import DATASETS as PAPER
from eval.scoring.predictions import Predictions
from eval.scoring.runs import read_file
from eval.scoring.selective import curve
from eval.scoring.votes import raters
from eval.scoring.weighted_rows import distinct
from storm.datasets import DATASETS, SCALES
from storm.scales import Scale

TEST_ROWS = {row.name: row.sizes.test for row in DATASETS.values()}  # Tables 6 and 7
MANY = 500  # runs that take a second. Our choice
WHOLE = 0.95  # of the test rows: fewer, and the dataset counts as missing from averages
Interval = tuple[float, float] | None


@dataclass
class Score:
    file: str
    run: str
    dataset: str
    scale: str
    strategy: str
    decode: str  # "text" or "exact"
    unit: str  # of MAE: "level", or what the scale counts, such as "years"
    n: int  # predictions
    n_test: int | None  # rows of the test file; None: it is not known
    n_paper: int | None  # rows of the paper's test set
    subjects: int | None
    unparsed: int
    temperature: float | None  # by which the distributions were flattened
    values: dict[str, float | None]  # of every metric; None: it does not apply, or is not defined
    intervals: dict[str, Interval]  # of the metrics that apply and have one
    first_unparsed: dict | None  # "line" and "predict"
    reliability: list[dict] | None  # bins of the reliability diagram; None: text
    risk_coverage: list[dict] | None  # the curve: selective.py; None: text
    raters: dict | None  # one rater against the others: votes.py; None: no votes
    resamples: dict[str, np.ndarray] = field(repr=False)  # of ACC and MAE, for averages

    @property
    def key(self) -> tuple[str, str, str]:
        return self.run, self.strategy, self.decode

    def to_json(self) -> dict:
        """One flat object: the facts, every metric by its name, the intervals, and reliability for exact ones."""
        row = {name: part for name, part in vars(self).items() if name not in ("values", "resamples")}
        ends = {name: row.pop(name) for name in ("intervals", "temperature", "first_unparsed")}
        for name in ("reliability", "risk_coverage", "raters"):
            if (value := row.pop(name)) is not None:
                ends[name] = value
        return row | self.values | ends


@dataclass
class Average:
    """ACC and MAE over the datasets of a domain, or over the paper's; or what is missing for them."""

    key: tuple[str, str, str]  # run, strategy, decode
    name: str  # the domain, or "paper"
    values: dict[str, float | None] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    missing: dict[str, list[str]] = field(default_factory=dict)  # by metric; empty: there is a value

    def to_json(self) -> dict:
        row = dict(zip(("run", "strategy", "decode", "average"), (*self.key, self.name)))
        for metric in OVER:
            row |= {metric: self.values[metric], f"{metric}_interval": self.intervals[metric]}
            row |= {f"{metric}_missing": self.missing[metric]}
        return row


def score_file(
    path: Path, scales: Mapping[str, Scale] = SCALES, tests: testsets.Index | None = None
) -> tuple[list[Score], list[str]]:
    """Scores of each dataset in a predictions file, and a line for what had to be left out."""
    loaded, errors = read_file(path, scales, tests or {})
    return [*map(score, loaded)], errors


def score_all(runs: Sequence[Predictions]) -> list[Score]:
    """score() of each; of thousands, in as many processes as there are cores."""
    if len(runs) < MANY:
        return [*map(score, runs)]
    from multiprocessing import get_context

    with ProcessPoolExecutor(mp_context=get_context("fork")) as pool:
        return [*pool.map(score, runs, chunksize=100)]


def score(predictions: Predictions) -> Score:
    rows, _ = distinct(predictions)
    values = dict.fromkeys(METRICS) | {metric.name: value(metric, rows) for metric in applying(predictions)}
    drawn = bootstrap.replicates(predictions)
    same = ("dataset", "strategy", "decode", "n_test", "temperature", "first_unparsed")
    return Score(
        **{name: getattr(predictions, name) for name in same},
        file=str(predictions.path),
        run=str(predictions.run),
        scale=predictions.scale.name,
        unit=predictions.scale.unit,
        n=len(predictions.label),
        n_paper=TEST_ROWS.get(predictions.dataset),
        subjects=None if predictions.subject is None else bootstrap.n_drawn(predictions),
        unparsed=int((predictions.pred == UNPARSED).sum()),
        values=values,
        intervals={
            name: interval(resamples, bootstrap.n_drawn(predictions, METRICS[name]), METRICS[name], values[name])
            for name, resamples in drawn.items()
        },
        reliability=None if predictions.probs is None else reliability(*distributions(predictions)),
        risk_coverage=None if predictions.probs is None else curve(rows),
        raters=raters(predictions),
        resamples={name: drawn[name] for name in OVER if name in drawn},
    )


def distributions(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """(probabilities, columns of the labels) of the rows that have them."""
    rows = predictions.has_probs
    return predictions.probs[rows].astype(float), predictions.label[rows] - predictions.scale.lo


def averages(scores: Sequence[Score]) -> list[Average]:
    """For each run: ACC and MAE of each domain and over all 14 (ACC: 11) datasets, or what is missing for it.

    A dataset of which the run predicts less than 95% is missing. Runs without any of the paper's have no averages.
    """
    rows: list[Average] = []
    of_run: dict[tuple, dict[str, Score]] = defaultdict(dict)
    for score in scores:
        of_run[score.key] |= {score.dataset: score} if score.dataset in PAPER else {}
    for key, by_dataset in of_run.items():
        for name, datasets in AVERAGED.items() if by_dataset else ():
            row = Average(key, name)
            for metric in OVER:
                _average(row, metric, [dataset for dataset in datasets if dataset in OVER[metric]], by_dataset)
            rows.append(row)
    return rows


def _average(row: Average, metric: str, datasets: list[str], scores: dict[str, Score]) -> None:
    """Add one metric to an average."""
    missing = []
    for name, score in ((name, scores.get(name)) for name in datasets):
        if score is None or score.values[metric] is None:
            missing.append(name)
        elif score.n < WHOLE * (rows := score.n_test or score.n_paper):
            missing.append(f"{name} ({score.n:,} of {rows:,} rows)")
    row.missing[metric], row.values[metric], row.intervals[metric] = missing, None, None
    if not missing:
        fewest = min(scores[name].subjects or scores[name].n for name in datasets)
        means = np.mean([scores[name].resamples[metric] for name in datasets], axis=0)
        row.values[metric] = average({name: scores[name].values[metric] for name in datasets}, metric, datasets)
        row.intervals[metric] = interval(means, fewest, METRICS[metric])
