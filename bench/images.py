"""How fast data_prep/images.py shrinks photographs: python -m bench.images [N]. Plain Pillow does the same beside it.

The N photographs have 12 megapixels: those of the demo, enlarged, with mild noise, as JPEGs of about 3.5 MB. Plain
Pillow does not hash; ours does. Results, with the machine named, are in bench/README.md. Budget: 3 times the images
per second, PSNR at least 35 dB.
"""

import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from skimage.metrics import peak_signal_noise_ratio
from tqdm import tqdm

from data_prep.images import check
from data_prep.options import Options
from data_prep.pixels import fit
from demo.photographs import TEST, TRAIN, load
from storm.options import Parser, positive
from storm.text import table

SIZE = (4000, 3000)
HEAD = ["pixels at most", "workers", "plain, images/s", "ours, images/s", "ratio", "worst PSNR"]
NOISE = 4  # standard deviation, of 255 gray values
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


def main() -> None:
    parser = Parser(prog="python -m bench.images", description=__doc__.split(": python")[0])
    parser.add_argument("number", nargs="?", type=positive, default=40, metavar="N", help="photographs (default: 40)")
    number, rows = parser.parse_args().number, [HEAD]
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
                with ProcessPoolExecutor(workers) as pool:  # starts its processes at the first use
                    list((map if workers == 1 else pool.map)(partial(plain, pixels, slow), paths))
                middle = time.perf_counter()
                check(names, "bench", Options(raw, fast, resize=pixels, workers=workers))
                end = time.perf_counter()
                pairs = ([np.asarray(Image.open(root / name)) for root in (slow, fast / "images")] for name in names)
                worst = min(peak_signal_noise_ratio(*pair) for pair in pairs)  # in dB
                rates = number / (middle - start), number / (end - middle)
                speeds = [f"{rate:.1f}" for rate in (*rates, rates[1] / rates[0])]
                rows.append([pixels, workers, *speeds, f"{worst:.1f} dB"])
    busy = os.getloadavg()[0]
    print(f"\n{number} JPEGs of 12 megapixels, {megabytes:.1f} MB each; {os.cpu_count()} cores, load {busy:.1f}")
    print(table(rows, "markdown"))


if __name__ == "__main__":
    main()
