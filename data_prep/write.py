"""Writes a built dataset: conversations, manifest and quarantine, all of them or none, always the same bytes."""

import csv
import json
from pathlib import Path
from typing import IO

from data_prep.build import KINDS, Built, dropped
from storm.text import aligned
from storm.prompts import STRATEGIES
from storm.rows import facts, turns
from data_prep.source import Drop
from data_prep.split import Rated, shared_subjects
from storm.files import together


def write(built: Built, out: Path, strategies: list[str]) -> None:
    """<out>/<strategy>/<name>_<train|lite|test>.jsonl, manifest/<name>.csv and quarantine/<name>.csv.

    Files of the same dataset in other strategies are removed: they would be of another build. Raises OSError; what
    was there before is then still there.
    """
    splits = {part: rows for part, rows in built.split._asdict().items() if rows}
    # By row, not by id: a release may have an id in train and in test.
    tails = {row: _tail(built.name, row) for row in (*built.split.train, *built.split.test)}
    with together() as open_:
        for strategy in strategies:
            heads = {
                label: json.dumps(turns(built.scale, strategy, label), ensure_ascii=False)[:-1] + ", "
                for label in range(built.scale.lo, built.scale.hi + 1)
            }
            for part, rows in splits.items():
                file = open_(out / strategy / f"{built.name}_{part}.jsonl")
                file.writelines(heads[row.label] + tails[row] for row in rows)
        _manifest(built, open_(out / "manifest" / f"{built.name}.csv"))
        _quarantine(built.drops, open_(out / "quarantine" / f"{built.name}.csv"))
    for strategy in STRATEGIES:
        for part in ("train", "lite", "test"):
            if strategy not in strategies or part not in splits:
                (out / strategy / f"{built.name}_{part}.jsonl").unlink(missing_ok=True)


def _tail(name: str, row: Rated) -> str:
    known = facts(id=row.id, dataset=name, image=row.image, label=row.label, score=row.score, subject=row.subject)
    return json.dumps(known, ensure_ascii=False)[1:] + "\n"


def _manifest(built: Built, file: IO[str]) -> None:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(("id", "image", "label", "score", "subject", "split", "lite"))
    lite = {row.id for row in built.split.lite}
    both = [(row, "train") for row in built.split.train] + [(row, "test") for row in built.split.test]
    for row, part in sorted(both):
        rows.writerow((row.id, row.image, row.label, row.score, row.subject, part, int(row.id in lite)))


def write_quarantine(path: Path, drops: list[Drop]) -> None:
    """Write dropped rows, with reasons, where no dataset is written with them."""
    with together() as open_:
        _quarantine(drops, open_(path))


def _quarantine(drops: list[Drop], file: IO[str]) -> None:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(("id", "file", "reason"))
    rows.writerows(sorted((drop.id, drop.file, f"{drop.kind}: {drop.reason}") for drop in drops))


def summary(built: Built) -> dict:
    """The numbers of a dataset, as summary.json keeps them."""
    sizes = {part: len(rows) for part, rows in built.split._asdict().items()}
    paper = vars(built.dataset.sizes) if built.dataset else None
    return {
        "read": built.read,
        "dropped": dropped(built),
        "images_without_label": built.unlabelled,
        "sizes": {"all": sizes["train"] + sizes["test"], **sizes},
        "paper": paper,
        "difference": built.dataset.difference if built.dataset else "",
        "shared_subjects": len(shared_subjects(built.split)),
    }


def write_summary(out: Path, summaries: dict[str, dict], settings: dict) -> None:
    """summary.json: the datasets of this run beside those of earlier ones, each with the settings it was built with."""
    path = out / "summary.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known |= {name: {**numbers, "settings": settings} for name, numbers in summaries.items()}
    with together() as open_:
        json.dump(dict(sorted(known.items())), open_(path), indent=2, ensure_ascii=False)


def table(summaries: dict[str, dict]) -> str:
    """One line a dataset: rows read and dropped, splits beside the paper's, people on both sides. Then the reasons."""
    sizes_head = ["train", "paper", "lite", "paper", "test", "paper", "off by", "people shared"]
    lines, reasons = [["dataset", "read", *KINDS, "unlabelled", *sizes_head]], []
    for name, numbers in summaries.items():
        sizes, paper = numbers["sizes"], numbers["paper"]
        off = sizes["all"] - paper["train"] - paper["test"] if paper else None
        pairs = [size for part in ("train", "lite", "test") for size in (sizes[part], paper[part] if paper else None)]
        dropped = [numbers["dropped"][kind] for kind in KINDS]
        unlabelled = numbers["images_without_label"]
        lines.append([name, numbers["read"], *dropped, unlabelled, *pairs, off, numbers["shared_subjects"]])
        if numbers["difference"] and off > 0:  # all known differences are of more rows than the paper's
            reasons.append(f"{name}: {numbers['difference']}")
    return "\n".join([aligned(lines), *reasons])
