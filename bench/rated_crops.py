"""A harder demo for bench/objectives.py: five distortions of the demo's 27 photographs, and raters who disagree.

A crop has one of the KINDS of distortion at one of five strengths. FEWEST .. MOST raters vote on it, each with a bias
and a scatter of its own; its label is the mean of their votes, rounded. Every seed tests its own 12 photographs.

All trainings begin from one model, as those of users do. It has seen no photograph, only drawn leaves that hide each
other, whose edges are like those of photographs (Lee, Mumford & Huang 2001, Occlusion Models for Natural Images), with
the same distortions, labeled by their strength.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from data_prep.registry import stanza
from demo import photographs
from storm.files import write_json, write_jsonl
from storm.prompts import STRATEGIES
from storm.rows import Example, to_row
from storm.scales import IQA

# The strengths of level 0 (Bad) .. 4 (Excellent, none): standard deviations in gray values of 255, those of the demo's
# noise and our choice; of specks the share of pixels. All add something: with blur, JPEG and too little light among
# them, trainings of 600 steps stayed near chance.
SIGMA = photographs.SIGMA
KINDS = {
    "noise": SIGMA,  # of each pixel and color
    "grain": SIGMA,  # the same of the three colors
    "stripes": (45, 26, 14, 6, 0),  # of each line
    "blocks": (45, 26, 14, 6, 0),  # of each square of BLOCK x BLOCK pixels
    "specks": (0.16, 0.08, 0.035, 0.012, 0),  # black or white
}
BLOCK = 4

RATERS, FEWEST, MOST = 24, 5, 8  # in all, and of a crop
BIAS, SCATTER = 0.5, (0.3, 0.9)  # levels: the standard deviation over raters, and the range of theirs over crops
# Two photographs of one scene, so always in train; the demo's own four are always val; of the 21 others, 12 are tested.
PAIR = ("motorcycle_left", "motorcycle_right")
TESTED = 12
CROPS = {"train": 6, "val": 3, "test": 3}  # of each photograph, kind and level
FIRST = "first"  # the folder of the model that all begin from, and of its rows
DRAWN, SIDE, LEAVES = 60, 360, 1500  # pictures, their pixels a side, and the leaves of each
DRAWN_CROPS = 4  # of each picture, kind and level
STRATEGY = STRATEGIES["direct"]  # our choice: the shortest prompts; three times as many trainings fit the time
SEED = 0


def distort(pixels: np.ndarray, kind: str, level: int, rng: np.random.Generator) -> np.ndarray:
    """Pixels, 0 .. 255, (SIZE, SIZE, 3), with a distortion at a level, 0 (Bad) .. 4 (Excellent, none), as uint8."""
    side, _, colors = pixels.shape
    shapes = {"noise": (side, side, colors), "stripes": (side, 1, 1), "blocks": (side // BLOCK, side // BLOCK, 1)}
    drawn = rng.normal(0, 1, shapes.get(kind, (side, side, 1)))
    if kind == "blocks":
        drawn = drawn.repeat(BLOCK, 0).repeat(BLOCK, 1)
    if kind == "specks":
        hit = rng.random((side, side, 1)) < KINDS[kind][level]
        changed = np.where(hit, 255.0 * (drawn > 0), pixels)
    else:
        changed = pixels + drawn * KINDS[kind][level]
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def raters() -> np.ndarray:
    """The raters' (bias, scatter) in levels, (RATERS, 2)."""
    rng = np.random.default_rng(SEED)
    return np.stack([rng.normal(0, BIAS, RATERS), rng.uniform(*SCATTER, RATERS)], 1)


