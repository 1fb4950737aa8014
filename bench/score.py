"""How fast eval/score.py is: python bench/score.py [ROWS]. Makes a file as LLaMA-Factory writes it and times it.

Results, with the machine named, are in bench/README.md. Budget: 80,382 rows in 20 s and 300 MB.
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from data_prep.questions import answer, question
from data_prep.scales import SCALES

ROWS = 80_382  # all 14 test sets (paper, Tables 6 and 7)
IMAGE_TOKENS = 735  # at LLaMA-Factory's default pixel limit; a row is then 10 kB


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    scale, rng = SCALES["ava"], random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ava" / "generated_predictions.jsonl"
        path.parent.mkdir()
        prompt = question(scale, "cot").replace("<image>", "<|image_pad|>" * IMAGE_TOKENS)
        with path.open("w", encoding="utf-8") as file:
            for _ in range(rows):
                label, said = (answer(scale, "cot", rng.randrange(5)) for _ in range(2))
                file.write(json.dumps({"prompt": prompt, "predict": said, "label": label + "\n"}) + "\n")
        size = path.stat().st_size / 1e9
        start = time.perf_counter()
        subprocess.run([sys.executable, "eval/score.py", path], check=True, cwd=Path(__file__).resolve().parent.parent)
        seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # kB on Linux
    print(f"\n{rows:,} rows, {size:.2f} GB: {seconds:.1f} s, at most {memory:.0f} MB")


if __name__ == "__main__":
    main()
