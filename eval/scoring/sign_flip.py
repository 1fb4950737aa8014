"""The sign-flip test of a paired difference, and the interval that goes with it: exact where a bootstrap only guesses.

If neither run is better, it is chance which of them got which predictions of a subject (a person, a patient; else a
row), so that the sum of a subject's differences could as well have the other sign (Fisher 1935, The Design of
Experiments, ch. 3). p is the share of all 2**n signs whose total is at least as far from 0. The differences are whole
numbers, so that all signs are counted at once, by the characteristic function of their total (Pagano and Tritchler
1983, On Obtaining Permutation Distributions in Polynomial Time, JASA 78). The smallest p of n subjects is 2**(1-n).

The interval holds all differences that the same test does not reject. A sign splits the subjects into two halves; its
test rejects those differences that are not between the means of the two (Hartigan 1969, Using Subsample Values as
Typical Values, JASA 64). So its ends are quantiles of the means of random halves.
"""

import zlib

import numpy as np

from eval.scoring.interval import LEVEL

FLIPS = 4_000  # random signs. Our choice: an end of the interval is then 4% to 6%, and the smallest p .00025
AT_ONCE = 2_000_000  # numbers in memory
LEAST = 1e-12  # a smaller p is called this: rounding is 1e-15
TAIL = 9  # standard deviations beyond which a total has less than 1e-17 of the signs (Hoeffding 1963)
Draws = tuple[np.ndarray, np.ndarray]  # of each sign: the totals of the differences and of the rows, (FLIPS,)


def p_value(sums: np.ndarray) -> float:
    """The exact two-sided p of no difference; 1 if no subject differs.

    sums: (n,) of each subject, the sum of its rows' differences, whole numbers.
    """
    from scipy.fft import irfft, next_fast_len

    sizes, times = np.unique(np.abs(np.rint(sums[sums != 0]).astype(np.int64)), return_counts=True)
    total = abs(int(np.rint(sums.sum())))
    if total == 0:
        return 1.0
    unit = np.gcd.reduce(sizes)
    sizes, total = sizes // unit, total // int(unit)
    most, reach = int(sizes @ times), TAIL * float(np.sqrt((sizes.astype(float) ** 2) @ times))
    if total > reach:
        return LEAST
    # X, the sum of the sizes with a plus, is 0 .. most, and the total is 2 X - most. Its chances are found modulo
    # `length`, which is enough: all others are farther off than `reach`.
    length = next_fast_len(int(min(most, reach)) + 2)
    spectrum, at = np.zeros(length // 2 + 1, complex), np.arange(length // 2 + 1)
    product = np.ones(len(at))
    for size, count in zip(sizes.tolist()[::-1], times.tolist()[::-1]):
        product = product * np.cos(np.pi * (at * size % (2 * length)) / length) ** count
        matters = np.abs(product) > 1e-30  # most of them are 0 soon
        at, product = at[matters], product[matters]
    spectrum[at] = product * np.exp(-1j * np.pi * (at * most % (2 * length)) / length)
    chances = irfft(spectrum, length)
    x = (most - length + 1) // 2 + np.arange(length)
    p = chances[x % length][np.abs(2 * x - most) >= total].sum()
    return float(min(1, max(p, LEAST, 2.0 ** (1 - times.sum()))))


def draws(sums: np.ndarray, rows: np.ndarray, name: str, flips: int = FLIPS) -> Draws:
    """The totals of the differences and of the rows with random signs, (flips,) each.

    sums, rows: (n,) of each subject. name: of the dataset, which seeds them. Subjects with the same numbers are drawn
    together: how many of them keep their sign is binomial.
    """
    pairs, times = np.unique(np.stack([sums, rows], 1), axis=0, return_counts=True)
    rng, parts = np.random.default_rng(zlib.crc32(name.encode())), []
    step = max(1, AT_ONCE // len(pairs))
    single = times == 1
    for begin in range(0, flips, step):
        count = min(step, flips - begin)
        bits = np.unpackbits(rng.integers(0, 256, (count, single.sum() // 8 + 1), np.uint8), axis=1)
        kept = bits[:, : single.sum()] @ pairs[single]
        parts.append(kept + rng.binomial(times[~single], 0.5, (count, (~single).sum())) @ pairs[~single])
    flipped = 2 * np.concatenate(parts) - times @ pairs
    return flipped[:, 0], flipped[:, 1]


def drawn_p(total: float, flipped: np.ndarray) -> float:
    """p from random signs, for a mean over datasets, whose differences are no whole numbers. The sample counts as one
    of the signs (Phipson and Smyth 2010)."""
    if total == 0:
        return 1.0
    return float((1 + (np.abs(flipped) >= abs(total) * (1 - 1e-9)).sum()) / (len(flipped) + 1))


def interval(total: float, rows: float, flipped: Draws) -> tuple[float, float] | None:
    """The 95% interval of total / rows; None if even the farthest difference is not rejected, as of five subjects."""
    sums, sizes = flipped
    with np.errstate(divide="ignore", invalid="ignore"):
        halves = np.stack([(total + sums) / (rows + sizes), (total - sums) / (rows - sizes)])
    none = (np.abs(sizes) >= rows * (1 - 1e-12)) | np.isnan(halves).any(0)  # all in one half
    low, high = np.where(none, -np.inf, halves.min(0)), np.where(none, np.inf, halves.max(0))
    at = int(np.ceil((1 - LEVEL) * (len(sums) + 1))) - 2
    ends = float(np.partition(low, at)[at]), float(np.partition(-high, at)[at])
    return (ends[0], -ends[1]) if np.isfinite(ends).all() else None


def agreeing(ends: tuple[float, float] | None, p: float) -> tuple[float, float] | None:
    """The interval, its nearer end moved to 0 where p, which is exact, and the drawn ends disagree about 0.

    At the border only: by as much as an end differs from one drawing to the next.
    """
    if ends is None:
        return None
    low, high = ends
    if (p < 1 - LEVEL) == (low > 0 or high < 0):
        return ends
    return (0.0, high) if abs(low) < abs(high) else (low, 0.0)
