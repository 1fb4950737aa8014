"""eval/predict.py with a stand-in for the model: many rows, Ctrl-C, ranks and kills. Imports neither torch nor LF."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_prep.scales import IQA
from data_prep.sharegpt import facts, turns, write_jsonl
from eval import progress
from eval.tasks import tasks

ROOT = Path(__file__).resolve().parent.parent
LEVELS = IQA.hi - IQA.lo + 1
STOPPED = "stopped; the same command goes on from here"

# What stands in for torch, the model and the rater: a row of the right shape for every task, after a pause.
STAND_IN = """
import os, sys, time
from types import SimpleNamespace as Names

class Rater:
    def __init__(self, *_):
        pass

    def rate(self, block):
        time.sleep(float(os.environ.get("PAUSE", "0")))
        known = {"probs": [0.123456] * %d, "coarse": [0.25] * 3, "entropy": 1.5, "mass": 0.9, "median": 3, "mean": 3.1}
        return [
            {"id": t.id, "dataset": t.dataset, "image": t.image, "label": t.answer, "predict": t.answer} | known
            for t in block
        ]

sys.modules["torch"] = Names(cuda=Names(is_available=lambda: False), device=lambda *_: Names(type="cpu"))
sys.modules["eval.model"] = Names(load=lambda *_: None)
sys.modules["eval.rater"] = Names(Rater=Rater)
from data_prep.scales import SCALES
from eval import predict, progress
from eval.tasks import tasks

def peak():
    # Not getrusage's: a child's ru_maxrss begins at its parent's, and pytest may be larger than all that is measured.
    [line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024
""" % LEVELS

ONE = STAND_IN + "code = predict.main(sys.argv[1:])\nprint('MB', peak())\nsys.exit(code)\n"

# Each rank's share, one after another, and what rank 0 does with them at the end.
RANKS = (
    STAND_IN
    + """
args = predict.arguments().parse_args(sys.argv[1:])
[file] = args.data
args.out.mkdir(exist_ok=True)
os.environ["WORLD_SIZE"] = "3"
for rank in "012":
    os.environ["RANK"] = rank
    predict.predict_file(Rater(), file, progress.finished(args.out, file.stem), args, dict(SCALES))
print('MB', peak())
begin = time.perf_counter()
progress.merge(args.out, file.stem, (task.id for task in tasks(file)))
print('merge', time.perf_counter() - begin)
print('MB', peak())
"""
)


def built(path: Path, rows: int) -> Path:
    """A test file as data_prep writes it."""

    def row(n: int) -> dict:
        label = IQA.lo + n % LEVELS
        return turns(IQA, "cot", label) | facts(
            id=f"spaq/{n:06}.jpg", dataset="spaq", image=f"spaq/TestImage/{n:06}.jpg", label=label
        )

    write_jsonl(path, map(row, range(rows)))
    return path


def command(driver: str, data: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-c", driver, "--model", "stand/in", "--data", str(data), "--out", str(out), *more]


def run(driver: str, data: Path, out: Path, *more: str) -> str:
    done = subprocess.run(command(driver, data, out, *more), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def numbers(said: str, word: str) -> list[float]:
    return [float(line.split()[1]) for line in said.splitlines() if line.startswith(word + " ")]


def ids(path: Path) -> list[str]:
    return [task.id for task in tasks(path)] if path.parent.name != "out" else progress_ids(path)
