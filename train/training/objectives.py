"""Ordinal objectives: what is minimized of the probabilities of all valid answers to a question.

Probabilities come from the same trie of answers as predictions (eval/inference/trie.py). Levels are the columns
0 .. K - 1 of the scale, in order. Every objective takes

    logp    (K,) log P(answer) of each level, not normalized: what the model gives to other texts is missing
    target  (K,) what the model should give each level, summing to 1

and gives a number, which is 0 or more. A new objective is one more row of `OBJECTIVES`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch


def _cross_entropy(logp: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Of the answers, in nats. It also moves the mass of other texts to the answers, as plain training does."""
    return -(target * logp).sum()


def _expected(logp: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The squared error of the expected level, in shares of the scale."""
    levels = torch.arange(len(logp), device=logp.device) / max(1, len(logp) - 1)
    return ((logp.softmax(0) - target) @ levels) ** 2


def _squared_emd(logp: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The squared differences of the two cumulative distributions, their mean over the K - 1 steps between levels."""
    return (logp.softmax(0) - target).cumsum(0)[:-1].square().mean() if len(logp) > 1 else 0 * logp.sum()


@dataclass(frozen=True)
class Objective:
    name: str
    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    legend: str
    source: str
    whole: bool = False  # whether it moves the mass of other texts to the answers, so that it needs no other loss


_ROWS = (
    Objective(
        "soft", _cross_entropy, "cross-entropy of the answers with a target that is spread over the levels",
        "DeQA-Score (You et al. 2025), soft labels; here over whole answers and not over one token",
        whole=True,
    ),
    Objective(
        "expected", _expected, "squared error of the expected level, as a share of the scale",
        "RAFT (Lukasik et al. 2024), regression-aware fine-tuning; TRACT (Chiang et al. 2025)",
    ),
    Objective(
        "emd", _squared_emd, "squared earth mover's distance of the predicted and the wanted distribution",
        "Hou et al. 2016, Squared Earth Mover's Distance-based Loss; for one level it is the RPS (Epstein 1969)",
    ),
)  # fmt: skip
OBJECTIVES = {row.name: row for row in _ROWS}


def _one(level: int, levels: int, width: float, votes: Sequence[float]) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(level), levels).float()


def _laplace(level: int, levels: int, width: float, votes: Sequence[float]) -> torch.Tensor:
    """Falls by e for each `width` levels of distance."""
    if not width:
        return _one(level, levels, width, votes)
    return (-(torch.arange(levels) - level).abs() / width).softmax(0)


def _normal(level: int, levels: int, width: float, votes: Sequence[float]) -> torch.Tensor:
    """A bell whose standard deviation is `width` levels."""
    if not width:
        return _one(level, levels, width, votes)
    return (-0.5 * ((torch.arange(levels) - level) / width) ** 2).softmax(0)


def _votes(level: int, levels: int, width: float, votes: Sequence[float]) -> torch.Tensor:
    """The shares of the raters. Raises ValueError for a row without any."""
    if not votes:
        raise ValueError("a row has no votes; storm.target=laplace needs none")
    return torch.tensor(votes, dtype=torch.float)


# Name -> the target of a label: (column, levels, width, shares of raters) -> (K,).
TARGETS: dict[str, Callable[[int, int, float, Sequence[float]], torch.Tensor]] = {
    "label": _one,
    "laplace": _laplace,
    "normal": _normal,
    "votes": _votes,
}
SPREAD = ("laplace", "normal")  # targets that have a width
