"""Where in a model's text its answer stands: behind its thoughts, in a tag, a box or JSON, or behind a marker.

Source of the rules: none in the paper; our choice, after what reasoning and chat models write. The last place counts.
"""

import json
import re
import unicodedata
from typing import NamedTuple

KEYS = ("answer", "final_answer", "rating", "rate", "score", "level", "grade", "stage", "phase", "decade", "age")
KEYS += ("predicted_age", "label")
TOKENS = re.compile(r"<\|[^<>|]{1,40}\|>|</?s>|<(?:eos|bos|pad|end_of_turn)>")
BRACES = 50  # our choice: so many beginnings of JSON are tried
# Behind "Coarse answer:" stands no answer. What says that it is the final one goes before the others.
_END = r"[*_` ]*(?: is| to be|[:=：])[*_` ]*"
_THE = r"(?<![一-鿿])(?:最终|总体|整体|综合|总|质量|我的|预测|估计|该|这张|图片|图像|的)*"
_IS = r"[*_` ]*(?:应?为|是|[:=])[:= *_`]*"
FINAL = re.compile(
    r"(?<!coarse )(?<!coarse_)\b(?:final (?:answer|prediction|age prediction|rating|grade|decision)|answer"
    rf"|predicted (?:age|phase|grade|level|rate|rating|stage|group)){_END}|{_THE}(?:答案|预测年龄){_IS}",
    re.IGNORECASE,
)
MARKER = re.compile(rf"(?<!coarse )\b(?:rating|grade|age){_END}|{_THE}(?:评分|评级|等级|打分|年龄){_IS}", re.IGNORECASE)
# The word before a marker; another one, as in "Noise rating:", says that it is not that of the image.
_BEFORE = re.compile(r"([^\W\d_]+)(['’]s)?[ _]$")
_WORDS = (
    "my the overall final quality predicted estimated image picture photo aesthetic aesthetics best approximate likely "
    "a an of general total apparent his her their its persons this and so is fine severity probable perceived "
    "suggested assigned current actual chronological mans womans patients subjects individuals"
)
_NOUNS = "person man woman patient subject individual child girl boy lady image photo picture face"
_OTHERS = "previous other another first initial earlier wrong incorrect possible example sample user"
_PLAIN = frozenset(_WORDS.split())
_WHOSE = frozenset(_NOUNS.split())
_EARLIER = frozenset(_OTHERS.split())
_NUMBERED = r"\b(?:person|face|image|photo|picture|subject|man|woman|child|eye|individual) ?#?"
_ONE_OF = re.compile(
    rf"{_NUMBERED}(?:\d{{1,3}}|[a-d]|one|two|three)"
    r"(?:['’]s)?[\s:.)*_(-]{1,6}(?:(?:the|final|predicted|estimated|overall) ?){0,2}$",
    re.IGNORECASE,
)
_SECOND = re.compile(rf"^[\W_]*{_NUMBERED}(?:2|b|two)\b", re.IGNORECASE | re.MULTILINE)
_DECIDED = re.compile(r"final|answer|最终|答案", re.IGNORECASE)
_THOUGHTS = "think|thinking|thoughts?|reasoning|reflection|analysis|scratchpad"
THOUGHTS = re.compile(rf"<(?P<end>/?)(?:{_THOUGHTS})>|◁(?P<finish>/?)think▷", re.IGNORECASE)
SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?\n]+|$)")
DOUBT = re.compile(
    r"\b(?:not|never|cannot|whether|unsure|unclear|doubt|another"
    r"|unless|if(?! (?:(?:i|we) (?:had|have|must|were)|forced|asked)\b))\b|n['’]t\b",
    re.IGNORECASE,
)


class Region(NamedTuple):
    """The part of a text that holds the answer. why: the text has none, and this is the reason."""

    text: str
    before: str = ""  # what stands before it, for the coarse prediction
    marked: bool = False  # something in the text says that this is the answer
    key: str = ""  # of JSON
    why: str = ""


def region(text: str, noun: str = "", ends: tuple[int, int] | None = None) -> Region:
    """noun: of the scale, which is a key of JSON, too. ends: its first and last label, for "Rating (0-4): 3"."""
    text = TOKENS.sub(" ", unicodedata.normalize("NFKC", text)).replace("。", ". ").strip()
    opened = first = None
    closed, rest = None, text
    for mark in THOUGHTS.finditer(text):
        if mark["end"] or mark["finish"]:
            closed, rest = mark.start(), text[mark.end() :].strip()
        else:
            opened, first = mark.start(), mark.start() if first is None else first
    if opened is not None and (closed is None or opened > closed):
        return Region("", why="cut off")
    text = rest or text[: first or 0].strip()  # thoughts may follow the answer
    if ends:
        scale = rf"(?:on an? |scale:? |from ){{0,2}}{ends[0]} ?(?:[-–—]|to) ?{ends[1]}(?: scale)?"
        text = re.sub(rf" ?\({scale}\)(?=[*_` ]*[:=])", "", text)
    if not text:
        return Region("", why="empty")
    text = "".join(part for part in SENTENCE.findall(text) if not _doubts(part))
    candidates = _tagged(text), _boxed(text), _in_json(text, {*KEYS, noun}), _behind_marker(text)
    places = [place for place in candidates if place]
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
        if rated := _rated(value, keys):
            last = start, *rated
        start = end
    return last


def _rated(value: object, keys: set[str]) -> tuple[str, str] | None:
    """(value, key) of an object's key that names a rating; of a list, of its objects. None for none, or several."""
    records = value if isinstance(value, list) else [value]
    values = {}
    for record in records:
        for key, content in record.items() if isinstance(record, dict) else ():
            name = key.casefold().replace(" ", "_")
            if name in keys and content not in (None, "") and not isinstance(content, (dict, list, bool)):
                values[str(int(content) if isinstance(content, float) and content.is_integer() else content)] = name
    return next(iter(values.items())) if len(values) == 1 else None


def _behind_marker(text: str) -> Place:
    """What stands behind the last marker of a final answer, or, without one, of a rating."""
    several = _SECOND.search(text) is not None
    for pattern in (FINAL, MARKER):
        for match in reversed(list(pattern.finditer(text))):
            if _is_plain(text, match, pattern) and (not several or _DECIDED.match(match[0])):
                after = text[match.end() :]
                return match.start(), after[: _qualified(after)], ""
    return None


def _is_plain(text: str, match: re.Match, pattern: re.Pattern) -> bool:
    """Whether a marker is that of the whole image, and of the only one."""
    before = text[max(0, match.start() - 60) : match.start()]
    if _ONE_OF.search(before):
        return False
    preceding = _BEFORE.search(before)
    word = preceding[1].casefold() if preceding else ""
    if preceding and preceding[2]:
        return word in _WHOSE
    return not word or (word not in _EARLIER if pattern is FINAL else word in _PLAIN)


def _qualified(text: str) -> int | None:
    """Where the line begins that has another marker, which is not plain; None: nowhere."""
    for match in MARKER.finditer(text):
        if not _is_plain(text, match, MARKER):
            return text.rfind("\n", 0, match.start()) + 1 or None
    return None


def _doubts(sentence: str) -> bool:
    """Whether a sentence doubts or denies its marker: "I cannot tell whether the age is 40"."""
    match = FINAL.search(sentence) or MARKER.search(sentence)
    return match is not None and DOUBT.search(sentence, 0, match.start()) is not None
