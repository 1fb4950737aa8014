"""The rows of a file of predictions: what each says of its example, and of a distribution over the levels.

Imports no torch: answers come from a model in this process, or from servers.
"""

import numpy as np

from eval.inference import posterior
from eval.servers.reply import Reply
from storm.prompts import answer
from storm.rows import Example
from storm.scales import Scale

DIGITS = 6  # of a probability in the file
MOST = 0.001  # logarithm of the mass of all valid answers, which can be above 0 by rounding only
WITHOUT = "the server gave no probabilities"
NO_NUMBERS = "what the model gives are no probabilities (NaN or more than 1): are its weights damaged?"


def row_of(example: Example) -> dict:
    """What a row of the output says of its example: its label as text."""
    names = {"id": example.id, "dataset": example.dataset, "scale": example.scale.name, "strategy": example.strategy}
    return names | {"image": example.image, "label": example.answer}


def predictions(logp: np.ndarray, scale: Scale, strategy: str) -> list[dict]:
    """What a row of the output says of each prediction: logp (n, levels), in the order of the labels.

    Where the numbers are not probabilities, as those of a model with damaged weights, it has an error and no answer.
    """
    probs, mass = posterior.normalize(logp)
    sound = np.isfinite(mass) & (mass < MOST)
    if not sound.all():
        parts = iter(predictions(logp[sound], scale, strategy)) if sound.any() else iter(())
        return [next(parts) if good else {"predict": "", "error": NO_NUMBERS} for good in sound]
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


def answer_of(reply: Reply, example: Example, decode: str) -> dict:
    """What a row says of a reply: as of a model in this process, and "odd" where the answer is not an ordinary one.

    mass is null where the server does not say it. Without probabilities, a row of --decode exact has an error.
    """
    odd = {"odd": reply.odd} if reply.odd else {}
    if reply.logp is not None:
        [answer] = predictions(np.array([reply.logp]), example.scale, example.strategy)
        mass = None if reply.mass is None else round(float(reply.mass), DIGITS)
        return answer | ({"mass": mass} if reply.normalized else {}) | odd
    if decode == "generate":
        return {"predict": reply.text} | odd
    return {"predict": "", "error": f"{WITHOUT}: {reply.odd}"} | odd
