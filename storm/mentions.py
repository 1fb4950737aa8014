"""The candidates that a text names, in order: the numbers, words, spans and ages of a scale, with what takes them away.

The patterns are read off the candidates themselves. Which of the named ones is the rating, parse.py decides.
"""

import re
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

from num2words import num2words

from storm.asides import BEFORE, negated, set_aside, taken_back
from storm.prompts import STRATEGIES
from storm.scales import Scale

_OFF = frozenset({("fine", -1)})  # something that is not on the scale was said


class Mention(NamedTuple):
    """A stretch of text that names candidates: ("coarse", index) or ("fine", label); an empty set names none."""

    start: int
    end: int
    forms: frozenset[str]  # "word", "index" (rate3), "span" (25-47 years old), "age" (30 years old)
    names: frozenset[tuple[str, int]]


class Grammar(NamedTuple):
    pattern: re.Pattern
    noun: str  # before a level's number; "" for years
    words: dict[str, frozenset]
    indices: dict[tuple[int, int], frozenset]
    spans: dict[tuple[int, int | None], frozenset]
    lo: int
    hi: int
    bare: bool  # a digit alone is an answer: false where it could be an age as well as the number of a group


def clean(text: str) -> str:
    text = re.sub(r"[()\[\]{}<>*_`\"“”]", " ", text.casefold())
    text = re.sub(r"['’]", "", text)
    return re.sub(r"\s+", " ", re.sub(r"[‐‑–—−]", "-", text)).strip()


def mentions_in(grammar: Grammar, text: str) -> list[Mention] | None:
    """What the text names, in order, number and word joined; a negated candidate names what is off the scale.

    None if the text contradicts itself or breaks off.
    """
    kept: list[tuple[Mention, str]] = []  # with the text before it
    end = 0  # of the candidate before
    for match in grammar.pattern.finditer(text):
        form = match.lastgroup
        before, end = text[max(end, match.start() - BEFORE) : match.start()], match.end()
        if form in ("broken", "several"):
            return None
        numbers = [int(n) for n in re.findall(r"\d+", match[0])]
        if form == "word":
            names = grammar.words.get(key(match[0]), _OFF)  # 1980s
        elif form == "index":
            names = grammar.indices.get((numbers[0], numbers[-1]), frozenset())
            if not names and not grammar.lo <= numbers[0] < numbers[-1] <= grammar.hi:
                return None  # rate7, rate33-4; but rate2-3, which is not a group, only says nothing
        elif form == "span":
            names = grammar.spans.get((numbers[0], numbers[1] if len(numbers) > 1 else None), frozenset())
        else:
            names = frozenset({("fine", numbers[0])})
        forms = {form, "unit"} if form == "age" and not match[0].strip().isdigit() else {form}
        mention = Mention(match.start(), match.end(), frozenset(forms), names)
        last, last_before = kept[-1] if kept else (None, "")
        if last and form == "age" and not before.strip() and _starts(grammar, last, match[0]):
            return None  # Adult(25, and the rest is missing
        if last and names and last.names and _same_candidate(last, mention, text[last.end : mention.start]):
            both = last.names & names
            if not both:
                return None  # rate3(Poor)
            kept[-1] = Mention(last.start, mention.end, last.forms | mention.forms, both), last_before
        elif names:
            kept.append((mention, before))
    return [_given(grammar, text, mention, before) for mention, before in kept]


def _given(grammar: Grammar, text: str, mention: Mention, before: str) -> Mention:
    """The mention, without its names where the text takes it away."""
    start = negated(before)
    if (
        start is None
        and not (taken_back(text, mention.end) and not _candidate_at(grammar, text, mention.end))
        and not set_aside(text, before, mention.start, mention.end, mention.forms)
    ):
        return mention
    begins = mention.start if start is None else mention.start - len(before) + start
    return Mention(begins, mention.end, frozenset({"negated"}), frozenset())


def _candidate_at(grammar: Grammar, text: str, end: int) -> bool:
    """Does a candidate follow directly, such as the word of "level0 not sure"?"""
    return grammar.pattern.match(text, end + text[end : end + 1].count(" ")) is not None


def _starts(grammar: Grammar, group: Mention, age: str) -> bool:
    """Is this bare number how the group's range of years begins?"""
    spans = [span for span, names in grammar.spans.items() if names & group.names]
    return any(str(lo).startswith(age) for lo, _ in spans)


def _same_candidate(left: Mention, right: Mention, between: str) -> bool:
    """Do "rate3" and "(Good)", or "group3", "teens" and ", 15-20 years old", belong together?"""
    if left.forms & right.forms or "age" in left.forms | right.forms:
        return False
    return between.strip() == "" or ("span" in right.forms and between.strip() == ",")


def key(words: str) -> str:
    return re.sub(r" years(?: old)?$", "", re.sub(r"[ -]+", " ", words).replace(" and ", " ")).strip()


@lru_cache(maxsize=64)
def grammar_of(scale: Scale, strategy: str) -> Grammar:
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
            words[key(clean(candidate.word))] = words.get(key(clean(candidate.word)), frozenset()) | {name}
        if noun:
            ends = (candidate.lo, candidate.hi)
            indices[ends] = indices.get(ends, frozenset()) | {name}
        span = re.search(rf"(\d+)(?:-(\d+)|\+) (?:years old|{unit}s?)", candidate.number)
        if span:
            spans[int(span[1]), int(span[2]) if span[2] else None] = frozenset({name})
    if scale.unit == "years" and spelled_out:  # so that ages off the scale are seen as such
        words |= {key(num2words(n)): frozenset({("fine", n)}) for n in range(200) if key(num2words(n)) not in words}
    spelled = sorted((re.escape(w).replace(r"\ ", "(?:[ -]+and[ -]+|[ -]+)") for w in words), key=len, reverse=True)
    if any(re.fullmatch(r"\d{4}s", word) for word in words):
        spelled.append(r"\d{2,4}s")  # other decades
    said = "|".join(spelled)
    tied = rf"-(?!(?:to-|or-)?(?:{said})\b)"  # "good-looking" is not good; but "good-excellent" names both
    patterns = [rf"(?P<word>\b(?:{said})(?:[ -]years(?: old)?)?\b(?!{tied}| (?:hundred|{other})\b))"]
    # Words that only their ends make candidates, two of them with one end: mild to moderate NPDR.
    parts = [key(clean(candidate.word)).rpartition(" ") for candidate in scale.fine if not scale.counted]
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
        years = rf" {unit}s?(?: old)?(?!\d|\.\d)"
        bare = r"(?= ?(?:$|[.,;:!)])| (?:age|range|group|bracket|in the)\b)"  # not 25-32 kg
        patterns.append(rf"(?P<span>(?<![\d.]){number} ?(?:(?:-|to) ?{number}|\+)(?:{years}|{bare}))")
    if scale.counted:
        units = f"{unit}s?" + ("|yrs?|yo|y/o|y" if unit == "year" else "")
        no_more = rf"(?![\da-z]| ?[/%]|\.\d|-(?!{unit})| ?(?:percent|{other})\b| ?(?:to|or|-)$)"
        patterns.append(rf"(?P<age>(?<![\d.+/-]){number}(?: ?(?:{units})\b(?: old)?)?{no_more})")
        patterns.append(r"(?P<broken>\d)")  # 30.5, 3/4, -5, 30s, 30%, 18 months
    digits = bool(noun) and not spans
    return Grammar(re.compile("|".join(patterns)), noun, words, indices, spans, scale.lo, scale.hi, digits)
