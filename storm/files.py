"""Files: written whole or not at all, one reader and writer of JSON lines, and the lock of an output folder."""

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from json import JSONDecodeError
from pathlib import Path
from typing import IO, Any, NamedTuple

import jsonlines
import orjson
from filelock import FileLock, Timeout

LOCK = "lock"  # the name of the lock file in an output folder
UNFINISHED = ".part"  # how the names of files end that are being written
LONGEST_LINE = 16 << 20  # bytes of a JSONL line; rows have 1 to 10 kB


class Line(NamedTuple):
    """One line of a JSONL file: its number from 1, its row, and why it could not be read ("" if it could)."""

    number: int
    row: Any
    fault: str = ""


def open_regular(path: Path, buffering: int = -1) -> IO[bytes]:
    """Open a regular file to read. Raises OSError for anything else: a pipe would wait for a writer for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb", buffering)
    os.close(descriptor)
    raise OSError(errno.EINVAL, "is not a regular file", str(path))


class CutOff(ValueError):
    """A packed file that ends before its end."""


class Locked(OSError):
    """Another process writes to this folder; says which folder, in one line."""


BUFFER = 1 << 18  # bytes: rows are longer than 1 kB, and a write of 8 kB at a time takes four times as long


@contextmanager
def whole_files(sync: bool = True, place: Path | None = None) -> Iterator[Callable[[Path], IO[bytes]]]:
    """Yields open_(path): binary files to write. All get their names at the end; after an error until then, none does.

    Until then each has a hidden name of its own, so that two processes never write to one. What was not finished
    because of a kill is hidden, and goes when the folder is locked again if it is at most one folder deep. place: the
    folder of unfinished files, on the same disk, if not that of the file. sync: the bytes are on the disk before a file
    gets its name; without, a crash of the machine may leave an empty file behind. open_ raises OSError for a name that
    is a link, a FIFO, a device or a folder.
    """
    parts: list[tuple[Path, Path, IO[bytes]]] = []
    try:
        with ExitStack() as stack:

            def open_(path: Path) -> IO[bytes]:
                refuse_irregular(path)
                path.parent.mkdir(parents=True, exist_ok=True)
                part = (place or path.parent) / f".{os.getpid()}-{secrets.token_hex(6)}{UNFINISHED}"
                file = stack.enter_context(part.open("xb", BUFFER))
                parts.append((part, path, file))
                return file

            yield open_
            for _, _, file in parts if sync else ():
                file.flush()
                os.fsync(file.fileno())
        for part, path, _ in parts:
            os.replace(part, path)
        for folder in {path.parent for _, path, _ in parts} if sync else ():
            _sync_folder(folder)
    finally:
        for part, _, _ in parts:
            part.unlink(missing_ok=True)


def refuse_irregular(path: Path) -> None:
    """Raises OSError, naming it, for a path where something other than a regular file is: it must not be replaced."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link", stat.S_IFIFO: "a FIFO"}
        kind = kinds.get(stat.S_IFMT(mode), "a device or socket")
        raise OSError(errno.EEXIST, f"is {kind}, which is not replaced by a file; move it away", str(path))


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the file system can (some network folders cannot)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with whole_files() as open_:
        open_(path).write(text.encode())


def write_json(path: Path, value: object) -> None:
    """Write a JSON file for people to read (indented, keys in the given order), whole or not at all.

    Raises TypeError for what JSON cannot hold. orjson writes NaN as null.
    """
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    with whole_files() as open_:
        open_(path).write(text)


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises OSError, or ValueError naming the file, if it is not JSON."""
    try:
        with open_regular(path) as file:
            return orjson.loads(file.read())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from None


def read_jsonl(path: Path) -> Iterator[Line]:
    """Every line of a JSONL file that is not blank. A line that is not JSON has a fault and no row; reading goes on.

    Takes a byte order mark. Raises OSError if the file cannot be read.
    """
    # The host's predictions have lines of 10 kB; a large buffer saves an eighth of the time to score them.
    with open_regular(path, 1 << 20) as file:
        yield from json_lines(file)


def json_lines(file: IO[bytes], loads: Callable[[str], Any] = orjson.loads) -> Iterator[Line]:
    """read_jsonl of an open file. loads: what reads one line."""
    unfinished = too_long = False

    def lines() -> Iterator[bytes]:
        nonlocal unfinished, too_long
        while line := _piece(file):
            rest, too_long = line, len(line) == LONGEST_LINE and not line.endswith(b"\n")
            while too_long and rest and not rest.endswith(b"\n"):  # read over it, a piece at a time
                rest = _piece(file)
            unfinished = not (rest or line).endswith(b"\n")
            yield b"{" if too_long else line

    with jsonlines.Reader(lines(), loads=loads) as reader:
        number = 0
        while True:
            number += 1
            try:
                yield Line(number, reader.read())
            except EOFError:
                return
            except jsonlines.InvalidLineError as error:
                if too_long:
                    yield Line(number, None, f"a line of more than {LONGEST_LINE >> 20} MB, which no row has")
                elif error.line.strip():
                    yield Line(number, None, _fault(error) + "; cut off (truncated file?)" * unfinished)


def _piece(file: IO[bytes]) -> bytes:
    """The next line, or a part of a long one. Raises CutOff where a packed file ends early: its EOFError would be taken
    for the end."""
    try:
        return file.readline(LONGEST_LINE)
    except EOFError as error:
        raise CutOff(str(error)) from None


def _fault(error: jsonlines.InvalidLineError) -> str:
    cause = error.__cause__
    if isinstance(cause, UnicodeDecodeError):
        return f"not UTF-8: {error.line[:60]!r}"
    if isinstance(cause, JSONDecodeError):
        return f"not JSON: {cause.msg} at character {cause.pos + 1}"
    return f"not JSON: {cause}" if cause else "not a row: null"  # jsonlines does not take null for a row


def write_jsonl(path: Path, rows: Iterable[dict]) -> int:
    """Write rows as JSON lines, whole or not at all. Returns how many there were."""
    with whole_files() as open_:
        return write_rows(open_(path), rows)


def write_rows(file: IO[bytes], rows: Iterable[dict]) -> int:
    """Write rows to an open binary file as JSON lines. Returns how many there were."""
    count = 0
    for row in rows:
        file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        count += 1
    return count


def append_jsonl(path: Path, rows: Iterable[dict]) -> None:
    """Add rows at the end of a JSONL file. They are on the disk when this returns. Raises OSError naming the file."""
    refuse_irregular(path)
    try:
        with path.open("ab") as file:
            write_rows(file, rows)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:  # a full disk names no file
        raise OSError(error.errno, error.strerror, str(path)) from None


def cut_unfinished(path: Path) -> None:
    """Cut off a last line that a killed process did not finish, so that the next one starts on a line of its own."""
    with path.open("rb+") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - (1 << 16))
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            file.truncate(end)


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold the lock of an output folder; raises Locked, naming the folder, if another process holds it.

    Yields the lock's file descriptor: a child that inherits it keeps the folder locked after a kill of its parent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    refuse_irregular(folder / LOCK)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise Locked(f"{folder}: another process writes to this folder; wait for it or stop it") from None
    try:
        for pattern in (f".*{UNFINISHED}", f"*/.*{UNFINISHED}"):  # of processes that were killed
            for part in folder.glob(pattern):
                if re.fullmatch(rf"\.\d+-[0-9a-f]{{12}}{re.escape(UNFINISHED)}", part.name):
                    part.unlink(missing_ok=True)
        yield lock._context.lock_file_fd
    finally:
        lock.release()
