"""What the three ways into data_prep (sources, release, csv) share: command-line options and text tables."""

import argparse
import os
from collections.abc import Sequence

from storm.prompts import STRATEGIES


def pixels(text: str) -> int:
    """A number of pixels above 0, for argparse."""
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count} pixels are no image")
    return count


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prompts", nargs="+", choices=STRATEGIES, default=list(STRATEGIES), metavar="STRATEGY")
    parser.add_argument("--check", choices=("decode", "exists"), default="decode", help="what every image must pass")
    parser.add_argument(
        "--resize", type=pixels, metavar="PIXELS", help="write RGB copies at most so large, and use them"
    )
    parser.add_argument("--drop-leaks", action="store_true", help="take duplicates of test images out of train")
    parser.add_argument("--workers", type=int, default=os.cpu_count())


def parsed(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """The arguments, with args.hashed: are the images read, so that copies can be told? Exits for wrong ones."""
    args = parser.parse_args(argv)
    args.hashed = args.check == "decode" or bool(args.resize)
    if args.drop_leaks and not args.hashed:
        parser.error("--drop-leaks must look into the images: leave --check exists out")
    return args


def aligned(lines: list[list[str | int | float | None]]) -> str:
    """A table as text: the first line is the header, None is left empty, fractions have three places.

    What a terminal would act on, in a file's name for example, is shown as its code.
    """
    cells = [[_cell(value) for value in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*cells)]
    text = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths)) for line in cells]
    return "\n".join([text[0], "-" * len(text[0]), *text[1:]])


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return printable(value)
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}"


def printable(text: object) -> str:
    """One line that a terminal only shows: what it would act on, or break the line at, is written as its code."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(text))
