"""Which file the image of a rating is: names as people have them, from another machine, without an extension, as a URL.

A name must fit exactly one file, else it fits none.
"""

import os
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from itertools import count
from typing import NamedTuple
from urllib.parse import unquote

from data_prep.downloads import Files, stem
from data_prep.parts import folder_part
from storm.images import suffixes
from storm.text import folded, printable

NEAR = 20  # misses whose nearest names are looked for
URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
STUDIO = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio puts before the name of an upload
ELSEWHERE = re.compile(r"[/\\]|[A-Za-z]:[/\\]")  # an absolute path, of another machine if it is not here


class Wanted(NamedTuple):
    """An image as a row names it. folder: that of the rating file, below the root. part: that the row is for, or that
    the name of the rating file says."""

    name: str
    folder: str = ""
    part: str = ""


class Found(NamedTuple):
    """The path of a file below the root, and, if there is none, why. missing: folders of the name that were not
    compared, or do not agree. agree: those that do. exact: it is the very path that the row names."""

    path: str | None
    why: str = ""
    missing: int = 0
    agree: int = 0
    exact: bool = False


def finder(files: Files) -> Callable[[Wanted], Found]:
    """A function from a name in a rating file to its Found.

    First the very path counts: from the file's folder, from the root, absolute. Then the files of the same name, in
    any case; of a name without an extension of an image, with any; if several fit, those whose folders agree for
    longest, or that lie in the folder of the row's part. The folders may not contradict: a file in val/ is not the
    train/1.jpg of a list, and b/1.jpg is not a/1.jpg; of absolute paths of another machine and of URLs, only train, val
    and test must agree. Label Studio's letters before an upload's name go.
    """
    by_name: dict[str, list[str]] = defaultdict(list)
    by_stem: dict[str, list[str]] = defaultdict(list)
    misses = count()
    for path in files.images:
        by_name[folded(path.rpartition("/")[2])].append(path)
        by_stem[folded(stem(path))].append(path)

    def named_so(last: str) -> list[str]:
        return by_name.get(last) or ([] if last.endswith(suffixes()) else by_stem.get(last, []))

    def find(wanted: Wanted) -> Found:
        name = wanted.name
        if not name:
            return Found(None, "no image is named")
        url, elsewhere = URL.match(name), bool(ELSEWHERE.match(name))
        if wanted.folder and not url and not elsewhere and (here := files.exact(f"{wanted.folder}/{name}")):
            return Found(here, exact=True)
        if exact := files.exact(name):
            return Found(exact, exact=True)
        if elsewhere and os.path.isfile(name):
            return Found(None, f"lies outside of {files.root}; --media {os.path.dirname(name)} names its folder")
        served = name.partition("?d=")[2]  # as Label Studio serves local files
        plain = unquote(name.partition("?")[0]) if url else served or name
        parts = [part for part in re.split(r"[/\\]", plain) if part not in ("", ".")]
        if ".." in parts or not parts:
            return Found(None, f"leads out of {files.root}; --media names a folder that holds the file, too")
        last = folded(parts[-1])
        named, studio = named_so(last), False
        if not named and "upload" in parts and STUDIO.match(last):
            named, studio = named_so(STUDIO.sub("", last)), True
        folders = [folded(part) for part in parts[:-1]]
        agree = {path: _common(folders, folded(path).split("/")[:-1]) for path in named}
        paths = [path for path in named if url or elsewhere or agree[path] in (len(folders), path.count("/"))]
        part = folder_part(folders)
        paths = [path for path in paths if part in ("", folder_part(path.split("/")[:-1]) or part)]
        most = max((agree[path] for path in paths), default=0)
        best = [path for path in paths if agree[path] == most]
        if len(best) > 1 and wanted.part:
            best = [path for path in best if folder_part(path.split("/")[:-1]) == wanted.part] or best
        if len(best) == 1:
            return Found(best[0], missing=len(folders) - most + studio, agree=most)
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


def images_of(wanted: Iterable[Wanted], files: Files, notes: list[str]) -> dict[Wanted, Found]:
    """Each image with its file. Of several names that lead to one file, only its very path counts: the others are of
    files that are not there; so is a name of which no folder agrees, while folders of others do, and a bare name whose
    file lies apart from those of the rating file's other rows (_apart). Adds to `notes` how many images were found
    without all of their folders, and in which folders those are that are named without any."""
    find = finder(files)
    images = {one: find(one) for one in dict.fromkeys(wanted)}
    by_path: dict[str, list[Wanted]] = defaultdict(list)
    agree = max((found.agree for found in images.values() if found.path and found.missing), default=0)
    for one, found in images.items():
        if found.path and "/" in found.path and found.missing and not found.agree and agree:
            images[one] = Found(None, f"only {printable(found.path)} has this name, in another folder")
    images |= _apart(images)
    for one, found in images.items():
        if found.path:
            by_path[found.path].append(one)
    for path, several in by_path.items():
        names = {posixpath.normpath(f"{one.folder}/{one.name}".lstrip("/")) for one in several}
        for one in several if len(names) > 1 else ():
            if path not in (files.exact(one.name), files.exact(f"{one.folder}/{one.name}")):
                other = next(twin for twin in several if twin != one)
                images[one] = Found(None, f"{printable(path)} fits its name, and {printable(other.name)} names it, too")
    loose = [one for one, found in images.items() if found.missing]
    if loose:
        first = f"{printable(loose[0].name)} is {printable(images[loose[0]].path)}"
        notes.append(f"images found by the file's name, without all of their folders: {len(loose):,}; {first}")
    bare = Counter(posixpath.dirname(found.path) for found in images.values() if found.path and not found.exact)
    if len(bare) > 1:
        places = ", ".join(f"{printable(folder) or '.'} ({count:,})" for folder, count in bare.most_common(5))
        notes.append(f"images found by the file's name lie in {len(bare):,} folders: {places}")
    return images


def _apart(images: Mapping[Wanted, Found]) -> dict[Wanted, Found]:
    """The images whose file is of other rows: in test/ though the row is for training, while the files of other such
    rows are in train/; or beside another rating file, while others lie beside their own. They are not there."""
    beside = {one.folder for one, found in images.items() if found.path and found.exact and one.folder}
    in_part = {one.part for one, found in images.items() if found.path and one.part and _part(found) == one.part}
    apart = {}
    for one, found in images.items():
        if not found.path or found.exact:
            continue
        if one.part in in_part and _part(found) not in ("", one.part):
            why = f"only {printable(found.path)} has this name, and it is of {_part(found)}; the row is of {one.part}"
        elif one.folder in beside and not found.path.startswith(f"{one.folder}/"):
            why = f"only {printable(found.path)} has this name; the other images lie beside their rating file"
        else:
            continue
        apart[one] = Found(None, why)
    return apart


def _part(found: Found) -> str:
    return folder_part(found.path.split("/")[:-1])
