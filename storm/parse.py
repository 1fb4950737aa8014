"""Read a rating back from what a model wrote. Strict: two readings, or none, are no reading.

`parse(answer(label)) == label` for every dataset, strategy and label (tested). Tolerated: case, spacing, brackets,
a leading "Answer:", a missing coarse part, a missing word or number, text that trails the answer. The paper does
not publish its parser; every rule here is our choice.
"""

import re
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

from num2words import num2words

from storm.prompts import STRATEGIES, answers
from storm.scales import Scale

# What stands before a candidate and takes it away, up to four words ahead ("no clear evidence of", "isnt a very"), as
# long as no new clause begins; or directly before it: a bound ("over 30"), or a prefix that a hyphen ties to it.
_CLAUSE = "and|but|so|thus|hence|therefore|yet|then|because|which|that|this|it|its|is|are|was|were|with|i"
_NEGATED = re.compile(
    r"(?:\b(?:no|not|non|never|nor|neither|hardly|cannot|without|than|(?:absence|lack|free) (?:of|from)|far from"
    r"|rul(?:e|es|ed|ing) out|negative for|(?:is|are|was|were|do|does|did|ca|could|wo|would|should|has|have|had)nt)"
    rf"(?! (?:a )?doubt)(?: so| that)?(?:[ -](?!(?:{_CLAUSE})\b)[a-z]+){{0,4}}[ -]"
    r"|\b(?:over|under|above|below|beyond|before|after|until|at least|at most|up to) (?:the |an? )?(?:age (?:of )?)?"
    r"|[a-z]-)$"
)
_TAKEN_BACK = re.compile(
    r" ?(?:(?:is|was|are|were|can be|could be|has been) )?(?:ruled out|excluded|absent|unlikely|not\b)"
    r"| (?:is|was)nt\b| ?[:?] ?no(?: ?[.,;!]|$)"
)
_BOUND = re.compile(r"\s*[<>≤≥]=?\s*\d")  # <30, whose sign _clean takes for a bracket
_JOINED = re.compile(r"[ ,-]*(?:[-/~&|]|\b(?:or|and|to|versus|vs)\b)[ -]*(?:(?:maybe|perhaps|possibly|even|an?|the) )?")
# The parts of the age and decade answers; models use the words with the other scales, too.
_PART = re.compile(r"\b(?:(?P<coarse>coarse (?:answer|classification))|predict\w*|final\w*|fine answer)\b")
_OFF = frozenset({("fine", -1)})  # something that is not on the scale was said

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
    noun: str  # before a level's number; "" for years
    words: dict[str, frozenset]
    indices: dict[tuple[int, int], frozenset]
    spans: dict[tuple[int, int | None], frozenset]
    lo: int
    hi: int
    bare: bool  # a digit alone is an answer: false where it could be an age as well as the number of a group


def parse(scale: Scale, strategy: str, text: str) -> Rating | None:
    """The rating that `text` states, or None if it states none, several, or one off the scale."""
    if exact := _trained(scale, strategy).get(_one_case(text)):
        return exact
    if _BOUND.match(text):
        return None
    text = _clean(text)
    grammar, spelled_out = _grammar(scale, strategy), STRATEGIES[strategy].form == "word"
    alone = re.fullmatch(r"(?:(?:final )?answer ?: ?)?(\d{1,3}) ?\.?", text)
    if alone and grammar.bare:
        label = int(alone[1])
        named = {name for name in grammar.words.get(alone[1], ()) if name[0] == "fine"} - {("fine", label)}
        if named:  # a word that is the number of another level
            return Rating(named.pop()[1], None) if spelled_out and len(named) == 1 else None
        return Rating(label, None) if grammar.lo <= label <= grammar.hi else None
    mentions = _mentions(grammar, text)
    if mentions is None:
        return None
    coarse = {index for m in mentions for kind, index in m.names if kind == "coarse" and len(m.names) == 1}
    fine = [m for m in mentions if _label(m) is not None]
    for left, right in zip(fine, fine[1:]):
        if _label(left) != _label(right) and _JOINED.fullmatch(text, left.end, right.start):
            return None  # rate2 or rate3
    if any(part["coarse"] for part in _PART.finditer(text)):
        thoughts = [m for m in mentions if _in_coarse_part(text, m)]
        coarse |= {index for m in thoughts for kind, index in m.names if kind == "coarse"}
        fine = [m for m in fine if m not in thoughts]
    # The answer's format puts the coarse thought first; "Fair" or "rate2" there is the group, not the level.
    elif STRATEGIES[strategy].coarse and fine and fine[0] is mentions[0] and len(fine[0].names) == 2:
        if len(fine) == 1 and _cut_off(grammar, text, fine[0].end):
            return None
        if len(fine) > 1:
            coarse |= {index for kind, index in fine.pop(0).names if kind == "coarse"}
    numbered = next((i for i, m in enumerate(fine) if m.forms != {"word"}), None)
    if not spelled_out and numbered is not None:  # words of prose that trails the answer are not answers
        fine = fine[: numbered + 1] + [m for m in fine[numbered + 1 :] if m.forms != {"word"}]
    labels = {_label(m) for m in fine}
    if len(labels) != 1 or fine[0].start > REACH:
        return None
    label = labels.pop()
    if not grammar.lo <= label <= grammar.hi:
        return None
    return Rating(label, coarse.pop() if STRATEGIES[strategy].coarse and len(coarse) == 1 else None)


