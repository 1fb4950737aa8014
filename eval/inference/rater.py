"""Answers blocks of rows with a loaded model, whatever the images and the memory are like."""

import sys
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from eval.inference import posterior
from eval.inference.exact import Trie, log_probabilities, trie
from eval.inference.model import Loaded, answer_ids, batch, generate
from eval.inference.settings import Settings
from storm.images import ImageFault, load_rgb, locate
from storm.prompts import answer
from storm.rows import Example
from storm.scales import Scale

DIGITS = 6  # of a probability in the file


class Rater:
    """A loaded model that answers blocks of rows."""

    def __init__(self, loaded: Loaded, settings: Settings):
        self.loaded, self.settings = loaded, settings
        self.tries: dict[tuple[Scale, str], Trie] = {}
        self.max_batch = sys.maxsize  # rows that fit the memory

    def rate(self, block: Sequence[Example]) -> list[dict]:
        """A row for each example, in order; one whose image cannot be read has an error and no answer."""
        images, errors = {}, {}
        for example in block:
            path = self.settings.media / example.image
            try:
                path = locate(self.settings.media, example.image, example.file)
                images[example.id] = load_rgb(path, self.settings.upright)
            except ImageFault as fault:
                errors[example.id] = {"predict": "", "error": f"{path}: {fault}"}
        readable = [example for example in block if example.id in images]
        answers = self.answers(readable, [images[example.id] for example in readable]) if readable else []
        predicted = dict(zip((example.id for example in readable), answers))
        return [_row(example) | (errors.get(example.id) or predicted[example.id]) for example in block]

    def answers(self, block: Sequence[Example], images: Sequence[Image.Image]) -> list[dict]:
        """Answers to one question about images, in as many pieces as the memory makes necessary."""
        if len(block) > (size := self.max_batch):
            return self.answers(block[:size], images[:size]) + self.answers(block[size:], images[size:])
        try:
            return self._predict_batch(block, images)
        except torch.OutOfMemoryError:
            if len(block) == 1:
                raise
            self.max_batch = len(block) // 2
        torch.cuda.empty_cache()
        print(f"out of memory with {len(block)} rows at once: goes on with {self.max_batch}", file=sys.stderr)
        return self.answers(block, images)

    def _predict_batch(self, block: Sequence[Example], images: Sequence[Image.Image]) -> list[dict]:
        inputs = batch(self.loaded, [example.question for example in block], images)
        if self.settings.decode == "generate":
            return [{"predict": text} for text in generate(self.loaded, inputs, self.settings.max_new_tokens)]
        scale, strategy = block[0].scale, block[0].strategy
        if (scale, strategy) not in self.tries:
            ids = answer_ids(self.loaded, scale, strategy)
            self.tries[scale, strategy] = trie(ids, inputs["input_ids"].device)
        logp = log_probabilities(self.loaded.model, inputs, self.tries[scale, strategy])
        return predictions(logp.cpu().double().numpy(), scale, strategy)


def _row(example: Example) -> dict:
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
