"""The rows of a file of predictions: what each says of its example, and of a distribution over the levels.

Imports no torch: answers come from a model in this process, or from servers.
"""

import numpy as np

from eval.inference import posterior
from storm.prompts import answer
from storm.rows import Example
from storm.scales import Scale

DIGITS = 6  # of a probability in the file


def row_of(example: Example) -> dict:
    """What a row of the output says of its example: its label as text."""
    names = {"id": example.id, "dataset": example.dataset, "scale": example.scale.name, "strategy": example.strategy}
    return names | {"image": example.image, "label": example.answer}


def predictions(logp: np.ndarray, scale: Scale, strategy: str) -> list[dict]:
    """What a row of the output says of each prediction: logp (n, levels), in the order of the labels."""
    probs, mass = posterior.normalize(logp)
    columns = [probs, posterior.mode(probs), posterior.median(probs), posterior.mean(probs)]
    groups = [slice(max(c.lo, scale.lo) - scale.lo, c.hi - scale.lo + 1) for c in scale.coarse]
    return [
        {
            "predict": answer(scale, strategy, scale.lo + int(mode)),
            "probs": [round(float(p), DIGITS) for p in row],
            "coarse": [round(float(row[group].sum()), DIGITS) for group in groups],
            "entropy": round(float(entropy), DIGITS),
            "mass": round(float(whole), DIGITS),
            "median": scale.lo + int(median),
            "mean": round(scale.lo + float(mean), DIGITS),
        }
        for row, mode, median, mean, entropy, whole in zip(*columns, posterior.entropy(probs), np.exp(mass))
    ]
