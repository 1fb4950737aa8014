"""How well and how fast duplicates are found: python -m bench.duplicates. Results, with the machine: bench/README.md.

Well: disjoint crops of the demo's photographs, changed as duplicates are; each is looked for among all crops.
Wrong: other crops, shifted crops and made-up fundus discs that are called duplicates. Fast: random hashes, as many as
the 14 datasets have images, with planted duplicates.
"""

import hashlib
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from tqdm import tqdm

from data_prep.alike import alike, first_alike
from data_prep.hashes import PARTS, hash_image, shrink
from data_prep.leaks import find_leaks
from data_prep.pictures import Check, Pair, Picture
from data_prep.pixels import sketch
from demo.photographs import PARTS as PHOTOGRAPHS
from demo.photographs import load
from storm.options import Parser
from storm.text import table

LEAST, CROPS = 200, 15  # to be found: the least side of a crop if the photograph has it, and crops of each photograph
SIDE, GRID = 125, 5  # to be confused: the least side of a crop, and the most crops along a side of a photograph
DISCS = 300
SHIFTS = (0.3, 0.4, 0.5)  # of a crop's side
TRAIN_IMAGES, TEST_IMAGES, PLANTED = 575_000, 80_000, 1_000


def cut(image: Image.Image, left: float = 0, top: float = 0, right: float = 0, bottom: float = 0) -> Image.Image:
    """Without these shares of each side."""
    width, height = image.size
    return image.crop(
        (round(width * left), round(height * top), width - round(width * right), height - round(height * bottom))
    )


def caption(image: Image.Image, height: int, extra: int) -> Image.Image:
    """With a text on black in the lowest `height` rows; `extra` of them are added."""
    result = ImageOps.pad(image, (image.width, image.height + extra), centering=(0, 0))
    draw = ImageDraw.Draw(result)
    draw.rectangle((0, result.height - height, result.width, result.height), fill="black")
    draw.text((6, result.height - height + 2), "A caption of some words", fill="white")
    return result


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG of quality 60": lambda image: image,
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "gray": lambda image: image.convert("L"),
    "brightness +10%": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "mirrored": ImageOps.mirror,
    "upside down": lambda image: image.rotate(180),
    "a quarter turn": lambda image: image.rotate(90, expand=True),
    "three quarter turns": lambda image: image.rotate(270, expand=True),
    "8-pixel border, black": lambda image: ImageOps.expand(image, 8, "black"),
    "8-pixel border, white": lambda image: ImageOps.expand(image, 8, "white"),
    "1% cut off each side": lambda image: cut(image, 0.01, 0.01, 0.01, 0.01),
    "3% cut off each side": lambda image: cut(image, 0.03, 0.03, 0.03, 0.03),
    "5% cut off each side": lambda image: cut(image, 0.05, 0.05, 0.05, 0.05),
    "7% cut off each side": lambda image: cut(image, 0.07, 0.07, 0.07, 0.07),
    "10% cut off each side": lambda image: cut(image, 0.1, 0.1, 0.1, 0.1),
    "6% cut off the left": lambda image: cut(image, left=0.06),
    "6% cut off the bottom": lambda image: cut(image, bottom=0.06),
    "3% cut off the bottom": lambda image: cut(image, bottom=0.03),
    "10% cut off the bottom": lambda image: cut(image, bottom=0.1),
    "6% cut off left and top": lambda image: cut(image, left=0.06, top=0.06),
    "caption over the lowest 12%": lambda image: caption(image, round(image.height * 0.12), 0),
    "caption below": lambda image: caption(image, 16, 16),
    "mirrored, 5% cut off each side": lambda image: cut(ImageOps.mirror(image), 0.05, 0.05, 0.05, 0.05),
    "turned by 5 degrees": lambda image: image.rotate(5),
}


def crops() -> Iterator[tuple[str, Image.Image]]:
    """Random squares of photographs, which may overlap."""
    rng = np.random.default_rng(0)
    for package, name in sum(PHOTOGRAPHS.values(), ()):
        photo, boxes = load(package, name), set()
        while len(boxes) < CROPS:
            side = int(rng.integers(min(LEAST, *photo.size), min(photo.size) + 1))
            x, y = (int(rng.integers(0, extent - side + 1)) for extent in photo.size)
            if (box := (x, y, x + side, y + side)) not in boxes:
                yield f"{name}, {len(boxes)}", photo.crop(box)
            boxes.add(box)


