"""A scale of your own, from a short YAML file:

    name: appeal                      names the files: letters, digits, _
    rates: the appeal of a product photo
    noun: level                       stands before a level's number: level0, level1 ... (default: level)
    levels:                           from the lowest; a list of words (ratings are words or 0, 1, 2 ...), or
      Repelling: [1, 1.5]             each word with its rating or its range of ratings [from, to); the end belongs to
      Dull: [1.5, 2.5]                the last range, and to one before a gap ([0, 12], [13, 19])
      ...
    order: descending                 optional: the highest rating is the lowest level, as in {Bad: 5, Good: 1}
    coarse:                           optional: a word for each run of levels that the coarse prediction names
      Below Average: [Repelling, Dull]
      ...

or, where each whole number is a level:

    name: baby
    rates: the age of a baby
    unit: months                      what is counted
    range: [0, 36]                    the lowest and highest number, at most 121 of them
    coarse:                           optional: a word for each run of numbers
      Newborn: [0, 2]
      ...

Without `coarse`, neighbouring levels are merged two by two, from both ends in turn; an odd one out stays alone near
the middle (five levels: 0-1, 2, 3-4, as in the paper). Years get the paper's groups, other units thirds of the range.
The wording of the question is ours, in the frame of App. E.2.
"""

import math
import re
from pathlib import Path

import yaml
from num2words import num2words

from storm.datasets import BY_SCALE_NAME, SCALES
from storm.files import open_regular
from storm.levels import OwnScale, middles, spelled
from storm.scales import AGES, Candidate, Scale

ROLE = "You are an experienced judge of {rates}. Please rate the provided image on a {count}-level scale: {{fine}}."
COUNTED_ROLE = "You are an experienced judge of {rates}. Please estimate it for the provided image, {{fine}}."
STEPS = """\
 Please first coarsely categorise the image: {coarse}. \
Based on the coarse classification, proceed to make a final prediction. The specific steps are as follows:
1. Make the coarse prediction with the candidates: {coarse}.
2. Based on the coarse classification, proceed to make a final prediction with the candidates: {fine}.
3. Please note that the coarse thoughts and the final answer should be consistent.
Answer: [Coarse answer], [Final answer]"""
LEVELS, NUMBERS = 50, 121  # our choice of the most: each level is named in the question, numbers are not
THIRDS = ("Low", "Middle", "High")  # the coarse words of a unit; our choice
KEYS = ("name", "rates", "noun", "levels", "order", "unit", "range", "coarse")
MERGE = "tag:yaml.org,2002:merge"  # the key <<


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice: PyYAML takes the last one and says nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = []
        for key, _ in node.value:
            name = key.value if key.tag == MERGE else self.construct_object(key, deep=True)
            if name in seen:
                raise ValueError(f"line {key.start_mark.line + 1}: the key {name!r} is there twice; rename one")
            seen.append(name)
        return super().construct_mapping(node, deep)


def load(path: Path) -> OwnScale:
    """Read and check a scale. Raises ValueError in one line that names the file, the key, the value and the fix."""
    with open_regular(path) as file:
        data = file.read()
    try:
        return read(data.decode())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read(text: str) -> OwnScale:
    """The same of a text."""
    try:
        known = yaml.load(text, _Loader)  # noqa: S506, it is a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(known, dict):
        raise ValueError("it is not a list of `key: value` lines")
    if unknown := set(known) - {*KEYS}:
        raise ValueError(f"unknown key {min(map(str, unknown))!r} (known: {', '.join(KEYS)})")
    name, rates = known.get("name"), known.get("rates")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in {*SCALES, *BY_SCALE_NAME}:
        raise ValueError(
            f"name {name!r} must be lower-case letters, digits and _, and not one of the paper's datasets or scales"
        )
    if name.startswith("storm_"):
        raise ValueError(f"name {name!r} begins like the paper's data, storm_; choose another one")
    if not isinstance(rates, str) or not rates.strip() or set(rates) & set("{}<>\n"):
        raise ValueError(f"rates {rates!r} must say what is rated, such as: the appeal of a product photo")
    return _numbers(known) if "unit" in known or "range" in known else _levels(known)


