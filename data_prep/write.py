"""Writes a built dataset: conversations, manifest and quarantine, all of them or none, always the same bytes."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import orjson

from data_prep.build import Built, Refused
from data_prep.source import Drop
from data_prep.split import Rated
from storm.files import whole_files, write_rows
from storm.prompts import STRATEGIES
from storm.rows import PARTS, Example, to_row


def with_earlier(strategies: Iterable[str], name: str, out: Path) -> list[str]:
    """The strategies to write of a dataset: those wanted, and those that an earlier build wrote, whose rows would
    else be lost or of another build."""
    there = [strategy for strategy in STRATEGIES if any((out / strategy).glob(f"{name}_*.jsonl"))]
    return [strategy for strategy in STRATEGIES if strategy in {*strategies, *there}]


def write(built: Built, out: Path, strategies: Sequence[str]) -> None:
    """Write <out>/<strategy>/<name>_<part>.jsonl, manifest/<name>.csv and quarantine/<name>.csv. Files of other parts,
    in other strategies, of another build, are removed. Raises OSError; the earlier files are then unchanged."""
    splits = {part: rows for part, rows in built.split._asdict().items() if rows}
    with whole_files() as open_:
        for strategy in strategies:
            for part, rows in splits.items():
                write_rows(open_(out / strategy / f"{built.name}_{part}.jsonl"), _lines(built, strategy, rows))
        _manifest(built, open_(out / "manifest" / f"{built.name}.csv"))
        quarantine(built.drops, open_(out / "quarantine" / f"{built.name}.csv"))
    for strategy in STRATEGIES:
        for part in PARTS:
            if strategy not in strategies or part not in splits:
                (out / strategy / f"{built.name}_{part}.jsonl").unlink(missing_ok=True)


def _lines(built: Built, strategy: str, rows: list[Rated]) -> Iterator[dict]:
    """Rows as files hold them. What rows of a label share is made once; the conversation, the longest part, as JSON."""
    shared = {}
    for label in range(built.scale.lo, built.scale.hi + 1):
        row = to_row(Example("", built.name, "", label, built.scale, strategy), score=0.0)
        shared[label] = row | {"conversations": orjson.Fragment(orjson.dumps(row["conversations"]))}
    for row in rows:
        facts = {"images": [row.image], "id": row.id, "score": row.score, "subject": row.subject}
        facts |= {"release": row.release} if row.release else {}
        yield shared[row.label] | facts | ({"votes": row.votes} if row.votes else {})


def _manifest(built: Built, file: IO[bytes]) -> None:
    """id, image, label, score, subject, split (train, val if it is not in train, test), and whether it is in lite or
    val."""
    split = built.split
    rows = {row.id: (*row[:5], "train", 0, 0) for row in split.train}
    inside = "train" if split.val and split.val[0].id in rows else "val"
    rows |= {row.id: (*row[:5], "test", 0, 0) for row in split.test}
    rows |= {row.id: (*row[:5], "train", 1, 0) for row in split.lite}
    rows |= {row.id: (*row[:5], inside, 0, 1) for row in split.val}
    write_csv(file, (*Rated._fields[:5], "split", "lite", "val"), map(rows.get, sorted(rows)))


def quarantine(drops: list[Drop], file: IO[bytes]) -> None:
    """Write dropped rows with their reasons to an open file."""
    cells = sorted((drop.id, drop.file, f"{drop.kind}: {drop.reason}") for drop in drops)
    write_csv(file, ("id", "file", "reason"), cells)


def quarantine_of(refused: Refused, name: str, out: Path) -> str:
    """Write the rows that a refused build dropped. Returns what to say of it, "" if none was dropped."""
    if not refused.drops:
        return ""
    path = out / "quarantine" / f"{name}.csv"
    with whole_files() as open_:
        quarantine(refused.drops, open_(path))
    return f" ({len(refused.drops):,} dropped rows: {path})"


def write_csv(file: IO[bytes], head: Iterable[str], rows: Iterable[Iterable]) -> None:
    """Write a table to an open file, in UTF-8."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    text.detach()
