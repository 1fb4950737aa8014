"""eval/serve.py in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.helpers.paths import ROOT

ENV = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
PATIENCE = 120  # seconds until a server must answer or end


class Server(NamedTuple):
    url: str
    process: subprocess.Popen
    log: Path  # what it prints

    @property
    def memory(self) -> float:
        """MB that it holds now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1]) / 1024

    def stop(self) -> int:
        """End it as a cluster does. Returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


@contextmanager
def served(model: Path, folder: Path, *more: object, **env: str) -> Iterator[Server]:
    """A server of a model on a free port, which is killed at the end if it still runs."""
    port, log = free_port(), folder / "serve.log"
    words = [sys.executable, ROOT / "eval/serve.py", "--model", model, "--port", port, "--image-max-pixels", 12544]
    with running([*words, *more], folder, port, log, env) as server:
        yield server


@contextmanager
def running(words: Sequence[object], folder: Path, port: int, log: Path, env: Mapping[str, str]) -> Iterator[Server]:
    """A program that serves at a port, from when its /health answers; killed with its processes at the end."""
    with log.open("w") as output:
        settings = os.environ | ENV | env | {"PYTHONPATH": str(ROOT)}
        streams = {"stdout": output, "stderr": output, "start_new_session": True}
        process = subprocess.Popen(list(map(str, words)), cwd=folder, env=settings, **streams)
    server, end = Server(f"http://127.0.0.1:{port}", process, log), time.monotonic() + PATIENCE
    try:
        while True:
            assert process.poll() is None and time.monotonic() < end, log.read_text()[-3000:]
            try:
                httpx.get(f"{server.url}/health", timeout=5).raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.2)
        yield server
    finally:
        with suppress(ProcessLookupError):  # its own processes, too: vLLM's outlive a kill -9 of their parent
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
