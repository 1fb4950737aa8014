"""Answers blocks of rows with a loaded model, whatever the images and the memory are like."""

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from PIL import Image

from eval.inference.exact import answer_trie, log_probabilities
from eval.inference.model import Loaded, answer_ids, collate, generate
from eval.inference.output_rows import predictions, row_of
from eval.inference.settings import Settings
from eval.inference.trie import Trie
from storm.images import ImageFault, load_rgb, locate
from storm.rows import Example
from storm.scales import Scale


class Prepared(NamedTuple):
    """A block of rows, and the inputs of the model for those whose image can be read; None of none."""

    block: list[Example]
    inputs: dict[str, torch.Tensor] | None
    errors: dict[str, dict]  # id -> what its row says instead of an answer


class Rater:
    """A loaded model that answers blocks of rows."""

    def __init__(self, loaded: Loaded, settings: Settings):
        self.loaded, self.settings = loaded, settings
        self.tries: dict[tuple[Scale, str], Trie] = {}
        self.max_batch = sys.maxsize  # rows that fit the memory

    @property
    def device(self) -> torch.device:
        return next(self.loaded.model.parameters()).device

    def rate(self, block: Sequence[Example]) -> list[dict]:
        """A row for each example, in order; one whose image cannot be read has an error and no answer."""
        return self.answer(self.prepare(block))

    def prepare(self, block: Sequence[Example]) -> Prepared:
        """What needs no model: images are read, and made into its inputs."""
        images, errors = self.images(block)
        readable = [example for example in block if example.id in images]
        questions = [example.question for example in readable]
        inputs = collate(self.loaded, questions, [images[e.id] for e in readable]) if readable else None
        return Prepared(list(block), inputs, errors)

    def answer(self, prepared: Prepared) -> list[dict]:
        """rate() of a prepared block."""

        def again(piece: Sequence[Example]) -> dict[str, torch.Tensor]:
            return self.prepare(piece).inputs

        readable = [example for example in prepared.block if example.id not in prepared.errors]
        rows = self._in_pieces(readable, again, prepared.inputs) if readable else []
        answers = {example.id: row for example, row in zip(readable, rows)} | prepared.errors
        return [row_of(example) | answers[example.id] for example in prepared.block]

    def answers(self, block: Sequence[Example], images: Sequence[Image.Image]) -> list[dict]:
        """Answers to one question about images, without what a row says of its example."""
        of = {id(example): image for example, image in zip(block, images)}

        def inputs(piece: Sequence[Example]) -> dict[str, torch.Tensor]:
            questions = [example.question for example in piece]
            return collate(self.loaded, questions, [of[id(example)] for example in piece])

        return self._in_pieces(block, inputs)

    def images(self, block: Sequence[Example]) -> tuple[dict[str, Image.Image], dict[str, dict]]:
        """id -> image, and id -> what a row says of an image that cannot be read."""
        images, errors = {}, {}
        for example in block:
            path = self.settings.media / example.image
            try:
                path = locate(self.settings.media, example.image, example.file)
                image = load_rgb(path, self.settings.upright)
                self.loaded.counts(image.size)
                images[example.id] = image
            except (ImageFault, ValueError) as fault:  # ValueError: a shape that the family cannot take
                errors[example.id] = {"predict": "", "error": f"{path}: {fault}"}
        return images, errors

    def _in_pieces(
        self, block: Sequence[Example], make: Callable, inputs: dict[str, torch.Tensor] | None = None
    ) -> list[dict]:
        """Answers, in as many pieces as the memory makes necessary. make: the inputs of a piece; inputs: of the block,
        if they are there."""
        if len(block) > (size := self.max_batch):
            return self._in_pieces(block[:size], make) + self._in_pieces(block[size:], make)
        try:
            return self._predict_batch(block, make(block) if inputs is None else inputs)
        except torch.OutOfMemoryError:
            if len(block) == 1:
                raise
            self.max_batch = len(block) // 2
        torch.cuda.empty_cache()
        print(f"out of memory with {len(block)} rows at once: goes on with {self.max_batch}", file=sys.stderr)
        return self._in_pieces(block, make)

    def _predict_batch(self, block: Sequence[Example], inputs: dict[str, torch.Tensor]) -> list[dict]:
        inputs = {key: value.to(self.device, non_blocking=True) for key, value in inputs.items()}
        if self.settings.decode == "generate":
            return [{"predict": text} for text in generate(self.loaded, inputs, self.settings.max_new_tokens)]
        scale, strategy = block[0].scale, block[0].strategy
        if (scale, strategy) not in self.tries:
            ids = answer_ids(self.loaded, scale, strategy)
            self.tries[scale, strategy] = answer_trie(self.loaded.model, ids)
        logp = log_probabilities(self.loaded.model, inputs, self.tries[scale, strategy])
        return predictions(logp.cpu().double().numpy(), scale, strategy)
