"""Metrics of many resamples at once (the bootstrap), from which interval.py tells how sure a score is.

Subjects, where the test file names them, are drawn with all their rows; else rows are drawn. Equal rows are counted
together, so that a resample is a handful of numbers. Seeded: the same every time.
"""

import zlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from eval.scoring.metrics import Metric, applying
from eval.scoring.predictions import Predictions
from eval.scoring.weighted_rows import all_rows, compute, distinct

RESAMPLES = 1000
AT_ONCE = 4_000_000  # counts in memory


def resampled(index: np.ndarray, subject: np.ndarray | None, name: str, size: int) -> Iterator[np.ndarray]:
    """How often each distinct row is in each of `size` resamples: (B, K) in pieces.

    index: (n,) which of the K distinct rows each row is. subject: (n,) which subject it is of.
    name: of the dataset. It seeds the resamples, so that an interval does not depend on what else is scored.
    """
    rng, n, k = np.random.default_rng(zlib.crc32(name.encode())), len(index), int(index.max()) + 1
    drawn_from = n if subject is None else int(subject.max()) + 1
    if subject is not None:
        order = np.argsort(index, kind="stable")
        subject, starts = subject[order], np.flatnonzero(np.diff(index[order], prepend=-1))
    step = max(1, AT_ONCE // max(n, k))
    for begin in range(0, size, step):
        count = min(step, size - begin)
        if subject is None and k < n:
            yield rng.multinomial(n, np.bincount(index) / n, count).astype(float)
            continue
        drawn = rng.integers(0, drawn_from, (count, drawn_from)) + np.arange(count)[:, None] * drawn_from
        counts = np.bincount(drawn.ravel(), minlength=count * drawn_from).reshape(count, drawn_from)
        if subject is not None:
            counts = np.add.reduceat(np.take(counts.astype(np.int32), subject, axis=1), starts, axis=1)
        yield counts.astype(float)


def replicates(predictions: Predictions, size: int = RESAMPLES) -> dict[str, np.ndarray]:
    """What the interval of each metric is made of, by name: its values, or interval_function's, in `size` resamples."""
    rows, index = distinct(predictions)
    metrics = [metric for metric in applying(predictions) if metric.interval]
    pieces = [
        {metric.name: compute(metric.interval_function or metric.function, drawn) for metric in metrics}
        for counts in resampled(index, predictions.subject, predictions.dataset, size)
        for drawn in [replace(rows, counts=counts)]
    ]
    return {metric.name: np.concatenate([piece[metric.name] for piece in pieces]) for metric in metrics}


def n_drawn(predictions: Predictions, metric: Metric | None = None) -> int:
    """How many subjects, or rows, are drawn; for a share of some rows, those that have such rows."""
    counted = (metric.counted_rows if metric and metric.share else all_rows)(predictions)
    return int(counted.sum()) if predictions.subject is None else len(np.unique(predictions.subject[counted]))