@lru_cache(maxsize=64)
def _trained(scale: Scale, strategy: str) -> dict[str, Rating]:
    """What each trained answer states, case and spacing aside."""
    groups = {label: n for n, group in enumerate(scale.coarse) for label in range(group.lo, group.hi + 1)}
    coarse = STRATEGIES[strategy].coarse
    texts = answers(scale, strategy).items()
    return {_one_case(text): Rating(label, groups[label] if coarse else None) for text, label in texts}


def _one_case(text: str) -> str:
    return " ".join(text.casefold().split())


def _label(mention: _Mention) -> int | None:
    """The label it names, or None if it names none, or several."""
    labels = [label for kind, label in mention.names if kind == "fine"]
    return labels[0] if len(labels) == 1 else None


def _in_coarse_part(text: str, mention: _Mention) -> bool:
    """Does it stand behind "Coarse Answer:" and not behind "Predicted Age:"? Before either it is neither."""
    parts = [part["coarse"] for part in _PART.finditer(text, 0, mention.start)]
    return not parts or bool(parts[-1])


def _cut_off(grammar: _Grammar, text: str, end: int) -> bool:
    """Does the text end where the second part of the answer begins: "rate2(Fair), ra"? Then the first is the group."""
    rest = re.fullmatch(r" ?,(.*)", text[end:])
    return rest is not None and any(start.startswith(rest[1].strip()) for start in (grammar.noun, *grammar.words))


def _clean(text: str) -> str:
    text = re.sub(r"[()\[\]{}<>*_`\"“”]", " ", text.casefold())
    text = re.sub(r"['’]", "", text)
    return re.sub(r"\s+", " ", re.sub(r"[‐‑–—−]", "-", text)).strip()


def _mentions(grammar: _Grammar, text: str) -> list[_Mention] | None:
    """What the text names, in order, number and word joined; a negated candidate names what is off the scale.

    None if the text contradicts itself or breaks off.
    """
    found: list[_Mention] = []
    end = 0  # of the candidate before
    for match in grammar.pattern.finditer(text):
        form = match.lastgroup
        before, end = text[max(end, match.start() - 80) : match.start()], match.end()
        if form in ("broken", "several"):
            return None
        numbers = [int(n) for n in re.findall(r"\d+", match[0])]
        if form == "word":
            names = grammar.words.get(_key(match[0]), _OFF)  # 1980s
        elif form == "index":
            names = grammar.indices.get((numbers[0], numbers[-1]), frozenset())
            if not names and not grammar.lo <= numbers[0] < numbers[-1] <= grammar.hi:
                return None  # rate7, rate33-4; but rate2-3, which is no group, only says nothing
        elif form == "span":
            names = grammar.spans.get((numbers[0], numbers[1] if len(numbers) > 1 else None), frozenset())
        else:
            names = frozenset({("fine", numbers[0])})
        if _NEGATED.search(before) or (_TAKEN_BACK.match(text, end) and not _candidate_at(grammar, text, end)):
            names = _OFF
        mention = _Mention(match.start(), match.end(), frozenset({form}), names)
        last = found[-1] if found else None
        if last and form == "age" and not before.strip() and _starts(grammar, last, match[0]):
            return None  # Adult(25, and the rest is missing
        if last and names and last.names and _same_candidate(last, mention, text[last.end : mention.start]):
            both = last.names & names
            if not both:
                return None  # rate3(Poor)
            found[-1] = _Mention(last.start, mention.end, last.forms | mention.forms, both)
        elif names:
            found.append(mention)
    return found


def _candidate_at(grammar: _Grammar, text: str, end: int) -> bool:
    """Does a candidate follow directly, such as the word of "level0 not sure"?"""
    return grammar.pattern.match(text, end + text[end : end + 1].count(" ")) is not None


def _starts(grammar: _Grammar, group: _Mention, age: str) -> bool:
    """Is this bare number how the group's range of years begins?"""
    spans = [span for span, names in grammar.spans.items() if names & group.names]
    return any(str(lo).startswith(age) for lo, _ in spans)


def _same_candidate(left: _Mention, right: _Mention, between: str) -> bool:
    """Do "rate3" and "(Good)", or "group3", "teens" and ", 15-20 years old", belong together?"""
    if left.forms & right.forms or "age" in left.forms | right.forms:
        return False
    return between.strip() == "" or ("span" in right.forms and between.strip() == ",")


