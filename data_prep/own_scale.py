"""A scale from the command line: --levels and --range, for people who have no YAML file yet. It is written as one."""

import re
from pathlib import Path

import yaml

from data_prep.options import score_range
from storm.options import Parser, one_of

BY = ("values", "equal-width")
RATES = "images"  # what is rated, if nobody says it


def add_levels(parser: Parser) -> None:
    """Add the options that make a scale."""
    text = (
        "instead of --scale: the words of the levels from the lowest, with commas between them, or how many there are"
    )
    parser.add_argument("--levels", metavar="WORDS", help=text)
    text = "with --levels: the lowest and highest rating"
    parser.add_argument("--range", type=score_range, metavar="LOWEST,HIGHEST", help=text)
    text = f"how --range becomes levels: {', '.join(BY)} (default: values if there are as many whole numbers as levels)"
    parser.add_argument("--by", type=one_of(BY), metavar="HOW", help=text)
    parser.add_argument(
        "--rates", metavar="TEXT", help=f"with --levels: what is rated, for the question (default: {RATES})"
    )
    parser.add_argument("--name", help="with --levels: names the files (default: the name of the first SOURCE)")


def scale_text(levels: str, ends: tuple[float, float] | None, by: str | None, rates: str | None, name: str) -> str:
    """The YAML text of a scale. name: of a file, from which the scale's is made.

    Raises ValueError, with the fix, if the levels and the range do not go together.
    """
    words = [word.strip() for word in levels.split(",")]
    if re.fullmatch(r"\d+", levels.strip()):
        if not 2 <= int(levels) <= 50:
            raise ValueError(f"--levels {levels}: from 2 to 50 levels")
        words = [str(level) for level in range(1, int(levels) + 1)]
        if not ends:
            raise ValueError(f"--levels {levels}: --range LOWEST,HIGHEST says which ratings they are")
    if len(set(words)) < len(words):
        raise ValueError(f"--levels {levels}: a word is there twice")
    known = {
        "name": plain_name(name),
        "rates": rates or RATES,
        "levels": words if not ends else _ranges(words, ends, by),
    }
    return yaml.safe_dump(known, sort_keys=False, allow_unicode=True)


def _ranges(words: list[str], ends: tuple[float, float], by: str | None) -> dict[str, float | list[float]]:
    low, high = ends
    whole = low == int(low) and high == int(high) and high - low == len(words) - 1
    if by == "values" and not whole:
        what = f"{low:g} to {high:g} are not {len(words)} whole numbers"
        raise ValueError(f"--by values: {what}; --by equal-width divides the range, or name as many levels")
    if by == "values" or (by is None and whole):
        return {word: int(low) + level for level, word in enumerate(words)}
    width = (high - low) / len(words)
    cuts = [round(low + width * level, 6) for level in range(len(words))] + [high]
    return {word: [start, end] for word, start, end in zip(words, cuts, cuts[1:])}


def plain_name(text: str) -> str:
    """A name of lower-case letters, digits and _ that begins with a letter."""
    name = re.sub(r"[^a-z0-9]+", "_", Path(text).stem.lower()).strip("_")
    return name if name[:1].isalpha() else f"ratings_{name}".rstrip("_")
