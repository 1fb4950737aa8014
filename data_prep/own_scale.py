"""A scale from the command line (--levels, --years ...), or from the ratings themselves, for people who have no YAML
file yet. It is written as one."""

import argparse
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from data_prep.ambiguous import refuse_ambiguous
from data_prep.options import score_range
from data_prep.own_rows import EMPTY, Rating
from data_prep.parts import part_of
from data_prep.raters import COMBINE
from storm.custom_scale import LEVELS
from storm.datasets import BY_SCALE_NAME, SCALES
from storm.levels import DIGITS, NUMBER
from storm.options import Parser, not_empty, one_of
from storm.text import printable

BY = ("values", "equal-width", "quantiles")
RATES = "images"  # what is rated, if nobody says it
FEW = 20  # our choice: so many different whole numbers, one after the other, are levels without --levels


class Asked(NamedTuple):
    """What the command line says about the scale."""

    levels: str | None = None
    range: tuple[float, float] | None = None
    by: str | None = None
    order: str = "ascending"
    unit: str | None = None
    rates: str | None = None
    raters: str = "mean"  # of several ratings of an image, what counts


def add_levels(parser: Parser) -> None:
    """Add the options that make a scale."""
    text = (
        "instead of --scale: the words of the levels from the lowest, with commas between them, or how many there are"
    )
    parser.add_argument("--levels", type=not_empty, metavar="WORDS", help=text)
    text = "the lowest and highest rating"
    parser.add_argument("--range", type=score_range, metavar="LOWEST,HIGHEST", help=text)
    text = f"how ratings become levels: {', '.join(BY)} (default: values if there are as many whole numbers as levels)"
    parser.add_argument("--by", type=one_of(BY), metavar="HOW", help=text)
    text = "descending: the highest rating is the lowest level, as in school grades"
    orders = ("ascending", "descending")
    parser.add_argument("--order", type=one_of(orders), default=orders[0], metavar="|".join(orders), help=text)
    text = "instead of --levels: ages, each year from LOWEST to HIGHEST"
    parser.add_argument("--years", type=score_range, metavar="LOWEST,HIGHEST", help=text)
    text = "instead of --levels: what is counted, such as months; each whole number in --range is a level"
    parser.add_argument("--unit", type=not_empty, metavar="WORD", help=text)
    text = f"what is rated, for the question (default: {RATES})"
    parser.add_argument("--rates", type=not_empty, metavar="TEXT", help=text)
    text = "names the files (default: the name of the first SOURCE)"
    parser.add_argument("--name", type=_name, help=text)


def _name(text: str) -> str:
    """The value of --name: plain_name() keeps its letters from a to z and its digits."""
    if not re.search("[A-Za-z0-9]", text):
        raise argparse.ArgumentTypeError(f"{text!r} has no letter from a to z and no digit; --name shoes")
    return text


def asked_of(args: argparse.Namespace) -> Asked:
    """Raises ValueError for options that exclude each other."""
    given = [name for name in ("scale", "levels", "years", "unit") if getattr(args, name)]
    if len(given) > 1:
        raise ValueError(f"--{given[0]} and --{given[1]} both say what the ratings mean; leave one out")
    more = [name for name in ("range", "by", "rates", "name") if getattr(args, name)]
    more += ["order"] * (args.order != "ascending")
    if args.scale and more:
        raise ValueError(f"--{more[0]} goes with --levels; --scale says it already")
    if args.years:
        if set(more) & {"range", "by", "order"}:
            raise ValueError(f"--{more[0]} goes with --levels; --years says it already")
        return Asked(range=args.years, unit="years", rates=args.rates or "the age of the person")
    if args.unit and not args.range:
        raise ValueError(f"--unit {args.unit}: --range LOWEST,HIGHEST says which numbers there are")
    if args.unit and not args.rates:
        raise ValueError(f'--unit {args.unit}: --rates says what is estimated, such as --rates "the age of a baby"')
    return Asked(args.levels, args.range, args.by, args.order, args.unit, args.rates, args.raters)


def scale_text(asked: Asked, name: str, rows: Sequence[Rating] = ()) -> str:
    """The YAML text of a scale, with a first line that says how ratings become levels. name: of a file, from which the
    scale's is made. rows: the ratings, for quantiles, and if nothing is asked.

    Raises ValueError, with the fix, if what is asked does not go together or does not fit the ratings.
    """
    known: dict = {"name": plain_name(name), "rates": asked.rates or RATES}
    if asked.unit:
        low, high = (int(end) if end == int(end) else end for end in asked.range)
        how, known = f"each whole number of {asked.unit} is a level", known | {"unit": asked.unit, "range": [low, high]}
    else:
        levels, how = _levels(asked, rows) if asked.levels else _found(asked, rows)
        known |= {"levels": levels} | ({"order": "descending"} if asked.order == "descending" else {})
    return f"# {how}\n" + yaml.safe_dump(known, sort_keys=False, allow_unicode=True, default_flow_style=None)


