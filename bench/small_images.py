"""How fast data_prep checks and hashes small photographs: python -m bench.small_images [N].

N JPEGs (by default 600) of 250 x 250 and of 512 x 384 pixels, the sizes of CACD and of KonIQ's small copy, cut from the
demo's photographs; one process, the best of three runs. Results are in bench/README.md.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from data_prep.images import check
from data_prep.options import Options
from demo.photographs import TEST, TRAIN, load
from storm.options import Parser, positive
from storm.text import table

SIZES = ((250, 250), (512, 384))  # pixels
HEAD = ["pixels", "images", "ms of CPU an image"]


def write(raw: Path, size: tuple[int, int], number: int) -> list[str]:
    """Random cuts of the photographs, as JPEGs of quality 90. Returns their names."""
    rng, photos, names = np.random.default_rng(0), [load(*name) for name in TRAIN + TEST], []
    for n in range(number):
        photo = photos[n % len(photos)]
        side = min(200, *photo.size)
        left, top = (int(rng.integers(0, extent - side + 1)) for extent in photo.size)
        names.append(f"{n}.jpg")
        photo.crop((left, top, left + side, top + side)).resize(size).save(raw / names[-1], quality=90)
    return names


def main() -> None:
    parser = Parser(prog="python -m bench.small_images", description=__doc__.split(": python")[0])
    parser.add_argument("number", nargs="?", type=positive, default=600, metavar="N", help="images (default: 600)")
    number, rows = parser.parse_args().number, [HEAD]
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            raw, best = Path(folder) / "raw", float("inf")
            raw.mkdir()
            names = write(raw, size, number)
            for run in range(4):  # the first imports what is needed and does not count
                start = time.process_time()
                check(names, "bench", Options(raw, Path(folder) / f"out{run}", workers=1))
                best = min(best, time.process_time() - start) if run else best
            rows.append(["{} x {}".format(*size), number, f"{best / number * 1000:.2f}"])
    print(table(rows, "markdown"))


if __name__ == "__main__":
    main()
