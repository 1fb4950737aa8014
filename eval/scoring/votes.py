"""How well one rater predicts the others (the noise ceiling of one person).

A model that does as well is as good as a person. It can be better: a label of several raters is less noisy than one.
Built files have the share of the raters who chose each level, not how many raters there were. So one rater, drawn by
these shares, is compared with the label and with all shares. What that assumes: the raters of an image are
exchangeable. The label and the shares contain the own vote of this rater, so raters look better than they are: of m
raters, the mean distance of one to the other m - 1 is m / (m - 1) times `emd`. Shares that stand for a standard
deviation (KonIQ, SPAQ, ChallengeDB) are of a normal distribution, not of people.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from eval.scoring.weighted_rows import Rows, parsed
from storm.text import table

if TYPE_CHECKING:
    from eval.scoring.predictions import Predictions
    from eval.scoring.scores import Score

LEGEND = """\
rater: one of the raters, drawn by the shares of the votes, against the label (ACC, MAE) and against all votes (EMD).
The label and the votes contain this rater, so with few raters this is too good. A model can be better than a rater."""


def voted(rows: "Rows | Predictions") -> np.ndarray:
    """Rows with votes and a distribution."""
    return parsed(rows) & ~np.isnan(rows.votes[:, 0])


def from_votes(rows: Rows, power: int) -> np.ndarray:
    """Of each row, (K,): how far its distribution is from the votes, 0 to 1; 0 where either is missing.

    power 1: the earth mover's distance over levels - 1, the work to move one distribution into the other. Of levels in
    order it is the distance of the cumulative distributions (Hou, Yu & Samaras 2016, Squared Earth Mover's
    Distance-based Loss for Training Deep Neural Networks). 2: as ranked_probability(), with votes for the label.
    """
    apart = (rows.parsed_probs - rows.votes).cumsum(1)
    return np.nan_to_num((np.abs(apart) ** power).sum(1) / max(1, rows.votes.shape[1] - 1))


def raters(predictions: "Predictions") -> dict | None:
    """n: rows with votes; acc (of levels), mae, emd of one rater. None if no row has votes."""
    if predictions.votes is None:
        return None
    voted = ~np.isnan(predictions.votes[:, 0])
    votes, column = predictions.votes[voted], (predictions.label - predictions.scale.lo)[voted]
    levels = votes.shape[1]
    reached = votes.cumsum(1)
    distance = np.abs(np.arange(levels) - column[:, None])
    return {
        "n": int(voted.sum()),
        "acc": None if predictions.scale.counted else float(votes[np.arange(len(votes)), column].mean()),
        "mae": float((votes * distance).sum(1).mean()),
        "emd": float((2 * reached * (1 - reached)).sum(1).mean() / max(1, levels - 1)),
    }


def printed(scores: Sequence["Score"]) -> str:
    """The raters of each dataset as a table, "" without votes."""
    rows = [["dataset", "rows with votes", "rater ACC", "rater MAE", "rater EMD"]]
    for score in scores:
        if score.raters and (row := [score.dataset, *score.raters.values()]) not in rows:
            rows.append(row)
    return f"{table(rows)}\n{LEGEND}" if len(rows) > 1 else ""