def votes(level: int, panel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How many raters choose each of the five levels, (5,). panel: of raters()."""
    chosen = rng.choice(len(panel), rng.integers(FEWEST, MOST + 1), replace=False)
    seen = rng.normal(level + panel[chosen, 0], panel[chosen, 1])
    return np.bincount(np.clip(np.rint(seen), 0, 4).astype(int), minlength=5)


def label(counts: np.ndarray) -> int:
    """The mean vote, rounded, a half up."""
    return int(np.floor(counts @ np.arange(len(counts)) / counts.sum() + 0.5))


def split(seed: int) -> dict[str, list[str]]:
    """Part -> the stems of its photographs: 11, 4 and 12."""
    val = sorted(Path(name).stem for _, name in photographs.VAL)
    stems = sorted(Path(name).stem for photos in photographs.PARTS.values() for _, name in photos)
    others = [stem for stem in stems if stem not in (*val, *PAIR)]
    order = np.random.default_rng([SEED, seed]).permutation(others).tolist()
    return {"train": sorted([*PAIR, *order[TESTED:]]), "val": val, "test": sorted(order[:TESTED])}


def drawn(number: int) -> Image.Image:
    """A picture of leaves, large and small ones, in any order; SIDE x SIDE."""
    rng, image = np.random.default_rng([SEED, number]), Image.new("RGB", (SIDE, SIDE))
    draw = ImageDraw.Draw(image)
    ground, spread = rng.uniform(40, 215) + rng.normal(0, 20, 3), rng.uniform(25, 80)
    radii = 1 / np.sqrt(rng.uniform(1 / 120**2, 1 / 4**2, LEAVES))  # the density falls with the cube of the radius
    for radius in radii:
        x, y = rng.uniform(-radius, SIDE + radius, 2)
        high = radius * rng.uniform(0.4, 1.6)
        color = np.clip(ground + rng.normal(0, spread) + rng.normal(0, 15, 3), 0, 255).astype(int)
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x - radius, y - high, x + radius, y + high), fill=tuple(color.tolist()))
    return image


def rows_file(work: Path, split: str, part: str) -> Path:
    return work / split / f"demo_{part}{STRATEGY.suffix}.jsonl"


def write(work: Path, seeds: Sequence[int], crops: int) -> dict[str, int]:
    """Write images, and the rows of each seed's split and of the first model. crops: at most, of each photograph or
    picture, kind and level. Returns part -> rows, the same of each split.
    """
    (work / "images").mkdir(parents=True, exist_ok=True)
    photos = {Path(name).stem: (package, name) for part in photographs.PARTS.values() for package, name in part}
    with ProcessPoolExecutor() as pool:
        pictures = pool.map(_of_picture, repeat(work), range(DRAWN), repeat(min(crops, DRAWN_CROPS)))
        rows = dict(zip(photos, pool.map(_of_photograph, repeat(work), photos.values(), repeat(crops))))
        sizes = {"first": _write(work, FIRST, {"train": [row for picture in pictures for _, row in picture]})["train"]}
    for seed in seeds:
        counted = {
            part: [row for stem in stems for number, row in rows[stem] if number < CROPS[part]]
            for part, stems in split(seed).items()
        }
        sizes |= _write(work, f"split{seed}", counted)
    return sizes


def _write(work: Path, folder: str, parts: dict[str, list[Example]]) -> dict[str, int]:
    (work / folder).mkdir(exist_ok=True)
    files = {part: rows_file(work, folder, part) for part in parts}
    write_json(work / folder / "dataset_info.json", {file.stem: stanza(file.name) for file in files.values()})
    more = {part: [{"votes": list(row.votes)} if row.votes else {} for row in rows] for part, rows in parts.items()}
    return {part: write_jsonl(files[part], map(_row, rows, more[part])) for part, rows in parts.items()}


def _row(example: Example, more: dict) -> dict:
    return to_row(example, **more)


def _of_photograph(work: Path, source: tuple[str, str], crops: int) -> list[tuple[int, Example]]:
    """(number of the crop, example) of a photograph, whose images are written."""
    stem, panel = Path(source[1]).stem, raters()
    rng, rows = np.random.default_rng([SEED, *stem.encode()]), []
    for number, level, example in _crops(work, photographs.load(*source), stem, crops, rng):
        counts = votes(level, panel, rng)
        shares = tuple((counts / counts.sum()).round(6).tolist())
        rows.append((number, example._replace(label=label(counts), votes=shares)))
    return rows


def _of_picture(work: Path, picture: int, crops: int) -> list[tuple[int, Example]]:
    """The same of a drawn picture, without raters."""
    rng = np.random.default_rng([SEED, picture])
    return [(number, row) for number, _, row in _crops(work, drawn(picture), f"drawn{picture}", crops, rng)]


def _crops(
    work: Path, photo: Image.Image, stem: str, crops: int, rng: np.random.Generator
) -> Iterator[tuple[int, int, Example]]:
    """(number of the crop, level, example labeled by the level)."""
    for number in range(min(crops, max(CROPS.values()))):
        for kind in KINDS:
            for level in range(5):
                id = f"{stem}_{kind}_{number}_{level}"
                pixels = photographs.crop(photo, rng)
                distorted = distort(photographs.recolor(pixels, rng), kind, level, rng)
                Image.fromarray(distorted).save(work / "images" / f"{id}.png", compress_level=1)
                yield number, level, Example(id, "demo", f"images/{id}.png", level, IQA, STRATEGY.name, stem)
