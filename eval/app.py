"""Rate a photograph in the browser: python eval/app.py --model DIR_OR_NAME [--adapter DIR]

Any of the paper's scales, or levels of your own: the coarse thought, the rating, and the probability of every level,
the same numbers as eval/predict.py's. Nothing leaves this machine: no analytics, no share link, no font or script from
elsewhere; uploads are deleted an hour later and when the program ends. Ctrl-C ends it.
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

import yaml

from storm.custom_scale import load as load_scale
from storm.prompts import STRATEGIES, answer, question
from storm.scales import Scale
from storm.datasets import SCALES
from eval.inference.page import MOST_LEVELS, MOST_RATES, Said, no_requests_elsewhere, page, said
from storm.rows import Task

if TYPE_CHECKING:
    from eval.inference.rater import Rater

DOMAINS = {
    "Image quality": SCALES["spaq"],
    "Image aesthetics": SCALES["ava"],
    "Diabetic retinopathy (fundus photograph)": SCALES["eyepacs"],
    "Decade of the photograph": SCALES["hci"],
    "Age group of the face": SCALES["adience"],
} | {f"Age of the face, {SCALES[name].lo} to {SCALES[name].hi}": SCALES[name] for name in ("cacd", "morph", "utk")}
EXAMPLES = Path("data/demo/images/test")
CLICKABLE = 5  # examples; of the demo's crops, the first five by name are one of each level
PHOTOGRAPHS = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
UPLOAD = "20mb"
CUTOFF = 8192  # tokens; more than the longest question about 50 levels of one's own and a photograph


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="eval/app.py", description="Rate photographs in the browser.")
    parser.add_argument("--model", required=True, metavar="DIR_OR_NAME")
    parser.add_argument("--adapter", metavar="DIR", help="LoRA adapter of that model")
    parser.add_argument("--strategy", choices=STRATEGIES, default="cot", help="as in training")
    parser.add_argument("--image-max-pixels", type=int, default=1003520, help="as in training (default: our recipes')")
    parser.add_argument("--examples", type=Path, metavar="FOLDER", help=f"photographs to click (default: {EXAMPLES})")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0: everybody who can reach this machine may ask")
    parser.add_argument("--port", type=int, default=7860)
    return parser


def own_scale(rates: str, levels: str) -> Scale:
    """The scale of a user: a word a line, from the lowest. Raises ValueError in one line that says what is wrong."""
    if len(rates) > MOST_RATES or len(levels) > MOST_LEVELS:
        raise ValueError(f"too long: at most {MOST_RATES} letters for what is rated and {MOST_LEVELS} for the levels")
    words = [word.strip() for word in levels.splitlines() if word.strip()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scale.yaml"
        path.write_text(yaml.safe_dump({"name": "own", "rates": rates.strip(), "levels": words}), encoding="utf-8")
        try:
            return load_scale(path).scale
        except ValueError as error:
            raise ValueError(str(error).removeprefix(f"{path}: ")) from None


def ask(rater: "Rater", photo: str | None, scale: Scale, strategy: str) -> Said:
    """The answer to one photograph. Raises ValueError in one line for one that cannot be read or rated."""
    if not photo:
        raise ValueError("choose a photograph first")
    right = answer(scale, strategy, scale.lo)  # a task has one; nobody looks at it
    try:
        [row] = rater.rate([Task("photo", "page", photo, question(scale, strategy), right, scale, strategy)])
    except RuntimeError as error:  # torch's, out of memory for one
        print(f"{photo}: {error}", file=sys.stderr)
        raise ValueError("the model failed on this photograph; the program's own output says why") from None
    finally:
        if scale not in DOMAINS.values():  # else every user's levels would stay in memory
            rater.tries.pop((scale, strategy), None)
    if "error" in row:
        raise ValueError(f"{Path(photo).name} cannot be read: a JPEG, PNG or WebP of at most 200 megapixels is needed")
    return said(row, scale, strategy)


def photographs(folder: Path | None) -> list[Path]:
    """The first examples of a folder, by name; of the demo's, if there are any. Raises ValueError for no folder."""
    if folder and not folder.is_dir():
        raise ValueError(f"--examples {folder}: no such folder")
    found = (path for path in (folder or EXAMPLES).glob("*") if path.suffix.lower() in PHOTOGRAPHS)
    return sorted(found)[:CLICKABLE]


def run(args: argparse.Namespace) -> None:
    """Serves until Ctrl-C. Raises ValueError or OSError for what stands in the way."""
    examples = photographs(args.examples)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the uploads are deleted then, too
    with tempfile.TemporaryDirectory(prefix="storm_app_") as uploads:
        os.environ |= {"GRADIO_TEMP_DIR": uploads, "GRADIO_ANALYTICS_ENABLED": "False"}
        warnings.filterwarnings("ignore", ".*Gradio 6.0", DeprecationWarning)  # LLaMA-Factory's Gradio is 5
        import torch

        from eval.inference.model import load
        from eval.inference.rater import Rater

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        loaded = load(args.model, args.adapter, args.image_max_pixels, CUTOFF, device)
        rater = Rater(loaded, "exact", 0, Path(uploads))

        def rate(photo: str | None, scale: Scale) -> Said:
            return ask(rater, photo, scale, args.strategy)

        no_requests_elsewhere()
        copies = [Path(shutil.copy(example, uploads)) for example in examples]  # Gradio shows no files from elsewhere
        page(rate, own_scale, DOMAINS, copies).launch(
            server_name=args.host,
            server_port=args.port,
            share=False,
            show_api=False,
            ssr_mode=False,
            max_file_size=UPLOAD,
        )


def main(argv: Sequence[str] | None = None) -> int:
    try:
        run(arguments().parse_args(argv))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
