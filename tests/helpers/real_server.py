"""A server of a model in a process of its own, as a user starts it, and a small world of rows to ask it."""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from storm.datasets import SCALES
from storm.files import write_jsonl
from storm.rows import Example, to_row

QUESTIONS = (("spaq", "cot"), ("adience", "text"), ("hci", "num"), ("eyepacs", "direct"))


def write_world(folder: Path, rows: int) -> list[Path]:
    """Photographs in media/, and a test file of each of QUESTIONS. Returns the files."""
    (folder / "media").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(rows):
        height, width = rng.integers(40, 160, 2)
        blurred = Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).resize((200, 150))
        blurred.save(folder / "media" / f"{number}.jpg")
    for dataset, strategy in QUESTIONS:
        scale = SCALES[dataset]
        examples = [
            Example(f"{dataset}/{n}", dataset, f"{n}.jpg", scale.lo + n % 5, scale, strategy) for n in range(rows)
        ]
        write_jsonl(folder / f"{dataset}_test.jsonl", map(to_row, examples))
    return [folder / f"{dataset}_test.jsonl" for dataset, _ in QUESTIONS]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def started(
    command: Sequence[str], url: str, log: Path, seconds: int, **environment: str
) -> Iterator[subprocess.Popen]:
    """Start a program, wait until the url answers, and end it afterwards."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file, env=env) as process:
        try:
            end = time.time() + seconds
            while not _answers(url):
                assert process.poll() is None and time.time() < end, log.read_text(errors="replace")[-3000:]
                time.sleep(0.2)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310
            return answer.status == 200
    except OSError:
        return False
