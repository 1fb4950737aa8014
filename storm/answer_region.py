"""Where in a model's text its answer stands: behind its thoughts, in a tag, a box or JSON, or behind a marker.

Source of the rules: none in the paper; our choice, after what reasoning and chat models write. The last place counts.
"""

import json
import re
import unicodedata
from collections import deque
from typing import NamedTuple

KEYS = ("answer", "final_answer", "rating", "rate", "score", "level", "grade", "stage", "phase", "decade", "age")
KEYS += ("predicted_age", "group", "label")
TOKENS = re.compile(r"<\|[^<>|]{1,40}\|>|</?s>|<(?:eos|bos|pad|end_of_turn)>")
OBJECT = re.compile(r"\{[^{}]{1,2000}\}")
# Behind "Coarse answer:" stands no answer.
MARKER = re.compile(
    r"(?<!coarse )(?<!coarse_)\b(?:final (?:answer|prediction|age prediction|rating|grade|decision)|answer"
    r"|predicted (?:age|phase|grade|level|rate|rating|stage|group)|(?:my |overall |the )?(?:rating|grade)"
    r"|(?:estimated |the )?age)[*_` ]*(?: is| to be|[:=：])[*_` ]*",
    re.IGNORECASE,
)


class Region(NamedTuple):
    """The part of a text that holds the answer. why: the text has none, and this is the reason."""

    text: str
    before: str = ""  # what stands before it, for the coarse prediction
    marked: bool = False  # something in the text says that this is the answer
    key: str = ""  # of JSON
    why: str = ""


def region(text: str) -> Region:
    text = TOKENS.sub(" ", unicodedata.normalize("NFKC", text)).strip()
    opened, closed = text.casefold().rfind("<think>"), text.casefold().rfind("</think>")
    if opened > closed:
        return Region("", why="cut off")
    if closed >= 0:
        text = text[closed + len("</think>") :].strip()
    if not text:
        return Region("", why="empty")
    places = [place for place in (_tagged(text), _boxed(text), _in_json(text), _behind_marker(text)) if place]
    if not places:
        return Region(text)
    start, inside, key = max(places)
    return Region(inside, text[:start], True, key)


Place = tuple[int, str, str] | None  # where it begins, what it holds, its key in JSON


def _tagged(text: str) -> Place:
    """Inside the last <answer>."""
    lower = text.casefold() if text.isascii() else text
    end = lower.rfind("</answer>")
    start = lower.rfind("<answer>", 0, max(end, 0))
    return (start, text[start + len("<answer>") : end], "") if start >= 0 else None


def _boxed(text: str) -> Place:
    r"""Inside the last \boxed{}."""
    start = text.rfind(r"\boxed{")
    depth, inside = 1, start + len(r"\boxed{")
    for place in range(inside, min(len(text), inside + 400)) if start >= 0 else ():
        depth += (text[place] == "{") - (text[place] == "}")
        if not depth:
            return start, re.sub(r"\\(?:text|mathrm|textbf)\{([^{}]*)\}", r"\1", text[inside:place]), ""
    return None


def _in_json(text: str) -> Place:
    """The value of the last object that names a rating."""
    last = None
    for match in OBJECT.finditer(text):
        if found := _rated(match[0]):
            last = match.start(), *found
    return last


def _behind_marker(text: str) -> Place:
    matches = deque(MARKER.finditer(text), maxlen=1)
    return (matches[0].start(), text[matches[0].end() :], "") if matches else None


def _rated(text: str) -> tuple[str, str] | None:
    """(value, key) of a JSON object's key that names a rating, None if it has none, or several values."""
    try:
        record = json.loads(text)
    except ValueError:
        return None
    keys = {key: key.casefold().replace(" ", "_") for key in record}
    values = {str(record[key]): name for key, name in keys.items() if name in KEYS and record[key] not in (None, "")}
    return next(iter(values.items())) if len(values) == 1 else None
