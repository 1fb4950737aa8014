"""What a comparison can show: the smallest difference that it is likely to find, and how many subjects it needs."""

from collections.abc import Sequence

import numpy as np

from eval.scoring.pairing import Paired

POWER = 0.8  # the usual chance of finding a difference that is there (Cohen 1988)


def standard_error(parts: Sequence[Paired]) -> float | None:
    """Of the mean over datasets of the differences, from those between subjects; None of one subject.

    That of a ratio of two sums over subjects (Cochran 1977, Sampling Techniques, section 6.3).
    """
    squares = []
    for part in parts:
        n = len(part.sums)
        if n < 2:
            return None
        off = part.sums - part.difference * part.sizes
        squares.append(n / (n - 1) * float(off @ off) / float(part.sizes.sum()) ** 2)
    return float(np.sqrt(sum(squares)) / len(parts))


def detectable(parts: Sequence[Paired], level: float) -> float | None:
    """The true difference that a two-sided test at `level` finds with a chance of POWER (Bloom 1995, Minimum Detectable
    Effects, Evaluation Review 19): (t of the level + t of the power) standard errors.

    None where differences do not vary, so that there is no standard error, or where there are too few subjects.
    """
    from scipy.special import stdtrit

    error, freedom = standard_error(parts), sum(len(part.sums) - 1 for part in parts)
    if not error or least_p(parts) > level:
        return None
    return float(error * (stdtrit(freedom, 1 - level / 2) + stdtrit(freedom, POWER)))


def least_p(parts: Sequence[Paired]) -> float:
    """The smallest p that the sign-flip test can show: all subjects of all datasets differ in one direction."""
    return 2.0 ** (1 - sum(len(part.sums) for part in parts))


def needed(tests: int, level: float) -> int:
    """How many subjects, or rows, can pass Holm's correction for this many tests: 2**(1 - n) * tests <= level."""
    n = 1
    while 2.0 ** (1 - n) * tests > level:
        n += 1
    return n
