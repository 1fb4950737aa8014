"""A scale of your own, from a short YAML file:

    name: appeal                      names the files: letters, digits, _
    rates: the appeal of a product photo
    noun: level                       stands before a level's number: level0, level1 ... (default: level)
    levels:                           from the lowest; a list of words (ratings are words or 0, 1, 2 ...), or
      Repelling: [1, 1.5]             each word with its rating or its range of ratings [from, to); the end belongs to
      Dull: [1.5, 2.5]                the last range, and to one before a gap ([0, 12], [13, 19])
      ...
    coarse:                           optional: a word for each run of levels that the coarse thought names
      Below Average: [Repelling, Dull]
      ...

Without `coarse`, neighbouring levels are merged two by two, from both ends in turn; an odd one out stays alone near
the middle (five levels: 0-1, 2, 3-4, as in the paper). The wording of the question is ours, in the frame of App. E.2.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from storm.datasets import BY_SCALE_NAME, SCALES
from storm.files import open_regular
from storm.parse import parse
from storm.prompts import STRATEGIES, answers
from storm.scales import Candidate, Scale

ROLE = "You are an experienced judge of {rates}. Please rate the provided image on a {count}-level scale: {{fine}}."
STEPS = """\
 Please first coarsely categorise the image: {coarse}. \
Based on the coarse classification, proceed to make a final prediction. The specific steps are as follows:
1. Make the coarse prediction with the candidates: {coarse}.
2. Based on the coarse classification, proceed to make a final prediction with the candidates: {fine}.
3. Please note that the coarse thoughts and the final answer should be consistent.
Answer: [Coarse answer], [Final answer]"""


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


NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?")
SCIENTIFIC = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
NUMBERED = re.compile(r"\d+\s*[-:.)]\s*(\D.*)")  # "1 - Bad"
OF = re.compile(r"(\d+(?:[.,]\d+)?)\s*/\s*(\d+)")  # "4/5"
PERCENT = re.compile(r"(\d+(?:[.,]\d+)?)\s*%")


@dataclass(frozen=True)
class OwnScale:
    """A scale and what the user's ratings mean on it: the lowest and highest rating of each level."""

    scale: Scale
    ranges: tuple[tuple[float, float], ...]

    def label(self, score: float) -> int:
        """The level of a rating. The end of a range belongs to it if the next level starts above it, as in [0, 12] and
        [13, 19]. Raises ValueError if it falls between or beyond the levels."""
        last = len(self.ranges) - 1
        for level, (lo, hi) in enumerate(self.ranges):
            closed = level == last or self.ranges[level + 1][0] > hi
            if lo <= score < hi or score == lo or (score == hi and closed):
                return level
        raise ValueError(f"{score:g} belongs to no level of the scale {self.scale.name}")

    def rounded(self, mean: float) -> int:
        """The level of a mean of ratings: where each level is one whole number, the nearest one, a half up."""
        if all(lo == hi == self.ranges[0][0] + level for level, (lo, hi) in enumerate(self.ranges)):
            return min(max(math.floor(mean - self.ranges[0][0] + 0.5), 0), len(self.ranges) - 1)
        return self.label(mean)

    def score(self, cell: str) -> float:
        """The rating in a cell as a number; a level's word stands for the middle of its range.

        Read are also a word with its number ("1 - Bad") or with "_" for a blank, "4/5" where 5 is the highest rating,
        and "20%" where the scale ends at 100. Raises ValueError for what is none of these.
        """
        if (level := self._word(cell)) is not None:
            return sum(self.ranges[level]) / 2
        highest = self.ranges[-1][1]
        if (of := OF.fullmatch(cell)) and float(of[2]) == highest:
            cell = of[1]
        if (percent := PERCENT.fullmatch(cell)) and highest == 100:
            cell = percent[1]
        if not NUMBER.fullmatch(cell) and not SCIENTIFIC.fullmatch(cell):
            words = ", ".join(candidate.word for candidate in self.scale.fine)
            raise ValueError(f"rating {cell!r} is neither a number nor one of {words}")
        score = float(cell.replace(",", "."))
        if self._numbers:
            raise ValueError(f"rating {cell!r} is not one of {', '.join(word.word for word in self.scale.fine)}")
        self.label(score)
        return score

    def _word(self, cell: str) -> int | None:
        """The level whose word a cell is, None if it is none: "1.0" is the word 1, unless levels have ratings."""
        if NUMBER.fullmatch(cell) and not self._numbers:
            return None
        numbered = NUMBERED.fullmatch(cell)
        for text in (cell, *([numbered[1]] if numbered else [])):
            for level, candidate in enumerate(self.scale.fine):
                if _spelled(text) == _spelled(candidate.word):
                    return level
        if self._numbers and NUMBER.fullmatch(cell):
            value = float(cell.replace(",", "."))
            return next((n for n, word in enumerate(self.scale.fine) if float(word.word) == value), None)
        return None

    @property
    def _numbers(self) -> bool:
        """Whether the levels are words that are numbers, and have no ranges: a rating then is one of these."""
        plain = all(lo == hi == level for level, (lo, hi) in enumerate(self.ranges))
        return plain and all(NUMBER.fullmatch(candidate.word) for candidate in self.scale.fine)

    def hint(self, cells: Sequence[str]) -> str:
        """What may be wrong if many ratings are not on the scale."""
        numbers = {float(cell.replace(",", ".")) for cell in cells if NUMBER.fullmatch(cell)}
        count = len(self.ranges)
        listed = self.ranges == tuple((level, level) for level in range(count))
        if listed and numbers and min(numbers) >= 1 and max(numbers) <= count:
            what = f"a list of {count} words means the ratings 0 to {count - 1}, yours are 1 to {count}"
            return f"{what}: give each word its rating, as in {self.scale.fine[0].word}: 1"
        return f"the scale has the ratings {self.ranges[0][0]:g} to {self.ranges[-1][1]:g}: correct it"


