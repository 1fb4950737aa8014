"""Tokens of training rows by the sizes of their images, which stand in the images' first bytes.

LLaMA-Factory decodes, resizes and patches every image before the first step, only to count its tokens
(docs/training.md: how long it takes). A row differs from another of the same question and answer only in
that count, so the host encodes the first ones, and the others are made from them. Rows that may be cut at cutoff_len,
have several images, or are of a family that we do not know are left to the host.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from PIL import Image, UnidentifiedImageError

from storm import models

# Of a question and answer, how many rows of a new size of image the host encodes, too, before it is asked no more: of
# rows that we made from another number of tokens, and of rows whose number of tokens an earlier one has.
CHECKED = 2
KEPT = 20_000  # rows at most; 14 datasets have some hundred questions and answers, each with some dozens of lengths


class Row(NamedTuple):
    ids: tuple[int, ...]
    labels: tuple[int, ...]


class Quick:
    """Encodes rows for a model of one configuration."""

    def __init__(self, config: Any):
        self.config, self.token = config, config.image_token_id
        self.rows: dict[tuple, dict[tuple[int, ...], Row]] = {}  # text -> lines of image tokens -> row
        self.sizes: dict[tuple, set[tuple[int, int]]] = {}  # text -> sizes of images that the host encoded
        self.checked: Counter = Counter()  # (text, whether we made it) -> rows that were equal to the host's
        self.wrong: set[tuple] = set()  # texts of which a row was not

    def encode(self, host: Callable[[], tuple[list[int], list[int]]], processor: Any, text: tuple, image: Any) -> tuple:
        """(input_ids, labels) of a row with one image. host: encodes it as LLaMA-Factory does."""
        size, lines = self._lines(processor, image)
        if lines is None or text in self.wrong:
            return host()
        rows, sizes = self.rows.setdefault(text, {}), self.sizes.setdefault(text, set())
        kept = rows.get(lines)
        made = kept or self._made(next(iter(rows.values()), None), lines, processor.cutoff_len)
        proof = text, kept is None
        if made is None or ((kept is None or size not in sizes) and self.checked[proof] < CHECKED):
            whole = Row(*map(tuple, host()))
            sizes.add(size)
            if made == whole:
                self.checked[proof] += 1
            elif made is not None:
                self.wrong.add(text)
            made = whole
        if len(made.ids) < processor.cutoff_len and sum(map(len, self.rows.values())) < KEPT:
            rows[lines] = made
        return [*made.ids], [*made.labels]

    def _lines(self, processor: Any, image: Any) -> tuple[tuple[int, int], tuple[int, ...] | None]:
        """(size, lines of tokens) of an image; None if its file does not tell, or the family cannot take it."""
        try:
            with Image.open(image) as opened:  # reads the header only
                size = opened.size
            pixel_limits = processor.image_max_pixels, processor.image_min_pixels
            return size, models.lines_of(self.config, size, pixel_limits, processor.settings)
        except (OSError, ValueError, AttributeError, UnidentifiedImageError, Image.DecompressionBombError):
            return (0, 0), None

    def _made(self, row: Row | None, lines: tuple[int, ...], cutoff: int) -> Row | None:
        """The row with another number of image tokens; None if these do not stand in one line, or it may be cut."""
        places = [place for place, id in enumerate(row.ids) if id == self.token] if row else []
        if len(lines) > 1 or not places or places[-1] - places[0] + 1 != len(places):
            return None
        begin, end = places[0], places[-1] + 1
        # The labels of a row that is only asked are the answer, those of a trained one as long as its ids.
        parts = [row.ids, row.labels] if len(row.labels) == len(row.ids) else [row.ids]
        made = [(*part[:begin], *part[begin : begin + 1] * lines[0], *part[end:]) for part in parts]
        return Row(made[0], made[-1] if len(made) > 1 else row.labels) if len(made[0]) < cutoff else None


class _HostProcessor(NamedTuple):
    """What of it decides how many tokens a row has."""

    image_max_pixels: int
    image_min_pixels: int
    settings: dict
    cutoff_len: int


@contextmanager
def quick_lengths(model: str) -> Iterator[None]:
    """While it holds, LLaMA-Factory's datasets are encoded so. model: the folder or name of the recipe's."""
    from llamafactory.data.processor import SupervisedDatasetProcessor, UnsupervisedDatasetProcessor

    try:
        config = models.config(model)
        models.family_of(config, model)
    except ValueError as error:
        print(f"tokens are counted by LLaMA-Factory: {error}", file=sys.stderr)
        yield
        return
    with ExitStack() as stack:
        for kind in (SupervisedDatasetProcessor, UnsupervisedDatasetProcessor):
            wrapped = _quick(Quick(config), kind._encode_data_example)
            stack.enter_context(mock.patch.object(kind, "_encode_data_example", wrapped))
        yield


def _quick(quick: Quick, encode: Callable) -> Callable:
    processors: dict[int, _HostProcessor] = {}  # of the host's processors, by id: each lives as long as the run

    def wrapped(
        self: Any, prompt: Sequence, response: Sequence, system: str, tools: str, images: Sequence, **more: Sequence
    ) -> tuple[list[int], list[int]]:
        def host() -> tuple[list[int], list[int]]:
            return encode(self, prompt, response, system, tools, images, **more)

        image = images[0] if len(images) == 1 else None
        if not isinstance(image, str | Path) or any(more.values()) or self.processor is None:
            return host()
        if id(self) not in processors:
            settings = self.processor.image_processor.to_dict()
            pixels = self.processor.image_max_pixels, self.processor.image_min_pixels
            processors[id(self)] = _HostProcessor(*pixels, settings, self.data_args.cutoff_len)
        turns = tuple((turn["role"], turn["content"]) for turn in (*prompt, *response))
        return quick.encode(host, processors[id(self)], (turns, system, tools), image)

    return wrapped
