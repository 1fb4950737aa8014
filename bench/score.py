"""How fast eval/score.py is: python bench/score.py [ROWS ...]. Makes predictions as LLaMA-Factory writes them.

All 14 datasets in the proportions of the paper's test sets, with the test files that they are joined to, in which three
rows share a subject. Results, with the machine named, are in bench/README.md. Budget: 80,382 rows in 3.5 s of CPU and
1 GB, 655,000 in 4 minutes.
"""

import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from eval.scoring.scores import TEST_ROWS
from storm.datasets import SCALES
from storm.files import write_jsonl
from storm.prompts import answer, question
from storm.rows import Example, to_row

ROWS = (80_382, 655_000)  # all test sets (paper, Tables 6 and 7); all rows of the benchmark
IMAGE_TOKENS = 735  # at LLaMA-Factory's default pixel limit; a row is then 10 kB
ROOT = Path(__file__).resolve().parent.parent


def make(folder: Path, rows: int) -> None:
    """Test files below folder/data, predictions below folder/run: right in half of the rows, 1% unparsed."""
    rng, whole = random.Random(0), sum(TEST_ROWS.values())
    for name, scale in SCALES.items():
        labels = [rng.randint(scale.lo, scale.hi) for _ in range(round(TEST_ROWS[name] * rows / whole))]
        examples = (
            Example(f"{i}", name, "x.jpg", label, scale, "cot", subject=f"{i // 3}") for i, label in enumerate(labels)
        )
        write_jsonl(folder / "data" / f"{name}_test.jsonl", map(to_row, examples))
        prompt = question(scale, "cot").replace("<image>", "<|image_pad|>" * IMAGE_TOKENS)
        texts = [
            answer(scale, "cot", label if rng.random() < 0.5 else rng.randint(scale.lo, scale.hi))
            if rng.random() < 0.99
            else "I cannot tell."
            for label in labels
        ]
        predicted = (
            {"prompt": prompt, "predict": text, "label": answer(scale, "cot", label) + "\n"}
            for text, label in zip(texts, labels)
        )
        write_jsonl(folder / "run" / name / "generated_predictions.jsonl", predicted)


def main() -> None:
    before = 0.0
    for rows in [int(word) for word in sys.argv[1:]] or ROWS:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            make(folder, rows)
            size = sum(path.stat().st_size for path in (folder / "run").rglob("*.jsonl")) / 1e9
            start = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "eval/score.py", folder / "run", "--data", folder / "data"], cwd=ROOT, text=True
            )
            peak = 0.0
            while process.poll() is None:  # not getrusage's, which begins at this process' own
                status = Path(f"/proc/{process.pid}/status").read_text()
                peak = max([peak, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
                time.sleep(0.05)
            seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu, before = used.ru_utime + used.ru_stime - before, used.ru_utime + used.ru_stime
        what = f"{seconds:.1f} s, {cpu:.1f} s of CPU, at most {peak / 1024:.0f} MB"
        print(f"\n{rows:,} rows, {size:.2f} GB: {what}", flush=True)


if __name__ == "__main__":
    main()
