"""Serve a rater: python eval/serve.py --model DIR_OR_NAME [--adapter DIR] [--scale SCALE.yaml|NAME ...] [--port 8000]

POST /v1/decisions is OpenAI's decision API (`client.decisions.create` of the openai SDK), POST /v1/systemone that of
vLLM, Ollama and llama.cpp: an image and questions with ordered levels in, the probability of every level out, the same
numbers as eval/predict.py's. GET /health, /metrics (Prometheus) and /v1/models. Questions that arrive together are
rated together. It serves this machine only, unless --host says otherwise, and fetches no image from the web, unless
--allow-url-images does. Ctrl-C or SIGTERM answers what is in the queue, and ends. See docs/serving.md.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from eval.inference.settings import Settings, scale_called, trained_upright
from eval.serving.running import (
    LOCAL,
    RequestLimits,
    address,
    bound,
    check_host,
    hosts,
    key_of,
    load_rater,
    run,
    started,
)
from storm.datasets import BY_SCALE_NAME
from storm.options import Parser, not_empty, one_of, port, positive, until_stopped
from storm.prompts import STRATEGIES, strategy_of

if TYPE_CHECKING:
    from eval.serving.questions import Known


def arguments() -> Parser:
    parser = Parser(prog="eval/serve.py", description="Serve a trained model to the clients of decision APIs.")
    add = parser.add_argument
    text = "a model folder, or a model of the Hugging Face hub"
    add("--model", type=not_empty, required=True, metavar="DIR_OR_NAME", help=text)
    add("--adapter", type=not_empty, metavar="DIR", help="folder with a LoRA adapter of that model")
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
    add("--api-key-env", type=not_empty, metavar="NAME", help=text)
    add("--allow-url-images", action="store_true", help="fetch images from web addresses in requests")
    add("--batch-size", type=positive, metavar="N", help="questions rated at once (default: 32 on a GPU, 8 without)")
    text = "questions that may wait; more get status 429 (default: %(default)s)"
    add("--queue", type=positive, default=RequestLimits().queue, metavar="N", help=text)
    text = "questions of a request at most (default: %(default)s)"
    add("--max-questions", type=positive, default=RequestLimits().max_questions, metavar="N", help=text)
    add(
        "--max-body",
        type=positive,
        default=RequestLimits().max_body,
        metavar="BYTES",
        help="of a request at most (default: %(default)s)",
    )
    return parser


def known_of(args: argparse.Namespace) -> "Known":
    """The questions that the model was trained on. Raises ValueError or OSError for a bad scale."""
    from eval.serving.questions import Known

    scales = {scale.name: scale for scale in map(scale_called, args.scale)} if args.scale else BY_SCALE_NAME
    upright = frozenset(scale_called(text).name for text in args.scale if trained_upright(text))
    return Known(tuple(scales.values()), args.strategy, upright, args.upright)


def serve(args: argparse.Namespace) -> None:
    """Serves until Ctrl-C or SIGTERM. Raises ValueError or OSError for what stands in the way."""
    from eval.serving.app import create

    known, key = known_of(args), key_of(args.api_key_env)
    with bound(args.host, args.port) as place:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends as Ctrl-C does
        size = {"image_max_pixels": args.image_max_pixels, "bf16": args.bf16}
        rater = load_rater(Settings(args.model, adapter=args.adapter, **size))
        limits = RequestLimits(args.batch_size, args.queue, args.max_questions, args.max_body, args.allow_url_images)
        serving = started(rater, known, key, limits)
        app = create(serving)
        if args.host in LOCAL:
            check_host(app, hosts(args.host))
        elif not key:
            print(f"warning: --host {args.host} without --api-key-env: everybody can ask", file=sys.stderr)
        scales = ", ".join(scale.name for scale in known.scales)
        print(f"{serving.name} at {address(args.host, args.port)}/v1, scales: {scales}. Ctrl-C ends it.", flush=True)
        run(app, place)


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments().parse_args(argv)
    return until_stopped(lambda: serve(args))


if __name__ == "__main__":
    sys.exit(main())
