"""Runs a command of this repository and measures what it takes."""

import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Timed(NamedTuple):
    """What a command took."""

    seconds: float
    cpu: float  # seconds, with those of its child processes
    memory: float  # the most MB of its first process

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.cpu:.1f} s of CPU, at most {self.memory:.0f} MB"


def timed(*arguments: object, check: bool = True) -> Timed:
    """Run Python with these arguments in the root of the repository.

    check: raise CalledProcessError if it does not end with exit code 0.
    """
    before, start, peak = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), 0
    with subprocess.Popen([sys.executable, *map(str, arguments)], cwd=ROOT) as process:
        while process.poll() is None:  # not getrusage's peak, which begins at that of this process
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = max([peak, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
            time.sleep(0.05)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if check and process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return Timed(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak / 1024)
