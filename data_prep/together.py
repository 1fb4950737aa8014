"""Writes files whole or not at all, one or several at once."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def together() -> Iterator[Callable[[Path], IO[str]]]:
    """Yields open_(path): files to write. They get their names when all are whole; after an error, none does."""
    parts: list[tuple[Path, Path]] = []
    try:
        with ExitStack() as stack:

            def open_(path: Path) -> IO[str]:
                path.parent.mkdir(parents=True, exist_ok=True)
                part = path.with_name(path.name + ".part")
                parts.append((part, path))
                return stack.enter_context(part.open("w", encoding="utf-8", newline="\n"))

            yield open_
        for part, path in parts:
            os.replace(part, path)
    finally:
        for part, _ in parts:
            part.unlink(missing_ok=True)