def _levels(asked: Asked, rows: Sequence[Rating]) -> tuple[list[str] | dict, str]:
    """(the levels as YAML has them, how ratings become levels)."""
    words = [word.strip() for word in asked.levels.split(",")]
    if re.fullmatch(r"\d+", asked.levels.strip()):
        if not 2 <= int(asked.levels) <= LEVELS:
            raise ValueError(f"--levels {asked.levels}: from 2 to {LEVELS} levels")
        words = [str(level) for level in range(1, int(asked.levels) + 1)]
        if not asked.range and asked.by != "quantiles":
            raise ValueError(f"--levels {asked.levels}: --range LOWEST,HIGHEST says which ratings they are")
    if len(set(words)) < len(words):
        raise ValueError(f"--levels {asked.levels}: a word is there twice")
    count = len(words)
    if not asked.range and asked.by != "quantiles":
        if asked.by:
            raise ValueError(f"--by {asked.by}: --range LOWEST,HIGHEST says which ratings there are")
        return words, f"the ratings are these words, or the numbers 0 to {count - 1}"
    if asked.by == "quantiles":
        cuts, how = _quantiles(asked, rows, count), f"each level has about one in {count} of the ratings"
    else:
        low, high = asked.range
        whole = low == int(low) and high == int(high) and high - low == count - 1
        if asked.by == "values" and not whole:
            what = f"{low:g} to {high:g} are not {count} whole numbers"
            raise ValueError(f"--by values: {what}; --by equal-width divides the range, or name as many levels")
        if asked.by == "values" or (asked.by is None and whole):
            values = [int(low) + level for level in range(count)]
            ordered = values[::-1] if asked.order == "descending" else values
            words = words if "," in asked.levels else [str(value) for value in ordered]
            return dict(zip(words, ordered)), "each whole number is a level; a mean of raters is rounded, a half up"
        width = (high - low) / count
        cuts = [round(low + width * level, DIGITS) for level in range(count)] + [high]
        how = "all levels are equally wide"
    ranges = [[start, end] for start, end in zip(cuts, cuts[1:])]
    return dict(zip(words, ranges[::-1] if asked.order == "descending" else ranges)), how


def _quantiles(asked: Asked, rows: Sequence[Rating], count: int) -> list[float]:
    """The ends of `count` ranges with about as many images in each; of several raters, by what counts of an image."""
    refuse_ambiguous(rows)
    of_image: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if NUMBER.fullmatch(row.rating):
            of_image[row.image].append(float(row.rating.replace(",", ".")))
    votes = [score for scores in of_image.values() for score in scores]
    scores = sorted(map(COMBINE[asked.raters], of_image.values()))
    if len(scores) < count:
        raise ValueError(f"--by quantiles: {len(scores)} ratings are numbers, fewer than {count} levels")
    low, high = asked.range or (min(votes), max(votes))
    if low > min(votes) or high < max(votes):
        ends = f"{min(votes):g},{max(votes):g}"
        raise ValueError(f"--range {low:g},{high:g} does not hold all ratings: --range {ends}, or leave it out")
    cuts = [low, *(scores[len(scores) * level // count] for level in range(1, count)), high]
    if cuts != sorted(set(cuts)):
        what = "many ratings are the same number, so levels would be empty"
        raise ValueError(f"--by quantiles: {what}; name fewer levels, or --by equal-width")
    return cuts


def _found(asked: Asked, rows: Sequence[Rating]) -> tuple[dict, str]:
    """The levels of ratings that are a few whole numbers, one after the other. Raises ValueError, with the options to
    give, for others."""
    if given := [name for name in ("range", "by") if getattr(asked, name)]:
        raise ValueError(f"--{given[0]} goes with --levels: the words of the levels, or how many there are")
    cells = sorted({row.rating for row in rows if row.rating.lower() not in {"", *EMPTY}})
    numbers = sorted({float(cell.replace(",", ".")) for cell in cells if NUMBER.fullmatch(cell)})
    few = 2 <= len(numbers) <= FEW and numbers == [numbers[0] + place for place in range(len(numbers))]
    if few and numbers[0] == int(numbers[0]) and all(NUMBER.fullmatch(cell) for cell in cells):
        ordered = numbers[::-1] if asked.order == "descending" else numbers
        levels = {f"{number:g}": int(number) for number in ordered}
        return levels, f"found in the ratings: each whole number is a level, {ordered[0]:g} is the lowest"
    what = "say what the ratings mean, with --scale SCALE.yaml or"
    if len(numbers) > len(cells) / 2:
        ends = f"{numbers[0]:g},{numbers[-1]:g}"
        ends += " --by equal-width" * any(number != int(number) for number in numbers)
        raise ValueError(f"{what} --levels 5 --range {ends} (they are {len(numbers):,} numbers; these are their ends)")
    if 2 <= len(cells) <= LEVELS:
        words = printable(", ".join(cells))
        raise ValueError(f'{what} --levels "WORST,...,BEST", in your order; the words are: {words}')
    raise ValueError(f"{what} --levels WORDS and --range LOWEST,HIGHEST")


def plain_name(text: str) -> str:
    """A name of lower-case letters, digits and _ that begins with a letter, from the path of a file.

    Without the part that it says (ratings_train.csv); of a file that says only this, from its folder.
    """
    path = Path(text)
    name = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")
    if part_of(name.rpartition("_")[2]):
        name = name.rpartition("_")[0]
    if not name and path.parent.name:
        return plain_name(path.parent.name)
    if name in SCALES or name in BY_SCALE_NAME:  # koniq.csv: its rows are not the paper's
        name = f"my_{name}"
    return name if name[:1].isalpha() else f"ratings_{name}".rstrip("_")
