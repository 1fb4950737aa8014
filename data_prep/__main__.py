"""python -m data_prep [NAME ...]: from the owners' downloads to registered conversations. See --help and README."""

import sys
from pathlib import Path

from tqdm import tqdm

from data_prep import own_ratings, registry, release
from data_prep.build import Built, prepare
from data_prep.finish import FAILURES, write_and_report
from data_prep.options import Options, add_folders, add_options, options
from data_prep.source import reader
from storm.datasets import DATASETS
from storm.files import locked
from storm.options import Parser, describe, did_you_mean, one_of, print_errors

COMMANDS = {"release": release.main, "csv": own_ratings.main, "registry": registry.main}


def arguments() -> Parser:
    text = "Turn the downloads of source datasets into conversations. Other commands, each with --help: release (the "
    text += "authors' data release), csv (your own ratings), registry (writes dataset_info.json)."
    parser = Parser(prog="python -m data_prep", description=text)
    text = f"{', '.join(DATASETS)}; none: every one with a folder in --media"
    parser.add_argument("names", nargs="*", metavar="NAME", help=text)
    add_folders(parser)
    text = "paper, or subject: no subject in train and in test (default: paper)"
    parser.add_argument("--split", type=one_of(("paper", "subject")), default="paper", metavar="SPLIT", help=text)
    add_options(parser)
    return parser


def chosen(names: list[str], media: Path) -> list[str]:
    """The datasets to build. Raises ValueError for an unknown name, or without names if no dataset has a folder."""
    for name in names:
        if name not in DATASETS:
            raise ValueError(f"no dataset {name!r}; {did_you_mean(name, [*DATASETS, *COMMANDS])}")
    rows = [name for name in DATASETS if name in names or (not names and (media / name).is_dir())]
    if not rows:
        raise ValueError(f"{media}: no folder named like a dataset; put each download into one: {', '.join(DATASETS)}")
    return rows


def build(names: list[str], options: Options) -> tuple[list[Built], list[str]]:
    """The datasets that can be built, and a line for each that cannot."""
    built, errors = [], []
    for name in tqdm(names, "read", unit="dataset"):
        facts, folder = DATASETS[name], options.media / name
        try:
            if not folder.is_dir():
                raise NotADirectoryError(f"{folder}: no such folder; download {facts.title} ({facts.url}) into it")
            built.append(prepare(facts, reader(name), name, options))
        except FAILURES as error:
            errors.append(f"{name}: {describe(error)}")
    return built, errors


def main(argv: list[str]) -> int:
    """Exit code 0; 1 if something could not be built (all else is written); 2 for wrong arguments."""
    try:
        return COMMANDS[argv[0]](argv[1:]) if argv and argv[0] in COMMANDS else sources(argv)
    except FAILURES as error:  # a missing file, or the folder cannot be written to, or another process does
        return min(1, print_errors([error]))


def sources(argv: list[str]) -> int:
    """The command without a name: build datasets from the owners' downloads. Returns the exit code; raises OSError."""
    parser = arguments()
    args = parser.parse_args(argv)
    opts = options(parser, args, protocol=args.split)
    try:
        names = chosen(args.names, opts.media)
    except ValueError as error:
        parser.error(str(error))
    with locked(opts.out):
        built, errors = build(names, opts)
        settings = {"split": opts.protocol, "check": opts.check, "resize": opts.resize}
        return write_and_report(built, opts, settings, errors)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command continues from here")
