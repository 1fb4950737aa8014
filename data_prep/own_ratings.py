"""Your own ratings: python -m data_prep csv RATINGS.csv --scale SCALE.yaml [--raw FOLDER] [--out data/NAME]

RATINGS.csv has columns image (its path below FOLDER, by default the folder of the csv), rating and, if you have them,
subject (the person or thing shown) and split (train or test). SCALE.yaml says what the ratings mean
(data_prep/own_scale.py; worked example: examples/product_photos/).
"""

import argparse
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from data_prep.build import Built, prepare
from data_prep.downloads import Files, table
from data_prep.duplicates import compare, compared
from data_prep.options import add_options, parsed
from storm.text import printable
from storm.custom_scale import OwnScale, load
from storm.prompts import suffix
from data_prep.registry import stanza, write_info
from storm.datasets import Dataset, Sizes
from data_prep.source import Drop, Row
from data_prep.write import summary, write, write_summary
from data_prep.write import table as sizes_table

TEST = 10  # without a split column, one row in ten is for testing; with subjects, whole ones. Our choice.


def dataset(ratings: Path, own: OwnScale) -> Dataset:
    """A Dataset for a csv of ratings. Raises ValueError if a column is missing or a split is neither train nor test."""
    rows = list(table(ratings, "image", "rating"))
    parts = {row.get("split", "") for _, row in rows}
    if not parts <= {"train", "test"} and parts != {""}:
        line, row = next((line, row) for line, row in rows if row["split"] not in ("train", "test"))
        raise ValueError(f"{ratings}, line {line}: split {row['split']!r} is neither train nor test")

    def read(files: Files) -> Iterator[Row | Drop]:
        for line, row in rows:
            where, image = f"{ratings.name}, line {line}", files.exact(row["image"])
            try:
                score = own.score(row["rating"])
            except ValueError as error:
                yield Drop(row["image"], where, "rule", str(error))
            else:
                if image:
                    yield Row(image, (image,), score, row.get("subject", ""), row.get("split", ""))
                else:
                    yield Drop(row["image"], where, "missing", f"no such image below {files.root}")

    return Dataset(
        name=own.scale.name,
        read=read,
        label=lambda score, lo, hi: own.label(score),
        low=float("-inf"),
        high=float("inf"),
        sizes=Sizes(train=0, lite=None, test=0),
        test=None if parts <= {"train", "test"} else TEST,
    )


def main(argv: list[str]) -> int:
    """Exit code 0; 1, with one line, if nothing could be built."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep csv", description="Turn your own ratings into conversations."
    )
    parser.add_argument("ratings", type=Path, metavar="RATINGS.csv")
    parser.add_argument("--scale", type=Path, required=True, metavar="SCALE.yaml")
    parser.add_argument("--raw", type=Path, help="the folder that image names start from (default: that of the csv)")
    parser.add_argument("--out", type=Path, help="default: data/ and the scale's name")
    add_options(parser)
    args = parsed(parser, argv)
    try:
        own = load(args.scale)
        name, raw = own.scale.name, args.raw or args.ratings.parent
        out = args.out or Path("data") / name
        built = prepare(
            dataset(args.ratings, own),
            own.scale,
            raw,
            "",
            out,
            protocol="subject",
            mode=args.check,
            resize=args.resize,
            workers=args.workers,
        )
        built.dataset = None  # there is no paper to compare with
        both_sides(args.ratings, built)
        said = compare([built], out, hashed=args.hashed, drop=args.drop_leaks)
        both_sides(args.ratings, built)
        write(built, out, args.prompts)
        if args.scale.resolve() != (out / "scale.yaml").resolve():
            shutil.copyfile(args.scale, out / "scale.yaml")
        write_info(out / "dataset_info.json", stanzas(name, args.prompts))
        numbers = {name: summary(built)}
        settings = {"check": args.check, "resize": args.resize, "compared": compared([built], args.hashed)}
        write_summary(out, numbers, settings)
    except (OSError, ValueError, BrokenProcessPool) as error:
        print(f"error: {printable(error)}", file=sys.stderr)
        return 1
    print(sizes_table(numbers))
    print(said)
    train, test = list(stanzas(name, args.prompts))[:2]
    print(f"in a recipe: dataset_dir: {out}, media_dir: {raw}, dataset: {train}, eval_dataset: {test}")
    return 0


def both_sides(ratings: Path, built: Built) -> None:
    """Raises ValueError if no row is left for training or none for testing."""
    for part, rows in (("training", built.split.train), ("testing", built.split.test)):
        if not rows:
            usable = len(built.split.train) + len(built.split.test)
            raise ValueError(
                f"{ratings}: none of {usable} usable rows is for {part}; give it more rows or subjects, or say train "
                "or test for each row in a column split"
            )


def stanzas(name: str, strategies: list[str]) -> dict[str, dict]:
    """<out>/dataset_info.json: <name>_train and <name>_test, with _num, _text or _direct behind them."""
    return {
        f"{name}_{part}{suffix(strategy)}": stanza(f"{strategy}/{name}_{part}.jsonl")
        for strategy in strategies
        for part in ("train", "test")
    }
