"""What the three ways into data_prep (sources, release, csv) share: their options."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from storm.options import add_old_name, one_of, positive
from storm.prompts import STRATEGIES

CHECKS = ("decode", "exists")


@dataclass(frozen=True)
class Options:
    """What a command line says about building, whatever is built."""

    media: Path  # the image root; a row's image is relative to it
    out: Path
    strategies: tuple[str, ...] = tuple(STRATEGIES)
    check: str = "decode"  # one of CHECKS: what every image must pass
    resize: int | None = None  # the most pixels of an image; None: images stay as they are
    workers: int = 1  # processes
    drop_leaks: bool = False
    protocol: str = "paper"  # of the split, or "subject"

    @property
    def hashed(self) -> bool:
        """Are the images read, so that duplicates can be recognized?"""
        return self.check == "decode" or bool(self.resize)


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add the image root and the output folder of the paper's datasets."""
    parser.add_argument(
        "--media", type=Path, default=Path("data/raw"), help="image root with a folder for each dataset (data/raw)"
    )
    parser.add_argument("--out", type=Path, default=Path("data/storm"), help="where the rows are written (data/storm)")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all three have. The parser has --media and --out already."""
    parser.add_argument(
        "--strategy",
        nargs="+",
        type=one_of(STRATEGIES),
        default=list(STRATEGIES),
        metavar="STRATEGY",
        help=f"prompt strategies to write: {', '.join(STRATEGIES)} (default: all)",
    )
    parser.add_argument(
        "--check", choices=CHECKS, default="decode", help="what every image must pass (default: decode)"
    )
    parser.add_argument(
        "--resize",
        type=positive,
        metavar="PIXELS",
        help="write smaller RGB copies of the images and point rows to them",
    )
    parser.add_argument("--drop-leaks", action="store_true", help="take duplicates of test images out of train")
    parser.add_argument(
        "--workers", type=positive, default=os.cpu_count(), help="processes that read images (default: one a core)"
    )
    add_old_name(parser, "--prompts", "--strategy")
    add_old_name(parser, "--raw", "--media")


def options(parser: argparse.ArgumentParser, args: argparse.Namespace, **more: Path | str) -> Options:
    """The options of parsed arguments; `more` replaces or adds to them. Exits if they contradict each other."""
    named = {"media": args.media, "out": args.out, "check": args.check, "resize": args.resize, "workers": args.workers}
    named |= {"strategies": tuple(dict.fromkeys(args.strategy)), "drop_leaks": args.drop_leaks}
    chosen = Options(**named | more)
    if chosen.drop_leaks and not chosen.hashed:
        parser.error("--drop-leaks must look into the images: leave --check exists out")
    return chosen