def disjoint() -> Iterator[tuple[str, Image.Image]]:
    """Photographs and crops of them that do not overlap."""
    for package, name in sum(PHOTOGRAPHS.values(), ()):
        photo = load(package, name)
        yield name, photo
        columns, rows = (min(GRID, extent // SIDE) for extent in photo.size)
        width, height = photo.width // max(columns, 1), photo.height // max(rows, 1)
        for n in range(columns * rows if columns * rows > 1 else 0):
            x, y = n % columns * width, n // columns * height
            yield f"{name} {n}", photo.crop((x, y, x + width, y + height))


def shifted() -> Iterator[tuple[str, Image.Image, Image.Image]]:
    """Crops, and others of the same size that overlap them: similar scenes."""
    rng = np.random.default_rng(0)
    for package, name in sum(PHOTOGRAPHS.values(), ()):
        photo = load(package, name)
        side = min(photo.size) * 2 // 3
        for shift in SHIFTS * 5:
            ways = [min(round(side * shift), extent - side) for extent in photo.size]
            ways[int(np.argmin(ways))] = 0
            x, y = (int(rng.integers(0, extent - side - way + 1)) for extent, way in zip(photo.size, ways))
            moved = x + ways[0], y + ways[1]
            if max(ways) >= side * SHIFTS[0] * 0.99:
                boxes = [(left, top, left + side, top + side) for left, top in ((x, y), moved)]
                yield f"{name} {x} {y} {shift}", *(photo.crop(box) for box in boxes)


def disc(rng: np.random.Generator, size: int = 300) -> Image.Image:
    """Something like a fundus photograph: a shaded disc on black, a bright spot, a dark one, vessels and lesions."""
    y, x = np.mgrid[:size, :size]
    middle, radius, side = size / 2 + rng.normal(0, 3, 2), size * rng.uniform(0.44, 0.49), rng.choice([-1, 1])
    color = np.array([rng.uniform(120, 190), rng.uniform(50, 90), rng.uniform(15, 45)])
    away = np.hypot(*(np.stack([x, y], -1) - middle).transpose(2, 0, 1)) / radius
    spot = middle + [side * radius * rng.uniform(0.35, 0.5), rng.normal(0, 6)]

    def blob(center: np.ndarray, width: float) -> np.ndarray:
        return np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / (2 * width**2))[..., None]

    pixels = (1 - 0.35 * away**2)[..., None] * color + blob(spot, radius * 0.08) * [70, 80, 50]
    pixels = pixels - blob(middle - [side * radius * 0.1, 0], radius * 0.12) * [40, 25, 8]
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    for up in (-1, 1):
        for _ in range(rng.integers(2, 5)):
            place, angle = spot, up * np.pi / 2 + rng.normal(0, 0.4)
            for _ in range(60):
                ahead = place + 3.5 * np.array([np.cos(angle), np.sin(angle)])
                ImageDraw.Draw(image).line(
                    (*place, *ahead), tuple(int(c * 0.55) for c in color), int(rng.integers(2, 4))
                )
                place, angle = ahead, angle + rng.normal(0, 0.12) + side * up * 0.02
    pixels = np.asarray(image) + rng.normal(0, 3, (size, size, 3))
    for _ in range(rng.integers(0, 12)):
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0, radius * 0.9)
        where = middle + far * np.array([np.cos(angle), np.sin(angle)])
        pixels += blob(where, rng.uniform(1, 4)) * rng.choice([-60, 70])
    pixels[away > 1] = rng.normal(3, 1, (int((away > 1).sum()), 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def picture(folder: Path, image: Image.Image, dataset: str, id: str, test: bool, quality: int = 75) -> Picture:
    """The image as the JPEG file that a dataset would ship."""
    path = folder / f"{dataset} ~ {id} ~ {test}.jpg".replace("/", " ")
    image.convert("RGB").save(path, "JPEG", quality=quality)
    data = path.read_bytes()
    return Picture(dataset, id, test, hashlib.sha256(data).hexdigest(), hash_image(sketch(data)), path.name)


def main() -> None:
    Parser(prog="python -m bench.duplicates", description=__doc__.split(": python")[0]).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        well(Path(folder))
    fast()


def well(folder: Path) -> None:
    """Print how many changed crops are found, and what is called a duplicate and is not."""
    check = partial(first_alike, folder, workers=1)
    originals = list(crops())
    test = [picture(folder, image, "test", id, True, 95) for id, image in originals]
    rows = [["change", f"found, of {len(test)}", "another photograph"]]
    for name, change in tqdm(CHANGES.items(), "changes", mininterval=5):
        quality = 60 if "60" in name else 75
        train = [picture(folder, change(image), name, id, False, quality) for id, image in originals]
        found, other = set(), set()
        find_leaks(test + train, partial(tally, check, found, other))
        rows.append([name, f"{len(found) / len(test):.1%}", len(other)])
    print(table(rows, "markdown"))

    small = [picture(folder, image, "small", id, True, 90) for id, image in disjoint()]
    discs = [picture(folder, disc(np.random.default_rng(n)), "disc", str(n), True, 90) for n in range(DISCS)]
    for name, pictures in (("photographs and disjoint crops", small), ("made-up fundus discs", discs)):
        wrong = [leak for divided in splits(pictures) for leak in find_leaks(divided, check)]
        print(f"{name}, {len(pictures) * (len(pictures) - 1) // 2:,} pairs: {len(wrong)} wrong", *wrong[:9], sep="\n  ")
        squares = [square(folder, one) for one in pictures]
        alone = [
            f"{pictures[i].id} and {pictures[j].id}"
            for i in range(len(squares))
            for j in range(i)
            if alike(squares[i], squares[j])
        ]
        print(f"by pixels alone: {len(alone)} wrong", *alone[:9], sep="\n  ")
    moved = list(shifted())
    pairs = [picture(folder, one[test + 1], "shifted", one[0], bool(test), 90) for one in moved for test in (0, 1)]
    wrong = [leak for leak in find_leaks(pairs, check) if leak.train_id == leak.test_id]
    alone = sum(alike(square(folder, one), square(folder, other)) for one, other in zip(pairs[::2], pairs[1::2]))
    print(f"shifted crops, {len(moved):,} pairs: {len(wrong)} wrong, by pixels alone {alone}", *wrong[:9], sep="\n  ")


def tally(check: Check, found: set, other: set, groups: Sequence[Sequence[Pair]]) -> Iterator[None]:
    """Add the crops that are found to be themselves, and those that are taken for another photograph. Crops of one
    photograph may show the same, so these do not count."""
    for group in groups:
        crop = original(group[0].one)
        own = [pair for pair in group if original(pair.other) == crop]
        strange = [pair for pair in group if original(pair.other)[0] != crop[0]]
        for names, pairs in ((found, own), (other, strange)):
            if next(check([pairs])) is not None:
                names.add(crop)
        yield None


def original(image: str) -> tuple[str, ...]:
    """Photograph and number of a crop, from the name of its file."""
    return tuple(image.split(" ~ ")[1].split(", "))


def square(folder: Path, one: Picture) -> np.ndarray:
    return shrink(sketch((folder / one.image).read_bytes()))


def splits(pictures: list[Picture]) -> Iterator[list[Picture]]:
    """Divided into train and test several times, until each pair has been on two sides."""
    for bit in range(len(pictures).bit_length()):
        yield [picture._replace(test=bool(number >> bit & 1)) for number, picture in enumerate(pictures)]


def fast() -> None:
    """Print how long the search takes, comparing pixels apart."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 1 << 63, (TRAIN_IMAGES + TEST_IMAGES, len(PARTS)), np.uint64)
    hashes[:PLANTED, 0] = hashes[TRAIN_IMAGES : TRAIN_IMAGES + PLANTED, 5] ^ np.uint64(0b10110)  # a part, 3 bits off
    texts = [row.astype(">u8").tobytes().hex() for row in hashes]
    pictures = [Picture("a", str(i), i >= TRAIN_IMAGES, str(i), text) for i, text in enumerate(texts)]
    start = time.perf_counter()
    leaks = find_leaks(pictures, lambda groups: [0] * len(groups))
    seconds, memory = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{TRAIN_IMAGES:,} x {TEST_IMAGES:,}: {len(leaks)} leaks, {PLANTED} planted, {seconds:.0f} s, {memory:.0f} MB"
    )


if __name__ == "__main__":
    main()
