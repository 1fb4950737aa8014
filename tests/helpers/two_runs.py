"""Predictions of two runs and the report of them, for the tests of eval/report.py (fixtures `reported`, `answered`)."""

from pathlib import Path

import numpy as np
from PIL import Image

from storm.prompts import answer
from storm.datasets import SCALES
from storm.rows import facts, turns
from storm.files import write_jsonl
from eval.report import main

SCRIPT = '<script>window.hacked=1</script></script>"><img src=x onerror=window.hacked=2>'
ROWS = 30


def world(folder: Path) -> Path:
    """A run of texts and a better, exact one, of test sets of levels (spaq and hci) and years (utk)."""
    rng = np.random.default_rng(0)
    for dataset in ("spaq", "hci", "utk"):
        scale = SCALES[dataset]
        levels = np.arange(scale.lo, scale.hi + 1)
        right = rng.integers(scale.lo, min(scale.hi, 80) + 1, ROWS).tolist()
        for part, labels in {"test": right, "train": right * 3 + [scale.lo]}.items():
            rows = [
                turns(scale, "cot", label)
                | facts(id=f"{dataset}-{number}", dataset=dataset, image=f"{dataset}{number}.png", label=label)
                for number, label in enumerate(labels)
            ]
            write_jsonl(folder / "data" / f"{dataset}_{part}.jsonl", rows)
        for number in range(ROWS - 1):  # the last is missing
            image = Image.new("RGB", (300, 200), (number * 6, 100, 200))
            image.save(folder / "data" / f"{dataset}{number}.png")
        for run, spread in (("first", 1.0), ("second", 0.6)):
            rows = []
            for number, label in enumerate(right):
                width = spread * (1 if scale.unit == "level" else 6)
                probs = np.exp(-((levels - rng.normal(label, width)) ** 2) / (2 * width**2))
                said = answer(scale, "cot", int(levels[probs.argmax()]))
                row = {"predict": said, "label": answer(scale, "cot", label) + "\n", "prompt": "<image> Rate."}
                if run == "second":
                    row |= {"id": f"{dataset}-{number}", "probs": (probs / probs.sum()).tolist()}
                rows.append(row)
            if run == "first":
                rows[0] |= {"predict": SCRIPT}
            write_jsonl(folder / run / dataset / "generated_predictions.jsonl", rows)
    return folder


def made(folder: Path, *runs: str, out: str = "report.html", code: int = 0) -> str:
    paths = [str(folder / run) for run in runs or ("first", "second")]
    assert main([*paths, "--out", str(folder / out), "--data", str(folder / "data")]) == code
    return (folder / out).read_text(encoding="utf-8")


def page_of(shared: Path) -> str:
    return (shared / "report.html").read_text(encoding="utf-8")
