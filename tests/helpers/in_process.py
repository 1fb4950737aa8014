"""A command of ours as a user types it, run in this process: a process of its own costs 0.3 s to 2 s."""

import os
import runpy
import signal
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from tests.helpers.paths import ROOT

# Commands change them for good. A process whose SIGPIPE is the system's is ended, without a word, by its next write to
# a socket that the other side has closed: in a test of servers, files later.
SIGNALS = (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM)


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def run(command: str, *more: str, cwd: Path = ROOT) -> Done:
    """command: what stands behind `python`, as in "-m data_prep spaq" or "eval/score.py saves"."""
    words, before, folder = [*command.split(), *more], sys.argv, Path.cwd()
    out, err, code = StringIO(), StringIO(), 0
    handlers = [signal.getsignal(number) for number in SIGNALS]
    try:
        os.chdir(cwd)
        with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # runpy's, of a module that a test has imported
            try:
                if words[0] == "-m":
                    sys.argv = words[1:]
                    runpy.run_module(words[1], run_name="__main__", alter_sys=True)
                else:
                    sys.argv = [str(ROOT / words[0]), *words[1:]]
                    runpy.run_path(sys.argv[0], run_name="__main__")
            except SystemExit as ended:
                code = ended.code
                if isinstance(code, str):  # as the interpreter does
                    print(code, file=err)
                    code = 1
    finally:
        sys.argv = before
        os.chdir(folder)
        for number, handler in zip(SIGNALS, handlers):
            signal.signal(number, handler)
    return Done(code or 0, out.getvalue(), err.getvalue())
