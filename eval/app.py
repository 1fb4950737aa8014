"""Rate a photograph in the browser: python eval/app.py --model DIR_OR_NAME [--adapter DIR]

Any of the paper's scales, or levels that you type: the coarse prediction, the rating, and the probability of every
level, the same numbers as eval/predict.py's. Photographs stay on this machine: no analytics, no share link, and the
browser loads no font or script from another server (app_page/policy.py: but for two bare connections of browsers other
than Chromium). Uploads are deleted an hour later and when the program ends. Ctrl-C ends it.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eval.app_page.page import MAX_LEVELS, MAX_RATES, Result, page, result_of
from eval.inference.settings import Settings
from storm.datasets import BY_SCALE_NAME
from storm.images import suffixes
from storm.options import Parser, one_of, positive, print_errors
from storm.prompts import STRATEGIES, strategy_of
from storm.rows import Example
from storm.scales import Scale

if TYPE_CHECKING:
    from eval.inference.rater import Rater

SCALES = {scale.title: scale for scale in BY_SCALE_NAME.values()}  # the choices of the page
EXAMPLES = Path("data/demo/images/test")
CLICKABLE = 5  # examples; of the demo's crops, the first five by name are one of each level
UPLOAD = "20mb"
CUTOFF = 8192  # tokens; more than the longest question about 50 typed levels and a photograph


def arguments() -> Parser:
    parser = Parser(prog="eval/app.py", description="Rate photographs in the browser.")
    add = parser.add_argument
    add("--model", required=True, metavar="DIR_OR_NAME", help="a model folder, or a model of the Hugging Face hub")
    add("--adapter", metavar="DIR", help="folder with a LoRA adapter of that model")
    text = f"prompt strategy, as in training: {', '.join(STRATEGIES)} (default: %(default)s)"
    add("--strategy", type=one_of(STRATEGIES), default=strategy_of("").name, metavar="NAME", help=text)
    text = "most pixels of an image, as in training (default: %(default)s, our recipes')"
    add("--image-max-pixels", type=positive, default=Settings.image_max_pixels, metavar="N", help=text)
    add("--examples", type=Path, metavar="FOLDER", help=f"photographs to click (default: {EXAMPLES})")
    text = "address to serve at (default: %(default)s, this machine only); 0.0.0.0: everybody who can reach it"
    add("--host", default="127.0.0.1", help=text)
    add("--port", type=_port, default=7860, metavar="N", help="port to serve at (default: %(default)s)")
    return parser


def typed_scale(rates: str, levels: str) -> Scale:
    """The scale that a user types, a word per line, lowest first. Raises ValueError in one line."""
    import yaml

    from storm.custom_scale import load

    if len(rates) > MAX_RATES or len(levels) > MAX_LEVELS:
        raise ValueError(f"too long: at most {MAX_RATES} letters for what is rated and {MAX_LEVELS} for the levels")
    words = [word.strip() for word in levels.splitlines() if word.strip()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scale.yaml"
        path.write_text(yaml.safe_dump({"name": "own", "rates": rates.strip(), "levels": words}), encoding="utf-8")
        try:
            return load(path).scale
        except ValueError as error:
            raise ValueError(str(error).removeprefix(f"{path}: ")) from None


def rate(rater: "Rater", photo: str | None, scale: Scale, strategy: str) -> Result:
    """The prediction for one photograph. Raises ValueError, in one line, for one that cannot be read or rated."""
    if not photo:
        raise ValueError("choose a photograph first")
    example = Example("photo", "page", photo, scale.lo, scale, strategy)  # the label does not matter
    try:
        [row] = rater.rate([example])
    except RuntimeError as error:  # torch's, out of memory for one
        print(f"{photo}: {error}", file=sys.stderr)
        raise ValueError("the model failed on this photograph; the program's own output says why") from None
    finally:
        if scale not in SCALES.values():  # else every user's levels would stay in memory
            rater.tries.pop((scale, strategy), None)
    if "error" in row:
        name = f"{Path(photo).name}: "  # without the folder, which is ours
        raise ValueError(name + row["error"].partition(name)[2])
    return result_of(row, scale, strategy)


def photographs(folder: Path | None) -> list[Path]:
    """The first examples of a folder, by name; without one of the demo's, if there are any. Raises ValueError."""
    if folder and not folder.is_dir():
        raise ValueError(f"--examples {folder}: no such folder")
    shown = {*suffixes()} - {".tif", ".tiff"}  # browsers do not show these two
    paths = (path for path in (folder or EXAMPLES).glob("*") if path.suffix.lower() in shown)
    return sorted(paths)[:CLICKABLE]


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text}: write a number from 1 to 65535")
    return int(text)


def load_rater(args: argparse.Namespace, uploads: Path) -> "Rater":
    """The model, loaded. What the libraries print goes to a log, which is kept only after an error that names it."""
    from eval.inference.quiet import quiet

    log = Path(tempfile.mkstemp(prefix="storm_", suffix=".log")[1])
    with quiet(log):
        import torch

        from eval.inference.model import load
        from eval.inference.rater import Rater

        size = {"image_max_pixels": args.image_max_pixels, "cutoff_len": CUTOFF}
        settings = Settings(args.model, adapter=args.adapter, media=uploads, **size)
        rater = Rater(load(settings, torch.device("cuda" if torch.cuda.is_available() else "cpu")), settings)
    log.unlink()
    return rater


def serve(args: argparse.Namespace) -> None:
    """Serves until Ctrl-C. Raises ValueError or OSError for what stands in the way."""
    examples = photographs(args.examples)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the uploads are deleted then, too
    with tempfile.TemporaryDirectory(prefix="storm_app_") as uploads:
        os.environ |= {"GRADIO_TEMP_DIR": uploads, "GRADIO_ANALYTICS_ENABLED": "False"}
        warnings.filterwarnings("ignore", ".*Gradio 6.0", DeprecationWarning)  # LLaMA-Factory's Gradio is 5
        from starlette.middleware import Middleware

        from eval.app_page.policy import OnlyThisServer

        rater = load_rater(args, Path(uploads))
        copies = [Path(shutil.copy(example, uploads)) for example in examples]  # Gradio shows no files from elsewhere
        blocks = page(lambda photo, scale: rate(rater, photo, scale, args.strategy), typed_scale, SCALES, copies)
        local = {"share": False, "show_api": False, "ssr_mode": False, "max_file_size": UPLOAD}
        local |= {"app_kwargs": {"middleware": [Middleware(OnlyThisServer)]}}
        blocks.launch(server_name=args.host, server_port=args.port, **local)


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments().parse_args(argv)
    try:
        serve(args)
    except (ValueError, OSError) as error:
        return print_errors([error])
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
