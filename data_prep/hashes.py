"""Perceptual hashes of an image and of its parts, so that cropped, bordered, mirrored and turned duplicates are found.

A hash holds the signs of 63 coefficients: the 8 x 8 lowest of the cosine transform, without the mean. Mirroring changes
the signs of the odd ones and a quarter turn swaps the axes, so the hashes of all eight positions come from one.
"""

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np

# Of the hashes and reasons, kept with them: those of another version count as unknown. 1 was imagehash.phash, 3 had no
# reason for more than 8 bits.
VERSION = 4
SIDE = 96  # pixels of the square that is hashed, after shrinking by area. Our choice: 64 finds fewer crops
LOW = 8  # coefficients a side, as in imagehash.phash

# Our choice. An image is flat if fewer coefficients than FLAT reach LEAST gray values: of a picture that varies in one
# direction only, seven do.
FLAT = 16
LEAST = 0.1

# Our choice, for a border: rows or columns that vary less than EVEN gray values (standard deviation) and differ less
# than that from the outermost; at most half of the picture.
EVEN = 4.0


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
    whole_and_cuts = _coefficients(square, *_windows_of_cuts())
    if (np.abs(whole_and_cuts[0]) >= LEAST).sum() - 1 < FLAT:
        return "0" * 16 * len(PARTS)
    box, clear = border(gray)  # not of the square: to a pixel of the image
    inner = _coefficients(clear, *_windows((box,), *gray.shape)) if any(box) else whole_and_cuts[:1]
    bits = np.concatenate([whole_and_cuts[:1], inner, whole_and_cuts[1:]]) > 0
    bits[:, 0, 0] = False
    return np.packbits(bits).tobytes().hex()


def shrink(gray: np.ndarray) -> np.ndarray:
    """A gray image as a square of SIDE x SIDE, float32: every pixel counts by its area."""
    return cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype("float32")


def border(gray: np.ndarray) -> tuple[tuple[float, float, float, float], np.ndarray]:
    """The shares of a gray image that are an even border: left, top, right, bottom, at most a quarter each; and the
    image, float32 if it has one, without a mixture of the border and the picture: the line next to the border repeats
    the one behind it."""
    shares, clear = [0.0] * 4, gray
    for side, outermost in enumerate((gray[:, 0], gray[0], gray[:, -1], gray[-1])):
        if np.ptp(outermost.astype(np.float32)) > 8 * EVEN or outermost.std() > EVEN:  # as of most images
            continue
        clear = gray.astype(np.float32) if clear is gray else clear
        lines = (clear.T, clear, clear.T[::-1], clear[::-1])[side]
        outer = lines[: len(lines) // 4]
        if len(outer) < 2:
            continue
        even = (outer.std(axis=1) <= EVEN) & (np.abs(outer.mean(axis=1) - outer[0].mean()) <= EVEN)
        count, share = len(outer) if even.all() else int(even.argmin()), 0.0
        if count < len(outer) - 1:
            mixed, inside = outer[count] - outer[count + 1], outer[0] - outer[count + 1]
            share = float(np.clip(mixed @ inside / max(inside @ inside, 1), 0, 1))
            lines[count] = lines[count + 1]
        shares[side] = (count + share) / len(lines)
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


def _coefficients(pixels: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The lowest LOW x LOW coefficients, in gray values, of the windows of an image."""
    return (rows @ pixels).reshape(len(columns), LOW, pixels.shape[1]) @ columns


@cache
def _windows_of_cuts() -> tuple[np.ndarray, np.ndarray]:
    return _windows(CUTS, SIDE, SIDE)


def _windows(cuts: tuple[tuple[float, ...], ...], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The matrices of windows of an image: those for its rows, one below the other, and for its columns, a stack."""
    rows = np.concatenate([_cosines(top, 1 - bottom, height) for _, top, _, bottom in cuts])
    columns = np.stack([_cosines(left, 1 - right, width).T for left, _, right, _ in cuts])
    return rows.astype(np.float32), np.ascontiguousarray(columns.astype(np.float32))


def _cosines(low: float, high: float, pixels: int) -> np.ndarray:
    """LOW x pixels: the cosines of a window from low to high, integrated over each pixel; 0 outside of it."""
    order = np.arange(LOW)[:, None]
    edges = (np.clip(np.arange(pixels + 1) / pixels, low, high) - low) / (high - low)
    integral = np.where(order > 0, np.sin(np.pi * order * edges) / (np.pi * np.maximum(order, 1)), edges)
    return np.diff(integral, axis=1)
