"""Finds and reads a dataset's files however the user has them: nesting, case, extensions, encodings."""

import filecmp
import os
import posixpath
import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from fnmatch import translate
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from storm.images import suffixes
from storm.text import folded, printable

ARCHIVE = re.compile(r"\.(zip|z\d\d|7z|rar|tar|tgz|tar\.gz|gz|7z\.\d+|zip\.\d+)$")
TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".xls", ".mat", ".json")
SAVED_AS = (".xlsx", ".csv", ".tsv", ".xls")  # what people save a table as


def stem(path: str) -> str:
    """The name of a file without folders and extension. PurePosixPath.stem is the same, and takes ten times as long."""
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    return name[:dot] if 0 < dot < len(name) - 1 else name


class Match(NamedTuple):
    """A file that a row may mean. Of several, the least is the best guess within one image folder."""

    rank: tuple[int, bool, bool]  # which of the row's names, is the extension another one, is the case another one
    folder: str  # the image folder: the path without the row's name, "" for the dataset's folder
    path: str


class Files:
    """All files below a dataset's folder, hidden ones (macOS' ._ files, Excel's ~$ files) left out. Paths are relative
    to it, with "/".

    `images`: those whose names end like an image's, below the folder that --images names if it does. `label_paths`:
    the label files that a reader asked for; `notes`: what it found worth saying. Both are printed.
    """

    def __init__(self, root: Path, images: str | None = None, skip: str | None = None) -> None:
        """images: the folder below root of which the images are taken. skip: the real path of a folder left out (copies
        of an earlier build). Raises NotADirectoryError if there is no such folder, ValueError for a name that is not
        UTF-8 (unpacked with the wrong encoding), which no row could hold."""
        self.root = root
        if images and (images.startswith("/") or ".." in images.split("/")):
            raise ValueError(f"--images {images}: name a folder below {root}")
        for folder in (root, root / (images or "")):
            if not folder.is_dir():
                raise NotADirectoryError(f"{folder}: no such folder")
        above = frozenset(map(str, Path(os.path.realpath(root)).parents))  # a link to one of them leads to all datasets
        self.paths = sorted(_walk(root, seen=above, skip=skip))
        for path in self.paths:
            if not path.isascii() and any("\ud800" <= letter <= "\udfff" for letter in path):
                what = f"the file name {ascii(path)} is not UTF-8"
                raise ValueError(f"{root}: {what}; unpack again, or convmv -f latin1 -t utf8")
        below, self._suffixes = posixpath.normpath(images) + "/" if images else "", suffixes()
        below = "" if below == "./" else below
        self.images, self._others = [], []
        for path in self.paths:
            (self.images if path.lower().endswith(self._suffixes) else self._others).append(path)
        if below:
            self.images = [path for path in self.images if path.startswith(below)]
        self.label_paths: list[str] = []
        self.notes: list[str] = []

    @cached_property
    def _by_stem(self) -> dict[str, str | list[str]]:
        """Folded name without extension -> its path, or a list of paths: nearly all names have one."""
        index: dict[str, str | list[str]] = {}
        for path in self.images:
            name = folded(stem(path))
            if (other := index.setdefault(name, path)) is not path:
                index[name] = [*other, path] if isinstance(other, list) else [other, path]
        return index

    def forget_names(self) -> None:
        """Free the index that find() makes, 60 MB for AVA."""
        self.__dict__.pop("_by_stem", None)

    def label_file(self, *patterns: str) -> Path:
        """The one file that the first pattern matches which any file does. Raises FileNotFoundError if none does,
        ValueError if several different files do."""
        paths = self.label_files(*patterns)
        if len(paths) > 1:
            raise ValueError(f"{_list(paths)}: which of these files is meant? Move the others away")
        return paths[0]

    def label_files(self, *patterns: str) -> list[Path]:
        """All files that the first pattern matches which any file does, in order of path; of files with the same bytes,
        the least nested. A table saved in another format counts if no pattern matches. Raises FileNotFoundError, with
        what is there and what to do, if there is none."""
        tables = [pattern.rpartition(".")[0] for pattern in patterns if pattern.endswith(TABLES[:4])]
        for pattern in [*patterns, *(name + end for name in tables for end in SAVED_AS)]:
            if matches := self.all(pattern):
                different: list[str] = []
                for path in sorted(matches, key=lambda path: (path.count("/"), path)):
                    same = (filecmp.cmp(self.root / path, self.root / other, shallow=False) for other in different)
                    if not any(same):
                        different.append(path)
                self.label_paths += sorted(different)
                return [self.root / path for path in sorted(different)]
        raise FileNotFoundError(
            f"{self.root}: no file {' or '.join(patterns)} in it or below it; {self.hint(patterns)}"
        )

    def hint(self, patterns: Sequence[str] = ()) -> str:
        """What to do if files are missing: archives to unpack, or else the names that are nearest to what is wanted."""
        if unpack := self.unpack(again=False):
            return unpack
        tables = {path.rpartition("/")[2]: path for path in self.paths if path.lower().endswith(TABLES)}
        wanted = [pattern.replace("*", "").rpartition("/")[2] for pattern in patterns]
        near = dict.fromkeys(name for want in wanted for name in get_close_matches(want, tables, 3, 0.4))
        names = [tables[name] for name in [*near, *(name for name in tables if name not in near)][:3]]
        there = printable(", ".join(names or self.paths[:3])) or "nothing"
        return f"there is {there}; download the owner's file, or rename yours if it is that"

    def unpack(self, again: bool = True) -> str:
        """What to say if there are archives, "" if there are none. again: also of those with a folder of their name."""
        folders = () if again else {part.lower() for path in self.paths for part in path.split("/")[:-1]}
        ends = {path: ARCHIVE.search(path.lower()) for path in self._others}
        archives = [path for path, end in ends.items() if end and base(path[: end.start()]).lower() not in folders]
        more = f" and {len(archives) - 3} more" if len(archives) > 3 else ""
        return f"unpack {printable(', '.join(archives[:3]))}{more} there" if archives else ""

    def all(self, pattern: str) -> list[str]:
        """The files, but for images, whose name (or, if the pattern has a "/", the end of whose path) matches, in order
        of path."""
        pattern = folded(pattern)
        if "/" in pattern:
            matches = re.compile(translate("*/" + pattern)).match
            return [path for path in self._others if matches("/" + folded(path))]
        matches = re.compile(translate(pattern)).match
        return [path for path in self._others if matches(folded(path.rpartition("/")[2]))]

    @cached_property
    def _by_path(self) -> dict[str, str]:
        return {unicodedata.normalize("NFC", path): path for path in self.paths} | {path: path for path in self.paths}

    def find(self, *ends: str) -> list[Match]:
        """The images at the end of whose paths one of `ends` stands, with any extension of an image, best guess first.
        Of each image folder only the best one. No "../" in a label file leads out of the root."""
        if len(ends) == 1 and "/" not in ends[0] and "\\" not in ends[0]:  # nearly always so: a third of the time
            path = self._by_stem.get(folded(self._named(ends[0])), "")
            if isinstance(path, str):
                return [Match((0, False, False), sys.intern(path.rpartition("/")[0]), path)] if path else []
        matches: dict[str, Match] = {}
        seen: set[str] = set()
        for place, end in enumerate(ends):
            wanted = posixpath.normpath(end.replace("\\", "/")).lstrip("/")
            parts = [folded(part) for part in wanted.split("/")]
            paths = self._by_stem.get(self._named(parts[-1]), [])
            for path in [paths] if isinstance(paths, str) else paths:
                have = path.split("/")
                if len(parts) > 1 and [folded(part) for part in have[-len(parts) : -1]] != parts[:-1]:
                    continue
                if path in seen:  # by a better name
                    continue
                seen.add(path)
                folder = "/".join(have[: -len(parts)])
                other = folded(have[-1]) != parts[-1]
                match = Match((place, other, not ("/" + path).endswith("/" + wanted)), folder, path)
                if folder not in matches or match < matches[folder]:
                    matches[folder] = match
        return sorted(matches.values())

    def _named(self, name: str) -> str:
        """A row's name for an image without the extension of an image, if it has one: "1.5" has none."""
        return stem(name) if name.lower().endswith(self._suffixes) else name

    def exact(self, name: str) -> str | None:
        """The file of this very path, from the root or absolute; only "./", "//" and the like and the Unicode form may
        differ."""
        path = posixpath.normpath(name.replace("\\", "/"))
        for root in (os.path.abspath(self.root), os.path.realpath(self.root)):
            path = path.removeprefix(root.rstrip("/") + "/")
        return self._by_path.get(path) or self._by_path.get(unicodedata.normalize("NFC", path))


def base(cell: str) -> str:
    """The file name in a cell that may hold a path, with "/" or Windows' backslashes."""
    return cell.replace("\\", "/").rpartition("/")[2].strip()


def image_id(cell: str) -> str:
    """The file name in a cell, without folders and an image's extension, if it has one."""
    name = base(cell)
    name = name[:-2] if name.endswith(".0") else name  # a number that a program has saved
    return stem(name) if name.lower().endswith(suffixes()) else name


def _list(paths: Sequence[Path]) -> str:
    return ", ".join(printable(path) for path in paths)


def _walk(folder: Path, below: str = "", seen: frozenset = frozenset(), skip: str | None = None) -> Iterator[str]:
    """Files below a folder; folders that are links are followed, but not in circles. skip: a folder's real path."""
    seen = seen | {os.path.realpath(folder), skip}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith((".", "~$")):
                continue
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:  # a link to itself
                continue
            if is_folder:
                if os.path.realpath(entry.path) not in seen:
                    yield from _walk(Path(entry.path), f"{below}{entry.name}/", seen, skip)
            elif is_file:
                yield below + entry.name
