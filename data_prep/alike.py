"""Do two images show the same picture? Compares pixels, since fundus photographs, or aligned faces, all hash alike."""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from data_prep.hashes import BORDERED, PARTS, POSITIONS, SIDE, border, shrink
from data_prep.images import end_with_parent
from data_prep.pictures import Pair
from data_prep.pixels import sketch
from storm.images import ImageFault, read_bytes
from storm.text import printable

# All our choice; bench/duplicates.py says how well they do.
WINDOW = 64  # pixels a side at which two images are compared
FINE, COARSE = 2.5, 5.0  # standard deviations, in pixels: of the blur that is subtracted, of that around the contrast
NOISE = 2.0  # gray values; weaker detail counts less
MARGIN = 3  # pixels at the edge that are not compared: what is left of a border
SAME = 0.75  # least correlation of the detail
FOURTHS, CORRELATED, SHARE = 4, 0.5, 0.6  # of 4 x 4 fields, this share must correlate by more than this
AREA = 0.2  # least share of the window that is not even surroundings, else they are compared, too
DETAIL = 0.2  # least detail of a field, in both, to count
FIELDS, MANY = 6, 8  # least number of such fields; where even surroundings are compared
FEW, SURELY = 3, 0.97  # with only so many fields (a ball on plain ground), the least correlation of the detail
PROMISING = 0.1  # least correlation before the two are aligned
SHIFT = 0.15  # the most that aligning may move, turn or stretch, as a share of the window
ALIKE, EVEN, GROWN = 4.0, 2.0, 7  # even surroundings: gray values off the corner, deviation; pixels of their margin
STEPS, EPSILON = 40, 1e-4  # the most steps of aligning, and when to stop
POOLED = 256  # with fewer pairs, worker processes are not worth their start
KEPT = 8_000  # images a process remembers, 9 kB each


def first_alike(media: Path, groups: Sequence[Sequence[Pair]], workers: int) -> Iterator[int | None]:
    """For each group of pairs, the place of the first that shows the same picture, None if none does. An image that can
    no longer be read is named, and is like no other: hours of work must not end with it."""
    check = partial(_first, media)
    if workers <= 1 or sum(map(len, groups)) < POOLED:
        yield from map(check, groups)
        return
    with ProcessPoolExecutor(workers, initializer=end_with_parent) as pool:
        yield from tqdm(pool.map(check, groups, chunksize=16), "compare", len(groups), unit="image")


def _first(media: Path, group: Sequence[Pair]) -> int | None:
    for place, pair in enumerate(group):
        try:
            one, other = _square(media / pair.one), _square(media / pair.other)
        except ValueError as error:
            print(f"note: {error}", file=sys.stderr)
            continue
        if alike(one, other, pair.part_one, pair.part_other, pair.position):
            return place
    return None


@lru_cache(KEPT)
def _square(path: Path) -> np.ndarray:
    try:
        return shrink(sketch(read_bytes(path))).astype("uint8")
    except ImageFault as fault:
        what = "it changed since it was checked, and was not compared; run this again"
        raise ValueError(f"{printable(path)}: {fault}; {what}") from None


