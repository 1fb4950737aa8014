"""python -m data_prep [NAME ...]: from the owners' downloads to registered conversations. See --help and README."""

import argparse
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from tqdm import tqdm

from data_prep import own, release
from data_prep.build import Built, prepare, without
from data_prep.datasets import DATASETS
from data_prep.leaks import Picture, find_leaks, uninformative, write_leaks
from data_prep.options import add_options
from data_prep.scales import SCALES
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
    parser.add_argument("--drop-leaks", action="store_true", help="take duplicates of test images out of train")
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


def leaks(built: list[Built], out: Path, drop: bool) -> str:
    """Write leaks.csv and, if wanted, take the leaked rows out of train. Returns the line that says what was found."""
    pictures = [
        Picture(b.name, row.id, test, b.checked[row.image].digest, b.checked[row.image].phash)
        for b in built
        for test, rows in ((False, b.split.train), (True, b.split.test))
        for row in rows
    ]
    found, plain = find_leaks(pictures), uninformative(pictures)
    unseen = sum(picture.phash in plain for picture in pictures)
    write_leaks(out / "leaks.csv", found)
    for b in built:
        why = {
            leak.train_id: f"{leak.kind} copy of {leak.test_dataset} {leak.test_id}"
            for leak in found
            if leak.train_dataset == b.name
        }
        if drop:
            without(b, why)
    exact = sum(leak.kind == "exact" for leak in found)
    done = "taken out of train" if drop else "left in train (--drop-leaks takes them out)"
    return (
        f"{exact} exact and {len(found) - exact} near copies of test images, {done}: {out / 'leaks.csv'}\n"
        f"{unseen} images are too plain, or too much alike, to be compared by look; only their bytes were"
    )


def main(argv: list[str]) -> int:
    """Exit code 0, or 1 if a dataset failed (the others are written), 2 for wrong arguments."""
    if argv and argv[0] in ("release", "csv"):
        return (release.main if argv[0] == "release" else own.main)(argv[1:])
    parser = arguments()
    args = parser.parse_args(argv)
    hashed = args.check == "decode" or args.resize
    if args.drop_leaks and not hashed:
        parser.error("--drop-leaks must look into the images: leave --check exists out")
    try:
        names = chosen(args.names, args.raw)
    except ValueError as error:
        parser.error(str(error))
    built, errors, summaries, said = [], [], {}, "no look for copies between train and test: that takes --check decode"
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
        if built and hashed:
            said = leaks(built, args.out, args.drop_leaks)
        for b in tqdm(built, "write", unit="dataset", disable=not built):
            try:
                write(b, args.out, args.prompts)
                summaries[b.name] = summary(b)
            except OSError as error:
                errors.append(f"{b.name}: {error}")
        if summaries:
            write_summary(args.out, summaries, {"split": args.split, "check": args.check, "resize": args.resize})
    except (OSError, ValueError) as error:  # ValueError: a summary.json that is no JSON
        errors.append(f"{args.out}: {error}")
    if summaries:
        print(table(summaries))
        print(said)
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")