def _key(words: str) -> str:
    return re.sub(r" years(?: old)?$", "", re.sub(r"[ -]+", " ", words).replace(" and ", " ")).strip()


@lru_cache(maxsize=64)
def _grammar(scale: Scale, strategy: str) -> _Grammar:
    """The patterns of a scale's candidates, read off the candidates themselves."""
    words: dict[str, frozenset] = {}
    indices: dict[tuple[int, int], frozenset] = {}
    spans: dict[tuple[int, int | None], frozenset] = {}
    noun = re.match(r"[^\d]*", scale.fine[0].number.casefold())[0].strip()
    spelled_out = STRATEGIES[strategy].form == "word"
    unit = scale.unit.removesuffix("s") if scale.counted else "year"
    other = "|".join(f"{word}s?" for word in ("year", "month", "week", "day") if word != unit)
    named = [(("coarse", i), c) for i, c in enumerate(scale.coarse)] + [(("fine", c.lo), c) for c in scale.fine]
    for name, candidate in named:
        counts = scale.counted and name[0] == "fine" and not spelled_out  # "one" in prose is not an age of one
        # A word such as <1 or 50% is read only as a whole answer: without its signs it could be another level.
        if not counts and re.fullmatch(r"\w+(?:[\W_]\w+)*", re.sub("['’]", "", candidate.word)):
            words[_key(_clean(candidate.word))] = words.get(_key(_clean(candidate.word)), frozenset()) | {name}
        if noun:
            key = (candidate.lo, candidate.hi)
            indices[key] = indices.get(key, frozenset()) | {name}
        span = re.search(rf"(\d+)(?:-(\d+)|\+) (?:years old|{unit}s?)", candidate.number)
        if span:
            spans[int(span[1]), int(span[2]) if span[2] else None] = frozenset({name})
    if scale.unit == "years" and spelled_out:  # so that ages off the scale are seen as such
        words |= {_key(num2words(n)): frozenset({("fine", n)}) for n in range(200) if _key(num2words(n)) not in words}
    spelled = sorted((re.escape(w).replace(r"\ ", "(?:[ -]+and[ -]+|[ -]+)") for w in words), key=len, reverse=True)
    if any(re.fullmatch(r"\d{4}s", word) for word in words):
        spelled.append(r"\d{2,4}s")  # other decades
    said = "|".join(spelled)
    tied = rf"-(?!(?:to-|or-)?(?:{said})\b)"  # "good-looking" is not good; but "good-excellent" names both
    patterns = [rf"(?P<word>\b(?:{said})(?:[ -]years(?: old)?)?\b(?!{tied}| (?:hundred|{other})\b))"]
    # Words that only their ends make candidates, two of them with one end: mild to moderate NPDR.
    parts = [_key(_clean(candidate.word)).rpartition(" ") for candidate in scale.fine if not scale.counted]
    ends = Counter(end for _, _, end in parts)
    if heads := "|".join(re.escape(head) for head, _, end in parts if head and ends[end] > 1):
        patterns.insert(0, rf"(?P<several>\b(?:{heads})(?: ?[-/,] ?|[ -](?:to|or|and)[ -])(?:{heads}|{said}))")
    number = rf"\d{{1,{max(3, len(str(scale.hi)))}}}"
    if noun:
        escaped = re.escape(noun)
        n = rf"(?<![a-z]){escaped} ?[:=]? ?"
        no_more = rf"(?! ?/| out of| of \d|\w|\.\d| ?-(?:$| ?{escaped}| ?\d))"
        patterns.append(rf"(?P<index>{n}{number}(?: ?- ?(?:{escaped} ?)?{number})?{no_more})")
        # rate3/5, rate3.5, rate3333, and rate3- at the end; but "phase: 1930s" is fine
        patterns.append(rf"(?P<broken>{n}\d+(?!\d|s))")
    if spans:
        patterns.append(rf"(?P<span>(?<![\d.]){number} ?(?:(?:-|to) ?{number}|\+)(?: {unit}s?(?: old)?)?(?!\d|\.\d))")
    if scale.counted:
        units = f"{unit}s?" + ("|yrs?|yo|y/o|y" if unit == "year" else "")
        no_more = rf"(?![\da-z]| ?[/%]|\.\d|-(?!{unit})| ?(?:percent|{other})\b| ?(?:to|or|-)$)"
        patterns.append(rf"(?P<age>(?<![\d.+/-]){number}(?: ?(?:{units})\b(?: old)?)?{no_more})")
        patterns.append(r"(?P<broken>\d)")  # 30.5, 3/4, -5, 30s, 30%, 18 months
    bare = bool(noun) and not spans
    return _Grammar(re.compile("|".join(patterns)), noun, words, indices, spans, scale.lo, scale.hi, bare)
