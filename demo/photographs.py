"""Rate how noisy a crop of a photograph is: a small image quality task that needs no download.

python -m demo.photographs cuts crops from photographs that ship inside scikit-image, scikit-learn, matplotlib and
gradio, adds one of five strengths of noise (Bad .. Excellent), and writes conversations to data/demo/ in all prompt
strategies. No two of train, val and test have crops of the same photograph.
"""

import argparse
from collections.abc import Iterator
from importlib.util import find_spec
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
CROPS = {"train": 32, "val": 12, "test": 12}  # of each photograph at each level: 3,040, 240 and 240 crops
SEED = 0

# All photographs in the packages that we install, by package: public domain or CC0 in scikit-image and matplotlib, CC
# BY in scikit-learn (see its README.txt); gradio (Apache-2.0) names no license of its own for them. Left out: drawings,
# a still from a film, one of 102 pixels. Dividing by photograph is the whole point: a validation or test crop is of a
# thing never seen.
TRAIN = (
    ("gradio", "media_assets/images/cheetah.jpg"),
    ("gradio", "media_assets/images/cheetah1.jpg"),
    ("gradio", "test_data/cheetah2.jpg"),
    ("skimage.data", "astronaut.png"),
    ("skimage.data", "brick.png"),
    ("skimage.data", "camera.png"),
    ("skimage.data", "cell.png"),
    ("skimage.data", "clock_motion.png"),
    ("skimage.data", "coins.png"),
    ("skimage.data", "grass.png"),
    ("skimage.data", "gravel.png"),
    ("skimage.data", "hubble_deep_field.jpg"),
    ("skimage.data", "ihc.png"),
    ("skimage.data", "moon.png"),
    ("skimage.data", "motorcycle_left.png"),  # one scene with the next
    ("skimage.data", "motorcycle_right.png"),
    ("skimage.data", "page.png"),
    ("skimage.data", "retina.jpg"),
    ("skimage.data", "text.png"),
)
VAL = (
    ("gradio", "media_assets/images/lion.jpg"),
    ("gradio", "media_assets/images/tower.jpg"),
    ("skimage.data", "chelsea.png"),
    ("skimage.data", "rocket.jpg"),
)
TEST = (
    ("skimage.data", "coffee.png"),
    ("sklearn.datasets.images", "china.jpg"),
    ("sklearn.datasets.images", "flower.jpg"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
)
PARTS = {"train": TRAIN, "val": VAL, "test": TEST}


def load(package: str, name: str) -> Image.Image:
    """The photograph, RGB. Raises FileNotFoundError if the installed package does not ship it."""
    top, *below = package.split(".")
    if not (spec := find_spec(top)):  # finds the folder without an import, which takes seconds for gradio
        raise FileNotFoundError(f"{top}: not installed; run make setup")
    with Path(spec.submodule_search_locations[0], *below, name).open("rb") as file:
        return Image.open(file).convert("RGB")


def crop(photo: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """A random square of the photograph, shrunk by at most half: uint8, (SIZE, SIZE, 3)."""
    side = min(int(SIZE * rng.uniform(1, 2)), *photo.size)
    left, top = (int(rng.integers(0, extent - side + 1)) for extent in photo.size)
    square = photo.crop((left, top, left + side, top + side)).resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    return np.asarray(square)


def recolor(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirror, turn, swap the colors and change the light at random: what must not matter to the rating of noise.

    So few photographs show few colors; without this, what none of them shows (a clear sky) looks like a fault.
    """
    pixels = np.rot90(pixels, rng.integers(4))[:, :: rng.choice([1, -1])][:, :, rng.permutation(3)]
    gain, shade = rng.uniform(0.5, 1.2), rng.uniform(-40, 100)
    return np.clip(pixels * gain + shade, 0, 255)


def distort(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """Add the noise of a level, 0 (Bad) .. 4 (Excellent, none). Same shape and type."""
    noisy = pixels + rng.normal(0, 1, pixels.shape) * SIGMA[level]
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def examples(part: str, out: Path) -> Iterator[Example]:
    """Write the crops of each photograph of a part at each of the five levels as PNG; yield an example of each."""
    for package, name in tqdm(PARTS[part], desc=f"demo {part}", unit="photo"):
        photo, stem = load(package, name), Path(name).stem
        rng = np.random.default_rng([SEED, *stem.encode()])
        for number in range(CROPS[part]):
            for level in range(len(SIGMA)):
                id = f"{stem}_{number:03d}_{level}"
                image = f"images/{part}/{id}.png"
                pixels = crop(photo, rng)
                if part == "train":
                    pixels = recolor(pixels, rng)
                Image.fromarray(distort(pixels, level, rng)).save(out / image)
                # The photograph is the subject: its crops are alike.
                yield Example(id, "demo", image, level, IQA, next(iter(STRATEGIES)), stem)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.photographs", description="Write the data of the demo.")
    parser.parse_args(argv)
    rows = [["part", "crops", "photographs", "file, and one for each other prompt strategy"]]
    for part, photos in PARTS.items():
        (OUT / "images" / part).mkdir(parents=True, exist_ok=True)
        crops = list(examples(part, OUT))
        for strategy in reversed(STRATEGIES):  # cot comes last: make takes demo_test.jsonl for the end of all this
            path = OUT / f"demo_{part}{STRATEGIES[strategy].suffix}.jsonl"
            write_jsonl(path, (to_row(row._replace(strategy=strategy)) for row in crops))
        rows.append([part, len(crops), len(photos), str(path)])
    print(table(rows))


if __name__ == "__main__":
    main()
