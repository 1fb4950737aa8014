"""Predictions of two runs, one test set of which has votes, and the report of them, for the tests of eval/report.py."""

from pathlib import Path

import numpy as np
from PIL import Image

from eval.report import main
from storm.datasets import SCALES
from storm.files import write_jsonl
from storm.prompts import answer
from storm.rows import Example, to_row

SCRIPT = '<script>window.hacked=1</script></script>"><img src=x onerror=window.hacked=2>'
ROWS = 30


def write_runs(folder: Path) -> Path:
    """A run of texts and a better, exact one, of test sets of levels (spaq and hci) and years (utk)."""
    rng = np.random.default_rng(0)
    for dataset in ("spaq", "hci", "utk"):
        scale = SCALES[dataset]
        levels = np.arange(scale.lo, scale.hi + 1)
        labels = rng.integers(scale.lo, min(scale.hi, 80) + 1, ROWS).tolist()
        for part, all_labels in {"test": labels, "train": labels * 3 + [scale.lo]}.items():
            examples = [
                Example(f"{dataset}-{number}", dataset, f"{dataset}{number}.png", label, scale, "cot")
                for number, label in enumerate(all_labels)
            ]
            votes = {"votes": [0.1, 0.2, 0.4, 0.2, 0.1]} if dataset == "spaq" else {}
            rows = [to_row(example, **votes) for example in examples]
            write_jsonl(folder / "data" / f"{dataset}_{part}.jsonl", rows)
        for number in range(ROWS - 1):  # the last image is missing
            image = Image.new("RGB", (300, 200), (number * 6, 100, 200))
            image.save(folder / "data" / f"{dataset}{number}.png")
        for run, spread in (("first", 1.0), ("second", 0.6)):
            rows = []
            for number, label in enumerate(labels):
                width = spread * (1 if scale.unit == "level" else 6)
                probs = np.exp(-((levels - rng.normal(label, width)) ** 2) / (2 * width**2))
                text = answer(scale, "cot", int(levels[probs.argmax()]))
                row = {"predict": text, "label": answer(scale, "cot", label) + "\n", "prompt": "<image> Rate."}
                if run == "second":
                    row |= {"id": f"{dataset}-{number}", "probs": (probs / probs.sum()).tolist()}
                rows.append(row)
            if run == "first":
                rows[0] |= {"predict": SCRIPT}
            write_jsonl(folder / run / dataset / "generated_predictions.jsonl", rows)
    return folder


def write_report(folder: Path, *runs: str, out: str = "report.html", code: int = 0) -> str:
    """The report of runs in this folder, of both if none is named."""
    paths = [str(folder / run) for run in runs or ("first", "second")]
    assert main([*paths, "--out", str(folder / out), "--data", str(folder / "data")]) == code
    return page_of(folder, out)


def page_of(folder: Path, out: str = "report.html") -> str:
    return (folder / out).read_text(encoding="utf-8")
