"""Where in a model's text its answer stands: behind its thoughts, in a tag, a box or JSON, or behind a marker.

Source of the rules: none in the paper; our choice, after what reasoning and chat models write. The last place counts.
"""

import json
import re
import unicodedata
from collections import deque
from typing import NamedTuple

KEYS = ("answer", "final_answer", "rating", "rate", "score", "level", "grade", "stage", "phase", "decade", "age")
KEYS += ("predicted_age", "label")
TOKENS = re.compile(r"<\|[^<>|]{1,40}\|>|</?s>|<(?:eos|bos|pad|end_of_turn)>")
BRACES = 50  # our choice: so many beginnings of JSON are tried
# Behind "Coarse answer:" stands no answer. What says that it is the final one goes before the others.
_END = r"[*_` ]*(?: is| to be|[:=：])[*_` ]*"
FINAL = re.compile(
    r"(?<!coarse )(?<!coarse_)\b(?:final (?:answer|prediction|age prediction|rating|grade|decision)|answer"
    rf"|predicted (?:age|phase|grade|level|rate|rating|stage|group)){_END}",
    re.IGNORECASE,
)
MARKER = re.compile(
    rf"(?<!coarse )\b(?:(?:my |overall |the )?(?:rating|grade)|(?:estimated |the )?age){_END}", re.IGNORECASE
)
SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?\n]+|$)")
DOUBT = re.compile(r"\b(?:not|never|cannot|whether|unsure|unclear|doubt|another)\b|n['’]t\b", re.IGNORECASE)


class Region(NamedTuple):
    """The part of a text that holds the answer. why: the text has none, and this is the reason."""

    text: str
    before: str = ""  # what stands before it, for the coarse prediction
    marked: bool = False  # something in the text says that this is the answer
    key: str = ""  # of JSON
    why: str = ""


def region(text: str, noun: str = "") -> Region:
    """noun: of the scale, which is a key of JSON, too."""
    text = TOKENS.sub(" ", unicodedata.normalize("NFKC", text)).strip()
    opened, closed = text.casefold().rfind("<think>"), text.casefold().rfind("</think>")
    if opened > closed:
        return Region("", why="cut off")
    if closed >= 0:
        text = text[closed + len("</think>") :].strip()
    if not text:
        return Region("", why="empty")
    text = "".join(part for part in SENTENCE.findall(text) if not _doubts(part))
    found = _tagged(text), _boxed(text), _in_json(text, {*KEYS, noun}), _behind_marker(text)
    places = [place for place in found if place]
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


def _in_json(text: str, keys: set[str]) -> Place:
    """The value of the last object, not inside of another one, that names a rating."""
    last, decoder, start = None, json.JSONDecoder(), 0
    for _ in range(BRACES):
        begins = [place for place in (text.find("{", start), text.find("[", start)) if place >= 0]
        if not begins:
            break
        start = min(begins)
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            start += 1
            continue
        if found := _rated(value, keys):
            last = start, *found
        start = end
    return last


def _rated(value: object, keys: set[str]) -> tuple[str, str] | None:
    """(value, key) of an object's key that names a rating; of a list, of its objects. None for none, or several."""
    records = value if isinstance(value, list) else [value]
    values = {}
    for record in records:
        for key, said in record.items() if isinstance(record, dict) else ():
            name = key.casefold().replace(" ", "_")
            if name in keys and said not in (None, "") and not isinstance(said, (dict, list, bool)):
                values[str(int(said) if isinstance(said, float) and said.is_integer() else said)] = name
    return next(iter(values.items())) if len(values) == 1 else None


def _behind_marker(text: str) -> Place:
    """What stands behind the last marker of a final answer, or, without one, of a rating."""
    for pattern in (FINAL, MARKER):
        if matches := deque(pattern.finditer(text), maxlen=1):
            return matches[0].start(), text[matches[0].end() :], ""
    return None


def _doubts(sentence: str) -> bool:
    """Whether a sentence doubts or denies its marker: "I cannot tell whether the age is 40"."""
    match = FINAL.search(sentence) or MARKER.search(sentence)
    return match is not None and DOUBT.search(sentence, 0, match.start()) is not None
