"""How well and how fast duplicates are found: python -m bench.duplicates. Results, with the machine: bench/README.md.

Well: crops of the demo's photographs, changed as duplicates are, and the share whose hash stays within BITS. Fast:
random hashes, as many as the 14 datasets have images, with planted near duplicates.
"""

import io
import random
import resource
import time
from collections.abc import Callable

import imagehash
import numpy as np
from PIL import Image, ImageEnhance

from data_prep.duplicates import BITS, Picture, find_leaks
from demo.photographs import TEST, TRAIN, load
from storm.options import Parser
from storm.text import table

CROPS = 25  # of each photograph
TRAIN_IMAGES, TEST_IMAGES, PLANTED = 575_000, 80_000, 1_000


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return Image.open(data)


def cut(image: Image.Image, share: float) -> Image.Image:
    x, y = (round(side * share) for side in image.size)
    return image.crop((x, y, image.width - x, image.height - y))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG of quality 60": lambda image: jpeg(image, 60),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "half the size, JPEG 75": lambda image: jpeg(CHANGES["half the size"](image), 75),
    "brightness +10%": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "1% cut off each side": lambda image: cut(image, 0.01),
    "3% cut off each side": lambda image: cut(image, 0.03),
}


def main() -> None:
    Parser(prog="python -m bench.duplicates", description=__doc__.split(": python")[0]).parse_args()
    rng = np.random.default_rng(0)
    crops = []
    for photo in (load(*name) for name in TRAIN + TEST):
        for _ in range(CROPS):
            side = int(rng.integers(200, min(photo.size) + 1))
            x, y = (int(rng.integers(0, extent - side + 1)) for extent in photo.size)
            crops.append(photo.crop((x, y, x + side, y + side)))
    rows = [["change", f"within {BITS} bits, of {len(crops)} crops"]]
    for name, change in CHANGES.items():
        near = sum(imagehash.phash(crop) - imagehash.phash(change(crop)) <= BITS for crop in crops)
        rows.append([name, f"{near / len(crops):.1%}"])
    print(table(rows, "markdown"))

    draw = random.Random(0)
    hashes = [draw.getrandbits(64) for _ in range(TRAIN_IMAGES + TEST_IMAGES)]
    for i in range(PLANTED):  # the first train images are two bits from the first test images
        hashes[i] = hashes[TRAIN_IMAGES + i] ^ 0b11
    pictures = [Picture("a", str(i), i >= TRAIN_IMAGES, str(i), f"{bits:016x}") for i, bits in enumerate(hashes)]
    start = time.perf_counter()
    leaks = find_leaks(pictures)
    seconds, memory = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{TRAIN_IMAGES:,} x {TEST_IMAGES:,}: {len(leaks)} of {PLANTED} leaks, {seconds:.0f} s, {memory:.0f} MB")


if __name__ == "__main__":
    main()
