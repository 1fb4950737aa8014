"""What eval/serve.py and eval/app.py share: an address, a loaded model with a queue before it, and the end of both.

Imports neither torch nor a web server, so that --help answers at once.
"""

import os
import re
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from eval.inference.settings import Settings

if TYPE_CHECKING:
    import asyncio

    from fastapi import FastAPI

    from eval.inference.rater import Rater
    from eval.serving.app import Serving
    from eval.serving.questions import Known
    from storm.scales import Scale

BATCH = {"cuda": 32, "cpu": 8}  # rows at once by device, as eval/predict.py
DECODERS = 4  # images decoded at once at most: our choice, each may take 0.5 GB
LOCAL = ("127.0.0.1", "localhost", "::1")
IP = (socket.AF_INET, socket.AF_INET6)
EVERY = ("0.0.0.0", "::")  # noqa: S104, all addresses of this machine


class RequestLimits(NamedTuple):
    """What requests may ask for; our choices, which eval/app.py has, too."""

    batch_size: int | None = None  # questions rated at once; None: BATCH
    queue: int = 256  # questions that wait
    max_questions: int = 16  # of a request
    max_body: int = 20_000_000  # bytes; a photograph of 12 megapixels has 5 MB
    allow_url_images: bool = False


def key_of(variable: str | None) -> str:
    """The key in an environment variable (--api-key-env), "" without one. Raises ValueError if it is not set."""
    if not variable:
        return ""
    key = os.environ.get(variable, "")
    if not key.strip() or not key.isascii() or not key.isprintable():
        fix = f"export {variable}=..."
        raise ValueError(f"--api-key-env {variable}: the variable holds no key of ASCII letters; {fix}")
    return key


def hosts(host: str, more: Sequence[str] = ()) -> list[str]:
    """The Host headers that are answered: this machine, the address served at, and --allow-host. Raises ValueError.

    A page of another site, whose name was made to point here, is then refused. Starlette cuts a Host at its first ":",
    so "[" stands for [::1], and "[fe80" for each address that begins so: nobody can make an address point elsewhere.
    """
    for name in more:
        if not re.fullmatch(r"\*|(\*\.)?[\w.-]+", name, re.ASCII):
            raise ValueError(f"--allow-host {name}: write a name such as rater.example.org, without port or http://")
    names = [*LOCAL, *more]
    if host in EVERY:
        import psutil

        names += [socket.gethostname()]
        names += [
            entry.address for entries in psutil.net_if_addrs().values() for entry in entries if entry.family in IP
        ]
    else:
        names.append(host)
    return sorted({f"[{name.split(':')[0]}" if ":" in name else name.lower() for name in names})


def check_host(app: "FastAPI", names: Sequence[str]) -> None:
    """Let a program answer these Host headers only, with status 400 for others."""
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(names), www_redirect=False)


def bound(host: str, number: int) -> socket.socket:
    """A socket at that address, which does not listen yet. Raises ValueError in one line."""
    try:
        [(family, kind, protocol, _, place), *_] = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(place)
    except OSError as error:
        raise ValueError(f"{host}, port {number}: {error.strerror or error}; choose another --host or --port") from None
    return opened


def address(host: str, number: int) -> str:
    """What a browser or client on this machine, or elsewhere if all addresses are served, opens."""
    shown = socket.gethostname() if host in EVERY else host
    return f"http://[{shown}]:{number}" if ":" in shown else f"http://{shown}:{number}"


def load_rater(settings: Settings) -> "Rater":
    """The model, loaded. What the libraries print goes to a log, which is kept only after an error that names it."""
    from dataclasses import replace

    from eval.inference.quiet import quiet

    log = Path(tempfile.mkstemp(prefix="storm_", suffix=".log")[1])
    with quiet(log):
        import torch

        from eval.inference.model import load
        from eval.inference.rater import Rater
        from eval.serving.admission import CUTOFF

        settings = replace(settings, cutoff_len=CUTOFF)
        rater = Rater(load(settings, torch.device("cuda" if torch.cuda.is_available() else "cpu")), settings)
    log.unlink()
    return rater


def started(rater: "Rater", known: "Known", key: str, limits: RequestLimits, more: Sequence["Scale"] = ()) -> "Serving":
    """A rater with its queue. more: scales that stay in memory beside the known ones."""
    from concurrent.futures import ThreadPoolExecutor

    from eval.serving.admission import Admission
    from eval.serving.app import Serving
    from eval.serving.batching import Batcher
    from eval.serving.metrics import Metrics

    metrics, size = Metrics(), limits.batch_size or BATCH[rater.device.type]
    batcher = Batcher(rater, (*known.scales, *more), size, limits.queue, metrics)
    admission = Admission(limits.queue + size, limits.max_body)
    decoders = ThreadPoolExecutor(min(DECODERS, os.cpu_count() or 1), "decoder")
    name = Path(rater.settings.adapter or rater.settings.model).name
    serving = Serving(name, known, batcher, admission, metrics, decoders, limits.max_questions, key)
    return serving._replace(urls=limits.allow_url_images)


def run(app: "FastAPI", place: socket.socket, ending: "asyncio.Event | None" = None) -> None:
    """Serve until Ctrl-C. What has begun is answered; ending is set before, for what would never end by itself."""
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            if ending:
                ending.set()
            await super().shutdown(sockets)

    config = uvicorn.Config(app, log_level="warning", lifespan="on", ws="none", server_header=False)
    Server(config).run([place])  # it raises the signal again, once all is answered
