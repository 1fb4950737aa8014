"""Which file the image of a rating is: names as people have them, from another machine, without an extension, as a URL.

A name must fit exactly one file, else it fits none.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from itertools import count
from typing import NamedTuple

from data_prep.downloads import Files, folded, stem
from data_prep.parts import part_of
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
    not contradict: a file in val/ is not the train/1.jpg of a list, and b/1.jpg is not a/1.jpg; of absolute paths of
    another machine and of URLs, only train, val and test must agree. Label Studio's letters before an upload's name go.
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
        named, studio = named_so(last), False
        if not named and "upload" in parts and STUDIO.match(last):
            named, studio = named_so(STUDIO.sub("", last)), True
        folders, elsewhere = [folded(part) for part in parts[:-1]], bool(url or ELSEWHERE.match(name))
        agree = {path: _common(folders, folded(path).split("/")[:-1]) for path in named}
        paths = [path for path in named if elsewhere or agree[path] in (len(folders), path.count("/"))]
        part = _part(folders)
        paths = [path for path in paths if part in ("", _part(path.split("/")[:-1]) or part)]
        most = max((agree[path] for path in paths), default=0)
        best = [path for path in paths if agree[path] == most]
        if len(best) == 1:
            return Found(best[0], by_name=studio or agree[best[0]] < len(folders))
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


def _part(folders: Sequence[str]) -> str:
    """The part that the folder next to the file says, of those that say one."""
    return next((part for folder in reversed(folders) if (part := part_of(folder))), "")


def images_of(names: Iterable[str], files: Files, notes: list[str]) -> dict[str, Found]:
    """Name -> its image. Of several names that lead to one file, only its very path counts: the others are of files
    that are not there. Adds to `notes` how many images were found without all of their folders."""
    find = finder(files)
    images = {name: find(name) for name in dict.fromkeys(names)}
    by_path: dict[str, list[str]] = defaultdict(list)
    for name, found in images.items():
        if found.path:
            by_path[found.path].append(name)
    for path, several in by_path.items():
        for name in several if len(several) > 1 else ():
            if files.exact(name) != path:
                other = next(twin for twin in several if twin != name)
                images[name] = Found(None, f"{printable(path)} fits its name, and {printable(other)} names it, too")
    loose = [name for name, found in images.items() if found.by_name]
    if loose:
        first = f"{printable(loose[0])} is {printable(images[loose[0]].path)}"
        notes.append(f"images found by the file's name, without all of their folders: {len(loose):,}; {first}")
    return images
