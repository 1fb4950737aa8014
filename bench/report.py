"""How fast eval/report.py is: python -m bench.report. Predictions for the 14 test sets of the paper, 80,382 rows.

Seven datasets are predicted as eval/predict.py writes, with distributions, seven as LLaMA-Factory does. The test and
train files are of the paper's size, too, and the images are 1,000 photographs of noise, 1.2 megapixels, that all rows
share. Results are in bench/README.md. Budget: 60 s and 5 MB.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from bench.timed import timed
from storm.datasets import DATASETS
from storm.files import write_jsonl
from storm.options import Parser
from storm.prompts import answer, question
from storm.rows import Example, to_row
from storm.scales import Scale

IMAGES, SIZE = 1000, (1280, 960)
IMAGE_TOKENS = 735  # at LLaMA-Factory's default pixel limit


def images(folder: Path) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        blur = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
        blur.save(folder / f"{number}.jpg", quality=85)


def random_labels(rng: np.random.Generator, scale: Scale, rows: int) -> np.ndarray:
    """Labels, more of them in the middle of the scale."""
    return scale.lo + np.rint(rng.beta(2, 3, rows) * (scale.hi - scale.lo)).astype(int)


def examples(name: str, part: str, labels: np.ndarray, subjects: bool = False) -> Iterator[dict]:
    """Rows of a test or train file; of faces, or with `subjects`, three a subject."""
    subjects |= DATASETS[name].domain == "FAE"
    for number, label in enumerate(labels.tolist()):
        subject = f"{part}{number // 3}" if subjects else ""
        image = f"{number % IMAGES}.jpg"
        yield to_row(Example(f"{name}-{part}-{number}", name, image, label, DATASETS[name].scale, "cot", subject))


def texts(rng: np.random.Generator, name: str, labels: np.ndarray) -> Iterator[dict]:
    """What LLaMA-Factory writes, one text in a hundred unparsed."""
    scale = DATASETS[name].scale
    prompt = question(scale, "cot").replace("<image>", "<|image_pad|>" * IMAGE_TOKENS)
    preds = np.clip(np.rint(labels + rng.normal(0, (scale.hi - scale.lo) / 6, len(labels))), scale.lo, scale.hi)
    for label, pred, lost in zip(labels.tolist(), preds.astype(int).tolist(), rng.random(len(labels)) < 0.01):
        text = "I cannot tell from this photograph." if lost else answer(scale, "cot", pred)
        yield {"prompt": prompt, "predict": text, "label": answer(scale, "cot", label) + "\n"}


def distributions(rng: np.random.Generator, name: str, labels: np.ndarray) -> Iterator[dict]:
    """What eval/predict.py writes."""
    scale = DATASETS[name].scale
    levels = np.arange(scale.lo, scale.hi + 1)
    for number, label in enumerate(labels.tolist()):
        width = len(levels) / 6
        logp = -((levels - rng.normal(label, width)) ** 2) / (2 * width**2)
        probs = np.round(np.exp(logp) / np.exp(logp).sum(), 6)
        text = answer(scale, "cot", int(levels[probs.argmax()]))
        row = {"id": f"{name}-test-{number}", "dataset": name, "scale": scale.name, "strategy": "cot"}
        row |= {"image": f"{number % IMAGES}.jpg", "label": answer(scale, "cot", label), "predict": text}
        yield row | {"probs": (probs / probs.sum()).tolist()}


def main() -> None:
    Parser(prog="python -m bench.report", description=__doc__.split(": python")[0]).parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, rng = Path(temporary), np.random.default_rng(0)
        images(folder / "raw")
        for number, (name, facts) in enumerate(tqdm(DATASETS.items(), "predictions", unit="dataset")):
            for part, rows in (("train", facts.sizes.train), ("test", facts.sizes.test)):
                labels = random_labels(rng, facts.scale, rows)
                write_jsonl(folder / "data" / f"{name}_{part}.jsonl", examples(name, part, labels))
            path = folder / "run" / name / "generated_predictions.jsonl"
            write_jsonl(path, (distributions if number % 2 else texts)(rng, name, labels))
        out = folder / "report.html"
        data = ["--data", folder / "data", "--media", folder / "raw"]
        took, size = timed("eval/report.py", folder / "run", "--out", out, *data), out.stat().st_size / 1e6
    total = sum(facts.sizes.test for facts in DATASETS.values())
    print(f"\n{total:,} rows: {took}, {size:.1f} MB")


if __name__ == "__main__":
    main()
