"""How fast data_prep/images.py shrinks photographs: python -m bench.images [N]. Plain Pillow does the same beside it.

The N photographs have 12 megapixels: those of the demo, enlarged, with mild noise, as JPEGs of about 3.5 MB. Plain
Pillow does not hash; ours does. Results, with the machine named, are in bench/README.md. Budget: 3 times the images
per second, PSNR at least 35 dB.
"""

import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from data_prep.images import check, fit
from data_prep.options import Options
from demo.photographs import TEST, TRAIN, load

SIZE = (4000, 3000)
NOISE = 4  # standard deviation, of 255 grey values
LIMITS = (262_144, 589_824, 1_003_520)  # pixels: 512 x 512, LLaMA-Factory's default 768 x 768, 1280 tokens of 28 x 28


def photograph(number: int, path: Path) -> None:
    photos = TRAIN + TEST
    image = ImageOps.fit(load(*photos[number % len(photos)]), SIZE, Image.Resampling.BICUBIC)
    noise = np.random.default_rng(number).standard_normal((SIZE[1], SIZE[0], 3), np.float32) * NOISE
    pixels = np.clip(np.rint(np.asarray(image) + noise), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=95)


def plain(pixels: int, out: Path, path: Path) -> None:
    """What one writes first."""
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    image.resize(fit(*image.size, pixels), Image.Resampling.LANCZOS).save(out / path.name, quality=95)


def psnr(one: Path, two: Path) -> float:
    """Peak signal-to-noise ratio of two images, in dB."""
    a, b = (np.asarray(Image.open(path), np.float64) for path in (one, two))
    return 10 * np.log10(255**2 / np.mean((a - b) ** 2))


def run_plain(paths: list[Path], pixels: int, out: Path, workers: int) -> None:
    if workers == 1:
        list(map(partial(plain, pixels, out), paths))
        return
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(partial(plain, pixels, out), paths))


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        raw.mkdir()
        paths = [raw / f"{n}.jpg" for n in range(number)]
        for n, path in enumerate(tqdm(paths, "photographs")):
            photograph(n, path)
        megabytes = sum(path.stat().st_size for path in paths) / number / 1e6
        names = [path.name for path in paths]
        check(names[:1], "bench", Options(raw, Path(folder) / "warm", resize=LIMITS[0]))  # imports scipy
        for pixels in LIMITS:
            for workers in (1, 2):
                slow, fast = (Path(folder) / f"{kind}-{pixels}-{workers}" for kind in ("plain", "ours"))
                slow.mkdir()
                start = time.perf_counter()
                run_plain(paths, pixels, slow, workers)
                middle = time.perf_counter()
                check(names, "bench", Options(raw, fast, resize=pixels, workers=workers))
                end = time.perf_counter()
                worst = min(psnr(slow / name, fast / "images" / name) for name in names)
                rates = number / (middle - start), number / (end - middle)
                rows.append(f"{pixels:9,d} {workers:8d} {rates[0]:7.1f} {rates[1]:7.1f} {rates[1] / rates[0]:6.2f}")
                rows[-1] += f" {worst:7.1f} dB"
    busy = os.getloadavg()[0]
    print(f"\n{number} JPEGs of 12 megapixels, {megabytes:.1f} MB each; {os.cpu_count()} cores, load {busy:.1f}")
    print("   pixels  workers plain/s  ours/s  ratio worst PSNR", *rows, sep="\n")


if __name__ == "__main__":
    main()
