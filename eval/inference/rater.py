"""Answers blocks of rows with a loaded model, whatever the images and the memory are like."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from PIL import Image

from eval.inference.exact import answer_trie, log_probabilities
from eval.inference.model import Loaded, answer_ids, collate, generate, prompt
from eval.inference.one_by_one import joined
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

    def __init__(
        self,
        loaded: Loaded,
        settings: Settings,
        max_tokens: int = sys.maxsize,
        lowered: Callable[[int], None] = lambda tokens: None,
    ):
        """max_tokens: of the prompts of a batch, as many as fit the memory. lowered: is told when it was too many."""
        self.loaded, self.settings = loaded, settings
        self.max_tokens, self.lowered = max_tokens, lowered
        self.tries: dict[tuple[Scale, str], Trie] = {}
        self.one_by_one = True  # unless the family's images need each other's shapes

    @property
    def device(self) -> torch.device:
        return next(self.loaded.model.parameters()).device

    def rate(self, block: Sequence[Example]) -> list[dict]:
        """A row for each example, in order; one whose image cannot be read has an error and no answer."""
        return self.start(block)()

    def start(self, block: Sequence[Example]) -> Callable[[], list[dict]]:
        """Give a block to the model. Returns what waits for its numbers and makes the rows of rate()."""
        return self.begin(self.prepare(block))

    def prepare(self, block: Sequence[Example]) -> Prepared:
        """What needs no model: images are read, and made into its inputs."""
        errors: dict[str, dict] = {}

        def asked() -> Iterator[tuple[str, Image.Image]]:
            for example in block:
                image = self._image(example, errors)
                if image is not None:
                    yield example.question, image

        return Prepared(list(block), self._inputs(asked), errors)

    def begin(self, prepared: Prepared) -> Callable[[], list[dict]]:
        """start() of a prepared block."""

        def again(piece: Sequence[Example]) -> dict[str, torch.Tensor]:
            return self.prepare(piece).inputs

        readable = [example for example in prepared.block if example.id not in prepared.errors]
        pieces = self._in_pieces(readable, again, prepared.inputs) if readable else []

        def rows() -> list[dict]:
            made = [row for finish in pieces for row in finish()]
            answers = {example.id: row for example, row in zip(readable, made, strict=True)} | prepared.errors
            return [row_of(example) | answers[example.id] for example in prepared.block]

        return rows

    def answers(self, block: Sequence[Example], images: Sequence[Image.Image]) -> list[dict]:
        """Answers to one question about images, without what a row says of its example."""
        of = {id(example): image for example, image in zip(block, images)}

        def inputs(piece: Sequence[Example]) -> dict[str, torch.Tensor]:
            return self._inputs(lambda: [(example.question, of[id(example)]) for example in piece])

        return [row for finish in self._in_pieces(block, inputs) for row in finish()]

    def images(self, block: Sequence[Example]) -> tuple[dict[str, Image.Image], dict[str, dict]]:
        """id -> image, and id -> what a row says of an image that cannot be read."""
        errors: dict[str, dict] = {}
        images = {example.id: self._image(example, errors) for example in block}
        return {name: image for name, image in images.items() if image is not None}, errors

    def _image(self, example: Example, errors: dict[str, dict]) -> Image.Image | None:
        """The image of a row; None of one that cannot be read, of which `errors` then says why."""
        path = self.settings.media / example.image
        try:
            path = locate(self.settings.media, example.image, example.file)
            image = load_rgb(path, self.settings.upright)
            self.loaded.counts(image.size)
            prompt(self.loaded, example.question, image)
            return image
        except (ImageFault, ValueError) as fault:  # ValueError: a shape or a prompt that the model cannot take
            errors[example.id] = {"predict": "", "error": f"{path}: {fault}"}
            return None

    def _inputs(self, asked: Callable[[], Iterable[tuple[str, Image.Image]]]) -> dict[str, torch.Tensor] | None:
        """The model's inputs for questions with an image each; None of none. asked: gives them, again if need be."""
        if self.one_by_one:
            rows = [collate(self.loaded, [question], [image]) for question, image in asked()]
            inputs = joined(rows, self.loaded.tokenizer.pad_token_id) if rows else None
            if inputs or not rows:
                return inputs
            self.one_by_one = False
        pairs = list(asked())
        return collate(self.loaded, *zip(*pairs)) if pairs else None

    def _in_pieces(
        self, block: Sequence[Example], make: Callable, inputs: dict[str, torch.Tensor] | None = None
    ) -> list[Callable[[], list[dict]]]:
        """What makes the answers, in as many pieces as the memory makes necessary. make: the inputs of a piece; inputs:
        of the block, if they are there."""
        inputs = make(block) if inputs is None else inputs
        tokens = inputs["input_ids"].numel()
        if tokens <= self.max_tokens or len(block) == 1:
            try:
                return [self._predict_batch(block, inputs)]
            except torch.OutOfMemoryError:
                if len(block) == 1:
                    raise
                self.max_tokens = tokens // 2
            torch.cuda.empty_cache()
            self.lowered(self.max_tokens)
            about = f"out of memory with {len(block)} rows at once ({tokens:,} tokens)"
            print(f"{about}: goes on with {self.max_tokens:,} tokens", file=sys.stderr)
        size = max(1, len(block) * self.max_tokens // tokens)
        pieces = [block[begin : begin + size] for begin in range(0, len(block), size)]
        return [finish for piece in pieces for finish in self._in_pieces(piece, make)]

    def _predict_batch(self, block: Sequence[Example], inputs: dict[str, torch.Tensor]) -> Callable[[], list[dict]]:
        """Start the model. What it returns waits for a GPU's numbers, so that the next block can be started before."""
        inputs = {key: value.to(self.device, non_blocking=True) for key, value in inputs.items()}
        if self.settings.decode == "generate":
            texts = generate(self.loaded, inputs, self.settings.max_new_tokens)
            return lambda: [{"predict": text} for text in texts]
        scale, strategy = block[0].scale, block[0].strategy
        if (scale, strategy) not in self.tries:
            ids = answer_ids(self.loaded, scale, strategy)
            self.tries[scale, strategy] = answer_trie(self.loaded.model, ids)
        logp = log_probabilities(self.loaded.model, inputs, self.tries[scale, strategy])
        return lambda: predictions(logp.cpu().double().numpy(), scale, strategy)
