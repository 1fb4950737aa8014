"""A predictions file as records, whatever it is: JSON lines, JSON, csv, .xlsx, .parquet, gzip or zstd of these, or a
folder with a JSON file for each row.

The first bytes decide, not the name. What the records mean is the matter of forms.py.
"""

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from eval.scoring.record_json import Known, is_row, loads, of_text
from eval.scoring.record_tables import parquet, text_table, workbook
from storm.files import LONGEST_LINE, CutOff, Line, json_lines, open_regular

HEAD = 1 << 20  # bytes that tell what a file is
LINES = 5  # lines that tell whether a file is JSON lines; the first may be damaged
MOST = 500_000_000  # bytes of a file that is read as a whole; 80,382 rows of JSON lines are read line by line
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# How a file that holds no rows begins -> what it is and what to do.
OTHERS = {
    b"\xd0\xcf\x11\xe0": "an old Excel file; save it as .xlsx",
    b"version https://git-lfs": "a pointer of Git LFS, not the file; get it with: git lfs pull",
    b"BZh": "a bzip2 file; unpack it with: bunzip2",
    b"\xfd7zXZ": "an xz file; unpack it with: unxz",
    b"7z\xbc\xaf": "a 7z archive; unpack it",
    b"Rar!": "a rar archive; unpack it",
    b"\x80\x02": "a pickle, which can run programs and is never read; write JSON lines",
    b"\x80\x03": "a pickle, which can run programs and is never read; write JSON lines",
    b"\x80\x04": "a pickle, which can run programs and is never read; write JSON lines",
    b"\x80\x05": "a pickle, which can run programs and is never read; write JSON lines",
    b"\x93NUMPY": "a NumPy array; write JSON lines",
    b"SQLite format 3": "a database; export the table as csv",
    b"ARROW1": "an Arrow file; write it as .parquet",
    b"\x89HDF": "an HDF5 file; write JSON lines",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"%PDF": "a PDF",
    b"\x7fELF": "a program",
}


