"""Is one run better than another? Paired: both predict the same images, so what both find hard cancels out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from eval.scoring.bootstrap import RESAMPLES, n_drawn, resampled
from eval.scoring.interval import holm, interval, p_value
from eval.scoring.metrics import METRICS, Metric, value
from eval.scoring.paper import DATASETS as PAPER
from eval.scoring.runs import Predictions
from eval.scoring.weighted_rows import distinct, rows_at

ERROR = 0.05  # the chance that any of the datasets is called different though none is (Holm 1979)
COMPARED = (METRICS["acc"], METRICS["mae"])


@dataclass
class Comparison:
    """One metric of two runs on the same rows of a dataset, or their mean over datasets."""

    dataset: str
    n: int  # rows that both predict; of a mean, datasets
    subjects: int | None
    metric: str
    ours: float
    base: float
    difference: float  # ours less base
    interval: tuple[float, float] | None
    p: float
    holm: float | None = None  # p after Holm's correction over the datasets, each metric for itself; None: of a mean
    better: str = ""  # "better", "worse" or "cannot tell"


def paired(ours: Predictions, base: Predictions) -> tuple[Predictions, Predictions]:
    """The rows that both predict, in one order: by id, else by position. Raises ValueError where they differ."""
    if ours.id is not None and base.id is not None:
        _, at, at_base = np.intersect1d(ours.id, base.id, return_indices=True)
        if not len(at):
            raise ValueError(f"{ours.path} and {base.path} have no id in common")
        order = np.argsort(at)
        ours, base = _rows(ours, at[order]), _rows(base, at_base[order])
    elif len(ours.label) != len(base.label):
        have = f"{ours.path} has {len(ours.label):,} rows, {base.path} {len(base.label):,}"
        raise ValueError(f"{have}: without ids (--data names the test files) they cannot be paired")
    differ = np.flatnonzero(ours.label != base.label)
    if len(differ):
        left, right = (f"{p.path}, line {p.line[differ[0]]}, label {p.label[differ[0]]}" for p in (ours, base))
        raise ValueError(f"{left}; {right}: not the same test data")
    return ours, base


def _rows(predictions: Predictions, at: np.ndarray) -> Predictions:
    """A part of the rows. Subjects who are in none of them are forgotten."""
    subject = None if predictions.subject is None else np.unique(predictions.subject[at], return_inverse=True)[1]
    columns = {name: getattr(predictions, name)[at] for name in ("label", "pred", "coarse_pred", "line")}
    for name in ("probs", "score", "votes"):
        columns[name] = None if getattr(predictions, name) is None else getattr(predictions, name)[at]
    id = predictions.id and [predictions.id[i] for i in at]
    return replace(predictions, **columns, id=id, subject=subject)


def difference(ours: Predictions, base: Predictions) -> tuple[list[Comparison], dict[str, np.ndarray]]:
    """ACC and MAE of both runs on the same rows, the difference with its interval and p; and the resamples of it.

    MAE is over the rows that both parsed: a run must not win by leaving the hard ones out. Raises ValueError as
    paired() does.
    """
    pair = paired(ours, base)
    columns = [pair[0].label, *(column for part in pair for column in (part.pred, part.median))]
    _, first, index = np.unique(np.stack(columns, 1), axis=0, return_index=True, return_inverse=True)
    index = index.ravel()
    subject = pair[1].subject if pair[0].subject is None else pair[0].subject
    pair = tuple(replace(part, subject=subject) for part in pair)
    both = [rows_at(part, first, index) for part in pair]
    sums = []  # for each metric, by distinct row: the difference, and whether it counts
    for metric in COMPARED:
        counted = np.logical_and(*map(metric.counted_rows, both))
        sums += [(metric.row(both[0]) * 1 - metric.row(both[1])) * counted, counted]
    drawn = [counts @ np.stack(sums, 1).astype(float) for counts in resampled(index, subject, ours.dataset, RESAMPLES)]
    totals, lines, resamples = np.concatenate(drawn).T, [], {}
    for number, metric in enumerate(COMPARED):
        at = np.flatnonzero(sums[2 * number + 1][index])
        if metric.applies(ours) and len(at):
            with np.errstate(invalid="ignore"):
                resamples[metric.name] = totals[2 * number] / totals[2 * number + 1]
            lines.append(_line([_rows(part, at) for part in pair], metric, resamples[metric.name]))
    return lines, resamples


def _line(pair: Sequence[Predictions], metric: Metric, resamples: np.ndarray) -> Comparison:
    """The metric of both runs on the rows of `pair`, and how sure their difference is."""
    ours, base = (value(metric, distinct(part)[0]) for part in pair)
    number = n_drawn(pair[0])
    sizes = len(pair[0].label), None if pair[0].subject is None else number
    sure = interval(resamples, number), p_value(resamples, number)
    return Comparison(pair[0].dataset, *sizes, metric.name, ours, base, ours - base, *sure)


def compare(ours: Sequence[Predictions], base: Sequence[Predictions]) -> tuple[list[Comparison], list[str]]:
    """Every dataset that both runs predict, then the mean over those, and a line for each that cannot be paired.

    ours: of one strategy and decoding; of a baseline with several, its predictions with the same ones are taken.
    """
    lines, errors, resamples = [], [], {metric.name: [] for metric in COMPARED}
    for predictions in ours:
        same = _alike(predictions, base)
        if len(same) != 1:
            compared = f"{len(same) or 'no'} predictions of {predictions.dataset}, not with one"
            errors.append(f"{predictions.path}: compared with {compared}")
            continue
        try:
            rows, drawn = difference(predictions, same[0])
        except ValueError as error:
            errors.append(str(error))
            continue
        lines += rows
        for metric, values in drawn.items():
            resamples[metric].append(values)
    name = "paper's average" if set(PAPER) <= {line.dataset for line in lines} else "mean of these"
    means = []
    for metric in COMPARED:
        rows = [line for line in lines if line.metric == metric.name]
        for line, p in zip(rows, holm([line.p for line in rows])):
            line.holm, line.better = p, _conclusion(line, p)
        if len(rows) > 1:
            means.append(_mean(rows, np.mean(resamples[metric.name], 0), name))
    return lines + means, errors


def compare_runs(
    runs: Sequence[Predictions], baseline: Sequence[Predictions]
) -> tuple[dict[tuple[str, str, str], list[Comparison]], list[str]]:
    """The comparisons of each run with the baseline, by its key, and a line for each that cannot be made."""
    compared, errors = {}, []
    for key in dict.fromkeys(predictions.key for predictions in runs):
        lines, more_errors = compare([predictions for predictions in runs if predictions.key == key], baseline)
        errors += more_errors
        if lines:
            compared[key] = lines
    return compared, errors


def _mean(rows: Sequence[Comparison], resamples: np.ndarray, name: str) -> Comparison:
    fewest = min(row.subjects or row.n for row in rows)
    means = [float(np.mean([getattr(row, key) for row in rows])) for key in ("ours", "base", "difference")]
    sure = interval(resamples, fewest), p_value(resamples, fewest)
    mean = Comparison(name, len(rows), None, rows[0].metric, *means, *sure)
    return replace(mean, better=_conclusion(mean, mean.p))


def _alike(predictions: Predictions, base: Sequence[Predictions]) -> list[Predictions]:
    """The baseline's predictions of a dataset; of several, those of the same strategy, then of the same decoding."""
    same = [other for other in base if other.dataset == predictions.dataset]
    for key in ("strategy", "decode"):
        if len(same) > 1:
            same = [other for other in same if getattr(other, key) == getattr(predictions, key)]
    return same


def _conclusion(line: Comparison, p: float) -> str:
    if p >= ERROR:
        return "cannot tell"
    return "better" if (line.difference > 0) == (METRICS[line.metric].better == "higher") else "worse"
