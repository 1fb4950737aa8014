"""Read a rating back from what a model wrote. Strict: two readings, or none, are no reading.

`parse(answer(label)) == label` for every dataset, strategy and label (tested). Tolerated: case, spacing, brackets,
a leading "Answer:", a missing coarse part, a missing word or number, text that trails the answer. The paper does
not publish its parser; every rule here is our choice.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from storm.answer_region import Region, region
from storm.clauses import REACH, describes, is_a_clause, label_of, stands_alone, without_lists
from storm.mentions import Grammar, Mention, clean, grammar_of, key, mentions_in
from storm.prompts import STRATEGIES, answers
from storm.refusal import refuses
from storm.scales import Scale
from storm.wordings import as_a_range, reworded, with_ends

_NAMED = re.compile(
    r"(?<![\w./-])(?P<number>\d{1,2})\s*(?:[-–:]\s*\(?|\()\s*(?P<word>[^\W\d][\w ]{0,39}\w)(?=\s*(?:\)|$|[.,;\n]))"
)
_BOUND = re.compile(r"\s*[<>≤≥]=?\s*\d")  # <30, whose sign _clean takes for a bracket
_JOINED = re.compile(r"[ ,-]*(?:[-/~&|]|\b(?:or|and|to|versus|vs)\b)[ -]*(?:(?:maybe|perhaps|possibly|even|an?|the) )?")
# The parts of the age and decade answers; models use the words with the other scales, too.
_PART = re.compile(r"\b(?:(?P<coarse>coarse (?:answer|classification))|predict\w*|final\w*|fine answer)\b")

LONGEST = 8_000  # letters of a region; our choice: reasoning without a mark where the answer begins is not one


class Rating(NamedTuple):
    """A parsed answer: the label, and the index of the coarse group said before it (None: none said)."""

    label: int
    coarse: int | None


class Reading(NamedTuple):
    """What a text says. rule: by which rule a label was read; without a label, why there is none."""

    label: int | None
    coarse: int | None
    rule: str


def parse(scale: Scale, strategy: str, text: str) -> Rating | None:
    """The rating that `text` states, or None if it states none, several, or one off the scale."""
    reading = read(scale, strategy, text)
    return None if reading.label is None else Rating(reading.label, reading.coarse)


def read(scale: Scale, strategy: str, text: str) -> Reading:
    """The rating that `text` states, and by which rule; or why it states none."""
    trained = _trained(scale, strategy)
    if exact := trained.get(_one_case(text)):
        return Reading(*exact, "exact")
    part = region(text, grammar_of(scale, strategy).noun, (scale.lo, scale.hi))
    if part.why:
        return Reading(None, None, part.why)
    if exact := trained.get(_one_case(part.text.strip(" \n.*"))):
        return Reading(*exact, "exact")
    if len(part.text) > LONGEST and not part.marked:
        return Reading(None, None, "too long")
    part = part._replace(text=part.text[:LONGEST], before=part.before[-LONGEST:])
    if _BOUND.match(part.text):
        return Reading(None, None, "off the scale")
    reading = _read_region(scale, strategy, part)
    if reading.rule in ("no rating", "prose") and refuses(clean(text[:LONGEST])):
        return Reading(None, None, "refusal")
    if reading.coarse is None and reading.label is not None and STRATEGIES[strategy].coarse and part.before:
        return reading._replace(coarse=_coarse_before(scale, strategy, part.before))
    return reading


def read_exact(scale: Scale, strategy: str, text: str) -> Reading:
    """The same of an answer that is written as trained, case and spacing aside; nothing else is read."""
    exact = _trained(scale, strategy).get(_one_case(text))
    return Reading(*exact, "exact") if exact else Reading(None, None, "not as trained")


def _read_region(scale: Scale, strategy: str, part: Region) -> Reading:
    grammar, row = grammar_of(scale, strategy), STRATEGIES[strategy]
    noun = grammar.noun if part.key in ("", grammar.noun) or grammar.bare else ""
    text = with_ends(as_a_range(part.text) if grammar.spans else part.text)
    text = clean(_NAMED.sub(lambda match: _with_noun(match, grammar), text))
    text = reworded(scale, row.form == "word", text, part.marked)
    if part.key and part.key == noun and text.isdigit():
        text = f"{noun} {text}"
    alone = re.fullmatch(r"(?:(?:final )?answer ?: ?)?(\d{1,3}) ?[.?]?", text)
    if alone and grammar.bare:
        return _digit(grammar, int(alone[1]), row.form == "word")
    mentions = mentions_in(grammar, text)
    if mentions is None:
        return Reading(None, None, "two readings")
    mentions = without_lists(grammar, text, mentions)
    thoughts = [m for m, following in zip(mentions, [*mentions[1:], None]) if not describes(text, m, following)]
    coarse = {index for m in thoughts for kind, index in m.names if kind == "coarse" and len(m.names) == 1}
    fine = [m for m in mentions if label_of(m) is not None]
    for left, right in zip(fine, fine[1:]):
        if label_of(left) != label_of(right) and _JOINED.fullmatch(text, left.end, right.start):
            return Reading(None, None, "two readings")  # rate2 or rate3
    if any(found["coarse"] for found in _PART.finditer(text)):
        thoughts = [m for m in mentions if _in_coarse_part(text, m)]
        coarse |= {index for m in thoughts for kind, index in m.names if kind == "coarse"}
        fine = [m for m in fine if m not in thoughts]
    # The answer's format puts the coarse thought first; "Fair" or "rate2" there is the group, not the level.
    elif row.coarse and fine and fine[0] is mentions[0] and len(fine[0].names) == 2:
        if len(fine) == 1 and (digit := re.fullmatch(r" ?, ?(\d{1,2})\.?", text[fine[0].end :])) and grammar.bare:
            return _digit(grammar, int(digit[1]), row.form == "word")  # rate2, 3
        if len(fine) == 1 and _cut_off(grammar, text, fine[0].end):
            return Reading(None, None, "cut off")
        if len(fine) > 1:
            coarse |= {index for kind, index in fine.pop(0).names if kind == "coarse"}
    # The word of a group of several levels, such as adult, is the level only where the group was said before it.
    if not (row.coarse and (coarse or _coarse_before(scale, strategy, part.before) is not None)):
        sure = [m for m in fine if m.forms != {"word"} or not _is_a_group(scale, m)]
        if fine and not sure:
            return Reading(None, None, "two readings")
        fine = sure
    # A number and its word, a number with its unit, a range of years: anywhere. Another number then contradicts it.
    whole = [m for m in fine if len(m.forms) > 1 or m.forms == {"span"}]
    kept = whole or [m for m in fine if stands_alone(text, m, mentions, part.marked)]
    labels = {label_of(m) for m in kept}
    if kept:
        other = {"index"} if whole else kept[0].forms - {"word"}
        labels |= {label_of(m) for m in fine if m.forms == other or (not whole and is_a_clause(text, m))}
    if len(labels) != 1 or (kept[0].start > REACH and not part.marked):
        return Reading(None, None, "two readings" if len(labels) > 1 else "prose" if fine else "no rating")
    label = labels.pop()
    if not grammar.lo <= label <= grammar.hi:
        return Reading(None, None, "off the scale")
    [index] = coarse if row.coarse and len(coarse) == 1 else [None]
    return Reading(label, index, _rule(kept[0]))


def _with_noun(match: re.Match, grammar: Grammar) -> str:
    """ "4 (Excellent)" and "4 - Excellent" as "rate4 Excellent", if 4 is the level of that word."""
    names = grammar.words.get(key(clean(match["word"])), ())
    return f"{grammar.noun}{match['number']} {match['word']}" if ("fine", int(match["number"])) in names else match[0]


def _digit(grammar: Grammar, label: int, spelled_out: bool) -> Reading:
    """What a text that is only a digit states."""
    named = {name for name in grammar.words.get(str(label), ()) if name[0] == "fine"} - {("fine", label)}
    if named:  # a word that is the number of another level
        sure = spelled_out and len(named) == 1
        return Reading(named.pop()[1], None, "word") if sure else Reading(None, None, "two readings")
    on = grammar.lo <= label <= grammar.hi
    return Reading(label, None, "number") if on else Reading(None, None, "off the scale")


def _is_a_group(scale: Scale, mention: Mention) -> bool:
    """Does the word also name a group of several levels?"""
    return any(kind == "coarse" and scale.coarse[index].lo < scale.coarse[index].hi for kind, index in mention.names)


def _rule(mention: Mention) -> str:
    if "unit" in mention.forms:
        return "years"
    if len(mention.forms) > 1:
        return "number-word"
    return "word" if mention.forms == {"word"} else "number"


def _coarse_before(scale: Scale, strategy: str, text: str) -> int | None:
    """The coarse prediction that stands before the answer, None if there is none or several."""
    named = {name for m in mentions_in(grammar_of(scale, strategy), clean(text)) or () for name in m.names}
    coarse = {index for kind, index in named if kind == "coarse"}
    return coarse.pop() if len(coarse) == 1 else None


@lru_cache(maxsize=64)
def _trained(scale: Scale, strategy: str) -> dict[str, Rating]:
    """What each trained answer states, case and spacing aside."""
    groups = {label: n for n, group in enumerate(scale.coarse) for label in range(group.lo, group.hi + 1)}
    coarse = STRATEGIES[strategy].coarse
    texts = answers(scale, strategy).items()
    return {_one_case(text): Rating(label, groups[label] if coarse else None) for text, label in texts}


def _one_case(text: str) -> str:
    return " ".join(text.casefold().split())


def _in_coarse_part(text: str, mention: Mention) -> bool:
    """Does it stand behind "Coarse Answer:" and not behind "Predicted Age:"? Before either it is neither."""
    parts = [part["coarse"] for part in _PART.finditer(text, 0, mention.start)]
    return not parts or bool(parts[-1])


def _cut_off(grammar: Grammar, text: str, end: int) -> bool:
    """Does the text end where the second part of the answer begins: "rate2(Fair), ra"? Then the first is the group."""
    rest = re.fullmatch(r" ?,(.*)", text[end:])
    return rest is not None and any(start.startswith(rest[1].strip()) for start in (grammar.noun, *grammar.words))
