"""python -m data_prep [NAME ...]: from the owners' downloads to registered conversations. See --help and README."""

import argparse
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from tqdm import tqdm

from data_prep import own_ratings, release
from data_prep.build import prepare
from storm.datasets import DATASETS
from data_prep.duplicates import compare, compared
from data_prep.options import add_options, parsed
from storm.text import printable
from storm.datasets import SCALES
from data_prep.write import summary, table, write, write_summary

NAMES = [dataset.name for dataset in DATASETS]


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data_prep",
        description="Turn source datasets into conversations. Also: python -m data_prep release --help, csv --help.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {' '.join(NAMES)}; none: all found below --raw")
    parser.add_argument("--raw", type=Path, default=Path("data/raw"), help="holds a folder for each dataset")
    parser.add_argument("--out", type=Path, default=Path("data/storm"))
    parser.add_argument("--split", choices=("paper", "subject"), default="paper", help="subject: nobody on both sides")
    add_options(parser)
    return parser


def chosen(names: list[str], raw: Path) -> list[str]:
    """The datasets to build. Raises ValueError for an unknown name, or if none was named and none is there."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise ValueError(f"no dataset {unknown[0]!r}; there are {' '.join(NAMES)}, and release and csv")
    found = [name for name in NAMES if name in names or (not names and (raw / name).is_dir())]
    if not found:
        raise ValueError(f"{raw}: no folder named like a dataset; put each download into one of {' '.join(NAMES)}")
    return found


def main(argv: list[str]) -> int:
    """Exit code 0, or 1 if a dataset failed (the others are written), 2 for wrong arguments."""
    if argv and argv[0] in ("release", "csv"):
        return (release.main if argv[0] == "release" else own.main)(argv[1:])
    parser = arguments()
    args = parsed(parser, argv)
    try:
        names = chosen(args.names, args.raw)
    except ValueError as error:
        parser.error(str(error))
    built, errors, summaries, said = [], [], {}, ""
    for dataset in tqdm([dataset for dataset in DATASETS if dataset.name in names], "read", unit="dataset"):
        try:
            built.append(
                prepare(
                    dataset,
                    SCALES[dataset.name],
                    args.raw,
                    dataset.name,
                    args.out,
                    protocol=args.split,
                    mode=args.check,
                    resize=args.resize,
                    workers=args.workers,
                )
            )
        except (OSError, ValueError, BrokenProcessPool) as error:  # the last: a worker was killed, for memory perhaps
            errors.append(f"{dataset.name}: {error}")
    try:
        if built:
            said = compare(built, args.out, hashed=args.hashed, drop=args.drop_leaks)
        for b in tqdm(built, "write", unit="dataset", disable=not built):
            try:
                write(b, args.out, args.prompts)
                summaries[b.name] = summary(b)
            except OSError as error:
                errors.append(f"{b.name}: {error}")
        if summaries:
            settings = {"split": args.split, "check": args.check, "resize": args.resize}
            write_summary(args.out, summaries, settings | {"compared": compared(built, args.hashed)})
    except (OSError, ValueError) as error:  # ValueError: a summary.json that is no JSON
        errors.append(f"{args.out}: {error}")
    if summaries:
        print(table(summaries))
        print(said)
    for error in errors:
        print(f"error: {printable(error)}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")
