"""The rows that a prediction is about: image, question and right answer, read from a built test file."""

import json
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageFile

from data_prep.questions import STRATEGIES, Scale, question
from data_prep.scales import SCALES

# Pillow refuses twice as many: an image of 100 megapixels is a photograph, one of 200 a bomb.
Image.MAX_IMAGE_PIXELS = 100_000_000


class Task(NamedTuple):
    """One row of a built file."""

    id: str
    dataset: str
    image: str  # relative to the media folder
    question: str
    answer: str  # the right one
    scale: Scale
    strategy: str
    subject: str = ""  # the person or patient, where the source names one
    file: Path | None = None  # where it is from


@cache
def _asked(scales: tuple[Scale, ...]) -> dict[str, tuple[str, Scale, str]]:
    """What a question asks for: its text -> (itself, scale, strategy). All rows then share one text in memory."""
    asked = ((question(scale, strategy), scale, strategy) for scale in scales for strategy in STRATEGIES)
    return {known[0]: known for known in asked}


def tasks(path: Path, scales: Mapping[str, Scale] = SCALES) -> Iterator[Task]:
    """The rows of a file of conversations. Raises ValueError naming file, line and what is wrong."""
    asked = _asked(tuple(dict.fromkeys(scales.values())))
    seen: set[str] = set()
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
                human, gpt = (turn["value"] for turn in row["conversations"])
                [image] = row["images"]
                id, dataset, subject = str(row["id"]), str(row["dataset"]), str(row.get("subject") or "")
                if not all(isinstance(text, str) for text in (human, gpt, image)):
                    raise TypeError("a turn or an image's name is no text")
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                what = f"no {error}" if isinstance(error, KeyError) else str(error)
                need = "conversations, images, id and dataset (python -m data_prep writes them)"
                raise ValueError(f"{path}, line {number}: {what}; a row needs {need}") from None
            if human not in asked:
                raise ValueError(
                    f"{path}, line {number}: no question of a known scale (one of your own? --scale SCALE.yaml)"
                )
            if id in seen:
                raise ValueError(f"{path}, line {number}: id {id!r} a second time")
            seen.add(id)
            text, scale, strategy = asked[human]
            yield Task(id, dataset, image, text, gpt, scale, strategy, subject, path)


def opened(media: Path, image: str, file: Path | None = None) -> Image.Image:
    """The image, RGB, wholly decoded. Raises ValueError for one that cannot be read, or that its name leads away to.

    It must be below media or, as the copies of `data_prep --resize`, in a folder images/ beside the built file or above
    it. That is asked of the name as text: a folder below media may be a link to another disk.
    """
    root = os.path.realpath(media)
    path = Path(os.path.normpath(os.path.join(root, image)))
    copies = [Path(os.path.realpath(folder)) / "images" for folder in (file.parent, file.parent.parent)] if file else []
    if not any(path.is_relative_to(allowed) for allowed in (root, *copies)):
        raise ValueError(f"{image}: outside of {media}")
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with Image.open(path) as opened_:
            return opened_.convert("RGB")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such image") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: cannot be read ({str(error)[:100]})") from None
