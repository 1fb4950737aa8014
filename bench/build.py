"""How fast labels become conversations: python -m bench.build [FRACTION ...], by default 0.1 and 1.

Makes stand-ins for all 14 sources (tests/helpers/stand_ins.py), runs `python -m data_prep --check exists` on them for
all four strategies, and prints time and memory. Results are in bench/README.md. Needs 5 GB of disk.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.helpers.stand_ins import make

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    for fraction in map(float, sys.argv[1:] or ("0.1", "1")):
        with tempfile.TemporaryDirectory() as folder:
            raw, out = Path(folder) / "raw", Path(folder) / "out"
            make(raw, fraction)
            command = [sys.executable, "-m", "data_prep", "--media", raw, "--out", out, "--check", "exists"]
            start = time.perf_counter()
            subprocess.run(command, check=True, cwd=ROOT)
            seconds = time.perf_counter() - start
            sizes = [numbers["sizes"]["all"] for numbers in json.loads((out / "summary.json").read_text()).values()]
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # kB on Linux
        print(f"\n{sum(sizes):,} rows x 4 strategies: {seconds:.1f} s, at most {memory:.0f} MB\n")


if __name__ == "__main__":
    main()
