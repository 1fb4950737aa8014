"""A harder demo for bench/objectives.py: five distortions of the demo's 27 photographs, and raters who disagree.

A crop has one of KINDS of distortion at one of five strengths. FEWEST .. MOST raters vote on it, each with a bias and a
scatter of its own; its label is the mean of their votes, rounded. Every seed has its own 12 photographs in test.
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from data_prep.registry import stanza
from demo import photographs
from storm.files import write_json, write_jsonl
from storm.prompts import STRATEGIES
from storm.rows import Example, to_row
from storm.scales import IQA

# The strengths of level 0 (Bad) .. 4 (Excellent, none). Our choice: by eye, each about as far from the next.
SIGMA = (60, 34, 18, 8, 0)  # of noise, in gray values of 255, as in the demo
RADIUS = (4.0, 2.4, 1.4, 0.7, 0)  # of a Gaussian blur, in pixels
QUALITY = (4, 9, 17, 32, None)  # of a JPEG
LIGHT = (0.12, 0.27, 0.45, 0.7, 1.0)  # what is left of each gray value
CONTRAST = (0.1, 0.22, 0.4, 0.65, 1.0)  # what is left of the distance to the mean gray value
KINDS = ("noise", "blur", "jpeg", "dark", "flat")

RATERS, FEWEST, MOST = 24, 5, 8  # in all, and of a crop
BIAS, SCATTER = 0.5, (0.3, 0.9)  # levels: the standard deviation over raters, and the range of theirs over crops
# Two photographs of one scene, so always in train; the demo's own four are always val; of the 21 others, 12 are tested.
PAIR = ("motorcycle_left", "motorcycle_right")
TESTED = 12
CROPS = {"train": 6, "val": 3, "test": 3}  # of each photograph, kind and level
STRATEGY = STRATEGIES["direct"]  # our choice: the shortest prompts; three times as many trainings fit the time
SEED = 0


def distort(pixels: np.ndarray, kind: str, level: int, rng: np.random.Generator) -> np.ndarray:
    """Pixels, uint8 (H, W, 3), with a distortion at a level, 0 (Bad) .. 4 (Excellent, none)."""
    image = Image.fromarray(pixels)
    if kind == "blur":
        return np.asarray(image.filter(ImageFilter.GaussianBlur(RADIUS[level])))
    if kind == "jpeg":
        if QUALITY[level] is None:
            return pixels
        image.save(packed := io.BytesIO(), "JPEG", quality=QUALITY[level])
        return np.asarray(Image.open(packed))
    changed = {
        "noise": lambda: pixels + rng.normal(0, 1, pixels.shape) * SIGMA[level],
        "dark": lambda: pixels * LIGHT[level],
        "flat": lambda: pixels.mean() + (pixels - pixels.mean()) * CONTRAST[level],
    }[kind]()
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


def rows_file(work: Path, seed: int, part: str) -> Path:
    return work / f"split{seed}" / f"demo_{part}{STRATEGY.suffix}.jsonl"


def write(work: Path, seeds: Sequence[int], crops: int) -> dict[str, int]:
    """Write images, and the rows of each seed's split. crops: at most, of each photograph, kind and level.

    Returns part -> rows, the same of each split.
    """
    (work / "images").mkdir(parents=True, exist_ok=True)
    photos = {Path(name).stem: (package, name) for part in photographs.PARTS.values() for package, name in part}
    rows = {stem: list(_examples(work, stem, place, crops)) for stem, place in photos.items()}
    sizes = {}
    for seed in seeds:
        folder = work / f"split{seed}"
        folder.mkdir(exist_ok=True)
        for part, stems in split(seed).items():
            counted = [row for stem in stems for number, row in rows[stem] if number < CROPS[part]]
            lines = (to_row(row, votes=list(row.votes)) for row in counted)
            sizes[part] = write_jsonl(rows_file(work, seed, part), lines)
        files = {part: rows_file(work, seed, part) for part in CROPS}
        write_json(folder / "dataset_info.json", {file.stem: stanza(file.name) for file in files.values()})
    return sizes


def _examples(work: Path, stem: str, source: tuple[str, str], crops: int) -> Iterator[tuple[int, Example]]:
    """(number of the crop, example) of a photograph, whose images are written."""
    photo, panel, rng = photographs.load(*source), raters(), np.random.default_rng([SEED, *stem.encode()])
    for number in range(min(crops, max(CROPS.values()))):
        for kind in KINDS:
            for level in range(5):
                id = f"{stem}_{kind}_{number}_{level}"
                pixels = photographs.crop(photo, rng)
                # Colors and direction must not matter. Light must: so not the demo's recolor().
                pixels = np.rot90(pixels, rng.integers(4))[:, :: rng.choice([1, -1])][:, :, rng.permutation(3)]
                distorted = distort(np.ascontiguousarray(pixels), kind, level, rng)
                Image.fromarray(distorted).save(work / "images" / f"{id}.png", compress_level=1)
                counts = votes(level, panel, rng)
                shares = tuple((counts / counts.sum()).round(6).tolist())
                place = f"images/{id}.png"
                yield number, Example(id, "demo", place, label(counts), IQA, STRATEGY.name, stem, votes=shares)
