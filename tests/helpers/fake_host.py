"""The repository's recipes on a few rows, with tests/fake_llamafactory for the host, for the tests of the sweep; its
folder is the fixture `tree`."""

import json
import shutil
import sys
from pathlib import Path

from storm.prompts import STRATEGIES, suffix
from data_prep.registry import dataset_info
from storm.scales import IQA
from storm.datasets import SCALES
from storm.rows import facts, turns
from storm.files import write_jsonl
from storm import provenance
from train.plan import dataset_of

ROOT = Path(__file__).resolve().parent.parent


def make_tree(folder: Path) -> None:
    """A small demo task, one row of each of the 14 datasets, and the fake host in bin/."""
    shutil.copytree(ROOT / "recipes", folder / "recipes", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dataset_info.json", folder)
    for strategy in STRATEGIES:
        for split in ("train", "test"):
            rows = (
                turns(IQA, strategy, n % 5) | facts(id=str(n), dataset="demo", image="x.png", label=n % 5)
                for n in range(10)
            )
            write_jsonl(folder / "data" / "demo" / f"demo_{split}{suffix(strategy)}.jsonl", rows)
    for name, stanza in dataset_info().items():
        if name.startswith("storm_"):
            scale = SCALES[dataset_of(name)]
            strategy = Path(stanza["file_name"]).parent.name
            row = facts(id="0", dataset=dataset_of(name), image="x.png", label=scale.lo)
            write_jsonl(folder / stanza["file_name"], [turns(scale, strategy, scale.lo) | row])
    bin = folder / "bin"
    bin.mkdir()
    fake = f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} {ROOT}/tests/fake_llamafactory "$@"\n'
    (bin / "llamafactory-cli").write_text(fake)
    (bin / "llamafactory-cli").chmod(0o755)
    (bin / "srun").symlink_to(ROOT / "tests" / "fake_srun")


def forget() -> None:
    """What a new process would not know."""
    for cached in (origin.commit, origin.stanzas):
        cached.cache_clear()


def calls() -> list[dict]:
    """Each call of the host: its recipe and a part of its environment."""
    path = Path("calls.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def fate(monkeypatch, **what: str) -> None:
    """What the host does for a recipe, see tests/fake_llamafactory."""
    monkeypatch.setenv("FAKE", json.dumps(what))
