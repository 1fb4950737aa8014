"""Rate photographs in the browser: python eval/app.py --model DIR_OR_NAME [--adapter DIR] [--scale SCALE.yaml]

The scale that the model was trained on (--scale), any of the paper's, or levels that you type: the coarse prediction,
the rating, its expected value in your unit, and the probability of every level, the same numbers as eval/predict.py's.
Many photographs, a folder or a zip file give a csv file (app_page/batch.py). Photographs stay on this machine: no
analytics, no share link, and the browser loads no font or script from another server (app_page/policy.py: but for two
bare connections of browsers other than Chromium). Uploads are deleted an hour later and when the program ends. Ctrl-C
ends it.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from eval.app_page.batch import FAILED, Batch, rate_batch, reason
from eval.app_page.choices import choices, typed_scale
from eval.app_page.page import page
from eval.app_page.result import Result, result_of
from eval.app_page.uploads import Photograph
from eval.inference.settings import Settings, scale_called, trained_upright
from storm.images import suffixes
from storm.options import Parser, one_of, port, positive, until_stopped
from storm.prompts import STRATEGIES, strategy_of
from storm.rows import Example
from storm.scales import Scale

if TYPE_CHECKING:
    from eval.inference.rater import Rater

EXAMPLES = Path("data/demo/images/test")
CLICKABLE = 5  # examples; of the demo's crops, the first five by name are one of each level
UPLOAD = "500mb"  # a zip file; of one image, storm.images has the limit
CUTOFF = 8192  # tokens; more than the longest question about 50 typed levels and a photograph


def arguments() -> Parser:
    parser = Parser(prog="eval/app.py", description="Rate photographs in the browser.")
    add = parser.add_argument
    add("--model", required=True, metavar="DIR_OR_NAME", help="a model folder, or a model of the Hugging Face hub")
    add("--adapter", metavar="DIR", help="folder with a LoRA adapter of that model")
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
    return parser


def rate(rater: "Rater", photo: str | None, scale: Scale, strategy: str) -> Result:
    """The prediction for one photograph. Raises ValueError, in one line, for one that cannot be read or rated."""
    if not photo:
        raise ValueError("choose a photograph first")
    example = Example("photo", "page", photo, scale.lo, scale, strategy)  # the label does not matter
    try:
        [row] = rater.rate([example])
    except RuntimeError as error:  # torch's, out of memory for one
        print(f"{photo}: {error}", file=sys.stderr)
        raise ValueError(FAILED) from None
    if "error" in row:
        raise ValueError(f"{Path(photo).name}: {reason(row, photo)}")
    return result_of(row, scale, strategy)


def functions(rater: "Rater", scales: Mapping[str, Scale], strategy: str) -> tuple[Callable, Callable]:
    """What the page's two buttons do: rate one photograph, rate many."""

    @contextmanager
    def forgetting() -> Iterator[None]:
        """Every user's levels would stay in memory."""
        try:
            yield
        finally:
            kept = set(scales.values())
            rater.tries = {key: trie for key, trie in rater.tries.items() if key[0] in kept}

    def one(photo: str | None, scale: Scale) -> Result:
        with forgetting():
            return rate(rater, photo, scale, strategy)

    def many(uploads: Sequence[Photograph], scale: Scale, progress: Callable[[int, int], object]) -> Batch:
        with forgetting():
            return rate_batch(rater, uploads, scale, strategy, progress)

    return one, many


def photographs(folder: Path | None) -> list[Path]:
    """The first examples of a folder, by name; without one of the demo's, if there are any. Raises ValueError."""
    if folder and not folder.is_dir():
        raise ValueError(f"--examples {folder}: no such folder")
    shown = {*suffixes()} - {".tif", ".tiff"}  # browsers do not show these two
    paths = (path for path in (folder or EXAMPLES).glob("*") if path.suffix.lower() in shown)
    return sorted(paths)[:CLICKABLE]


def load_rater(args: argparse.Namespace, uploads: Path) -> "Rater":
    """The model, loaded. What the libraries print goes to a log, which is kept only after an error that names it."""
    from eval.inference.quiet import quiet

    log = Path(tempfile.mkstemp(prefix="storm_", suffix=".log")[1])
    with quiet(log):
        import torch

        from eval.inference.model import load
        from eval.inference.rater import Rater

        size = {"image_max_pixels": args.image_max_pixels, "cutoff_len": CUTOFF}
        size["upright"] = bool(args.scale) and trained_upright(args.scale)
        settings = Settings(args.model, adapter=args.adapter, media=uploads, **size)
        rater = Rater(load(settings, torch.device("cuda" if torch.cuda.is_available() else "cpu")), settings)
    log.unlink()
    return rater


def serve(args: argparse.Namespace) -> None:
    """Serves until Ctrl-C. Raises ValueError or OSError for what stands in the way."""
    examples = photographs(args.examples)
    scales = choices(scale_called(args.scale) if args.scale else None)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the uploads are deleted then, too
    with tempfile.TemporaryDirectory(prefix="storm_app_") as uploads:
        os.environ |= {"GRADIO_TEMP_DIR": uploads, "GRADIO_ANALYTICS_ENABLED": "False"}
        warnings.filterwarnings("ignore", ".*Gradio 6.0", DeprecationWarning)  # LLaMA-Factory's Gradio is 5
        from starlette.middleware import Middleware

        from eval.app_page.policy import OnlyThisServer

        rater = load_rater(args, Path(uploads))
        copies = [Path(shutil.copy(example, uploads)) for example in examples]  # Gradio shows no files from elsewhere
        blocks = page(*functions(rater, scales, args.strategy), typed_scale, scales, copies)
        local = {"share": False, "show_api": False, "ssr_mode": False, "max_file_size": UPLOAD}
        local |= {"app_kwargs": {"middleware": [Middleware(OnlyThisServer)]}}
        blocks.launch(server_name=args.host, server_port=args.port, **local)


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments().parse_args(argv)
    return until_stopped(lambda: serve(args))


if __name__ == "__main__":
    sys.exit(main())
