"""What a user's ratings mean on her scale: the level of a rating in a file, and the rating that a level stands for."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from storm.scales import Scale

DIGITS = 9  # behind the point, of ratings and the ends of levels
NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?")
SCIENTIFIC = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
NUMBERED = re.compile(r"(?P<number>\d+)\s*[-:._)]?\s*(?P<word>[^\W\d].*)")  # "1 - Bad", "0Normal"
OF = re.compile(r"(\d+(?:[.,]\d+)?)\s*/\s*(\d+)")  # "4/5"
PERCENT = re.compile(r"(\d+(?:[.,]\d+)?)\s*%")


@dataclass(frozen=True)
class OwnScale:
    """A scale and what the user's ratings mean on it: the lowest and highest rating of each level, lowest level first.

    With `order: descending`, the ratings fall from level to level.
    """

    scale: Scale
    ranges: tuple[tuple[float, float], ...]
    listed: bool = False  # the levels are a list of words without ratings

    @property
    def values(self) -> tuple[float, ...]:
        """The rating that each level stands for, in the user's own unit."""
        return self.scale.values

    @cached_property
    def _rising(self) -> list[tuple[int, float, float, bool]]:
        """(level, from, to, whether `to` belongs to it), the lowest ratings first. The end of a range belongs to it if
        the next range starts above it, as in [0, 12] and [13, 19]."""
        order = sorted(range(len(self.ranges)), key=self.ranges.__getitem__)
        nexts = [self.ranges[level][0] for level in order[1:]] + [math.inf]
        return [(level, *self.ranges[level], start > self.ranges[level][1]) for level, start in zip(order, nexts)]

    def label(self, score: float) -> int:
        """The label of a rating, of which DIGITS count: 2.5999999999999996 is 2.6.

        Raises ValueError if it falls between or beyond the levels.
        """
        score = round(score, DIGITS)
        for level, lo, hi, closed in self._rising:
            if lo <= score < hi or score == lo or (score == hi and closed):
                return self.scale.lo + level
        if self.scale.counted and score != int(score):
            raise ValueError(f"{score:g} is not a whole number of {self.scale.unit}; round it, or cut it off")
        raise ValueError(f"{score:g} belongs to no level of the scale {self.scale.name}")

    def rounded(self, mean: float) -> int:
        """The label of a mean of ratings. Where ranges hold whole numbers only, it is rounded first, a half up."""
        rising = self._rising
        whole = all(lo == int(lo) and hi == int(hi) and closed for _, lo, hi, closed in rising)
        if whole and all(after[1] - before[2] == 1 for before, after in zip(rising, rising[1:])):
            mean = math.floor(mean + 0.5)
        return self.label(mean)

    def score(self, cell: str) -> float:
        """The rating in a cell as a number; a level's word stands for the middle of its range.

        Read are also a word with its number ("1 - Bad") or with "_" for a blank, "4/5" where 5 is the highest rating,
        and "20%" where the scale ends at 100. Raises ValueError for what is none of these.
        """
        if (level := self._word(cell)) is not None:
            return self.values[level]
        highest = self._rising[-1][2]
        if (of := OF.fullmatch(cell)) and float(of[2]) == highest:
            cell = of[1]
        if (percent := PERCENT.fullmatch(cell)) and highest == 100:
            cell = percent[1]
        if not NUMBER.fullmatch(cell) and not SCIENTIFIC.fullmatch(cell):
            raise ValueError(f"rating {cell[:60]!r} is neither a number nor one of {self._words}")
        if self._numbers:
            raise ValueError(f"rating {cell[:60]!r} is not one of {self._words}")
        score = float(cell.replace(",", "."))
        self.label(score)
        return score

    @property
    def _words(self) -> str:
        fine = self.scale.fine
        return f"{fine[0].word} to {fine[-1].word}" if self.scale.counted else ", ".join(level.word for level in fine)

    def _word(self, cell: str) -> int | None:
        """The level whose word a cell is, None if it is none: "1.0" is the word 1, unless levels have ratings."""
        if NUMBER.fullmatch(cell) and not self._numbers:
            return None
        numbered = NUMBERED.fullmatch(cell)
        for level, candidate in enumerate(self.scale.fine):
            names = (candidate.word, candidate.number) if self.scale.counted else (candidate.word,)
            if spelled(cell) in map(spelled, names):
                return level
            if numbered and spelled(numbered["word"]) == spelled(candidate.word):
                return level if self._is_its_number(level, float(numbered["number"])) else None
        if self._numbers and NUMBER.fullmatch(cell):
            value = float(cell.replace(",", "."))
            return next((n for n, word in enumerate(self.scale.fine) if float(word.word) == value), None)
        return None

    def _is_its_number(self, level: int, number: float) -> bool:
        """Whether a number before a word may belong to it: a rating of the level, or of a list, its place."""
        lo, hi = self.ranges[level]
        if self.listed:
            return number in (level, level + 1)
        elsewhere = any(start <= number <= end for start, end in self.ranges if (start, end) != (lo, hi))
        return lo <= number <= hi or (number == level and not elsewhere)

    @cached_property
    def _numbers(self) -> bool:
        """Whether the levels are words that are numbers, without ratings: a rating then is one of these."""
        return self.listed and all(NUMBER.fullmatch(candidate.word) for candidate in self.scale.fine)

    def hint(self, cells: Sequence[str]) -> str:
        """What may be wrong if many ratings are not on the scale."""
        numbers = {float(cell.replace(",", ".")) for cell in cells if NUMBER.fullmatch(cell)}
        count = len(self.ranges)
        if self.listed and numbers and min(numbers) >= 1 and max(numbers) <= count:
            what = f"a list of {count} words means the ratings 0 to {count - 1}, yours are 1 to {count}"
            return f"{what}: give each word its rating, as in {self.scale.fine[0].word}: 1"
        if self._numbers:
            return f"the ratings must be the words {self._words}: name the levels as the ratings are"
        single = all(lo == hi for lo, hi in self.ranges) and not self.scale.counted
        if single and any(number != int(number) for number in numbers):
            return "each level is one number, and yours are fractions: --by equal-width, or ranges in SCALE.yaml"
        return f"the scale has the ratings {self._rising[0][1]:g} to {self._rising[-1][2]:g}: correct it"


def middles(ranges: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """The rating that each level stands for: the middle of its range."""
    return tuple((lo + hi) / 2 for lo, hi in ranges)


def spelled(word: str) -> str:
    """A word for comparing: one case, blanks for "_" and "-"."""
    return " ".join(re.split(r"[\s_-]+", word.strip().casefold()))
