"""The repository's recipes on a few rows, with stand-ins for train/run.py, torchrun and eval/predict.py, for the tests
of the sweep; its folder is the fixture `tree`."""

import json
import shutil
import sys
from functools import cache
from pathlib import Path

from data_prep.registry import dataset_info
from storm import provenance
from storm.files import read_jsonl
from storm.prompts import STRATEGIES, strategy_of
from storm.rows import Example, to_row
from storm.scales import IQA
from tests.helpers.paths import ROOT
from train.stanzas import facts_of

HELPERS = ROOT / "tests" / "helpers"
FAKE_PREDICT = f'exec {sys.executable} {HELPERS}/fake_predict "$@"'
FAKE_TRAIN = f'exec {sys.executable} {HELPERS}/fake_llamafactory "$@"'
# Stand-ins on the PATH: python and torchrun are real but for train/run.py and eval/predict.py.
PROGRAMS = {
    "python": f"""[ "$1" = eval/predict.py ] && {FAKE_PREDICT}
[ "$1" = train/run.py ] && {FAKE_TRAIN}
exec {sys.executable} "$@\"""",
    "torchrun": FAKE_PREDICT,
}


@cache
def _built() -> dict[str, bytes]:
    """Name of each built file -> its bytes. Made once for all tests: write_jsonl waits for the disk."""
    files = {}
    for name, row in STRATEGIES.items():
        for split in ("train", "test"):
            examples = [Example(str(n), "demo", "x.png", n % 5, IQA, name) for n in range(10)]
            files[f"data/demo/demo_{split}{row.suffix}.jsonl"] = examples
    for name, stanza in dataset_info().items():
        if facts := facts_of(name):
            example = Example("0", facts.name, "x.png", facts.scale.lo, facts.scale, strategy_of(name).name)
            files[stanza["file_name"]] = [example]
    return {name: b"".join(json.dumps(to_row(row)).encode() + b"\n" for row in rows) for name, rows in files.items()}


def make_tree(folder: Path) -> None:
    """A small demo task, one row of each of the 14 datasets, and the stand-ins in bin/."""
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    shutil.copy(ROOT / "dataset_info.json", folder)
    for name, rows in _built().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(rows)
    programs = folder / "bin"
    programs.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\nexport PYTHONPATH={ROOT}\n{text}\n")
        (programs / name).chmod(0o755)
    (programs / "srun").symlink_to(HELPERS / "fake_srun")


def forget() -> None:
    """What a new process would not know."""
    provenance.commit.cache_clear()


def calls(kind: str | None = None) -> list[dict]:
    """Each start of LLaMA-Factory ("train") or eval/predict.py ("predict"): its recipe or settings, its environment."""
    path = Path("calls.jsonl")
    rows = [line.row for line in read_jsonl(path)] if path.exists() else []
    return [row for row in rows if kind in (None, row["kind"])]


def fate(monkeypatch, **what: str) -> None:
    """What the stand-ins do for a recipe, see fake_llamafactory and fake_predict."""
    monkeypatch.setenv("FAKE", json.dumps(what))
