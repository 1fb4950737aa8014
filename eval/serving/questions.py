"""Which question a request asks: one that the model was trained on, recognized by the words of its levels, or another.

A trained question is asked word for word as in training; what the request says beside the levels is not shown to the
model. Any other levels become a question built as our own scales are (storm/custom_scale.py), with the request's
instructions in place of ours, lowest level first:

    Rate the damage of the parcel. Please rate the provided image on a 3-level scale: level0(None), level1(Dented),
    level2(Torn). (the steps of custom_scale.STEPS, if the strategy has a coarse step)

A choice has no order, so it has no coarse step: "... Please choose one of 3 options for the provided image:
option0(Cat), option1(Dog), option2(Other)." Its options may be the words of a trained scale in any order.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import yaml

from eval.serving.admission import TEXT, bad
from storm.custom_scale import LEVELS, read
from storm.levels import spelled
from storm.prompts import STRATEGIES
from storm.scales import Scale
from storm.text import printable

NAME = "request"  # of a scale that a request brings
RATE = "{text} Please rate the provided image on a {count}-level scale: {{fine}}.{more}"
CHOOSE = "{text} Please choose one of {count} options for the provided image: {{fine}}.{more}"
UNORDERED = next(row.name for row in STRATEGIES.values() if not row.coarse)  # the strategy of a choice


class Option(NamedTuple):
    """A level of a score, or an option of a choice."""

    label: str
    description: str = ""


class Known(NamedTuple):
    """The questions that the model was trained on."""

    scales: tuple[Scale, ...]
    strategy: str
    upright: frozenset[str]  # names of the scales whose training images were turned as their EXIF data say
    always_upright: bool  # --upright


class Asked(NamedTuple):
    """A question to the model."""

    scale: Scale
    strategy: str
    trained: bool
    columns: tuple[int, ...]  # of the scale's levels, for each option of the request
    upright: bool  # whether the image is turned as its EXIF data say


@lru_cache(maxsize=64)
def _spellings(scale: Scale) -> tuple[tuple[str, ...], ...]:
    """The levels of a scale in each way to write them, lowest first: "bad", "rate0(bad)", "rate0"; ages also "17"."""
    ways = [[getattr(level, form) for level in scale.fine] for form in ("word", "both", "number")]
    if scale.counted:
        ways.append([str(level.lo) for level in scale.fine])
    return tuple(dict.fromkeys(tuple(map(spelled, way)) for way in ways))


def asked(known: Known, options: Sequence[Option], instructions: str, ordered: bool) -> Asked:
    """The question of a request. Raises Refused in one line for levels that cannot be asked."""
    words = tuple(spelled(option.label) for option in options)
    if len(set(words)) < len(words):
        twice = next(word for word in words if words.count(word) > 1)
        raise bad(f"the level '{printable(twice)[:60]}' is there twice")
    same = [(scale, way) for scale in known.scales for way in _spellings(scale) if set(way) == set(words)]
    if ordered and same and not (exact := [(scale, way) for scale, way in same if way == words]):
        scale, way = same[0]
        right = ", ".join(level.word for level in scale.fine[:6]) + (" ..." if len(way) > 6 else "")
        raise bad(f"these are the levels of the scale {scale.name} in another order; send the lowest first: {right}")
    if ordered and same:
        same = exact
    if len({scale.name for scale, _ in same}) > 1:
        names = ", ".join(sorted({scale.name for scale, _ in same}))
        raise bad(f"these levels are of several scales: {names}; send their words, or serve one of them (--scale)")
    if same:
        scale, way = same[0]
        upright = known.always_upright or scale.name in known.upright
        return Asked(scale, known.strategy, True, tuple(map(way.index, words)), upright)
    upright = known.always_upright or bool(known.upright)
    strategy = known.strategy if ordered else UNORDERED
    return Asked(_own(tuple(options), instructions, ordered), strategy, False, tuple(range(len(words))), upright)


def _own(options: tuple[Option, ...], instructions: str, ordered: bool) -> Scale:
    """The scale of a request's own levels. Raises Refused."""
    texts = [instructions, *(text for option in options for text in option)]
    if sum(len(text.encode(errors="replace")) for text in texts) > TEXT:
        raise bad(f"instructions, levels and descriptions have more than {TEXT:,} bytes; shorten them")
    for text in texts:
        if re.search(r"<[a-z|/]", text, re.IGNORECASE) or not text.replace("\n", " ").replace("\t", " ").isprintable():
            raise bad(f"the text '{printable(text)[:60]}' holds control characters, or < before a letter")
    if not instructions.strip():
        raise bad("instructions: say what is rated; these levels are of no scale that the model was trained on")
    if not 2 <= len(options) <= LEVELS:
        raise bad(f"{len(options)} levels of no scale that the model was trained on; at most {LEVELS} can be asked")
    noun = "level" if ordered else "option"
    words = [option.label for option in options]
    try:
        scale = read(yaml.safe_dump({"name": NAME, "rates": "a request", "noun": noun, "levels": words})).scale
    except ValueError as error:
        raise bad(printable(error)[:300]) from None
    text = instructions.strip()
    text += "" if text.endswith((".", "?", "!", ":")) else "."
    meant = [f"{noun}{place}({row.label}): {row.description}" for place, row in enumerate(options) if row.description]
    more = f" {'; '.join(meant)}." if meant else ""
    frame = RATE if ordered else CHOOSE
    return replace(scale, role=frame.format(text=_escaped(text), count=len(words), more=_escaped(more)))


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
