"""How fast eval/report.py is: python bench/report.py. Answers to all 14 test sets of the paper's sizes, 80,382 rows.

Seven datasets are answered as eval/predict.py writes, with distributions, seven as LLaMA-Factory does. The test and
train files are of the paper's size, too, the answers right with a chance of 1 in 2, and the images 1,000 photographs of
noise, 1.2 megapixels, that all rows share. Results are in bench/README.md. Budget: 60 s and 5 MB.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from storm.datasets import DATASETS
from storm.scales import Scale
from storm.prompts import answer, question
from storm.datasets import SCALES
from storm.rows import facts, turns
from storm.files import write_jsonl

ROOT = Path(__file__).resolve().parent.parent
IMAGES, SIZE = 1000, (1280, 960)
IMAGE_TOKENS = 735  # at LLaMA-Factory's default pixel limit


def images(folder: Path) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        blur = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
        blur.save(folder / f"{number}.jpg", quality=85)


def labels(rng: np.random.Generator, scale: Scale, rows: int) -> np.ndarray:
    """Right labels, more of them in the middle of the scale."""
    return scale.lo + np.rint(rng.beta(2, 3, rows) * (scale.hi - scale.lo)).astype(int)


def conversations(name: str, part: str, right: np.ndarray) -> Iterator[dict]:
    """Rows of a test or train file; of faces, three a person."""
    for number, label in enumerate(right.tolist()):
        more = {"subject": f"{part}{number // 3}"} if name in ("cacd", "morph", "adience") else {}
        image = f"{number % IMAGES}.jpg"
        known = facts(id=f"{name}-{part}-{number}", dataset=name, image=image, label=label, **more)
        yield turns(SCALES[name], "cot", label) | known


def texts(rng: np.random.Generator, name: str, right: np.ndarray) -> Iterator[dict]:
    """What LLaMA-Factory writes, one answer in a hundred unreadable."""
    scale = SCALES[name]
    prompt = question(scale, "cot").replace("<image>", "<|image_pad|>" * IMAGE_TOKENS)
    said = np.clip(np.rint(right + rng.normal(0, (scale.hi - scale.lo) / 6, len(right))), scale.lo, scale.hi)
    for label, other, lost in zip(right.tolist(), said.astype(int).tolist(), rng.random(len(right)) < 0.01):
        text = "I cannot tell from this photograph." if lost else answer(scale, "cot", other)
        yield {"prompt": prompt, "predict": text, "label": answer(scale, "cot", label) + "\n"}


def distributions(rng: np.random.Generator, name: str, right: np.ndarray) -> Iterator[dict]:
    """What eval/predict.py writes."""
    scale = SCALES[name]
    levels = np.arange(scale.lo, scale.hi + 1)
    for number, label in enumerate(right.tolist()):
        width = len(levels) / 6
        logp = -((levels - rng.normal(label, width)) ** 2) / (2 * width**2)
        probs = np.round(np.exp(logp) / np.exp(logp).sum(), 6)
        said = answer(scale, "cot", int(levels[probs.argmax()]))
        facts = {"id": f"{name}-test-{number}", "dataset": name, "image": f"{number % IMAGES}.jpg"}
        yield facts | {"label": answer(scale, "cot", label), "predict": said, "probs": (probs / probs.sum()).tolist()}


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder, rng = Path(temporary), np.random.default_rng(0)
        images(folder / "raw")
        for number, dataset in enumerate(tqdm(DATASETS, "predictions", unit="dataset")):
            name = dataset.name
            for part, rows in (("train", dataset.sizes.train), ("test", dataset.sizes.test)):
                right = labels(rng, SCALES[name], rows)
                write_jsonl(folder / "data" / f"{name}_{part}.jsonl", conversations(name, part, right))
            path = folder / "run" / name / "generated_predictions.jsonl"
            write_jsonl(path, (distributions if number % 2 else texts)(rng, name, right))
        out = folder / "report.html"
        command = [sys.executable, "eval/report.py", folder / "run", "--out", out, "--data", folder / "data"]
        start = time.perf_counter()
        subprocess.run([*command, "--media", folder / "raw"], check=True, cwd=ROOT)
        seconds, size = time.perf_counter() - start, out.stat().st_size / 1e6
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # kB on Linux
    print(f"\n{sum(d.sizes.test for d in DATASETS):,} rows: {seconds:.1f} s, {size:.1f} MB; memory {memory:.0f} MB")


if __name__ == "__main__":
    main()
