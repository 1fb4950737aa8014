"""What the three ways into data_prep (sources, release, csv) share: their options."""

import argparse
import os
import re
from dataclasses import dataclass
from pathlib import Path

from data_prep.own_split import Shares
from storm.options import add_old_name, one_of, positive
from storm.prompts import STRATEGIES


@dataclass(frozen=True)
class Options:
    """What a command line says about building, whatever is built."""

    media: Path  # the image root; a row's image is relative to it
    out: Path
    strategies: tuple[str, ...] = ("cot",)
    check: str = "decode"  # what every image must pass; or "exists"
    resize: int | None = None  # the most pixels of an image; None: images stay as they are
    workers: int = 1  # processes
    drop_leaks: bool = False  # take duplicates of test images out of train
    drop_conflicts: tuple[str, ...] = ()  # kinds of duplicates with different labels to take out: exact, near
    protocol: str = "paper"  # of the split, or "subject"
    images: str | None = None  # the folder of images below the dataset's folder; None: chosen
    val: float | None = None  # the share of train to take out for validation; None: rows of train outside of lite
    score_range: tuple[float, float] | None = None  # of the raw scores, for equal-width levels; None: the dataset's
    allow_partial: bool = False  # a label file that is not whole, without a known score range
    allow_empty_levels: bool = False
    allow_missing: bool = False  # more rows without an image than is usual
    shares: Shares | None = None  # how own ratings are divided; None: as the paper's datasets

    @property
    def hashed(self) -> bool:
        """Are the images read, so that duplicates can be recognized?"""
        return self.check == "decode" or bool(self.resize)

    @property
    def settings(self) -> dict:
        """What decides which rows are written, and where: for summary.json."""
        names = ("val", "check", "resize", "images", "score_range", "drop_leaks", "drop_conflicts", *ALLOW)
        return {"split": self.protocol} | {name: getattr(self, name) for name in names}

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

    default = list(Options.strategies)
    strategies = {"nargs": "+", "type": one_of(STRATEGIES), "default": default, "metavar": "STRATEGY"}
    add("--strategy", f"prompt strategies to write: {', '.join(STRATEGIES)} (default: {default[0]})", **strategies)
    check = "check of each image: decode it, or only that the file exists: decode, exists (default: decode)"
    add("--check", check, type=one_of(("decode", "exists")), default="decode", metavar="CHECK")
    add("--resize", "write smaller RGB copies of the images and point rows to them", type=positive, metavar="PIXELS")
    add("--drop-leaks", "take duplicates of test images out of train", action="store_true")
    text = "take out all duplicates of one picture that have different labels"
    add("--drop-conflicts", text, action="store_true")
    add("--workers", "processes that read images (default: one a core)", type=positive, default=os.cpu_count())
    add_old_name(parser, "--prompts", "--strategy")
    add_old_name(parser, "--raw", "--media")


def add_strictness(parser: argparse.ArgumentParser) -> None:
    """Add the options of the two commands that read label files."""

    def add(name: str, text: str, **named) -> None:
        parser.add_argument(name, help=text, **named)

    val = "take this share of the training rows out for validation, such as 0.1"
    add("--val", val, type=share, default=None, metavar="FRACTION")
    flags = {
        "--allow-missing": "build although many images are missing or a part has no rows",
        "--allow-empty-levels": "build although a level has no rows",
    }
    for name, text in flags.items():
        add(name, text, action="store_true")


def share(text: str) -> float:
    """A share of the rows, 0 for none. Raises argparse.ArgumentTypeError."""
    if re.fullmatch(r"0?\.\d+|0", text) and (value := float(text)) <= 0.5:
        return value
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 0.5")


def score_range(text: str) -> tuple[float, float]:
    """LOWEST,HIGHEST as two numbers. Raises argparse.ArgumentTypeError."""
    numbers = re.fullmatch(r"(-?\d+\.?\d*),(-?\d+\.?\d*)", text)
    if numbers and float(numbers[1]) < float(numbers[2]):
        return float(numbers[1]), float(numbers[2])
    raise argparse.ArgumentTypeError(f"{text!r} is not LOWEST,HIGHEST, two numbers such as 1.81,8.6")


ALLOW = ("allow_missing", "allow_empty_levels", "allow_partial")
NAMED = ("media", "out", "check", "resize", "workers", "drop_leaks", "drop_conflicts", "val", "score_range", "images")


def options(parser: argparse.ArgumentParser, args: argparse.Namespace, **more: Path | str | float) -> Options:
    """The options of parsed arguments; `more` replaces or adds to them. Exits if they contradict each other."""
    named = {name: getattr(args, name) for name in (*NAMED, *ALLOW) if name in args}
    named["drop_conflicts"] = ("exact", "near") if args.drop_conflicts else ()
    chosen = Options(**named | {"strategies": tuple(dict.fromkeys(args.strategy))} | more)
    for option, wanted in (("--drop-leaks", chosen.drop_leaks), ("--drop-conflicts", chosen.drop_conflicts)):
        if wanted and not chosen.hashed:
            parser.error(f"{option} must look into the images: leave --check exists out")
    return chosen


def need_file(path: Path, fix: str) -> None:
    """Raises FileNotFoundError, in one line with the fix, if there is no such file."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; {fix}")
