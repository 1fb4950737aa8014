"""Rate how noisy a crop of a photograph is: a small image quality task that needs no download.

python -m demo.photographs cuts crops from photographs that ship inside scikit-image, scikit-learn and matplotlib, adds
one of five strengths of noise (Bad .. Excellent), and writes conversations to data/demo/ in all prompt strategies.
No test crop comes from a photograph that a training crop comes from.
"""

import argparse
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from storm.files import write_jsonl
from storm.prompts import STRATEGIES
from storm.rows import Example, to_row
from storm.scales import IQA
from storm.text import table

OUT = Path("data/demo")
SIZE = 112  # pixels; 4 x 4 image tokens for Qwen2.5-VL
SIGMA = (60, 34, 18, 8, 0)  # noise of level 0 (Bad) .. 4 (Excellent), in gray values of 255
TRAIN_CROPS, TEST_CROPS = 50, 12  # of each photograph at each level: 3,000 and 240 crops
SEED = 0

# Photographs, by the package that ships them: public domain or CC0 in scikit-image and matplotlib, CC BY in
# scikit-learn (see its README.txt). Dividing by photograph is the whole point: a test crop is of a thing never seen.
TRAIN = (
    ("skimage.data", "astronaut.png"),
    ("skimage.data", "brick.png"),
    ("skimage.data", "camera.png"),
    ("skimage.data", "chelsea.png"),
    ("skimage.data", "coins.png"),
    ("skimage.data", "grass.png"),
    ("skimage.data", "gravel.png"),
    ("skimage.data", "ihc.png"),
    ("skimage.data", "moon.png"),
    ("skimage.data", "motorcycle_left.png"),
    ("skimage.data", "retina.jpg"),
    ("skimage.data", "rocket.jpg"),
)
TEST = (
    ("skimage.data", "coffee.png"),
    ("sklearn.datasets.images", "china.jpg"),
    ("sklearn.datasets.images", "flower.jpg"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
)


def load(package: str, name: str) -> Image.Image:
    """The photograph, RGB. Raises FileNotFoundError if the installed package does not ship it."""
    with files(package).joinpath(name).open("rb") as file:
        return Image.open(file).convert("RGB")


def crop(photo: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """A random square of the photograph, shrunk by at most half: uint8, (SIZE, SIZE, 3)."""
    side = int(SIZE * rng.uniform(1, 2))
    left, top = (int(rng.integers(0, extent - side + 1)) for extent in photo.size)
    square = photo.crop((left, top, left + side, top + side)).resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    return np.asarray(square)


def recolor(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirror, turn, swap the colors and change the light at random: what must not matter to the rating of noise.

    A dozen photographs show few colors; without this a clear sky, which none of them has, looks like a fault.
    """
    pixels = np.rot90(pixels, rng.integers(4))[:, :: rng.choice([1, -1])][:, :, rng.permutation(3)]
    gain, shade = rng.uniform(0.5, 1.2), rng.uniform(-40, 100)
    return np.clip(pixels * gain + shade, 0, 255)


def distort(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """Add the noise of a level, 0 (Bad) .. 4 (Excellent, none). Same shape and type."""
    noisy = pixels + rng.normal(0, 1, pixels.shape) * SIGMA[level]
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def examples(split: str, photos: tuple[tuple[str, str], ...], crops: int, out: Path) -> Iterator[Example]:
    """Write `crops` crops of each photograph at each of the five levels as PNG; yield an example of each."""
    for package, name in tqdm(photos, desc=f"demo {split}", unit="photo"):
        photo, stem = load(package, name), Path(name).stem
        rng = np.random.default_rng([SEED, *stem.encode()])
        for number in range(crops):
            for level in range(len(SIGMA)):
                id = f"{stem}_{number:03d}_{level}"
                image = f"images/{split}/{id}.png"
                pixels = crop(photo, rng)
                if split == "train":
                    pixels = recolor(pixels, rng)
                Image.fromarray(distort(pixels, level, rng)).save(out / image)
                # The photograph is the subject: its crops are alike.
                yield Example(id, "demo", image, level, IQA, next(iter(STRATEGIES)), stem)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.photographs", description="Write the data of the demo.")
    parser.parse_args(argv)
    rows = [["part", "crops", "photographs", "file, and one for each other prompt strategy"]]
    for split, photos, crops in (("train", TRAIN, TRAIN_CROPS), ("test", TEST, TEST_CROPS)):
        (OUT / "images" / split).mkdir(parents=True, exist_ok=True)
        crop_rows = list(examples(split, photos, crops, OUT))
        for strategy in reversed(STRATEGIES):  # cot comes last: make takes demo_test.jsonl for the end of all this
            path = OUT / f"demo_{split}{STRATEGIES[strategy].suffix}.jsonl"
            write_jsonl(path, (to_row(row._replace(strategy=strategy)) for row in crop_rows))
        rows.append([split, len(crop_rows), len(photos), str(path)])
    print(table(rows))


if __name__ == "__main__":
    main()
