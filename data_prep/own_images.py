"""Which file the image of a rating is: names as people have them, from another machine, without an extension, as a URL.

A name must fit exactly one file, else it fits none.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from itertools import count
from typing import NamedTuple

from data_prep.downloads import Files, folded, stem
from data_prep.own_rows import part_of
from storm.images import suffixes
from storm.text import printable

NEAR = 20  # misses whose nearest names are looked for
URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
STUDIO = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio puts before the name of an upload
ELSEWHERE = re.compile(r"[/\\]|[A-Za-z]:[/\\]")  # an absolute path, of another machine if it is not here


class Found(NamedTuple):
    """The path of a file below the root, and, if there is none, why. by_name: only its name was compared, not all of
    its folders."""

    path: str | None
    why: str = ""
    by_name: bool = False


def finder(files: Files) -> Callable[[str], Found]:
    """A function from a name in a rating file to its Found.

    First the very path counts, from the root or absolute. Then the files of the same name, in any case; of a name
    without an extension of an image, with any; if several fit, those whose folders agree for longest. The folders may
    not contradict: a file in val/ is not the train/1.jpg of a list, and b/1.jpg is not a/1.jpg.
    """
    by_name: dict[str, list[str]] = defaultdict(list)
    by_stem: dict[str, list[str]] = defaultdict(list)
    misses = count()
    for path in files.images:
        by_name[folded(path.rpartition("/")[2])].append(path)
        by_stem[folded(stem(path))].append(path)

    def named_so(last: str) -> list[str]:
        return by_name.get(last) or ([] if last.endswith(suffixes()) else by_stem.get(last, []))

    def find(name: str) -> Found:
        if not name:
            return Found(None, "no image is named")
        if exact := files.exact(name):
            return Found(exact)
        url = URL.match(name)
        parts = [part for part in re.split(r"[/\\]", name.partition("?")[0] if url else name) if part not in ("", ".")]
        if ".." in parts or not parts:
            return Found(None, f"leads out of {files.root}")
        last = folded(parts[-1])
        named = named_so(last) or (named_so(STUDIO.sub("", last)) if STUDIO.match(last) else [])
        folders, elsewhere = [folded(part) for part in parts[:-1]], bool(url or ELSEWHERE.match(name))
        agree = {path: _common(folders, folded(path).split("/")[:-1]) for path in named}
        paths = [path for path in named if elsewhere or agree[path] in (len(folders), path.count("/"))]
        paths = [path for path in paths if _parts(folders) in (set(), _parts(path.split("/")[:-1]) or _parts(folders))]
        most = max((agree[path] for path in paths), default=0)
        best = [path for path in paths if agree[path] == most]
        if len(best) == 1:
            return Found(best[0], by_name=agree[best[0]] < len(folders))
        if best:
            return Found(None, f"{len(best)} files are named so ({printable(', '.join(best[:3]))})")
        if named:
            where = "--media names the folder that names start from"
            return Found(None, f"{printable(named[0])} has this name, but lies in another folder; {where}")
        if url:
            return Found(None, f"no file of this name below {files.root}: download the images first")
        near = []
        if next(misses) < NEAR:  # to compare with all names takes long
            near = [by_name[other][0] for other in get_close_matches(last, by_name, 3, 0.6)]
        fix = f"; near: {printable(', '.join(near))}" if near else ""
        return Found(None, f"no such image below {files.root}{fix}")

    return find


def _common(one: list[str], other: list[str]) -> int:
    """How many of the last names of two paths agree."""
    same = 0
    while same < min(len(one), len(other)) and one[-1 - same] == other[-1 - same]:
        same += 1
    return same


def _parts(folders: Sequence[str]) -> set[str]:
    """The parts that the names of folders say."""
    return {part for folder in folders if (part := part_of(folder))}
