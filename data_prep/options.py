"""What the three ways into data_prep (sources, release, csv) share: their options."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from storm.options import add_old_name, one_of, positive
from storm.prompts import STRATEGIES


@dataclass(frozen=True)
class Options:
    """What a command line says about building, whatever is built."""

    media: Path  # the image root; a row's image is relative to it
    out: Path
    strategies: tuple[str, ...] = tuple(STRATEGIES)
    check: str = "decode"  # what every image must pass; or "exists"
    resize: int | None = None  # the most pixels of an image; None: images stay as they are
    workers: int = 1  # processes
    drop_leaks: bool = False
    protocol: str = "paper"  # of the split, or "subject"

    @property
    def hashed(self) -> bool:
        """Are the images read, so that duplicates can be recognized?"""
        return self.check == "decode" or bool(self.resize)

    @property
    def copies(self) -> str:
        """The folder of copies, from the image root. If that is a link, ".." goes up from where the link leads to."""
        return os.path.relpath(os.path.realpath(self.out / "images"), os.path.realpath(self.media))


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add the image root and the output folder of the paper's datasets."""
    text = "image root with a folder for each dataset (data/raw)"
    parser.add_argument("--media", type=Path, default=Path("data/raw"), help=text)
    parser.add_argument("--out", type=Path, default=Path("data/storm"), help="where the rows are written (data/storm)")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all three have. The parser has --media and --out already."""

    def add(name: str, text: str, **named) -> None:
        parser.add_argument(name, help=text, **named)

    strategies = {"nargs": "+", "type": one_of(STRATEGIES), "default": list(STRATEGIES), "metavar": "STRATEGY"}
    add("--strategy", f"prompt strategies to write: {', '.join(STRATEGIES)} (default: all)", **strategies)
    check = "check of each image: decode it, or only that the file exists: decode, exists (default: decode)"
    add("--check", check, type=one_of(("decode", "exists")), default="decode", metavar="CHECK")
    add("--resize", "write smaller RGB copies of the images and point rows to them", type=positive, metavar="PIXELS")
    add("--drop-leaks", "take duplicates of test images out of train", action="store_true")
    add("--workers", "processes that read images (default: one a core)", type=positive, default=os.cpu_count())
    add_old_name(parser, "--prompts", "--strategy")
    add_old_name(parser, "--raw", "--media")


def options(parser: argparse.ArgumentParser, args: argparse.Namespace, **more: Path | str) -> Options:
    """The options of parsed arguments; `more` replaces or adds to them. Exits if they contradict each other."""
    named = {name: getattr(args, name) for name in ("media", "out", "check", "resize", "workers", "drop_leaks")}
    chosen = Options(**named | {"strategies": tuple(dict.fromkeys(args.strategy))} | more)
    if chosen.drop_leaks and not chosen.hashed:
        parser.error("--drop-leaks must look into the images: leave --check exists out")
    return chosen


def need_file(path: Path, fix: str) -> None:
    """Raises FileNotFoundError, in one line with the fix, if there is no such file."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; {fix}")
