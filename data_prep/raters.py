"""Several ratings of one image as one: by their mean, their median, or the level that most raters chose."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from statistics import StatisticsError, correlation, fmean, median
from typing import NamedTuple

from storm.levels import OwnScale
from storm.text import printable

SHARED = 5  # our choice: so many images tell whether a rater agrees with the others


class Vote(NamedTuple):
    """One rater's rating of an image, in the unit of the scale."""

    image: str
    rater: str
    score: float


def majority(scores: Sequence[float], level: Callable[[float], float] = float) -> float:
    """The median score of the level that most raters chose; of several levels, the one nearest to the median of all,
    and the lower of two as near. level: of a score."""
    counts, middle = Counter(map(level, scores)), median(scores)
    of_level = {of: [score for score in scores if level(score) == of] for of in counts}
    chosen = min(counts, key=lambda of: (-counts[of], abs(median(of_level[of]) - middle), of))
    return median(of_level[chosen])


COMBINE: dict[str, Callable[[Sequence[float]], float]] = {"mean": fmean, "median": median, "majority": majority}


def combined(votes: Sequence[Vote], scale: OwnScale, how: str) -> dict[str, tuple[float, tuple[float, ...]]]:
    """Image -> (its score, the shares of the levels among its ratings), in the order of the images."""
    by_image: dict[str, list[float]] = defaultdict(list)
    for vote in votes:
        by_image[vote.image].append(vote.score)
    levels = range(scale.scale.lo, scale.scale.hi + 1)
    result = {}
    for image, scores in by_image.items():
        counts = Counter(map(scale.label, scores))
        shares = tuple(counts[level] / len(scores) for level in levels)
        score = majority(scores, scale.label) if how == "majority" else COMBINE[how](scores)
        result[image] = score, shares
    return result


def about(votes: Sequence[Vote], how: str) -> list[str]:
    """Lines that say how many raters there are, how far their ratings of an image lie apart, and who agrees with
    nobody: whose ratings do not rise with the mean of the others'."""
    by_image: dict[str, list[Vote]] = defaultdict(list)
    for vote in votes:
        by_image[vote.image].append(vote)
    several = [[vote.score for vote in of_image] for of_image in by_image.values() if len(of_image) > 1]
    spread = math.sqrt(fmean(fmean((s - fmean(scores)) ** 2 for s in scores) for scores in several)) if several else 0
    raters = sorted({vote.rater for vote in votes})
    ratings = f"{len(votes):,} ratings of {len(by_image):,} images by {len(raters):,} raters"
    twice = sum(count > 1 for count in Counter((vote.image, vote.rater) for vote in votes).values())
    lines = [f"{twice:,} times a rater rated an image more than once; each of these ratings counts"] * bool(twice)
    lines += [f"{ratings}; the {how} counts; standard deviation within an image {spread:.2f}"]
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)  # rater -> (own mean, mean of the others) by image
    for of_image in by_image.values():
        of_rater: dict[str, list[float]] = defaultdict(list)
        for vote in of_image:
            of_rater[vote.rater].append(vote.score)
        total = sum(vote.score for vote in of_image)
        for rater, scores in of_rater.items():
            if len(scores) < len(of_image):
                rest = (total - sum(scores)) / (len(of_image) - len(scores))
                pairs[rater].append((fmean(scores), round(rest, 9)))  # a constant stays one
    for rater in raters:
        ratings, rest = zip(*pairs[rater]) if pairs[rater] else ((), ())
        try:
            agrees = len(ratings) < SHARED or correlation(ratings, rest) > 0
        except StatisticsError:  # always the same rating, of this rater or of the others
            agrees = len(set(ratings)) > 1
        if not agrees:
            lines.append(f"rater {printable(rater)} agrees with nobody ({len(ratings)} images with other ratings)")
    return lines