def _levels(known: dict) -> OwnScale:
    noun, levels, order = known.get("noun", "level"), known.get("levels"), known.get("order", "ascending")
    if not isinstance(noun, str) or not re.fullmatch(r"[A-Za-z]+", noun):
        raise ValueError(f"noun {noun!r} must be one word of letters, such as level or rate")
    if order not in ("ascending", "descending"):
        raise ValueError(f"order {order!r} must be ascending or descending")
    if not isinstance(levels, (list, dict)) or not 2 <= len(levels) <= LEVELS:
        raise ValueError(
            f"levels must be a list of 2 to {LEVELS} words, or `word: rating` or `word: [from, to]` of each"
        )
    words = [_word(word) for word in levels]
    _all_different(words)
    if isinstance(levels, dict):
        ranges = [_range(f"level {word!r}", levels[word]) for word in levels]
    else:
        ranges = [(level, level) for level in range(len(words))][:: -1 if order == "descending" else 1]
    _in_order(words, ranges, order)
    fine = tuple(Candidate(i, i, f"{noun}{i}({word})", f"{noun}{i}", word) for i, word in enumerate(words))
    scale = Scale(
        name=known["name"],
        title=known["rates"].strip(),
        unit="level",
        fine=fine,
        coarse=_coarse(known.get("coarse"), words, noun),
        final="{coarse}, {fine}",
        role=ROLE.format(rates=known["rates"].strip(), count=len(words)),
        steps=STEPS,
        values=middles(ranges),
    )
    return OwnScale(scale, tuple(ranges), listed=isinstance(levels, list))


def _word(word: object) -> str:
    tag = isinstance(word, str) and re.search(r"<[a-z|/]", word, re.IGNORECASE)  # <image> is a token of the host
    if not isinstance(word, str) or tag or not word.strip() or set(word) & set("{}[]()*,\n") or len(word) > 40:
        raise ValueError(f"level {word!r} must be a word or two without brackets or commas (quote yes, no and numbers)")
    return word.strip()


def _all_different(words: list[str]) -> None:
    seen: dict[str, str] = {}
    for word in words:
        if (other := seen.setdefault(spelled(word), word)) is not word:
            raise ValueError(f"the words {other!r} and {word!r} cannot be told apart; choose another one")


def _range(what: str, value: object) -> tuple[float, float]:
    ends = value if isinstance(value, list) else [value, value]
    numbers = all(isinstance(end, (int, float)) and not isinstance(end, bool) and math.isfinite(end) for end in ends)
    if not numbers or len(ends) != 2 or ends[0] > ends[1]:
        raise ValueError(f"{what}: {value!r} must be a rating or a range [from, to]")
    return ends[0], ends[1]


def _in_order(words: list[str], ranges: list[tuple[float, float]], order: str) -> None:
    """Raises ValueError naming a level whose ratings are not above those of the level before (descending: below)."""
    rows = list(zip(words, ranges))
    for below, above in zip(*((rows, rows[1:]) if order == "ascending" else (rows[1:], rows))):
        word, end, start = above[0], below[1][1], above[1][0]
        if start < end or below[1] == above[1]:
            hint = "; `order: descending` if low ratings are the high levels" if order == "ascending" else ""
            raise ValueError(f"level {word!r} starts at {start:g}, and the one below it ends at {end:g}{hint}")


def _coarse(groups: object, words: list[str], noun: str) -> tuple[Candidate, ...]:
    if groups is None:
        runs = [(" or ".join(words[i] for i in run), run) for run in merged(len(words))]
    elif isinstance(groups, dict) and all(isinstance(run, list) for run in groups.values()):
        strange = [word for run in groups.values() for word in run if word not in words]
        if strange:
            raise ValueError(f"coarse: {strange[0]!r} is not a level ({', '.join(words)})")
        runs = [(_word(word), [words.index(level) for level in run]) for word, run in groups.items()]
        _all_different([word for word, _ in runs])
    else:
        raise ValueError("coarse must give each group's levels: `word: [level, level]`")
    if [i for _, run in runs for i in run] != list(range(len(words))):
        raise ValueError("coarse must hold every level once, in the order of levels")
    named = [(run[0], run[-1], f"{noun}{run[0]}" + (f"-{run[-1]}" if len(run) > 1 else ""), word) for word, run in runs]
    return tuple(Candidate(lo, hi, f"{number}({word})", number, word) for lo, hi, number, word in named)


