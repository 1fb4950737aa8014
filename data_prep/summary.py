"""What a build read and what came out: for summary.json, and as the tables at the end of a command."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from data_prep.build import KINDS, Built
from data_prep.source import Drop
from data_prep.split import shared_subjects, val_in_train
from storm.rows import PARTS
from storm.scales import Scale, coarse_of
from storm.text import printable, table


def summary(built: Built) -> dict:
    """The numbers of a dataset, as summary.json keeps them."""
    sizes = {part: len(rows) for part, rows in built.split._asdict().items()}
    inside, drops = val_in_train(built.split), Counter(drop.kind for drop in built.drops)
    return {
        "read": built.read,
        "label_files": built.source.label_files if built.source else [],
        "image_folders": built.source.image_folders if built.source else {},
        "unused_folders": built.source.unused_folders if built.source else {},
        "score_range": list(built.source.score_range) if built.source else None,
        "score_range_of": built.source.range_of if built.source else "",
        "notes": built.source.notes if built.source else [],
        "dropped": {kind: drops[kind] for kind in KINDS},
        "reasons": reasons(built.drops),
        "images_without_label": built.unlabeled,
        "sizes": {"all": sizes["train"] + sizes["test"] + sizes["val"] * (not inside), **sizes},
        "val_in_train": inside,
        "val_given": any(row.part == "val" for row in built.split.val),  # by somebody's own split
        "levels": levels(built),
        "paper": vars(built.facts.sizes) if built.facts else None,
        "difference": built.facts.difference if built.facts else "",
        "shared_subjects": len(shared_subjects(built.split)),
    }


def levels(built: Built) -> list[dict]:
    """For each label that occurs: the lowest and highest raw score that became it, and its rows in each part."""
    scores: dict[int, list[float]] = defaultdict(list)
    counts = {part: Counter(row.label for row in rows) for part, rows in built.split._asdict().items()}
    for rows in (built.split.train, built.split.val, built.split.test):  # those of lite are in train
        for row in rows:
            scores[row.label].append(row.score)
    return [
        {"label": label, "lowest": min(of), "highest": max(of), **{part: counts[part][label] for part in PARTS}}
        for label, of in sorted(scores.items())
    ]


def reasons(drops: Iterable[Drop]) -> dict[str, int]:
    """Kind of reason -> how many rows were dropped for it, the most common first. Values and lines are left out."""
    return dict(Counter(f"{drop.kind}: {_general(drop.reason)}" for drop in drops).most_common())


def _general(reason: str) -> str:
    reason = re.sub(r"(?:\S+\.\w+, )?line \d+(?:: )?", "", reason)
    reason = re.sub(r"'[^']*'|\"[^\"]*\"", "...", reason)
    return printable(re.sub(r"(?<![A-Za-z_/.])-?\d[\d.,]*(?:e[+-]?\d+)?(?![A-Za-z_/])", "N", reason))


def sizes_table(summaries: Mapping[str, dict]) -> str:
    """One line a dataset: rows read and dropped, splits, those of the paper's datasets beside the paper's, subjects in
    both. Then why sizes differ."""
    kinds = [kind for kind in KINDS if any(numbers["dropped"][kind] for numbers in summaries.values())]
    parts, of_paper = parts_of(summaries), any(numbers["paper"] for numbers in summaries.values())
    head = [name for part in parts for name in (part, *["paper"] * (of_paper and part != "val"))]
    head += [*["difference"] * of_paper, "subjects shared"]
    lines, notes = [["dataset", "read", *kinds, "unlabeled", *head]], []
    for name, numbers in summaries.items():
        sizes, paper = numbers["sizes"], numbers["paper"]
        difference = sizes["all"] - paper["train"] - paper["test"] if paper else None
        dropped = [numbers["dropped"][kind] for kind in kinds]
        cells = [name, numbers["read"], *dropped, numbers["images_without_label"]]
        for part in parts:
            cells.append(sizes[part])
            if of_paper and part != "val":
                cells.append(paper[part] if paper else None)
        lines.append([*cells, *[difference] * of_paper, numbers["shared_subjects"]])
        if numbers["difference"] and difference > 0:  # all known differences are of more rows than the paper's
            notes.append(f"{name}: {numbers['difference']}")
        if sizes["val"] and not numbers["val_in_train"] and not numbers["val_given"]:
            notes.append(f"{name}: val was taken out of train, so train is smaller than without it")
    if any(numbers["val_in_train"] for numbers in summaries.values()):
        notes.append("val: rows of train that are not in lite; a model trained on all of train has seen them")
    return "\n".join([table(lines), *notes])


def parts_of(summaries: Mapping[str, dict]) -> list[str]:
    """The parts that tables show: lite is a part of the paper's datasets only."""
    of_paper = any(numbers["paper"] for numbers in summaries.values())
    return [part for part in PARTS if of_paper or part != "lite"]


def levels_table(summaries: Mapping[str, dict], scales: Mapping[str, Scale]) -> str:
    """One line a level: the raw scores that became it and its rows in each part. Of ages, one line a coarse group."""
    parts = parts_of(summaries)
    lines = [["dataset", "level", "raw score from", "to", *parts]]
    for name, numbers in summaries.items():
        scale = scales[name]
        for title, rows in _grouped(scale, numbers["levels"]).items():
            ends = min(row["lowest"] for row in rows), max(row["highest"] for row in rows)
            counts = [sum(row[part] for row in rows) for part in parts]
            lines.append([name, title, *(f"{end:.6g}" for end in ends), *counts])
    return table(lines)


def _grouped(scale: Scale, rows: list[dict]) -> dict[str, list[dict]]:
    """What stands in a line's second column -> the labels in it."""
    groups: dict[str, list[dict]] = {}
    for row in rows:
        label = row["label"]
        fine = scale.fine[label - scale.lo]
        title = coarse_of(scale, label).both if scale.counted else fine.both
        groups.setdefault(title, []).append(row)
    return groups


def read_from(name: str, numbers: dict, quarantine: Path) -> list[str]:
    """Lines that say what a dataset was read from, what the reader found odd, and why rows were dropped."""
    files, folders = numbers["label_files"], numbers["image_folders"]
    lines = [f"{name}: labels from {_some(files) or 'the names of the files'}; images from {_folders(folders)}"]
    if unused := numbers["unused_folders"]:
        lines.append(f"  not used, as they hold the same images: {_folders(unused)} (--images FOLDER takes another)")
    if numbers["score_range_of"]:
        low, high = numbers["score_range"]
        lines.append(f"  levels divide the raw scores {low:g} to {high:g}: {numbers['score_range_of']}")
    lines += [f"  {printable(note)}" for note in numbers["notes"]]
    if numbers["reasons"]:
        lines.append(f"  dropped rows, listed in {quarantine}:")
        shown = list(numbers["reasons"].items())
        lines += [f"  {count:>9,}  {reason}" for reason, count in shown[:5]]
        if rest := sum(count for _, count in shown[5:]):
            lines.append(f"  {rest:>9,}  for {len(shown) - 5} other kinds of reasons")
    return lines


def _folders(folders: Mapping[str, int]) -> str:
    return _some([f"{folder} ({count:,})" for folder, count in folders.items()])


def _some(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(map(printable, names[:6])) + more
