"""Images without a rating: which ones --images names, and their predictions.

--images is a folder (all images in it and below it), a glob, one image, or a list in any of the forms of
data_prep/rating_files.py with a column of images. The image root is the folder, what comes before the first wildcard,
or the list's folder.
"""

import glob
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from data_prep.downloads import Files
from data_prep.own_images import Wanted, images_of
from data_prep.rating_columns import ALIKE, USUAL
from data_prep.rating_files import TEXT, Ratings, read_ratings
from data_prep.rating_sheets import sheet_rows
from data_prep.tables import cells_of, plain
from eval.inference.run import FileResult, Request, answer
from eval.inference.settings import Settings
from storm.images import suffixes
from storm.prompts import answers, question
from storm.rows import Example
from storm.scales import Scale
from storm.text import printable

NAME = "rows"  # of the file of predictions, <folder>/rows.jsonl
DATASET = "images"  # in a row's "dataset"


class Unrated(NamedTuple):
    """Images to rate, each once, in the order of their names or of the list."""

    source: Path  # what --images says
    root: Path  # the image root
    images: list[str]  # relative to the root
    notes: list[str]  # what is worth saying about them


def unrated(text: str, media: Path | None) -> Unrated:
    """The images that --images names. media: the image root of a list, None for its folder.

    Raises OSError, or ValueError in one line that says what is there and the fix.
    """
    path, is_image = Path(text), text.lower().endswith(suffixes())
    if path.is_file() and not is_image:
        return _listed(path, media or path.parent)
    if media:
        raise ValueError(f"--media {media} goes with a list of images; the image root of {text} is its own folder")
    if path.is_dir():
        root, images, notes = path, Files(path).images, []
    elif path.is_file():
        root, images, notes = path.parent, [path.name], []
    elif glob.has_magic(text):
        root, images, notes = _matched(text)
    else:
        raise ValueError(f"--images {text}: no such file or folder")
    if not images:
        raise ValueError(f"--images {text}: no images ({', '.join(suffixes())})")
    _refuse_other_bytes(text, images)
    return Unrated(path, root, images, notes)


def _matched(pattern: str) -> tuple[Path, list[str], list[str]]:
    """The folder before the first wildcard, the images that match, by name, and what is worth saying."""
    parts = Path(pattern).parts
    first = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:first])
    files = [name for name in glob.iglob("/".join(parts[first:]), root_dir=root, recursive=True)
             if (root / name).is_file()]  # fmt: skip
    images = sorted({os.path.normpath(name) for name in files if name.lower().endswith(suffixes())})
    others = sum(not name.lower().endswith(suffixes()) for name in files)
    return root, images, [f"files that match but are not named like images, left out: {others:,}"] * bool(others)


def _listed(path: Path, root: Path) -> Unrated:
    """The images of a list: names as people have them, see data_prep/own_images.py. One that fits no file stays."""
    notes: list[str] = []
    places = _names(path, notes)
    images = images_of((Wanted(name) for _, name in places if name), Files(root), notes)
    named: dict[str, str] = {}
    missing = []
    for place, name in places:
        found = images.get(Wanted(name))
        if found and not found.path:
            missing.append(f"{place}: {printable(name)}: {found.why}")
        named.setdefault((found and found.path) or name, place)
    empty = sum(not name for _, name in places)
    named.pop("", None)
    if not named:
        raise ValueError(f"{path}: the list names no image")
    _refuse_other_bytes(path, named)
    if empty:
        notes.append(f"{path.name}: rows that name no image, left out: {empty:,}")
    if twice := len(places) - empty - len(named):
        notes.append(f"{path.name}: rows that name an image again, which is rated once: {twice:,}")
    if missing:
        notes.append(f"{path.name}: images that are not there: {len(missing):,}, the first: {missing[0]}")
    return Unrated(path, root, list(named), notes)


def _names(path: Path, notes: list[str]) -> list[tuple[str, str]]:
    """(place in words, name of the image) of each row of a list."""
    header, ends = True, suffixes()
    kind = path.suffix.lower()
    if kind in (*TEXT, ".xlsx"):
        lines = sheet_rows(path, []) if kind == ".xlsx" else cells_of(path)
        first = next((cells for _, cells in lines if any(cells)), [])
        header = not any(cell.lower().endswith(ends) for cell in first)
        # One name a line, which may hold blanks.
        if len(first) == 1 and not header and kind in TEXT:
            rows = [(line, cells) for line, cells in cells_of(path, notes) if any(cells)]
            if all(len(cells) == 1 and cells[0].lower().endswith(ends) for _, cells in rows):
                return [(f"{path.name}, line {line}", cells[0]) for line, cells in rows]
    table = read_ratings(path, header, notes)
    column = _image_column(path, table)
    notes.append(f"{path.name}: image: column {printable(table.columns[column])!r}")
    return [(place, cells[column]) for place, cells in table.rows]


def _image_column(path: Path, table: Ratings) -> int:
    """The column with a usual name; of several, or without one, that whose cells end like image files."""
    known, numbers = {plain(name) for name in USUAL["image"]}, range(len(table.columns))
    named = [number for number in numbers if plain(table.columns[number]) in known]
    alike = [number for number in named or numbers if _ends_like_images(cells[number] for _, cells in table.rows)]
    if len(named) == 1 or len(alike) == 1:
        return named[0] if len(named) == 1 else alike[0]
    have = printable(", ".join(table.columns))[:300]
    raise ValueError(f"{path}: which column holds the images? Name it image, and no other one ({have})")


def _ends_like_images(cells: Iterable[str]) -> bool:
    ends = [cell.lower().endswith(suffixes()) for cell in cells if cell]
    return bool(ends) and sum(ends) >= ALIKE * len(ends)


def _refuse_other_bytes(source: object, images: Iterable[str]) -> None:
    """Raises ValueError for a name that no row could hold: half a character, from bytes that are not UTF-8."""
    for name in images:
        if re.search("[\ud800-\udfff]", name):
            raise ValueError(f"{source}: the file name {ascii(name)} is not UTF-8; convmv -f latin1 -t utf8 renames it")


def rate(settings: Settings, images: Unrated, scale: Scale, strategy: str) -> list[FileResult]:
    """Rate what is left of the images. The rows go to <settings.out>/rows.jsonl. Returns and raises as answer() does.

    The same rows go on after images were added; with another question or image root, they are refused.
    """
    examples = [Example(name, DATASET, name, scale.lo, scale, strategy) for name in images.images]  # no label is known
    request = Request(NAME, lambda: examples, images.images, images.images[: settings.limit], root=images.root)
    asked = hashlib.sha256("\n".join([question(scale, strategy), *answers(scale, strategy)]).encode()).hexdigest()[:8]
    facts = {
        "strategy": strategy,
        "scale": f"{scale.name} {asked}",  # another text of the same name is another scale
        "source": os.path.abspath(images.source),
        "image_root": os.path.realpath(images.root),
    }
    return answer(replace(settings, media=images.root, scale=None), [request], facts)
