"""python -m data_prep [NAME ...]: from the owners' downloads to registered conversations. See --help and README."""

import sys
from contextlib import nullcontext

from tqdm import tqdm

from data_prep import export, own_ratings, registry, release
from data_prep.build import Built, Refused, no_collection, prepare
from data_prep.dataset_folders import chosen, folder
from data_prep.finish import FAILURES, write_and_report
from data_prep.options import Options, add_folders, add_options, add_strictness, options, score_range
from data_prep.source import reader
from data_prep.write import quarantine_of
from storm.datasets import DATASETS, equal_width
from storm.files import locked
from storm.options import Parser, describe, did_you_mean, one_of, print_errors

COMMANDS = {"release": release.main, "own": own_ratings.main, "csv": own_ratings.main, "registry": registry.main}
COMMANDS |= {"export": export.main}


def arguments() -> Parser:
    text = "Turn the downloads of source datasets into conversations. Other commands, each with --help: release (the "
    text += "authors' data release), own (your own ratings), export (test files for other tools), registry (writes "
    text += "dataset_info.json)."
    parser = Parser(prog="python -m data_prep", description=text)
    text = f"{', '.join(DATASETS)}; none: every one with a folder in --media"
    parser.add_argument("names", nargs="*", metavar="NAME", help=text)
    add_folders(parser)
    text = "paper, or subject: no subject in train and in test (default: paper)"
    parser.add_argument("--split", type=one_of(("paper", "subject")), default="paper", metavar="SPLIT", help=text)
    text = "the folder of images below the dataset's folder, if several hold the same images"
    parser.add_argument("--images", metavar="FOLDER", help=text)
    text = "range of all raw scores, for levels of equal width, if only a part of AVA.txt is there"
    parser.add_argument("--score-range", type=score_range, metavar="LOWEST,HIGHEST", help=text)
    text = "build although the label file is not whole and the range of all its scores is unknown"
    parser.add_argument("--allow-partial", action="store_true", help=text)
    add_options(parser)
    add_strictness(parser)
    return parser


def build(rows: dict[str, list[str]], options: Options) -> tuple[list[Built], list[str]]:
    """The datasets that can be built, and a line for each that cannot. The rows that those dropped are written, too."""
    built, errors = [], []
    for name, names in tqdm(rows.items(), "read", unit="dataset"):
        try:
            built.append(prepare(DATASETS[name], reader(name), folder(name, names, options.media), options))
        except Refused as error:
            errors.append(f"{name}: {error}{quarantine_of(error, name, options.out)}")
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
    for name in args.names:
        if name not in DATASETS:
            parser.error(f"no dataset {name!r}; {did_you_mean(name, [*DATASETS, *COMMANDS])}")
    try:
        rows = chosen(args.names, opts.media)
    except ValueError as error:
        parser.error(str(error))
    if (opts.images or opts.score_range) and len(rows) > 1:
        parser.error("--images and --score-range are of one dataset: name it")
    for name in rows if opts.score_range else ():
        if DATASETS[name].spread or DATASETS[name].label is not equal_width:
            parser.error(f"--score-range: the range of {name} is known, or its levels do not depend on one")
    with locked(opts.out), nullcontext() if opts.hashed else no_collection():
        built, errors = build(rows, opts)
        return write_and_report(built, opts, opts.settings, errors)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command continues from here")
