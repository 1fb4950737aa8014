"""Describe what you share: python train/card.py RUN [--scores FILE] [--recipe FILE.yaml key=value ...] [--data FOLDER]

Writes RUN/README.md, a model card in the form of the Hugging Face hub: recipe, rows, scores with their intervals,
intended use, limits, and the commands that run it. --data FOLDER: also README.md and croissant.json (Croissant 1.1) in
a folder that data_prep wrote. It uploads nothing, and what nothing says stands there as unknown. See docs/sharing.md.
"""

import argparse
import datetime
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from storm.files import locked, read_json, write_json, write_text
from storm.options import Parser, print_errors
from storm.text import command_line


def arguments() -> Parser:
    parser = Parser(prog="train/card.py", description="Write a model card and a data card. Nothing is uploaded.")
    add = parser.add_argument
    add(
        "run",
        nargs="?",
        type=Path,
        metavar="RUN",
        help="folder of a trained run (saves/demo), or its checkpoint-N",
    )
    add("settings", nargs="*", metavar="key=value", help="what the training overrode in --recipe")
    add("--recipe", type=Path, metavar="FILE.yaml", help="recipe of a run that records none (one that no sweep began)")
    text = "scores of this model: eval/score.py --json FILE, or a sweep's (default: results/<run>.json)"
    add("--scores", type=Path, metavar="FILE", help=text)
    add("--base", type=_base, metavar="OWNER/NAME", help="the base model on the hub, if it was a folder")
    text = "license of the model, an id of the hub such as apache-2.0 (default: the base model's, if its card is here)"
    add("--license", type=_id, metavar="ID", help=text)
    add("--data", type=Path, metavar="FOLDER", help="also describe this folder of data_prep, such as data/own_demo")
    add("--data-license", type=_id, metavar="ID", help="license of the rows, an id of the hub or SPDX")
    add("--url", type=_url, metavar="URL", help="where the rows are published, for Croissant")
    add("--creator", metavar="NAME", help="who made the rows, for Croissant")
    add("--published", type=_date, metavar="YYYY-MM-DD", help="when they were published, for Croissant")
    add("--force", action="store_true", help="overwrite a README.md or croissant.json of yours")
    return parser


def _matching(pattern: str, what: str) -> Callable[[str], str]:
    def checked(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(f"{text!r}: {what}")
        return text

    return checked


_base = _matching(r"[\w.-]+/[\w.-]+", "write OWNER/NAME, as on the hub")
_id = _matching(r"[A-Za-z0-9][A-Za-z0-9.+-]*", "write an id, such as apache-2.0 or other")
_url = _matching(r"https?://[^\s@]+", "write a URL, https://...")


def _date(text: str) -> str:
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write a date, YYYY-MM-DD") from None


def write_model_card(args: argparse.Namespace) -> list[str]:
    """Write the card of a run. Returns the lines to print. Raises ValueError with the fix, OSError."""
    from train.cards.host_card import CARD, KEPT, is_host_card, is_template
    from train.cards.model_card import model_card
    from train.cards.scores import scores_of
    from train.cards.texts import read_text, untouched
    from train.cards.trained import license_of, read_trained

    trained = read_trained(args.run, args.recipe, args.settings)
    path, old = args.run / CARD, read_text(args.run / CARD)
    theirs = is_host_card(old) or is_template(old)
    if old and not (args.force or untouched(old) or theirs):
        raise ValueError(f"{path}: not as this command or LLaMA-Factory wrote it; move it away, or take --force")
    base = args.base or ""
    license, source = (args.license, "as named for this card") if args.license else license_of(base or trained.base)
    text = model_card(trained, scores_of(trained, args.scores), license, source, base, args.data)
    with locked(args.run):
        if theirs:
            write_text(args.run / KEPT, old)  # the host's is the only record of some settings
        write_text(path, text)
    lines = [str(path)]
    if not (trained.source and trained.whole):
        recipe = Path("recipes") / f"{trained.run.resolve().name}.yaml"
        command = ["python", "train/card.py", args.run, "--recipe", recipe if recipe.exists() else "RECIPE.yaml"]
        lines.append(
            f"  the recipe is not recorded in the run; name it and what was overridden: {command_line(command)}"
        )
    if license == "unknown":
        lines.append("  the license is unknown: --license ID")
    return lines


def write_data_card(args: argparse.Namespace) -> list[str]:
    """Write card and metadata of rows. Returns the lines to print. Raises ValueError with the fix, OSError."""
    from train.cards import croissant
    from train.cards.data_card import data_card
    from train.cards.data_folder import read_data
    from train.cards.texts import read_text, untouched

    data = read_data(args.data)
    given = {"url": args.url, "creator": args.creator, "datePublished": args.published, "license": args.data_license}
    page = croissant.croissant(data, given)
    card, metadata = args.data / "README.md", args.data / "croissant.json"
    old = {card: not card.exists() or untouched(read_text(card))}
    old |= {metadata: not metadata.exists() or croissant.untouched(read_json(metadata))}
    for path, ours in old.items():
        if not ours and not args.force:
            raise ValueError(f"{path}: not as this command wrote it; move it away, or take --force")
    with locked(args.data):
        write_text(card, data_card(data, args.data_license or "unknown"))
        write_json(metadata, page)
    lines = [str(card), str(metadata)]
    if options := croissant.lacking(page):
        lines.append(f"  Croissant requires what is unknown here: {' '.join(options)}")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments()
    args = parser.parse_intermixed_args(argv)
    if not args.run and not args.data:
        parser.error("name the folder of a run, or --data FOLDER")
    if args.settings and not args.recipe:
        parser.error(f"{args.settings[0]}: settings are of --recipe FILE.yaml")
    try:
        lines = write_model_card(args) if args.run else []
        lines += write_data_card(args) if args.data else []
    except (ValueError, OSError) as error:
        return print_errors([error])
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