def merged(count: int) -> list[list[int]]:
    """Neighbours two by two, from the low and the high end in turn; what is left stands alone. Two levels stay two."""
    if count == 2:
        return [[0], [1]]
    low, high, left = [], [], list(range(count))
    while len(left) > 1:
        low, left = [*low, left[:2]], left[2:]
        if len(left) > 1:
            high, left = [left[-2:], *high], left[:-2]
    return low + ([left] if left else []) + high


def _numbers(known: dict) -> OwnScale:
    """A scale on which each whole number of a unit is a level."""
    unit = known.get("unit")
    if not isinstance(unit, str) or not re.fullmatch(r"[A-Za-z]{2,20}", unit) or unit == "level":
        raise ValueError(f"unit {unit!r} must be what is counted, one word such as months")
    if beside := [key for key in ("levels", "noun", "order") if key in known]:
        raise ValueError(f"{beside[0]} and unit exclude each other: of a unit, each whole number in range is a level")
    lo, hi = _range("range", known.get("range"))
    if lo != int(lo) or hi != int(hi) or lo < 0 or not 2 <= hi - lo + 1 <= NUMBERS:
        raise ValueError(f"range: [{lo:g}, {hi:g}] must hold 2 to {NUMBERS} whole numbers, none below 0")
    lo, hi = int(lo), int(hi)
    suffix = "years old" if unit == "years" else unit
    groups = _runs(known.get("coarse"), unit, lo, hi)
    scale = Scale(
        name=known["name"],
        title=known["rates"].strip(),
        unit=unit,
        fine=tuple(
            Candidate(n, n, f"{n} {suffix}", f"{n} {suffix}", f"{num2words(n)} {suffix}") for n in range(lo, hi + 1)
        ),
        coarse=tuple(
            Candidate(first, last, f"{word}({first}-{last} {suffix})", f"{first}-{last} {suffix}", word)
            for word, first, last in groups
        ),
        final="{coarse}, {fine}",
        role=COUNTED_ROLE.format(rates=known["rates"].strip()),
        steps=STEPS,
        values=tuple(range(lo, hi + 1)),
    )
    return OwnScale(scale, tuple((n, n) for n in range(lo, hi + 1)))


def _runs(groups: object, unit: str, lo: int, hi: int) -> list[tuple[str, int, int]]:
    """(word, first, last) of each coarse group."""
    if groups is None and unit == "years" and hi <= NUMBERS:  # ages, not years of the calendar
        return [(word, max(a, lo), min(b, hi)) for a, b, word in AGES if a <= hi and b >= lo]
    if groups is None:
        cuts = [lo + (hi - lo + 1) * third // 3 for third in range(4)]
        return [(word, a, b - 1) for word, a, b in zip(THIRDS, cuts, cuts[1:]) if a < b]
    if not isinstance(groups, dict):
        raise ValueError("coarse must give each group's numbers: `word: [from, to]`")
    runs = [(_word(word), *_range(f"coarse {word!r}", ends)) for word, ends in groups.items()]
    _all_different([word for word, *_ in runs])
    whole = all(end == int(end) for _, *ends in runs for end in ends)
    starts = [lo, *(last + 1 for _, _, last in runs[:-1])]
    if not runs or not whole or [first for _, first, _ in runs] != starts or runs[-1][2] != hi:
        raise ValueError(f"coarse must hold every number from {lo} to {hi} once, in order, as in `word: [{lo}, {hi}]`")
    return [(word, int(first), int(last)) for word, first, last in runs]
