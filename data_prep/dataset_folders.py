"""Which folders in the image root are those of the 14 datasets: by name, in any case, or by a known alias."""

import sys
from collections.abc import Iterable
from pathlib import Path

from data_prep.downloads import ARCHIVE
from storm.datasets import DATASETS, DatasetFacts
from storm.text import folded, printable

SHORT = 3  # letters; a shorter part of a name says nothing
LONG = 6  # letters; of a longer name, it may be the beginning of an alias


def folders(media: Path) -> dict[str, list[str]]:
    """Dataset -> the folders in the image root that have its name or an alias, its own name first."""
    named: dict[str, list[str]] = {name: [] for name in DATASETS}
    for entry in sorted(media.iterdir()) if media.is_dir() else ():
        for row in DATASETS.values():
            if _plain(entry.name) in _names(row) and entry.is_dir():
                named[row.name].append(entry.name)
    return {name: sorted(names, key=lambda folder: (folder != name, folder)) for name, names in named.items()}


def similar(media: Path, rows: Iterable[DatasetFacts]) -> list[str]:
    """What to say of the folders and archives in the image root whose names start or end like one of these datasets',
    which have no folder: a line each."""
    lines = []
    for entry in sorted(media.iterdir()) if media.is_dir() else ():
        archive = ARCHIVE.search(entry.name.lower()) if entry.is_file() else None
        name = _plain(entry.name[: archive.start()] if archive else entry.name)
        for row in rows if archive or entry.is_dir() else ():
            known = [alias for alias in _names(row) if len(alias) >= SHORT]
            if any(
                name.startswith(alias) or name.endswith(alias) or (len(name) > LONG and alias.startswith(name))
                for alias in known
            ):
                there = printable(media / entry.name)
                fix = (
                    f"unpack it into {media / row.name}" if archive else f"rename it to {row.name} if it is {row.title}"
                )
                lines.append(f"{there}: not used; {fix}")
                break
    return lines


def chosen(names: list[str], media: Path) -> dict[str, list[str]]:
    """The datasets to build -> the folders in the image root that are named like them; without names, all that have
    one, and folders that may be those of others are named.

    Raises ValueError for an image root that is not there or, without names, if no dataset has a folder in it.
    """
    if not media.is_dir():
        raise ValueError(f"{media}: no such folder; --media names the folder that has one for each dataset")
    there = folders(media)
    rows = {name: there[name] for name in DATASETS if name in names or (not names and there[name])}
    lines = similar(media, [row for row in DATASETS.values() if row.name not in rows]) if not names else []
    if not rows:
        have = ", ".join(sorted(printable(entry.name) for entry in media.iterdir())[:8]) or "nothing"
        own = next((name for name, of in folders(media.absolute().parent).items() if media.absolute().name in of), "")
        fix = f"--media {media.absolute().parent} if this is {own}" if own else ""
        fix = fix or "; ".join(lines) or f"put each download into one: {', '.join(DATASETS)}"
        raise ValueError(f"{media}: no folder named like a dataset (there is {have}); {fix}")
    for line in lines:
        print(line, file=sys.stderr)
    return rows


def folder(name: str, names: list[str], media: Path) -> str:
    """The one folder of a dataset. Raises NotADirectoryError if there is none, ValueError if several could be meant."""
    facts = DATASETS[name]
    if not names:
        fix = f"download {facts.title} ({facts.url}) into it; other names that are found: {', '.join(facts.aliases)}"
        raise NotADirectoryError(f"{media / name}: no such folder; {'; '.join(similar(media, [facts])) or fix}")
    if len(names) > 1 and names[0] != name:
        raise ValueError(
            f"{media}: several folders could be {name}: {printable(', '.join(names))}; rename the right one to {name}"
        )
    if len(names) > 1:
        print(f"{name}: {names[0]} is used, not {printable(', '.join(names[1:]))}", file=sys.stderr)
    return names[0]


def _names(row: DatasetFacts) -> tuple[str, ...]:
    return (row.name, *row.aliases)


def _plain(name: str) -> str:
    """A folder's name for comparing: lower case, letters and digits only."""
    return "".join(letter for letter in folded(name) if letter.isalnum())
