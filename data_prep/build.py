"""From a dataset's folder to rated rows with usable images: read, check, label. What falls out is counted by reason."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.downloads import Files
from data_prep.images import Checked, check
from storm.scales import Scale
from storm.datasets import Dataset
from data_prep.source import Drop, Row, same_rating
from data_prep.split import Rated, Split, split

KINDS = ("rule", "missing", "unreadable", "duplicate", "leak")
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")


@dataclass
class Built:
    """A dataset ready to be written: what it is, what became of its rows, and its split."""

    name: str
    scale: Scale
    read: int  # rows of the label files, or names
    unlabelled: int  # images that no row names
    split: Split
    drops: list[Drop] = field(default_factory=list)
    checked: dict[str, Checked] = field(default_factory=dict)  # by the path that rows now hold
    dataset: Dataset | None = None  # None: not one of the paper's


def prepare(
    dataset: Dataset,
    scale: Scale,
    raw: Path,
    folder: str,
    out: Path,
    *,
    protocol: str,
    mode: str,
    resize: int | None,
    workers: int,
) -> Built:
    """Read a dataset below raw/folder, check its images, label and split it. Writes only the image cache and copies.

    Raises OSError or ValueError, in one line, if the folder or label file is not what it should be or nothing is left.
    """
    files = Files(raw / folder)
    below = f"{folder}/" if folder else ""
    items = list(dataset.read(files))
    drops = [item for item in items if isinstance(item, Drop)]
    rows = once([item for item in items if isinstance(item, Row)], drops)
    scores = in_range(dataset, rows, drops)
    lowest, highest = min(scores.values(), default=0.0), max(scores.values(), default=0.0)
    found: dict[str, Row] = {}
    for row in rows:
        if row.id in scores:
            end = files.find(*row.images)
            path = f"{below}{end}"
            if end is None:
                drops.append(
                    Drop(row.id, row.images[0], "missing", f"no such image below {files.root.name or files.root}")
                )
            elif path in found:
                drops.append(Drop(row.id, end, "duplicate", f"the image of {found[path].id!r}"))
            else:
                found[path] = row
    checked = check(raw, list(found), mode=mode, resize=resize, out=out, name=dataset.name, workers=workers)
    rated = []
    for path, row in found.items():
        if reason := checked[path].reason:
            drops.append(Drop(row.id, path, "unreadable", reason))
        else:
            score = scores[row.id]
            label = dataset.label(score, lowest, highest)
            rated.append(Rated(row.id, checked[path].image, label, score, row.subject, row.part))
    if not rated:
        common = Counter(f"{drop.kind}: {drop.reason}" for drop in drops).most_common(1)
        why = f"; {len(drops)} dropped, most often {common[0][0]!r}" if common else ""
        raise ValueError(f"{files.root}: no usable row out of {len(items)}{why}")
    copies = f"{os.path.relpath(os.path.realpath(out / 'images'), os.path.realpath(raw))}/"  # of a run before
    known = {f"{below}{path}" for path in files.paths if path.lower().endswith(IMAGES)}
    return Built(
        name=dataset.name,
        scale=scale,
        read=len(items),
        unlabelled=sum(not path.startswith(copies) for path in known - found.keys()),
        split=split(dataset, rated, protocol),
        drops=drops,
        checked={result.image: result for result in checked.values() if not result.reason},
        dataset=dataset,
    )


def once(rows: Iterable[Row], drops: list[Drop]) -> list[Row]:
    """Each id once: a repeated row is dropped, and an id with two different ratings altogether."""
    kept: dict[str, Row] = {}
    torn: dict[str, set[str]] = {}
    for row in rows:
        first = kept.setdefault(row.id, row)
        if first is not row:
            if not same_rating(first.score, row.score):
                torn.setdefault(row.id, {str(first.score)}).add(str(row.score))
            drops.append(Drop(row.id, row.images[0], "duplicate", f"id {row.id!r} is there twice"))
    for id, ratings in torn.items():
        row = kept.pop(id)
        several = ", ".join(sorted(ratings))
        drops.append(Drop(id, row.images[0], "duplicate", f"id {id!r} has several ratings: {several}"))
    return list(kept.values())


def in_range(dataset: Dataset, rows: list[Row], drops: list[Drop]) -> dict[str, float]:
    """id -> rating, of the rows whose rating is a number on the owner's scale."""
    scores: dict[str, float] = {}
    for row in rows:
        try:
            score = float(row.score)
            if not dataset.low <= score <= dataset.high:  # false for nan, too
                raise ValueError(f"{score:g} is not in {dataset.low:g}..{dataset.high:g}")
            dataset.label(score, dataset.low, dataset.high)
            scores[row.id] = score
        except (TypeError, ValueError) as error:
            reason = str(error) if not isinstance(error, TypeError) else f"{row.score!r} is no number"
            drops.append(Drop(row.id, row.images[0], "rule", f"rating {reason}"))
    return scores


def without(built: Built, leaked: dict[str, str]) -> None:
    """Take train rows out of train and lite: id -> why."""
    kept = [row for row in built.split.train if row.id not in leaked]
    lite = [row for row in built.split.lite if row.id not in leaked]
    built.drops += [Drop(row.id, row.image, "leak", leaked[row.id]) for row in built.split.train if row.id in leaked]
    built.split = Split(kept, lite, built.split.test)


def dropped(built: Built) -> dict[str, int]:
    """How many rows fell out, by kind."""
    counts = Counter(drop.kind for drop in built.drops)
    return {kind: counts[kind] for kind in KINDS}
