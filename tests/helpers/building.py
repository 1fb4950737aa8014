"""Runs data_prep on stand-ins of the 14 sources, and reads what it writes."""

import csv
import json
import shutil
from pathlib import Path

from data_prep.__main__ import main
from storm.files import LOCK
from tests.helpers.stand_ins import SOURCES

NAMES = [source.__name__ for source in SOURCES]  # the datasets that have stand-ins, the paper's 14 at least


def copy_or_link(source: str, target: str) -> None:
    text = Path(source).suffix.lower() in (".csv", ".tsv", ".txt", ".xlsx", ".mat")
    shutil.copy2(source, target) if text else Path(target).hardlink_to(source)


def build(raw: Path, out: Path, *more: str) -> int:
    """Of a small AVA the range of all scores is unknown, which must be allowed."""
    return main([*more, "--allow-partial", "--media", str(raw), "--out", str(out), "--workers", "1"])


def exists(raw: Path, out: Path, *more: str) -> int:
    return build(raw, out, "--check", "exists", *more)


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def manifest(out: Path, name: str) -> list[dict]:
    with (out / "manifest" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file() and not {".checked", LOCK} & set(path.parts))
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def scored(folder: Path, scores: dict[str, float]) -> None:
    """A ChallengeDB of these images and scores."""
    folder.mkdir(parents=True)
    table = "".join(f"{name}.bmp,{score}\n" for name, score in scores.items())
    (folder / "meta_info_LIVEChallengeDataset.csv").write_text(f"img_name,mos\n{table}")
    for name in scores:
        (folder / f"{name}.bmp").write_bytes(b"x")
