"""python -m data_prep [NAME ...]: from the owners' downloads to registered conversations. See --help and README."""

import sys
from pathlib import Path

from tqdm import tqdm

from data_prep import own_ratings, registry, release
from data_prep.build import Built, prepare
from data_prep.finish import FAILURES, fail, finish
from data_prep.options import Options, add_folders, add_options, options
from data_prep.source import reader
from storm.datasets import DATASETS
from storm.files import locked
from storm.options import Parser, describe, did_you_mean

COMMANDS = {"release": release.main, "csv": own_ratings.main, "registry": registry.main}


def arguments() -> Parser:
    parser = Parser(
        prog="python -m data_prep",
        description="Turn the downloads of source datasets into conversations. Other commands, each with --help: "
        "release (the authors' data release), csv (your own ratings), registry (writes dataset_info.json).",
    )
    names = ", ".join(DATASETS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{names}; none: every one with a folder in --media")
    add_folders(parser)
    parser.add_argument(
        "--split",
        choices=("paper", "subject"),
        default="paper",
        help="subject: no subject in train and in test (default: paper)",
    )
    add_options(parser)
    return parser


def chosen(names: list[str], media: Path) -> list[str]:
    """The datasets to build. Raises ValueError for an unknown name, or without names if no dataset has a folder."""
    for name in names:
        if name not in DATASETS:
            raise ValueError(f"no dataset {name!r}; {did_you_mean(name, [*DATASETS, *COMMANDS])}")
    rows = [name for name in DATASETS if name in names or (not names and (media / name).is_dir())]
    if not rows:
        raise ValueError(
            f"{media}: no folder named like a dataset; put each download into one of {', '.join(DATASETS)}"
        )
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
    """Exit code 0, or 1 if a dataset failed (the others are written), 2 for wrong arguments."""
    if argv and argv[0] in COMMANDS:
        return COMMANDS[argv[0]](argv[1:])
    parser = arguments()
    args = parser.parse_args(argv)
    opts = options(parser, args, protocol=args.split)
    try:
        names = chosen(args.names, opts.media)
    except ValueError as error:
        parser.error(str(error))
    try:
        with locked(opts.out):
            built, errors = build(names, opts)
            settings = {"split": opts.protocol, "check": opts.check, "resize": opts.resize}
            return finish(built, opts, settings, errors)
    except OSError as error:  # the folder cannot be written to, or another process does
        return fail(error)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command continues from here")