def records(path: Path, known: Known) -> Iterator[Line]:
    """The rows of a file: the line, or which row it is, from 1; an object; and why it cannot be read.

    known: tells whether an object is a row of predictions; it decides between rows and what holds rows. Raises OSError
    if the file cannot be read, ValueError naming the file, in one line, if it holds no rows or is damaged: what was
    read before counts.
    """
    if path.is_dir():
        yield from _of_folder(path, known)
        return
    try:
        yield from _records(path, known)
    except (EOFError, CutOff, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:  # the file itself; gzip and zstd name none
            raise
        raise ValueError(f"{path}: a packed file that is damaged or cut off ({error}); write it again") from None


def row_files(folder: Path, known: Known) -> list[Path]:
    """The .json files of a folder that are one row each, as dumps of requests are, 2.json before 10.json; [] of fewer
    than two. Raises OSError."""
    files = [file for file, line in _row_lines(folder, known) if not line.fault]
    return files if len(files) > 1 else []


def _row_lines(folder: Path, known: Known) -> Iterator[tuple[Path, Line]]:
    """Each .json file of a folder that is a row, or cannot be read. The name of the file is the id of a row without."""
    for number, path in enumerate(sorted(folder.glob("*.json"), key=natural), start=1):
        if not path.is_file():
            continue
        with open_regular(path) as file:
            text = file.read(LONGEST_LINE)
        try:
            row = loads(text)
        except ValueError as error:
            yield path, Line(number, None, f"{path.name}: not JSON ({error}); cut off?")
            continue
        if is_row(row, known):
            yield path, Line(number, {"custom_id": path.stem, **row} if "choices" in row else row)


def natural(path: Path) -> list:
    """A name for sorting, its numbers by size."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", str(path)) if part]


def _of_folder(folder: Path, known: Known) -> Iterator[Line]:
    for _, line in _row_lines(folder, known):
        yield line


def _records(path: Path, known: Known) -> Iterator[Line]:
    head = _head(path)
    begins = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    what = next((what for start, what in OTHERS.items() if head.startswith(start)), "")
    if head[257:262] == b"ustar":
        what = "a tar archive; unpack it with: tar -xf"
    if begins == b"<" and re.match(rb"\s*<(!doctype html|html)", head, re.IGNORECASE):
        what = "a web page, perhaps of a login; download the file itself"
    if what:
        raise ValueError(f"{path}: {what}")
    if head.startswith(b"PAR1"):
        yield from parquet(path)
    elif head.startswith(b"PK\x03\x04"):
        yield from workbook(path)
    elif (encoding := _utf16(head)) and head.decode(encoding, "ignore").lstrip("\ufeff \t\r\n")[:1] not in ("{", "["):
        with _opened(path) as file:
            yield from text_table(path, file, encoding)
    elif encoding:
        text = _text(path, encoding).lstrip("\ufeff")
        if _has_lines(path, text[:HEAD].encode(), text.lstrip()[:1].encode(), known):
            yield from json_lines(io.BytesIO(text.encode()), loads)
        else:
            yield from of_text(path, text, known)
    elif _has_lines(path, head, begins, known):
        with _opened(path) as file:
            yield from json_lines(file, loads)
    elif b"\0" in head:
        raise ValueError(f"{path}: a NUL byte, which no text has; write JSON lines, csv, .xlsx or .parquet")
    elif begins in (b"{", b"["):
        yield from of_text(path, _text(path, "utf-8-sig"), known)
    elif head.strip():
        with _opened(path) as file:
            yield from text_table(path, file, "utf-8-sig")


def _head(path: Path) -> bytes:
    """The first bytes of a file, unpacked; of a damaged one, as many as there are."""
    head = b""
    with _opened(path) as file:
        try:
            while len(head) < HEAD and (more := file.read1(HEAD - len(head))):
                head += more
        except EOFError:
            if not head:
                raise
    return head


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked if gzip or zstd packed it. Raises OSError."""
    with open_regular(path, HEAD) as file:
        start = file.peek(4)[:4]
        if start.startswith(GZIP):
            with gzip.open(file) as unpacked:
                yield unpacked
        elif start == ZSTD:
            from pyarrow import CompressedInputStream, PythonFile

            yield io.BufferedReader(CompressedInputStream(PythonFile(file, mode="r"), "zstd"), HEAD)
        else:
            yield file


def _has_lines(path: Path, head: bytes, begins: bytes, known: Known) -> bool:
    """Whether a text has a row on each line, rather than one JSON value over all lines, or a table."""
    if begins not in (b"{", b"["):
        return path.suffix.lower() in (".jsonl", ".ndjson")
    lines = [line for line in head.split(b"\n", 100)[:100] if line.strip()][:LINES]
    if len(head) == HEAD and b"\n" not in head:
        return False
    values = []
    for line in lines:
        try:
            values.append(loads(line))
        except ValueError:  # damaged, or a part of a larger value
            continue
    if len(lines) == 1 and values:  # one row, or all in one line
        return is_row(values[0], known)
    if begins == b"[":  # a list with a row on each line is one value; a list among rows is a bad row
        return _parses(lines[0]) or sum(isinstance(value, dict) for value in values) > 1
    return any(isinstance(value, dict) for value in values) or (begins == b"{" and _cut_off(path, lines))


def _parses(line: bytes) -> bool:
    try:
        loads(line)
    except ValueError:
        return False
    return True


def _cut_off(path: Path, lines: list[bytes]) -> bool:
    """Whether the first lines are damaged rows rather than the beginning of an indented value."""
    return path.suffix.lower() in (".jsonl", ".ndjson") and lines[0].strip() != b"{"


def _utf16(head: bytes) -> str:
    """The name of the encoding if a text is UTF-16, with a byte order mark or without; else ""."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    zeros = [head[first:200:2].count(0) for first in (0, 1)]
    least = len(head[:200]) // 2 - 2
    if least > 4 and max(zeros) >= least and min(zeros) == 0:
        return "utf-16-be" if zeros[0] else "utf-16-le"
    return ""


def _text(path: Path, encoding: str) -> str:
    """Raises ValueError naming the file if it is too large or not of this encoding."""
    with _opened(path) as file:
        data = file.read(MOST + 1)
    if len(data) > MOST:
        raise ValueError(f"{path}: more than {MOST:,} bytes in one value or table; write a row on each line (.jsonl)")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise ValueError(f"{path}: not {name} at byte {error.start + 1:,}; save it as UTF-8") from None
