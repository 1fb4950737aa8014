"""Rate photographs in the browser: python eval/app.py --model DIR_OR_NAME [--adapter DIR] [--scale SCALE.yaml]

The scale that the model was trained on (--scale), any of the paper's, or levels that you type: the coarse prediction,
the rating, its expected value in your unit, and the probability of every level, the same numbers as eval/predict.py's.
Many photographs, a folder or a zip file give a csv file (app_page/batch.py). Photographs stay on this machine: no
analytics, no share link, and the browser loads no font or script from another server (app_page/policy.py: but for two
bare connections of browsers other than Chromium). Uploads are deleted an hour later, when the program ends, and, if it
was killed, by the next one. The program also answers the clients of eval/serve.py, with the same model and queue, and
the same key: see docs/serving.md. Ctrl-C ends it.
"""

import argparse
import asyncio
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eval.app_page.batch import Batch, rate_batch, reason
from eval.app_page.choices import choices, typed_scale
from eval.app_page.folders import Folders, run_folders
from eval.app_page.page import page
from eval.app_page.result import Result, result_of
from eval.app_page.uploads import Photograph
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
from storm.images import suffixes
from storm.options import Parser, not_empty, one_of, port, positive, until_stopped
from storm.prompts import STRATEGIES, strategy_of
from storm.rows import Example
from storm.scales import Scale

if TYPE_CHECKING:
    from fastapi import FastAPI

    from eval.app_page.queued import Queued
    from eval.inference.rater import Rater

EXAMPLES = Path("data/demo/images/test")
CLICKABLE = 5  # examples; of the demo's crops, the first five by name are one of each level
QUOTA = 2_000_000_000  # bytes of all uploads: our choice, four of the largest zip files


def arguments() -> Parser:
    parser = Parser(prog="eval/app.py", description="Rate photographs in the browser.")
    add = parser.add_argument
    text = "a model folder, or a model of the Hugging Face hub"
    add("--model", type=not_empty, required=True, metavar="DIR_OR_NAME", help=text)
    add("--adapter", type=not_empty, metavar="DIR", help="folder with a LoRA adapter of that model")
    text = "the scale the model was trained on: your file, or a dataset or scale of the paper, such as spaq"
    add("--scale", metavar="SCALE.yaml|NAME", help=text)
    text = f"prompt strategy, as in training: {', '.join(STRATEGIES)} (default: %(default)s)"
    add("--strategy", type=one_of(STRATEGIES), default=strategy_of("").name, metavar="NAME", help=text)
    text = "most pixels of an image, as in training (default: %(default)s, our recipes')"
    add("--image-max-pixels", type=positive, default=Settings.image_max_pixels, metavar="N", help=text)
    add("--examples", type=Path, metavar="FOLDER", help=f"photographs to click (default: {EXAMPLES})")
    text = "address to serve at (default: %(default)s, this machine only); 0.0.0.0: everybody who can reach it"
    add("--host", default="127.0.0.1", help=text)
    add("--port", type=port, default=7860, metavar="N", help="port to serve at (default: %(default)s)")
    text = "other names under which browsers reach the page, such as rater.example.org (*: all)"
    add("--allow-host", nargs="+", default=(), metavar="NAME", help=text)
    text = "environment variable with a key: the page's password, and the key of other clients (default: no key)"
    add("--api-key-env", metavar="NAME", help=text)
    text = "of all uploads together at most (default: %(default)s)"
    add("--upload-quota", type=positive, default=QUOTA, metavar="BYTES", help=text)
    return parser


def rate(rater: "Rater | Queued", photo: str | None, scale: Scale, strategy: str) -> Result:
    """The prediction for one photograph. Raises ValueError, in one line, for one that cannot be read or rated."""
    if not photo:
        raise ValueError("choose a photograph first")
    example = Example("photo", "page", photo, scale.lo, scale, strategy)  # the label does not matter
    [row] = rater.rate([example])
    if "error" in row:
        raise ValueError(f"{Path(photo).name}: {reason(row, photo)}")
    return result_of(row, scale, strategy)


def photographs(folder: Path | None) -> list[Path]:
    """The first examples of a folder, by name; without one of the demo's, if there are any. Raises ValueError."""
    if folder and not folder.is_dir():
        raise ValueError(f"--examples {folder}: no such folder")
    shown = {*suffixes()} - {".tif", ".tiff"}  # browsers do not show these two
    paths = (path for path in (folder or EXAMPLES).glob("*") if path.suffix.lower() in shown)
    return sorted(paths)[:CLICKABLE]


def serve(args: argparse.Namespace) -> None:
    """Serves until Ctrl-C. Raises ValueError or OSError for what stands in the way."""
    examples, key = photographs(args.examples), key_of(args.api_key_env)
    trained = scale_called(args.scale) if args.scale else None
    names = hosts(args.host, args.allow_host)
    if args.host not in LOCAL and not key:
        print(f"warning: --host {args.host} without --api-key-env: everybody can ask", file=sys.stderr)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the uploads are deleted then, too
    with bound(args.host, args.port) as place, run_folders() as folders:
        os.environ |= {"GRADIO_TEMP_DIR": str(folders.uploads), "GRADIO_ANALYTICS_ENABLED": "False"}
        warnings.filterwarnings("ignore", ".*Gradio 6.0", DeprecationWarning)  # LLaMA-Factory's Gradio is 5
        upright = bool(args.scale) and trained_upright(args.scale)
        size = {"image_max_pixels": args.image_max_pixels, "upright": upright}
        rater = load_rater(Settings(args.model, adapter=args.adapter, media=folders.uploads, **size))
        copies = [Path(shutil.copy(example, folders.uploads)) for example in examples]  # Gradio shows no others
        app, ending = program(args, rater, trained, key, folders, copies)
        check_host(app, names)
        print(f"The page is at {address(args.host, args.port)}. Ctrl-C ends it.", flush=True)
        run(app, place, ending)


def program(
    args: argparse.Namespace, rater: "Rater", trained: Scale | None, key: str, folders: Folders, copies: Sequence[Path]
) -> "tuple[FastAPI, asyncio.Event]":
    """The program of eval/serve.py with the page at /, and what stops the page's streams when it ends."""
    from eval.app_page.arrivals import Arrivals
    from eval.app_page.guard import mount
    from eval.app_page.policy import OnlyThisServer
    from eval.app_page.queued import Queued
    from eval.serving.app import create
    from eval.serving.questions import Known

    scales, upright, ending = choices(trained), rater.settings.upright, asyncio.Event()
    own = (trained,) if trained else tuple(BY_SCALE_NAME.values())
    known = Known(own, args.strategy, frozenset(scale.name for scale in own if upright), False)
    serving = started(rater, known, key, RequestLimits(), tuple(scales.values()))
    app, queued = create(serving), Queued(serving.batcher)

    def rate_one(photo: str | None, scale: Scale) -> Result:
        return rate(queued, photo, scale, args.strategy)

    def rate_many(uploads: Sequence[Photograph], scale: Scale, progress: Callable[[int, int], object]) -> Batch:
        return rate_batch(queued, uploads, scale, args.strategy, progress)

    blocks = page(rate_one, rate_many, typed_scale, scales, copies)
    arrivals = Arrivals(folders, args.upload_quota)
    mount(app, blocks, arrivals, admission=serving.admission, key=key, ending=ending)
    app.add_middleware(OnlyThisServer)
    return app, ending


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments().parse_args(argv)
    return until_stopped(lambda: serve(args))


if __name__ == "__main__":
    sys.exit(main())
