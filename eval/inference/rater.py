"""Answers blocks of rows with a loaded model, whatever the images and the memory are like."""

import sys
from collections.abc import Sequence

import torch
from PIL import Image

from eval.inference.exact import Trie, log_probabilities, trie
from eval.inference.model import Loaded, answer_ids, batch, generate
from eval.inference.output_rows import predictions, row_of
from eval.inference.settings import Settings
from storm.images import ImageFault, load_rgb, locate
from storm.rows import Example
from storm.scales import Scale


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
        predicted = dict(zip((e.id for e in readable), self._answers(readable, images))) if readable else {}
        return [row_of(example) | (errors.get(example.id) or predicted[example.id]) for example in block]

    def _answers(self, block: Sequence[Example], images: dict[str, Image.Image]) -> list[dict]:
        """Answers, in as many pieces as the memory makes necessary."""
        if len(block) > (size := self.max_batch):
            return self._answers(block[:size], images) + self._answers(block[size:], images)
        try:
            return self._predict_batch(block, [images[example.id] for example in block])
        except torch.OutOfMemoryError:
            if len(block) == 1:
                raise
            self.max_batch = len(block) // 2
        torch.cuda.empty_cache()
        print(f"out of memory with {len(block)} rows at once: goes on with {self.max_batch}", file=sys.stderr)
        return self._answers(block, images)

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
