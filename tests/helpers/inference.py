"""eval/predict.py in a process of its own, with a stand-in for torch and the model."""

import subprocess
import sys
from pathlib import Path

from storm.files import write_jsonl
from storm.rows import Example, to_row
from storm.scales import IQA
from tests.helpers.paths import ROOT

# In place of torch, and of what imports it: every answer is the label, after a pause for each block. No image is opened
# but after WITH_IMAGES.
STAND_IN = """
import os, signal, sys, time
from types import SimpleNamespace as Names

class OutOfMemory(RuntimeError):
    pass

KNOWN = {"probs": [0.2] * 5, "coarse": [0.3] * 3, "entropy": 1.609438, "mass": 0.987654, "median": 3, "mean": 3.14}
PAUSE = 0
cuda = Names(is_available=lambda: False, empty_cache=lambda: None)
sys.modules["torch"] = Names(Tensor=None, cuda=cuda, device=lambda *_: Names(type="cpu"), OutOfMemoryError=OutOfMemory)
sys.modules["eval.inference.exact"] = Names(answer_trie=None, log_probabilities=None, UNREAD=0)
sys.modules["eval.inference.trie"] = Names(Trie=None)
functions = dict(answer_ids=None, batch=None, generate=None, prompt=lambda *_: [], collate=lambda *_: {})
functions["load"] = lambda *_: Names(tokenizer=Names(pad_token_id=0), counts=lambda size: (1,))
sys.modules["eval.inference.one_by_one"] = Names(
    joined=lambda rows, pad: {"input_ids": Names(numel=lambda: 1)}, keep_memory=lambda: None
)
sys.modules["eval.inference.model"] = Names(Loaded=None, **functions)

from eval import predict
from eval.inference import rater, resume, run

def predict_batch(self, block, images):
    time.sleep(PAUSE)
    return lambda: [{"predict": example.answer} | KNOWN for example in block]

def rate(self, block):
    return [rater.row_of(example) | answer for example, answer in zip(block, self._predict_batch(block, [])())]

def start(self, block):
    rows = self.rate(block)
    return lambda: rows

opens, rater.Rater.rate, rater.Rater.start = rater.Rater.start, rate, start
rater.Rater._predict_batch = predict_batch

def peak():
    # Not getrusage's: a child's ru_maxrss begins at its parent's, and pytest may be larger than what is measured.
    [line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    print("MB", int(line.split()[1]) / 1024)
"""
WITH_IMAGES = "rater.Rater.start = opens\n"
MAIN = """
code = predict.main(sys.argv[1:])
peak()
sys.exit(code)
"""


def built(path: Path, images: list[str]) -> Path:
    """A test file as data_prep writes it: a row of SPAQ for each image, whose path is its id."""
    rows = [
        Example(id=image, dataset="spaq", image=image, label=IQA.lo + number % 5, scale=IQA, strategy="cot")
        for number, image in enumerate(images)
    ]
    write_jsonl(path, map(to_row, rows))
    return path


def command(driver: str, data: Path, out: Path, *more: str) -> list[str]:
    words = ["--model", "stand/in", "--data", str(data), "--out", str(out), "--batch-size", "4"]
    words += ["--media", str(data.parent), *more]
    return [sys.executable, "-c", STAND_IN + driver, *words]


def finished(driver: str, data: Path, out: Path, *more: str, code: int = 0) -> subprocess.CompletedProcess:
    """The command, whose exit code must be `code`."""
    done = subprocess.run(command(driver, data, out, *more), cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr[-2000:]
    return done