def _spelled(word: str) -> str:
    """A word for comparing: one case, blanks for "_" and "-"."""
    return " ".join(re.split(r"[\s_-]+", word.strip().casefold()))


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
    if unknown := set(known) - {"name", "rates", "noun", "levels", "coarse"}:
        raise ValueError(f"unknown key {min(map(str, unknown))!r} (known: name, rates, noun, levels, coarse)")
    return _own_scale(known)


def _own_scale(known: dict) -> OwnScale:
    name, noun = known.get("name"), known.get("noun", "level")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in {*SCALES, *BY_SCALE_NAME}:
        raise ValueError(
            f"name {name!r} must be lower-case letters, digits and _, and not one of the paper's datasets or scales"
        )
    if name.startswith("storm_"):
        raise ValueError(f"name {name!r} begins like the paper's data, storm_; choose another one")
    if not isinstance(noun, str) or not re.fullmatch(r"[A-Za-z]+", noun):
        raise ValueError(f"noun {noun!r} must be one word of letters, such as level or rate")
    rates = known.get("rates")
    if not isinstance(rates, str) or not rates.strip() or set(rates) & set("{}<>\n"):
        raise ValueError(f"rates {rates!r} must say what is rated, such as: the appeal of a product photo")
    levels = known.get("levels")
    if not isinstance(levels, (list, dict)) or not 2 <= len(levels) <= 50:
        raise ValueError("levels must be a list of 2 to 50 words, or `word: rating` or `word: [from, to]` for each")
    words = [_word(word) for word in levels]
    ranges = (
        [_range(word, levels[word]) for word in levels]
        if isinstance(levels, dict)
        else [(i, i) for i in range(len(words))]
    )
    for (_, end), (start, _), word in zip(ranges, ranges[1:], words[1:]):
        if start < end:
            raise ValueError(f"level {word!r} starts at {start:g}, below the end of the one before, {end:g}")
    fine = tuple(Candidate(i, i, f"{noun}{i}({word})", f"{noun}{i}", word) for i, word in enumerate(words))
    scale = Scale(
        name=name,
        title=rates.strip(),
        unit="level",
        fine=fine,
        coarse=_coarse(known.get("coarse"), words, noun),
        final="{coarse}, {fine}",
        role=ROLE.format(rates=rates.strip(), count=len(words)),
        steps=STEPS,
    )
    for strategy in STRATEGIES:
        for text, label in answers(scale, strategy).items():
            rating = parse(scale, strategy, text)
            if rating is None or rating.label != label:
                raise ValueError(f"the answer {text!r} cannot be told apart from others; choose other words")
    return OwnScale(scale, tuple(ranges))


def _word(word: object) -> str:
    if not isinstance(word, str) or not word.strip() or set(word) & set("{}<>[]()*,\n") or len(word) > 40:
        raise ValueError(f"level {word!r} must be a word or two without brackets or commas (quote yes, no and numbers)")
    return word.strip()


def _range(word: str, value: object) -> tuple[float, float]:
    ends = value if isinstance(value, list) else [value, value]
    numbers = all(isinstance(end, (int, float)) and not isinstance(end, bool) and math.isfinite(end) for end in ends)
    if not numbers or len(ends) != 2 or ends[0] > ends[1]:
        raise ValueError(f"level {word!r}: {value!r} must be a rating or a range [from, to]")
    return ends[0], ends[1]


def _coarse(groups: object, words: list[str], noun: str) -> tuple[Candidate, ...]:
    if groups is None:
        runs = [(" or ".join(words[i] for i in run), run) for run in merged(len(words))]
    elif isinstance(groups, dict) and all(isinstance(run, list) for run in groups.values()):
        strange = [word for run in groups.values() for word in run if word not in words]
        if strange:
            raise ValueError(f"coarse: {strange[0]!r} is not a level ({', '.join(words)})")
        runs = [(_word(word), [words.index(level) for level in run]) for word, run in groups.items()]
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
