"""Serve a rater: python eval/serve.py --model DIR_OR_NAME [--adapter DIR] [--scale SCALE.yaml|NAME ...] [--port 8000]

POST /v1/decisions is OpenAI's decision API (`client.decisions.create` of the openai SDK), POST /v1/systemone that of
vLLM, Ollama and llama.cpp: an image and questions with ordered levels in, the probability of every level out, the same
numbers as eval/predict.py's. GET /health, /metrics (Prometheus) and /v1/models. Questions that arrive together are
rated together. It serves this machine only, unless --host says otherwise, and fetches no image from the web, unless
--allow-url-images does. Ctrl-C or SIGTERM answers what is in the queue, and ends. See docs/serving.md.
"""

import argparse
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eval.inference.settings import Settings, scale_called, trained_upright
from storm.datasets import BY_SCALE_NAME
from storm.options import Parser, one_of, port, positive, until_stopped
from storm.prompts import STRATEGIES, strategy_of

if TYPE_CHECKING:
    from eval.inference.rater import Rater
    from eval.serving.questions import Known

BATCH = {"cuda": 32, "cpu": 8}  # rows at once by device, as eval/predict.py
QUEUE, QUESTIONS, BODY = 256, 16, 20_000_000  # our choices; a photograph of 12 megapixels has 5 MB
DECODERS = 4  # images decoded at once at most: our choice, each may take 0.5 GB
LOCAL = ("127.0.0.1", "localhost", "::1")


def arguments() -> Parser:
    parser = Parser(prog="eval/serve.py", description="Serve a trained model to the clients of decision APIs.")
    add = parser.add_argument
    add("--model", required=True, metavar="DIR_OR_NAME", help="a model folder, or a model of the Hugging Face hub")
    add("--adapter", metavar="DIR", help="folder with a LoRA adapter of that model")
    text = "scales the model was trained on: your files, or datasets or scales of the paper (default: all of the paper)"
    add("--scale", nargs="+", default=(), metavar="SCALE.yaml|NAME", help=text)
    text = f"prompt strategy, as in training: {', '.join(STRATEGIES)} (default: %(default)s)"
    add("--strategy", type=one_of(STRATEGIES), default=strategy_of("").name, metavar="NAME", help=text)
    text = "most pixels of an image, as in training (default: %(default)s, our recipes')"
    add("--image-max-pixels", type=positive, default=Settings.image_max_pixels, metavar="N", help=text)
    text = "turn images as their EXIF data say; scales of rows that are copies of data_prep --resize do so"
    add("--upright", action="store_true", help=text)
    add("--bf16", action="store_true", help="cast the weights to bfloat16 (bf16_full_eval in our recipes)")
    text = "address to serve at (default: %(default)s, this machine only); 0.0.0.0: everybody who can reach it"
    add("--host", default="127.0.0.1", help=text)
    add("--port", type=port, default=8000, metavar="N", help="port to serve at (default: %(default)s)")
    text = "environment variable with the key that clients must send (default: no key)"
    add("--api-key-env", metavar="NAME", help=text)
    add("--allow-url-images", action="store_true", help="fetch images from web addresses in requests")
    add("--batch-size", type=positive, metavar="N", help="questions rated at once (default: 32 on a GPU, 8 without)")
    text = "questions that may wait; more get status 429 (default: %(default)s)"
    add("--queue", type=positive, default=QUEUE, metavar="N", help=text)
    text = "questions of a request at most (default: %(default)s)"
    add("--max-questions", type=positive, default=QUESTIONS, metavar="N", help=text)
    add("--max-body", type=positive, default=BODY, metavar="BYTES", help="of a request at most (default: %(default)s)")
    return parser


def known_of(args: argparse.Namespace) -> "Known":
    """The questions that the model was trained on. Raises ValueError or OSError for a bad scale."""
    from eval.serving.questions import Known

    scales = {scale.name: scale for scale in map(scale_called, args.scale)} if args.scale else BY_SCALE_NAME
    upright = frozenset(scale_called(text).name for text in args.scale if trained_upright(text))
    return Known(tuple(scales.values()), args.strategy, upright, args.upright)


def key_of(args: argparse.Namespace) -> str:
    """The key of --api-key-env, "" without it. Raises ValueError for a variable that is not set."""
    if not args.api_key_env:
        return ""
    key = os.environ.get(args.api_key_env, "")
    if not key.strip() or not key.isascii() or not key.isprintable():
        fix = f"export {args.api_key_env}=..."
        raise ValueError(f"--api-key-env {args.api_key_env}: the variable holds no key of ASCII letters; {fix}")
    return key


def bound(host: str, number: int) -> socket.socket:
    """A socket at that address, which does not listen yet. Raises ValueError in one line."""
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)
        place = socket.socket(family, kind, protocol)
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(address)
    except OSError as error:
        raise ValueError(f"{host}, port {number}: {error.strerror or error}; choose another --host or --port") from None
    return place


def load_rater(args: argparse.Namespace) -> "Rater":
    """The model, loaded. What the libraries print goes to a log, which is kept only after an error that names it."""
    from eval.inference.quiet import quiet

    log = Path(tempfile.mkstemp(prefix="storm_", suffix=".log")[1])
    with quiet(log):
        import torch

        from eval.inference.model import load
        from eval.inference.rater import Rater
        from eval.serving.limits import CUTOFF

        size = {"image_max_pixels": args.image_max_pixels, "cutoff_len": CUTOFF, "bf16": args.bf16}
        settings = Settings(args.model, adapter=args.adapter, **size)
        rater = Rater(load(settings, torch.device("cuda" if torch.cuda.is_available() else "cpu")), settings)
    log.unlink()
    return rater


def serve(args: argparse.Namespace) -> None:
    """Serves until Ctrl-C or SIGTERM. Raises ValueError or OSError for what stands in the way."""
    from concurrent.futures import ThreadPoolExecutor

    import uvicorn
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from eval.serving.app import Serving, create
    from eval.serving.batching import Batcher
    from eval.serving.limits import Admission
    from eval.serving.metrics import Metrics

    known, key = known_of(args), key_of(args)
    with bound(args.host, args.port) as place:
        rater, metrics = load_rater(args), Metrics()
        size = args.batch_size or BATCH[next(rater.loaded.model.parameters()).device.type]
        batcher = Batcher(rater, known.scales, size, args.queue, metrics)
        admission, name = Admission(args.queue + size, args.max_body), Path(args.adapter or args.model).name
        decoders = ThreadPoolExecutor(min(DECODERS, os.cpu_count() or 1), "decoder")
        serving = Serving(name, known, batcher, admission, metrics, decoders, args.max_questions, key)
        app = create(serving._replace(urls=args.allow_url_images))
        local = args.host in LOCAL
        if local:  # a page of another site, whose name was made to point here, cannot ask
            app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "["])  # "[::1]" at ":"
        elif not key:
            print(f"warning: --host {args.host} without --api-key-env: everybody can ask", file=sys.stderr)
        config = uvicorn.Config(app, log_level="warning", lifespan="on", ws="none", server_header=False)
        host = f"[{args.host}]" if ":" in args.host else args.host
        scales = ", ".join(scale.name for scale in known.scales)
        print(f"{name} at http://{host}:{args.port}/v1, scales: {scales}. Ctrl-C ends it.", flush=True)
        # uvicorn answers what it has begun, and then raises the signal again: both end as Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        uvicorn.Server(config).run([place])


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments().parse_args(argv)
    return until_stopped(lambda: serve(args))


if __name__ == "__main__":
    sys.exit(main())
