"""eval/app.py with a stand-in for the model, in a process of its own: python -m tests.helpers.served_page ARGUMENTS

What the program asks the DNS is printed, as "DNS: NAME".
"""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from eval import app
from storm.images import ImageFault, load_rgb
from storm.prompts import answer
from tests.helpers.paths import ROOT
from tests.helpers.served import Server, free_port, running

SLOW = "slow"  # a photograph whose name begins so takes a second


class StandIn:
    """A rater for which the lowest level is always the prediction."""

    def __init__(self, settings):
        self.settings, self.tries, self.device = settings, {}, SimpleNamespace(type="cpu")
        self.loaded = SimpleNamespace(prompts={}, forget=lambda question: None)
        self.loaded.key = lambda question, size: (question, size)

    def images(self, block):
        images, errors = {}, {}
        for example in block:
            try:
                images[example.id] = load_rgb(Path(example.image))
            except ImageFault as fault:
                errors[example.id] = {"predict": "", "error": f"{example.image}: {fault}"}
        return images, errors

    def answers(self, block, images):
        for example, image in zip(block, images):
            self.loaded.prompts[example.question, image.size] = [0] * 7
            time.sleep(Path(example.image).name.startswith(SLOW))
        return [self.row(example.scale, example.strategy) for example in block]

    def row(self, scale, strategy):
        probs = [1.0] + [0.0] * (len(scale.fine) - 1)
        columns = {"predict": answer(scale, strategy, scale.lo), "probs": probs, "coarse": [1.0, 0.0]}
        return columns | {"median": scale.lo, "mean": float(scale.lo), "entropy": 0.0, "mass": 0.9}


@contextmanager
def served_page(folder: Path, *more: object, **env: str) -> Iterator[Server]:
    """A running app whose temporary files lie in the folder, on a free port; killed at the end if it still runs."""
    port, log = free_port(), folder / "app.log"
    words = [sys.executable, "-m", "tests.helpers.served_page", "--model", "m", "--port", port, *more]
    with running(words, ROOT, port, log, env | {"TMPDIR": str(folder)}) as server:
        yield server


def main() -> int:
    ask = socket.getaddrinfo

    def told(host, *more, **named):
        print(f"DNS: {host}", file=sys.stderr, flush=True)
        return ask(host, *more, **named)

    socket.getaddrinfo = told
    app.load_rater = StandIn
    return app.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
