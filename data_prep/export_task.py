"""What is the same for every tool that test files are exported to: the command line's settings, ids, questions."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from data_prep.export_images import Picture
from storm.rows import Example, custom_id

Open = Callable[[Path], IO[bytes]]
Rows = Iterable[tuple[int, Example, Picture]]  # the place in the test file, from 0, the row and its image


@dataclass(frozen=True)
class Settings:
    """What a command line says about the files of a tool."""

    out: Path
    media: Path  # the image root
    embed: bool = False  # VLMEvalKit: images in the table, not their paths
    resize: int | None = None  # the most pixels of an image that is in a file
    model: str | None = None  # OpenAI: the name of the model
    image_url: str | None = None  # OpenAI: what stands before the path of an image, instead of the image itself
    max_tokens: int = 1024  # of an answer; our choice: an untrained model explains itself, and a cut answer is lost
    body: dict = field(default_factory=dict)  # OpenAI: more keys of each request; null takes one out


class Written(NamedTuple):
    """A file and how many rows it has."""

    path: Path
    rows: int


def question_of(row: Example) -> str:
    """The question without the mark of the image, which comes first anyway. The blank behind the mark stays: with it,
    a chat template gives the very tokens of the training."""
    return row.question.removeprefix("<image>")


def facts_of(task: str, row: Example) -> dict:
    """What tells the row of a result, for eval/score.py."""
    facts = {"id": custom_id(task, row.id), "dataset": row.dataset}
    return facts | {"scale": row.scale.name, "strategy": row.strategy}
