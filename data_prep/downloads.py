"""Finds and reads a dataset's files however the user has them: nesting, case, extensions, encodings."""

import csv
import io
import os
import posixpath
import unicodedata
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cached_property
from itertools import zip_longest
from pathlib import Path

from storm.files import open_regular


def folded(name: str) -> str:
    """A name for comparing: one Unicode form (tar files of CACD hold two), one case."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def stem(path: str) -> str:
    """The name of a file without folders and extension. PurePosixPath.stem is the same, and takes ten times as long."""
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    return name[:dot] if 0 < dot < len(name) - 1 else name


class Files:
    """All files below a folder, hidden ones (macOS' ._ files) left out. Paths are relative to it, with "/"."""

    def __init__(self, root: Path) -> None:
        """Raises NotADirectoryError if there is no folder, ValueError for a name that is not UTF-8 (unpacked with the
        wrong encoding), which no row could hold."""
        self.root = root
        if not root.is_dir():
            raise NotADirectoryError(f"{root}: no such folder")
        self.paths = sorted(_walk(root))
        for path in self.paths:
            if not path.isascii() and any("\ud800" <= letter <= "\udfff" for letter in path):
                what = f"the file name {ascii(path)} is not UTF-8"
                raise ValueError(f"{root}: {what}; unpack again, or convmv -f latin1 -t utf8")

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        index: dict[str, list[str]] = {}
        for path in self.paths:
            index.setdefault(folded(stem(path)), []).append(path)
        return index

    def label_file(self, *patterns: str) -> Path:
        """The first pattern that a file name matches; the least nested if several do. Raises FileNotFoundError."""
        for pattern in patterns:
            if matches := self.all(pattern):
                return self.root / min(matches, key=lambda path: (path.count("/"), path))
        raise FileNotFoundError(f"{self.root}: no file {' or '.join(patterns)} in this folder or below it")

    def all(self, pattern: str) -> list[str]:
        """The files whose name (or, if the pattern has a "/", the end of whose path) matches, in order of path."""
        pattern = folded(pattern)
        if "/" in pattern:
            return [path for path in self.paths if fnmatch("/" + folded(path), "*/" + pattern)]
        return [path for path in self.paths if fnmatch(folded(path.rpartition("/")[2]), pattern)]

    @cached_property
    def _by_path(self) -> dict[str, str]:
        return {unicodedata.normalize("NFC", path): path for path in self.paths} | {path: path for path in self.paths}

    def find(self, *ends: str) -> str | None:
        """The file at the end of a path, trying `ends` in turn. If several end so: the same extension goes before any
        other, the same case before another, then the least nested. No "../" in a label file leads out of the root."""
        for end in ends:
            wanted = posixpath.normpath(end.replace("\\", "/")).lstrip("/")
            parts = [folded(part) for part in wanted.split("/")]
            matches = []
            for path in self._by_stem.get(stem(parts[-1]), ()):
                have = [folded(part) for part in path.split("/")]
                if have[-len(parts) : -1] == parts[:-1]:
                    same_case = ("/" + path).endswith("/" + wanted)
                    matches.append((have[-1] != parts[-1], not same_case, len(have), path))
            if matches:
                return min(matches)[-1]
        return None

    def exact(self, name: str) -> str | None:
        """The file of this very path, from the root or absolute; only "./", "//" and the like and the Unicode form may
        differ."""
        path = posixpath.normpath(name.replace("\\", "/"))
        for root in (os.path.abspath(self.root), os.path.realpath(self.root)):
            path = path.removeprefix(root.rstrip("/") + "/")
        return self._by_path.get(path) or self._by_path.get(unicodedata.normalize("NFC", path))


def _walk(folder: Path, below: str = "", seen: frozenset = frozenset()) -> Iterator[str]:
    """Files below a folder; folders that are links are followed, but not in circles."""
    seen = seen | {os.path.realpath(folder)}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:  # a link to itself
                continue
            if is_folder:
                if os.path.realpath(entry.path) not in seen:
                    yield from _walk(Path(entry.path), f"{below}{entry.name}/", seen)
            elif is_file:
                yield below + entry.name


def read_csv(path: Path, *needed: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a text table with a header, as (line number, column -> text). All cells are text, stripped.

    Takes a byte order mark, CRLF, quotes, and "," ";" or tabs (whichever the header holds most). Raises ValueError,
    naming the file, if it is not such a table, lacks a needed column (it is then another file) or has a row with more
    cells than columns (a decimal comma perhaps). A row cut short has "" in its last columns.
    """
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            delimiter = max(",;\t", key=header.count)
            columns = [cell.strip() for cell in next(csv.reader([header], delimiter=delimiter), [])]
            if missing := [name for name in needed if name not in columns]:
                have = ", ".join(columns) or "none"
                raise ValueError(f"{path}: no column {missing[0]!r} (there are: {have}); is it another file?")
            reader = csv.reader(file, delimiter=delimiter)
            for cells in reader:
                stripped = [cell.strip() for cell in cells]
                if any(stripped[len(columns) :]):
                    raise ValueError(
                        f"{path}, line {reader.line_num + 1}: {len(cells)} cells for {len(columns)} columns "
                        f'({delimiter.join(stripped)}); write numbers as 1.5, and quote a cell that holds "{delimiter}"'
                    )
                if any(stripped):
                    yield reader.line_num + 1, dict(zip_longest(columns, stripped[: len(columns)], fillvalue=""))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a table in UTF-8 ({error}); save it as CSV UTF-8") from None
