"""Which rows go through the model together: the same blocks in every process, and after every interruption.

Another batch rounds differently, in 16 bits so much that files would differ. So nothing that a run meets decides where
a block ends, such as free memory: only the rows and the sizes of their images do.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from typing import TYPE_CHECKING

from storm.images import ImageFault, header_size, locate
from storm.rows import Example

if TYPE_CHECKING:
    from eval.inference.rater import Rater

# Tokens of the prompts of a block, padding included. Our choice: on a GPU a prompt of some thousand tokens leaves no
# unit idle, so that more only need memory, here and in the processes that read images; 12 images of the recipes'
# 1,003,520 pixels are as many. On a CPU, six.
TOKENS = {"cuda": 16_384, "cpu": 8_192}
WINDOW = 512  # rows; our choice: the file is put in order at the end, and a stop leaves so many out of order
ROWS = {"cuda": 128, "cpu": 16}  # of a block, however small: its answers have tokens, too; 116 ages have 416


def of_rows(rows: Iterable[Example], size: int) -> Iterator[list[Example]]:
    """Rows in blocks of one scale and strategy, `size` at most."""
    for _, same in groupby(rows, key=lambda row: (row.scale.name, row.strategy)):
        while block := list(islice(same, size)):
            yield block


def of_tokens(
    rows: Iterable[Example], tokens: Callable[[Example], int], most: int, size: int
) -> Iterator[list[Example]]:
    """Rows in blocks of one scale and strategy: their number times the longest prompt is `most` at most, unless one
    row alone has more.

    Of WINDOW rows the longest prompts come first, so that those of a block are about as long. tokens: of a row's
    prompt. size: the most rows.
    """
    for _, same in groupby(rows, key=lambda row: (row.scale.name, row.strategy)):
        while window := list(islice(same, WINDOW)):
            counts = [tokens(row) for row in window]
            order = sorted(range(len(window)), key=lambda number: -counts[number])
            while order:
                count = min(size, max(1, most // counts[order[0]]))
                yield [window[number] for number in order[:count]]
                order = order[count:]


def prompt_tokens(rater: "Rater") -> Callable[[Example], int]:
    """A function row -> tokens of its prompt, without the template's: of the question, and of the image by its header.

    An image that cannot be read has none.
    """
    questions: dict[str, int] = {}

    def tokens(row: Example) -> int:
        if row.question not in questions:
            questions[row.question] = len(rater.loaded.tokenizer(row.question)["input_ids"])
        try:
            lines = rater.loaded.counts(header_size(locate(rater.settings.media, row.image, row.file)))
        except (ImageFault, ValueError):  # ValueError: a shape that the family cannot take
            return questions[row.question]
        return questions[row.question] + sum(lines)

    return tokens
