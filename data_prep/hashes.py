"""Perceptual hashes of an image and of its parts, so that cropped, bordered, mirrored and turned duplicates are found.

A hash holds the signs of 63 coefficients: the 8 x 8 lowest of the cosine transform, without the mean. Mirroring changes
the signs of the odd ones and a quarter turn swaps the axes, so the hashes of all eight positions come from one.
"""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

VERSION = 2  # of the hashes, kept with them: hashes of another version count as unknown. 1 was imagehash.phash
SIDE = 96  # pixels of the square that is hashed, after shrinking by area. Our choice: 64 finds fewer crops
LOW = 8  # coefficients a side, as in imagehash.phash

# Our choice. An image is flat if fewer coefficients than FLAT reach LEAST gray values: of a picture that varies in one
# direction only, seven do.
FLAT = 16
LEAST = 0.1

# Our choice, for a border: rows or columns that vary less than EVEN gray values (standard deviation) and differ less
# than that from the outermost; at most half of the picture.
EVEN = 4.0
MIXED = 1  # lines next to it that may hold some of it


class Part(NamedTuple):
    """A part of an image that has a hash: its name in leaks.csv, and the shares that are cut off each side."""

    kind: str
    left: float = 0
    top: float = 0
    right: float = 0
    bottom: float = 0


# Our choice. Two hashes of one picture that is cut by 1% more on each side mostly differ by up to 5 bits.
CENTERED = (0.015, 0.03, 0.045, 0.06, 0.075, 0.09, 0.105)
CUT, CAPTION = 0.06, 0.13
PARTS = (
    Part("near"),
    Part("bordered"),  # without an even border; the shares are those of the image
    *(Part("cropped", share, share, share, share) for share in CENTERED),
    Part("cropped", left=CUT),
    Part("cropped", top=CUT),
    Part("cropped", right=CUT),
    Part("cropped", bottom=CUT),
    Part("captioned", top=CAPTION),
    Part("captioned", bottom=CAPTION),
)
WHOLE, BORDERED = 0, 1  # places in PARTS
CUTS = tuple(part[1:] for part in PARTS if part.kind != "bordered")

# The eight positions of a picture: mirrored or not, then turned by so many quarters counterclockwise (as np.rot90).
POSITIONS = tuple((mirrored, quarters) for mirrored in (False, True) for quarters in range(4))


def hash_image(gray: np.ndarray) -> str:
    """The hashes of a gray image's PARTS, each as 16 hex digits; all 0 if it is flat. gray: height x width, 8 bits."""
    square = shrink(gray)
    whole_and_cuts = _coefficients(square, CUTS)
    if (np.abs(whole_and_cuts[0]) >= LEAST).sum() - 1 < FLAT:
        return "0" * 16 * len(PARTS)
    box, clear = border(square)
    inner = _coefficients(clear, (box,)) if any(box) else whole_and_cuts[:1]
    bits = np.concatenate([whole_and_cuts[:1], inner, whole_and_cuts[1:]]) > 0
    bits[:, 0, 0] = False
    return np.packbits(bits).tobytes().hex()


def shrink(gray: np.ndarray) -> np.ndarray:
    """A gray image as a square of SIDE x SIDE, float32: every pixel counts by its area."""
    return cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype("float32")


def border(square: np.ndarray) -> tuple[tuple[float, float, float, float], np.ndarray]:
    """The shares of a square that are an even border: left, top, right, bottom, at most a quarter each; and the square
    without a mixture of the border and the picture: the lines next to the border repeat those behind them."""
    shares, clear = [0.0] * 4, square
    outermost = np.stack([square[:, 0], square[0], square[:, -1], square[-1]])
    for side in np.flatnonzero(outermost.max(axis=1) - outermost.min(axis=1) <= 8 * EVEN):  # most images have none
        lines = (square.T, square, square.T[::-1], square[::-1])[side][: SIDE // 4]
        if lines[0].std() > EVEN:
            continue
        even = (lines.std(axis=1) <= EVEN) & (np.abs(lines.mean(axis=1) - lines[0].mean()) <= EVEN)
        count = len(lines) if even.all() else int(even.argmin())
        share = 0.0
        if count < len(lines) - MIXED:
            mixed, inside = lines[count] - lines[count + 1], lines[0] - lines[count + 1]
            share = float(np.clip(mixed @ inside / max(inside @ inside, 1), 0, 1))
            clear = square.copy() if clear is square else clear
            lines = (clear.T, clear, clear.T[::-1], clear[::-1])[side]
            lines[count : count + MIXED] = lines[count + MIXED]
        shares[side] = (count + share) / SIDE
    return tuple(shares), clear


def numbers(hashes: list[str]) -> np.ndarray:
    """Texts of hash_image as numbers, uint64, one row an image, one column for each of PARTS."""
    return np.frombuffer(bytes.fromhex("".join(hashes)), ">u8").astype(np.uint64).reshape(len(hashes), len(PARTS))


def positions(hashes: np.ndarray) -> np.ndarray:
    """The hashes of pictures in all POSITIONS, in a new last axis."""
    turned = []
    for mirrored, quarters in POSITIONS:
        bits = np.unpackbits(hashes.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1).reshape(-1, LOW, LOW)
        odd = (np.arange(LOW) % 2).astype(np.uint8)
        if mirrored:
            bits = bits ^ odd[None, None, :]
        for _ in range(quarters):  # a quarter turn: swap the axes, then mirror top and bottom
            bits = bits.transpose(0, 2, 1) ^ odd[None, :, None]
        bits = np.ascontiguousarray(bits)
        bits[:, 0, 0] = 0
        turned.append(np.packbits(bits.reshape(-1, 64), axis=1).view(">u8").astype(np.uint64).reshape(hashes.shape))
    return np.stack(turned, axis=-1)


def _coefficients(square: np.ndarray, cuts: tuple[tuple[float, float, float, float], ...]) -> np.ndarray:
    """The lowest LOW x LOW coefficients, in gray values, of a square without the shares that are cut off each side."""
    rows, columns = _windows(cuts)
    return (rows @ square).reshape(len(cuts), LOW, SIDE) @ columns


@lru_cache(1000)
def _windows(cuts: tuple[tuple[float, float, float, float], ...]) -> tuple[np.ndarray, np.ndarray]:
    """The matrices of windows of a square: those for its rows, one below the other, and for its columns, a stack."""
    rows = np.concatenate([_cosines(top, 1 - bottom) for _, top, _, bottom in cuts])
    columns = np.stack([_cosines(left, 1 - right).T for left, _, right, _ in cuts])
    return rows.astype(np.float32), np.ascontiguousarray(columns.astype(np.float32))


def _cosines(low: float, high: float) -> np.ndarray:
    """LOW x SIDE: the cosines of a window from low to high, integrated over each pixel; 0 outside of it."""
    order = np.arange(LOW)[:, None]
    edges = (np.clip(np.arange(SIDE + 1) / SIDE, low, high) - low) / (high - low)
    integral = np.where(order > 0, np.sin(np.pi * order * edges) / (np.pi * np.maximum(order, 1)), edges)
    return np.diff(integral, axis=1)
