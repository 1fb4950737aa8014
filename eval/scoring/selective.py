"""Know when not to rate: how good a model is on the share of rows that it is surest of (its coverage).

Rows are taken from the surest down. Risk is what goes wrong on the rows taken: on scales of levels 1 - ACC, on counted
scales such as ages MAE. Risk against coverage is the risk-coverage curve (Geifman & El-Yaniv 2017, Selective
Classification for Deep Neural Networks), the mean of it over 1, 2, ... n rows the AURC (Geifman, Uziel & El-Yaniv 2019,
Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers). 0 is best; no sense of doubt gives the risk of all
rows. Rows of equal confidence have no order: they count as their mean over all orders.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from eval.scoring.predictions import Predictions
    from eval.scoring.weighted_rows import Rows

SHARES = (50, 80, 90)  # percent of the rows, of which metrics.py has ACC and MAE
GRID = tuple(range(2, 101, 2))  # percent: the points of the curve
DIGITS = 6  # of a confidence, as predictions have them: the rounding of float32 is no order
BLOCK = 1 << 16  # counts at once: stays in the processor's cache


class Selective(NamedTuple):
    area: np.ndarray  # (B,) AURC
    risk: np.ndarray  # (B, shares)


def confidence(rows: "Rows | Predictions") -> np.ndarray:
    """How sure the model is of each row, (K,), the surest highest; -inf without a distribution.

    Levels: the probability of the mode. Counted scales: minus the expected distance from the median. Each is what its
    own error would be if the distribution were true (Chow 1970, On Optimum Recognition Error and Reject Tradeoff).
    """
    probs = rows.probs.astype(float)
    if rows.scale.counted:
        levels = np.arange(rows.scale.lo, rows.scale.hi + 1)
        sure = -(probs * np.abs(levels - rows.median[:, None])).sum(1)
    else:
        sure = probs.max(1)
    return np.where(np.isnan(probs[:, 0]), -np.inf, np.round(sure, DIGITS))


def taken(rows: "Rows | Predictions") -> np.ndarray:
    """The rows that there are to take, (K,). As in ACC, an unparsed one is wrong; as in MAE, it is left out."""
    return ~np.isnan(rows.probs[:, 0]) if rows.scale.counted else np.full(len(rows.label), True)


def losses(rows: "Rows | Predictions") -> np.ndarray:
    """What each row adds to the risk, (K,)."""
    return (np.abs(rows.median - rows.label) if rows.scale.counted else rows.pred != rows.label).astype(float)


def surest(rows: "Rows | Predictions", percent: int) -> np.ndarray:
    """The rows of which some part counts at a coverage, (K,)."""
    kept = np.sort(confidence(rows)[taken(rows)])[::-1]
    if not len(kept):
        return taken(rows)
    least = kept[max(0, int(np.ceil(percent / 100 * len(kept) - 1e-9)) - 1)]
    return taken(rows) & (confidence(rows) >= least)


def selective(rows: "Rows", percents: tuple[int, ...] = SHARES) -> Selective:
    """AURC and the risk at each coverage, of every resample; nan without a row. Of 2.5 rows, half of one counts."""
    at = np.flatnonzero(taken(rows))
    at = at[np.argsort(-confidence(rows)[at], kind="stable")]
    if not len(at):
        return Selective(np.full(len(rows.counts), np.nan), np.full((len(rows.counts), len(percents)), np.nan))
    sure, loss = confidence(rows)[at], losses(rows)[at]
    ends = np.flatnonzero(np.append(sure[1:] < sure[:-1], True))
    step = max(1, BLOCK // len(at))
    blocks = [
        _block(rows.counts[begin : begin + step].take(at, 1), loss, ends, np.array(percents) / 100)
        for begin in range(0, len(rows.counts), step)
    ]
    return Selective(*map(np.concatenate, zip(*blocks)))


def _block(counts: np.ndarray, loss: np.ndarray, ends: np.ndarray, shares: np.ndarray) -> Selective:
    """selective() of a few resamples. counts: (b, K), the surest row first; ends: the last row of each confidence.

    After m rows with a loss of L in total come w rows of equal confidence and mean loss l. The risk after t of them is
    (L + t l) / (m + t), and the sum of it over t = 1 .. w is w l + (L - m l) (H(m + w) - H(m)), where H(n) = 1 + 1/2 +
    ... + 1/n.
    """
    taken, lost = counts.cumsum(1), (counts * loss).cumsum(1)
    mean = np.broadcast_to(loss[ends], (len(counts), len(ends)))
    if len(ends) < len(loss):
        taken, lost = taken.take(ends, 1), lost.take(ends, 1)
        several = np.flatnonzero(np.diff(ends, prepend=-1) > 1)
        rows, more = (_steps(part, several) for part in (taken, lost))
        mean = mean.copy()
        mean[:, several] = np.divide(more, rows, out=np.zeros_like(more), where=rows > 0)
    n = taken[:, -1]
    ahead = lost - taken * mean  # L - m l
    area = np.einsum("ij,ij->i", np.diff(_harmonic(taken), axis=1, prepend=0.0), ahead) + lost[:, -1]
    wanted, line = n[:, None] * shares, np.arange(len(n))[:, None]
    apart = line * (n.max() + 1)  # all resamples as one sorted list
    place = np.searchsorted((taken + apart).ravel(), (wanted - 1e-9 + apart).ravel()).reshape(wanted.shape)
    place = place - line * taken.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        return Selective(area / n, (ahead[line, place] + wanted * mean[line, place]) / wanted)


def _steps(totals: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """What some columns of running totals add to the column before them."""
    return totals[:, columns] - np.where(columns > 0, totals[:, columns - 1], 0)


def _harmonic(numbers: np.ndarray) -> np.ndarray:
    """1 + 1/2 + ... + 1/n of each whole number; 0 of 0."""
    sums = np.cumsum(1 / np.arange(1, int(numbers.max()) + 1))
    return np.concatenate([[0.0], sums]).take(numbers.astype(np.int32))


def curve(rows: "Rows") -> list[dict]:
    """The risk-coverage curve of the sample: coverage, 0.02 .. 1, and risk; [] without a row."""
    (risks,) = selective(replace(rows, counts=rows.sample[None]), GRID).risk
    return [] if np.isnan(risks[-1]) else [{"coverage": p / 100, "risk": float(r)} for p, r in zip(GRID, risks)]
