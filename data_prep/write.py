"""Writes a built dataset: conversations, manifest and quarantine, all of them or none, always the same bytes."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import orjson

from data_prep.build import Built
from data_prep.source import Drop
from storm.files import whole_files, write_rows
from storm.prompts import STRATEGIES
from storm.rows import Example, to_row


def write(built: Built, out: Path, strategies: Iterable[str]) -> None:
    """<out>/<strategy>/<name>_<train|lite|test>.jsonl, manifest/<name>.csv and quarantine/<name>.csv.

    Files of the same dataset in other strategies are removed: they would be of another build. Raises OSError; the
    earlier files are then unchanged.
    """
    splits = {part: rows for part, rows in built.split._asdict().items() if rows}
    with whole_files() as open_:
        for strategy in strategies:
            shared = _shared(built, strategy)
            for part, rows in splits.items():
                written = (
                    shared[row.label]
                    | {"images": [row.image], "id": row.id, "score": row.score, "subject": row.subject}
                    for row in rows
                )
                write_rows(open_(out / strategy / f"{built.name}_{part}.jsonl"), written)
        _manifest(built, open_(out / "manifest" / f"{built.name}.csv"))
        _quarantine(built.drops, open_(out / "quarantine" / f"{built.name}.csv"))
    for strategy in STRATEGIES:
        for part in ("train", "lite", "test"):
            if strategy not in strategies or part not in splits:
                (out / strategy / f"{built.name}_{part}.jsonl").unlink(missing_ok=True)


def _shared(built: Built, strategy: str) -> dict[int, dict]:
    """label -> a row with all that rows of this label share; its conversation, the longest part, is JSON already."""
    shared = {}
    for label in range(built.scale.lo, built.scale.hi + 1):
        row = to_row(Example("", built.name, "", label, built.scale, strategy), score=0.0)
        shared[label] = row | {"conversations": orjson.Fragment(orjson.dumps(row["conversations"]))}
    return shared


def _manifest(built: Built, file: IO[bytes]) -> None:
    lite = {row.id for row in built.split.lite}
    both = [(row, "train") for row in built.split.train] + [(row, "test") for row in built.split.test]
    cells = (
        (row.id, row.image, row.label, row.score, row.subject, part, int(row.id in lite)) for row, part in sorted(both)
    )
    write_csv(file, ("id", "image", "label", "score", "subject", "split", "lite"), cells)


def write_quarantine(path: Path, drops: list[Drop]) -> None:
    """Write dropped rows, with reasons, where no dataset is written with them."""
    with whole_files() as open_:
        _quarantine(drops, open_(path))


def _quarantine(drops: list[Drop], file: IO[bytes]) -> None:
    cells = sorted((drop.id, drop.file, f"{drop.kind}: {drop.reason}") for drop in drops)
    write_csv(file, ("id", "file", "reason"), cells)


def write_csv(file: IO[bytes], head: Iterable[str], rows: Iterable[Iterable]) -> None:
    """Write a table to an open binary file, in UTF-8."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    text.detach()
