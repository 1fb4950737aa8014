"""Read a rating back from what a model wrote. Strict: two readings, or none, are no reading.

`parse(answer(label)) == label` for every dataset, strategy and label (tested). Tolerated: case, spacing, brackets,
a leading "Answer:", a missing coarse part, a missing word or number, text that trails the answer. The paper does
not publish its parser; every rule here is our choice.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from num2words import num2words

from data_prep.questions import Scale

# An answer must begin within so many characters: several times the longest valid one, and noise is longer.
REACH = 500


class Rating(NamedTuple):
    """A parsed answer: the label, and the index of the coarse group said before it (None: none said)."""

    label: int
    coarse: int | None


class _Mention(NamedTuple):
    """A stretch of text that names candidates: ("coarse", index) or ("fine", label); an empty set names none."""

    start: int
    end: int
    forms: frozenset[str]  # "word", "index" (rate3), "span" (25-47 years old), "age" (30 years old)
    names: frozenset[tuple[str, int]]


class _Grammar(NamedTuple):
    pattern: re.Pattern
    words: dict[str, frozenset]
    indices: dict[tuple[int, int], frozenset]
    spans: dict[tuple[int, int | None], frozenset]
    lo: int
    hi: int
    bare: bool  # a digit alone is an answer: false where it could be an age as well as the number of a group


def parse(scale: Scale, strategy: str, text: str) -> Rating | None:
    """The rating that `text` states, or None if it states none, several, or one off the scale."""
    text = _clean(text)
    grammar = _grammar(scale, strategy)
    alone = re.fullmatch(r"(?:(?:final )?answer ?: ?)?(\d{1,3}) ?\.?", text)
    if alone and grammar.bare:
        label = int(alone[1])
        return Rating(label, None) if grammar.lo <= label <= grammar.hi else None
    mentions = _mentions(grammar, text)
    if mentions is None:
        return None
    coarse = {index for m in mentions for kind, index in m.names if kind == "coarse" and len(m.names) == 1}
    fine = [m for m in mentions if _label(m) is not None]
    # The answer's format puts the coarse thought first; "Fair" or "rate2" there is the group, not the level.
    if strategy != "direct" and len(fine) > 1 and fine[0] is mentions[0] and len(fine[0].names) == 2:
        coarse |= {index for kind, index in fine.pop(0).names if kind == "coarse"}
    numbered = next((i for i, m in enumerate(fine) if m.forms != {"word"}), None)
    if strategy != "text" and numbered is not None:  # words of prose that trails the answer are not answers
        fine = fine[: numbered + 1] + [m for m in fine[numbered + 1 :] if m.forms != {"word"}]
    labels = {_label(m) for m in fine}
    if len(labels) != 1 or fine[0].start > REACH:
        return None
    label = labels.pop()
    if not grammar.lo <= label <= grammar.hi:
        return None
    return Rating(label, coarse.pop() if strategy != "direct" and len(coarse) == 1 else None)


def _label(mention: _Mention) -> int | None:
    """The label it names, or None if it names none, or several."""
    labels = [label for kind, label in mention.names if kind == "fine"]
    return labels[0] if len(labels) == 1 else None


def _clean(text: str) -> str:
    text = re.sub(r"[()\[\]{}<>*_`\"“”]", " ", text.casefold())
    text = re.sub(r"['’]", "", text)
    return re.sub(r"\s+", " ", re.sub(r"[‐‑–—−]", "-", text)).strip()


def _mentions(grammar: _Grammar, text: str) -> list[_Mention] | None:
    """What the text names, in order, number and word joined. None if it contradicts itself or negates a candidate."""
    found: list[_Mention] = []
    for match in grammar.pattern.finditer(text):
        form = match.lastgroup
        before = text[max(0, match.start() - 16) : match.start()]
        if form == "broken" or re.search(r"\b(?:not|never|hardly|nor|than) (?:an? )?$", before):
            return None
        numbers = [int(n) for n in re.findall(r"\d+", match[0])]
        if form == "word":
            names = grammar.words[_key(match[0])]
        elif form == "index":
            names = grammar.indices.get((numbers[0], numbers[-1]), frozenset())
            if not names and not grammar.lo <= numbers[0] < numbers[-1] <= grammar.hi:
                return None  # rate7, rate33-4; but rate2-3, which is no group, only says nothing
        elif form == "span":
            names = grammar.spans.get((numbers[0], numbers[1] if len(numbers) > 1 else None), frozenset())
        else:
            names = frozenset({("fine", numbers[0])})
        mention = _Mention(match.start(), match.end(), frozenset({form}), names)
        last = found[-1] if found else None
        if last and names and last.names and _same_candidate(last, mention, text[last.end : mention.start]):
            both = last.names & names
            if not both:
                return None  # rate3(Poor)
            found[-1] = _Mention(last.start, mention.end, last.forms | mention.forms, both)
        elif names:
            found.append(mention)
    return found


def _same_candidate(left: _Mention, right: _Mention, between: str) -> bool:
    """Do "rate3" and "(Good)", or "group3", "teens" and ", 15-20 years old", belong together?"""
    if left.forms & right.forms or "age" in left.forms | right.forms:
        return False
    return between.strip() == "" or ("span" in right.forms and between.strip() == ",")


def _key(words: str) -> str:
    return re.sub(r"[ -]+", " ", words).replace(" and ", " ").removesuffix(" old").removesuffix(" years").strip()


@lru_cache(maxsize=64)
def _grammar(scale: Scale, strategy: str) -> _Grammar:
    """The patterns of a scale's candidates, read off the candidates themselves."""
    words: dict[str, frozenset] = {}
    indices: dict[tuple[int, int], frozenset] = {}
    spans: dict[tuple[int, int | None], frozenset] = {}
    noun = re.match(r"[^\d]*", scale.fine[0].number.casefold())[0].strip()
    years = scale.unit == "years"
    named = [(("coarse", i), c) for i, c in enumerate(scale.coarse)] + [(("fine", c.lo), c) for c in scale.fine]
    for name, candidate in named:
        if not years or name[0] == "coarse" or strategy == "text":  # "one" in prose is not an age of one
            words[_key(_clean(candidate.word))] = words.get(_key(_clean(candidate.word)), frozenset()) | {name}
        if noun:
            key = (candidate.lo, candidate.hi)
            indices[key] = indices.get(key, frozenset()) | {name}
        span = re.search(r"(\d+)(?:-(\d+)|\+) years old", candidate.number)
        if span:
            spans[int(span[1]), int(span[2]) if span[2] else None] = frozenset({name})
    if years and strategy == "text":  # so that ages off the scale are seen as such
        words |= {_key(num2words(n)): frozenset({("fine", n)}) for n in range(200) if _key(num2words(n)) not in words}
    spelled = sorted((re.escape(w).replace(r"\ ", "(?:[ -]+and[ -]+|[ -]+)") for w in words), key=len, reverse=True)
    patterns = [rf"(?P<word>\b(?:{'|'.join(spelled)})(?:[ -]years(?: old)?)?\b(?!-| hundred))"]
    number = r"\d{1,3}"
    if noun:
        n = rf"(?<![a-z]){re.escape(noun)} ?[:=]? ?"
        patterns.append(rf"(?P<index>{n}{number}(?: ?- ?(?:{re.escape(noun)} ?)?{number})?(?! ?/|\w|\.\d))")
        patterns.append(rf"(?P<broken>{n}\d+(?!\d|s))")  # rate3/5, rate3.5, rate3333; but "phase: 1930s" is fine
    if spans:
        patterns.append(rf"(?P<span>(?<![\d.]){number} ?(?:(?:-|to) ?{number}|\+)(?: years?(?: old)?)?(?!\d|\.\d))")
    if years:
        patterns.append(rf"(?P<age>(?<![\d.+/-]){number}(?: years?(?: old)?)?(?!\d| ?/|\.\d))")
        patterns.append(r"(?P<broken>\d)")  # 30.5, 3/4, -5
    return _Grammar(
        re.compile("|".join(patterns)), words, indices, spans, scale.lo, scale.hi, bare=bool(noun) and not spans
    )