def alike(one: np.ndarray, other: np.ndarray, part_one: int = 0, part_other: int = 0, position: int = 0) -> bool:
    """Do parts of two squares (gray, SIDE x SIDE) show the same picture, the other in POSITIONS[position]?"""
    cv2.setNumThreads(0)
    first, second = window(one, part_one), window(other, part_other, position)
    inside = np.zeros((WINDOW, WINDOW), np.float32)
    inside[MARGIN:-MARGIN, MARGIN:-MARGIN] = 1
    correlation, same = _compare(first, second, inside > 0)
    if correlation < PROMISING:
        return False
    # A cut is known to a few percent only, so the two are aligned.
    moved = np.eye(2, 3, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, STEPS, EPSILON)
    try:
        _, moved = cv2.findTransformECC(first, second, moved, cv2.MOTION_AFFINE, criteria, None, 3)
    except cv2.error:  # it does not converge
        return same
    change = np.abs(moved - np.eye(2, 3))
    if max(change[:, :2].max(), change[:, 2].max() / WINDOW) >= SHIFT:
        return same
    flags, size = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, (WINDOW, WINDOW)
    second = cv2.warpAffine(second, moved, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    both = (cv2.warpAffine(inside, moved, size, flags=flags) > 0.99) & (inside > 0)
    return same or _compare(first, second, both)[1]


def window(square: np.ndarray, part: int = 0, position: int = 0) -> np.ndarray:
    """A part of a square at WINDOW x WINDOW pixels, float32, in POSITIONS[position]."""
    square, shares = square.astype(np.float32), PARTS[part][1:]
    if part == BORDERED:
        shares, square = border(square)
    left, top, right, bottom = shares
    scales = (1 - left - right) * SIDE / WINDOW, (1 - top - bottom) * SIDE / WINDOW
    corner = left * SIDE + scales[0] / 2 - 0.5, top * SIDE + scales[1] / 2 - 0.5
    places = np.array([[scales[0], 0, corner[0]], [0, scales[1], corner[1]]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = cv2.warpAffine(square, places, (WINDOW, WINDOW), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    mirrored, quarters = POSITIONS[position]
    return np.ascontiguousarray(np.rot90(cut[:, ::-1] if mirrored else cut, quarters))


def _compare(one: np.ndarray, other: np.ndarray, inside: np.ndarray) -> tuple[float, bool]:
    """Correlation of the detail of two windows, and whether they show the same. Their outlines before even surroundings
    (a disc on black, a thing on white) do not count."""
    clear = inside & ~_surroundings(one) & ~_surroundings(other)
    enough = clear.mean() >= AREA
    inside = clear if enough else inside
    one, other = _detail(one), _detail(other)
    side, fields, shown = WINDOW // FOURTHS, [], np.zeros_like(inside)
    for top in range(0, WINDOW, side):
        for left in range(0, WINDOW, side):
            field = np.s_[top : top + side, left : left + side]
            here = inside[field]
            if here.mean() >= 0.5 and min(np.abs(one[field][here]).mean(), np.abs(other[field][here]).mean()) >= DETAIL:
                shown[field] = here
                fields.append(_correlation(one[field][here], other[field][here]) > CORRELATED)
    if len(fields) < (FEW if enough else MANY):
        return 0.0, False
    correlation, least = _correlation(one[shown], other[shown]), SAME if len(fields) >= FIELDS else SURELY
    return correlation, correlation >= least and sum(fields) >= SHARE * len(fields)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float(one @ other / np.sqrt(max((one @ one) * (other @ other), 1e-9)))


def _detail(pixels: np.ndarray) -> np.ndarray:
    """What a blur takes away, over the contrast around it."""
    fine = pixels - cv2.GaussianBlur(pixels, (0, 0), FINE)
    return fine / np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), COARSE) + NOISE**2)


def _surroundings(pixels: np.ndarray) -> np.ndarray:
    """Where a window is as even as one of its corners and connected with the edge, and GROWN // 2 pixels more."""
    mean = cv2.blur(pixels, (3, 3))
    deviation = np.sqrt(np.maximum(cv2.blur(pixels * pixels, (3, 3)) - mean * mean, 0))
    corners = pixels[[2, 2, -3, -3], [2, -3, 2, -3]]
    off = np.abs(mean - corners[:, None, None]).min(axis=0)
    _, labels = cv2.connectedComponents(((off <= ALIKE) & (deviation <= EVEN)).astype(np.uint8), connectivity=4)
    edge = np.unique(np.concatenate([labels[1], labels[-2], labels[:, 1], labels[:, -2]]))
    return cv2.dilate(np.isin(labels, edge[edge > 0]).astype(np.uint8), np.ones((GROWN, GROWN), np.uint8)) > 0
