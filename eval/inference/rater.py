"""Answers blocks of rows with a loaded model, whatever the images and the memory are like."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from storm.scales import Scale
from storm.prompts import answer
from eval.inference import posterior
from eval.inference.exact import Trie, log_probabilities, trie
from eval.inference.model import Loaded, answer_ids, batch, generate
from storm.rows import Task
from storm.images import opened

DIGITS = 6  # of a probability in the file


class Rater:
    """A loaded model that answers blocks of rows."""

    def __init__(self, loaded: Loaded, decode: str, max_new_tokens: int, media: Path):
        self.loaded, self.decode, self.max_new_tokens, self.media = loaded, decode, max_new_tokens, media
        self.tries: dict[tuple[Scale, str], Trie] = {}
        self.most = sys.maxsize  # rows that fit the memory

    def rate(self, block: Sequence[Task]) -> list[dict]:
        """A row for each task, in order; one whose image cannot be read has an error and no answer."""
        images, errors = {}, {}
        for task in block:
            try:
                images[task.id] = opened(self.media, task.image, task.file)
            except ValueError as error:
                errors[task.id] = {"predict": "", "error": str(error)}
        good = [task for task in block if task.id in images]
        said = dict(zip((task.id for task in good), self._answers(good, images))) if good else {}
        facts = [{"id": t.id, "dataset": t.dataset, "image": t.image, "label": t.answer} for t in block]
        return [fact | (errors.get(fact["id"]) or said[fact["id"]]) for fact in facts]

    def _answers(self, block: Sequence[Task], images: dict[str, Image.Image]) -> list[dict]:
        """Answers, in as many pieces as the memory makes necessary."""
        if len(block) > self.most:
            return self._answers(block[: self.most], images) + self._answers(block[self.most :], images)
        try:
            return self._ask(block, [images[task.id] for task in block])
        except torch.OutOfMemoryError:
            if len(block) == 1:
                raise
            self.most = len(block) // 2
        torch.cuda.empty_cache()
        print(f"out of memory with {len(block)} rows at once: going on with {self.most}", file=sys.stderr)
        return self._answers(block, images)

    def _ask(self, block: Sequence[Task], images: Sequence[Image.Image]) -> list[dict]:
        inputs = batch(self.loaded, [task.question for task in block], images)
        if self.decode == "generate":
            return [{"predict": text} for text in generate(self.loaded, inputs, self.max_new_tokens)]
        scale, strategy = block[0].scale, block[0].strategy
        if (scale, strategy) not in self.tries:
            ids = answer_ids(self.loaded, scale, strategy)
            self.tries[scale, strategy] = trie(ids, inputs["input_ids"].device)
        logp = log_probabilities(self.loaded.model, inputs, self.tries[scale, strategy])
        return decided(logp.cpu().double().numpy(), scale, strategy)


def decided(logp: np.ndarray, scale: Scale, strategy: str) -> list[dict]:
    """What the file says of each row: logp (rows, levels), in the order of the labels."""
    probs, mass = posterior.normalise(logp)
    columns = [probs, posterior.mode(probs), posterior.median(probs), posterior.mean(probs)]
    groups = [slice(max(c.lo, scale.lo) - scale.lo, c.hi - scale.lo + 1) for c in scale.coarse]
    return [
        {
            "predict": answer(scale, strategy, scale.lo + int(mode)),
            "probs": [round(float(p), DIGITS) for p in row],
            "coarse": [round(float(row[group].sum()), DIGITS) for group in groups],
            "entropy": round(float(unsure), DIGITS),
            "mass": round(float(known), DIGITS),
            "median": scale.lo + int(median),
            "mean": round(scale.lo + float(mean), DIGITS),
        }
        for row, mode, median, mean, unsure, known in zip(*columns, posterior.entropy(probs), np.exp(mass))
    ]
