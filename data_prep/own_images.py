"""Which file the image of a rating is: names as people have them, from another machine, without an extension, as a URL.

A name must fit exactly one file, else it fits none.
"""

import re
from collections import defaultdict
from collections.abc import Callable
from difflib import get_close_matches
from itertools import count

from data_prep.downloads import Files, folded, stem
from storm.images import suffixes
from storm.text import printable

NEAR = 20  # misses whose nearest names are looked for
URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
Found = tuple[str | None, str]  # the path of a file below the root, and, if there is none, why


def finder(files: Files) -> Callable[[str], Found]:
    """A function from a name in a rating file to its Found.

    First the very path counts, from the root or absolute. Then the files of the same name, in any case; of a name
    without an extension of an image, with any. If several fit, those whose folders agree for longest.
    """
    by_name: dict[str, list[str]] = defaultdict(list)
    by_stem: dict[str, list[str]] = defaultdict(list)
    misses = count()
    for path in files.images:
        by_name[folded(path.rpartition("/")[2])].append(path)
        by_stem[folded(stem(path))].append(path)

    def find(name: str) -> Found:
        if not name:
            return None, "no image is named"
        if exact := files.exact(name):
            return exact, ""
        url = URL.match(name)
        parts = re.split(r"[/\\]", name.partition("?")[0] if url else name)
        if ".." in parts:
            return None, f"leads out of {files.root}"
        last = folded(parts[-1])
        paths = by_name.get(last) or ([] if last.endswith(suffixes()) else by_stem.get(last, []))
        agree = {path: _common([folded(part) for part in parts[:-1]], folded(path).split("/")[:-1]) for path in paths}
        most = max(agree.values(), default=0)
        best = [path for path in paths if agree[path] == most]
        if len(best) == 1:
            return best[0], ""
        if best:
            return None, f"{len(best)} files are named so ({printable(', '.join(best[:3]))})"
        if url:
            return None, f"no file of this name below {files.root}: download the images first"
        near = []
        if next(misses) < NEAR:  # to compare with all names takes long
            near = [by_name[other][0] for other in get_close_matches(last, by_name, 3, 0.6)]
        return None, f"no such image below {files.root}" + (f"; near: {printable(', '.join(near))}" if near else "")

    return find


def _common(one: list[str], other: list[str]) -> int:
    """How many of the last names of two paths agree."""
    same = 0
    while same < min(len(one), len(other)) and one[-1 - same] == other[-1 - same]:
        same += 1
    return same
