"""What the libraries print goes to a log: "Loading weights" lines, tokenizer bars, warnings of transformers."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TextIO

from storm.text import printable


@contextmanager
def quiet(log: Path) -> Iterator[TextIO]:
    """Send everything that this process prints to the end of a log. Yields a stream to the terminal (stderr).

    An error leaves its traceback in the log. A ValueError or OSError that our code raises says what is wrong and the
    fix, and passes. Any other one becomes a ValueError of one line that names the log.
    """
    # Never closed: the handlers that transformers and LLaMA-Factory set up go on writing to it.
    output = log.open("a", encoding="utf-8", errors="replace", buffering=1)
    sys.stdout.flush(), sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    terminal = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace", buffering=1)
    try:
        # The descriptors too: libraries in C, and handlers that hold an earlier sys.stderr.
        os.dup2(output.fileno(), 1), os.dup2(output.fileno(), 2)
        with redirect_stdout(output), redirect_stderr(output):
            try:
                yield terminal
            except Exception as error:
                with suppress(OSError):  # a full disk is the error itself
                    traceback.print_exc()
                *_, (frame, _) = traceback.walk_tb(error.__traceback__)
                ours = str(frame.f_globals.get("__name__")).partition(".")[0] in ("storm", "eval")
                if ours and isinstance(error, (ValueError, OSError)):
                    raise
                first = printable((str(error).splitlines() or [type(error).__name__])[0])
                raise ValueError(f"{first}; the whole error: {log}") from error
    finally:
        with suppress(OSError):
            output.flush()
        for descriptor, target in zip(kept, (1, 2)):
            os.dup2(descriptor, target)
            os.close(descriptor)
        terminal.close()
