"""How busy a GPU is: python -m bench.starve [--side PIXELS ...] [--rate IMAGES] [--rows N] [--workers once|N ...].

The GPU is played by a timer: it rates `rate` images a second and takes no core. Everything before it is real: the
photographs (JPEG) are read, decoded, resized and made into the inputs of a Qwen2.5-VL by eval/predict.py's own code.
Each number of workers takes its turn on the same rows. "once" is one process that prepares the images of a block at
once, as LLaMA-Factory does. Images/s and "busy" are of the whole run; "later" is busy after the first block, for which
any number of workers waits. Results, with the machine named, are in bench/README.md.
"""

import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from storm.options import Parser, positive
from storm.rows import Example
from storm.scales import IQA
from storm.text import table

MODEL = Path("saves/demo")
ONCE = "once"
HEAD = ["megapixels", "workers", "images/s", "busy", "later", "CPU ms an image", "page faults an image"]


def _workers(text: str) -> int | str:
    """A number of workers, or ONCE. Raises ValueError."""
    return text if text == ONCE else int(text)


def photographs(folder: Path, side: int, count: int) -> list[Example]:
    """Smooth noise, which JPEG packs about as well as photographs."""
    rng = np.random.default_rng(0)
    for number in range(min(count, 16)):
        small = rng.integers(0, 256, (side // 8, side // 8, 3), np.uint8)
        Image.fromarray(small).resize((side, side)).save(folder / f"{number}.jpg", quality=90)
    return [Example(str(n), "spaq", f"{n % 16}.jpg", 0, IQA, "cot") for n in range(count)]


def used() -> tuple[float, int]:
    """(seconds of CPU, page faults) of this process and of those that it waited for."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both), sum(one.ru_minflt for one in both)


def main() -> None:
    parser = Parser(prog="python -m bench.starve", description=__doc__.split(": python")[0])
    parser.add_argument(
        "--side", type=positive, nargs="+", default=[1000, 3464], metavar="PIXELS", help="of the squares"
    )
    parser.add_argument("--rate", type=positive, default=30, metavar="IMAGES", help="a second, of the GPU (30)")
    parser.add_argument("--rows", type=positive, default=96, metavar="N", help="photographs of each turn (96)")
    ways = {"type": _workers, "nargs": "+", "default": [ONCE, 0, 1, 2, 4], "metavar": "once|N"}
    parser.add_argument("--workers", help="numbers to compare", **ways)
    args = parser.parse_args()
    import torch

    from eval.inference import blocks
    from eval.inference.ahead import prepared
    from eval.inference.model import load
    from eval.inference.one_by_one import keep_memory
    from eval.inference.rater import Rater
    from eval.inference.settings import Settings

    torch.set_num_threads(1)
    settings = Settings(model=str(MODEL), image_max_pixels=1003520, cutoff_len=8192)
    loaded, lines = load(settings, torch.device("cpu")), [HEAD]
    for side in args.side:
        with tempfile.TemporaryDirectory() as folder:
            rows = photographs(Path(folder), side, args.rows)
            for workers in args.workers:
                rater = Rater(loaded._replace(prompts={}, checked={}), replace(settings, media=Path(folder)))
                rater.one_by_one = workers != ONCE
                if workers == 0:
                    keep_memory()  # as eval/predict.py does
                each = blocks.of_tokens(rows, blocks.prompt_tokens(rater), blocks.TOKENS["cuda"], blocks.ROWS["cuda"])
                each = map(rater.prepare, each) if workers in (ONCE, 0) else prepared(rater, each, workers)
                begin, (cpu, faults), busy, first = time.perf_counter(), used(), 0.0, 0.0
                for block in each:
                    first = first or time.perf_counter() - begin
                    time.sleep(len(block.block) / args.rate)
                    busy += len(block.block) / args.rate
                took, after = time.perf_counter() - begin, used()
                cost = [round(1000 * (after[0] - cpu) / len(rows)), round((after[1] - faults) / len(rows))]
                size = round(side * side / 1e6, 1)
                shares = f"{busy / took:.0%}", f"{busy / (took - first):.0%}"
                lines.append([size, workers, round(len(rows) / took, 1), *shares, *cost])
    print(table(lines))


if __name__ == "__main__":
    main()
