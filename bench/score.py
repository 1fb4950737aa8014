"""How fast eval/score.py is: python -m bench.score [ROWS ...]. Makes predictions as LLaMA-Factory writes them.

All 14 datasets in the proportions of the paper's test sets, with the test files that they are joined to, in which three
rows share a subject. Results, with the machine named, are in bench/README.md. Budget: 80,382 rows in 5 s of CPU and
500 MB, 655,000 in 4 minutes.
"""

import tempfile
from pathlib import Path

import numpy as np

from bench.report import examples, random_labels, texts
from bench.timed import timed
from eval.scoring.scores import TEST_ROWS
from storm.datasets import SCALES
from storm.files import write_jsonl
from storm.options import Parser, positive

ROWS = (80_382, 655_000)  # all test sets (paper, Tables 6 and 7); all rows of the benchmark


def make(folder: Path, rows: int) -> None:
    """Test files below folder/data, predictions below folder/run."""
    rng, whole = np.random.default_rng(0), sum(TEST_ROWS.values())
    for name, scale in SCALES.items():
        labels = random_labels(rng, scale, round(TEST_ROWS[name] * rows / whole))
        write_jsonl(folder / "data" / f"{name}_test.jsonl", examples(name, "test", labels, subjects=True))
        write_jsonl(folder / "run" / name / "generated_predictions.jsonl", texts(rng, name, labels))


def main() -> None:
    parser = Parser(prog="python -m bench.score", description=__doc__.split(": python")[0])
    parser.add_argument(
        "rows", nargs="*", type=positive, default=ROWS, metavar="ROWS", help="rows (default: %(default)s)"
    )
    for rows in parser.parse_args().rows:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            make(folder, rows)
            size = sum(path.stat().st_size for path in (folder / "run").rglob("*.jsonl")) / 1e9
            took = timed("eval/score.py", folder / "run", "--data", folder / "data")
        print(f"\n{rows:,} rows, {size:.2f} GB: {took}", flush=True)


if __name__ == "__main__":
    main()
