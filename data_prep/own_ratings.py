"""Your own ratings: python -m data_prep own SOURCE ... --scale SCALE.yaml [--media FOLDER] [--out data/NAME]

SOURCE is a rating file of any usual kind (rating_files.py) with columns image (below FOLDER, by default that of the
file), rating and, if you have them, subject (the person or thing shown) and split (train, val or test);
rating_columns.py finds them. SCALE.yaml says what the ratings mean (storm/custom_scale.py; worked example:
examples/product_photos/); --levels and --years make one (own_scale.py). Also called csv, as before.
"""

import os
import re
from functools import partial
from pathlib import Path

from data_prep.build import Built, Refused, prepare
from data_prep.finish import write_and_report
from data_prep.options import Options, add_options, add_strictness, need_file, options, share
from data_prep.own_reader import dataset
from data_prep.own_rows import Reading, read_all
from data_prep.own_scale import add_levels, asked_of, scale_text
from data_prep.own_split import Shares
from data_prep.own_table import own_levels_table
from data_prep.parts import PARTS
from data_prep.raters import COMBINE
from data_prep.rating_columns import USUAL
from data_prep.registry import stanza
from data_prep.source import Reader
from data_prep.write import quarantine_of, with_earlier
from storm.custom_scale import load
from storm.custom_scale import read as read_scale
from storm.datasets import DatasetFacts
from storm.files import locked, write_json, write_text
from storm.levels import OwnScale
from storm.options import Parser, one_of
from storm.prompts import STRATEGIES, strategy_of
from storm.rows import sibling
from storm.text import command_line

EXAMPLE = "examples/product_photos"
RECIPE = "recipes/custom.yaml"


def arguments() -> Parser:
    parser = Parser(prog="python -m data_prep own", description="Turn your own ratings into conversations.")
    add = parser.add_argument
    text = "csv, tsv, xlsx, parquet, JSON or JSON lines with a row for each image, or a folder with a folder for each "
    text += "level; several are read together (train.csv test.csv)"
    add("sources", type=Path, nargs="+", metavar="SOURCE", help=text)
    add("--scale", type=Path, metavar="SCALE.yaml", help="what the ratings mean; or:")
    add_levels(parser)
    for role in USUAL:
        text = f"name of the column (usual names are found: {', '.join(USUAL[role][:6])})"
        add(f"--{role}-column", metavar="COLUMN", help=text)
    text = f"of several ratings of an image, what counts: {', '.join(COMBINE)} (default: mean)"
    add("--raters", type=one_of(COMBINE), default="mean", metavar="HOW", help=text)
    add("--no-header", action="store_true", help="the first row is data; columns are called 1, 2, 3 ...")
    add("--sheet", metavar="NAME", help="sheet of an Excel workbook in which several have rows")
    text = "image root that image names start from (default: that of the SOURCE; of several, the one around them)"
    add("--media", type=Path, help=text)
    add("--out", type=Path, help="where the rows are written (default: data/ and the scale's name)")
    add("--allow-off-scale", action="store_true", help="drop ratings that the scale does not have, however many")
    text = f"share of the rows that is for testing, if no column says it (default: {Shares().test:g})"
    add("--test", type=share, metavar="FRACTION", help=text)
    add("--seed", type=int, default=Shares().seed, metavar="N", help="of the draw of test and validation rows (0)")
    add("--stratify", action="store_true", help="draw so that all parts have about the same share of each level")
    text = "build although your own split has the same subject in two parts"
    add("--allow-shared-subjects", action="store_true", help=text)
    add_options(parser)
    add_strictness(parser)
    return parser


def main(argv: list[str]) -> int:
    """Returns the exit code. Raises OSError or ValueError if nothing could be built."""
    parser = arguments()
    args = parser.parse_args(argv)
    first = args.sources[0]
    folders = {source if source.is_dir() else source.parent for source in args.sources}
    around = folders.pop() if len(folders) == 1 else Path(os.path.commonpath(map(os.path.abspath, folders)))
    args.media = args.media or around
    if args.sheet and not any(source.suffix.lower() == ".xlsx" for source in args.sources):
        parser.error("--sheet is of an Excel workbook (.xlsx)")
    for source in args.sources:
        need_file(source, f"write one with columns image and rating, as {EXAMPLE}/ratings.csv")
    try:
        scale_asked = asked_of(args)
    except ValueError as error:
        parser.error(str(error))
    need_file(args.media, "--media is the folder that image names start from")
    asked = {role: [name] for role in USUAL if (name := getattr(args, f"{role}_column", None))}
    notes: list[str] = []
    rows = read_all(args.sources, Reading(asked, not args.no_header, args.sheet or "", args.media), notes)
    print(*notes, sep="\n")
    if args.scale:
        need_file(args.scale, f"write one as {EXAMPLE}/scale.yaml")
        scale, text = load(args.scale), args.scale.read_text(encoding="utf-8")
    else:
        text = scale_text(scale_asked, args.name or str(first.resolve()), rows)
        scale = read_scale(text)
        print(f"\nthe scale:\n{text}")
    named = {row.split for row in rows}  # the parts that rows name
    for part in ("test", "val"):
        if getattr(args, part) is not None and part in named:
            parser.error(f"--{part} draws {part} rows, but the split of your rows names them; leave it out")
    defaults = Shares()
    shares = Shares(
        test=defaults.test if args.test is None else args.test,
        val=defaults.val if args.val is None else args.val,
        seed=args.seed,
        stratify=args.stratify,
        allow_shared_subjects=args.allow_shared_subjects,
    )
    if named != {""}:  # of a split of her own, only validation rows are drawn without being asked for
        shares = shares._replace(test=args.test or 0)
    out = args.out or Path("data") / scale.scale.name
    opts = options(parser, args, out=out, shares=shares)
    if opts.hashed and not opts.drop_conflicts:  # of one file with two ratings, neither can be believed
        opts = options(parser, args, out=out, shares=shares, drop_conflicts=("exact",))
    facts, reader = dataset(rows, args.sources, scale, args.allow_off_scale, args.raters)
    with locked(opts.out):
        return build(first, (scale, text), facts, reader, opts)


def build(ratings: Path, scale: tuple[OwnScale, str], facts: DatasetFacts, read: Reader, options: Options) -> int:
    """Write rows, registry and the scale with its YAML text. Returns the exit code; raises OSError or ValueError."""
    meaning, text = scale
    try:
        built = prepare(facts, read, "", options)
    except Refused as error:
        raise ValueError(f"{ratings}: {error}{quarantine_of(error, facts.name, options.out)}") from None
    built.facts = None
    both_sides(ratings, built)
    settings = options.settings | {name: value for name, value in options.shares._asdict().items() if name != "val"}
    if write_and_report([built], options, settings | {"split": "own"}, refuse=partial(show_levels, ratings, meaning)):
        return 1
    if not (path := options.out / "scale.yaml").is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    strategies = with_earlier(options.strategies, facts.name, options.out)
    registry = stanzas(facts.name, strategies, [part for part in PARTS if getattr(built.split, part)])
    write_json(options.out / "dataset_info.json", registry)
    print(f"\n{next_command(registry, options)}")
    return 0


def next_command(registry: dict[str, dict], options: Options) -> str:
    """The command that checks a training on the rows, ready to paste. A training takes no path with blanks: such a
    folder gets a link."""
    train = next(iter(registry))
    val, links = sibling(train, "val"), []

    def folder(path: Path) -> str:
        text = str(path)
        if re.search(r"\s", text):
            link = re.sub(r"\s+", "_", path.name)
            links.append(command_line(["ln", "-sfn", path.resolve(), link]))
            text = link
        return text if "/" in text else f"./{text}"  # a number alone would not be text

    settings = {"dataset": train, "eval_dataset": val}
    if val not in registry:
        settings |= {"eval_dataset": "null", "eval_strategy": '"no"'}  # a bare no is false
    settings |= {"dataset_dir": folder(options.out), "media_dir": folder(options.media)}
    suffix = strategy_of(train).suffix
    settings |= {"output_dir": f"saves/{train.removesuffix(suffix).removesuffix('_train')}{suffix}"}
    words = ["python", "train/preflight.py", RECIPE, *(f"{key}={value}" for key, value in settings.items())]
    return " && ".join([*links, command_line(words)])


def show_levels(ratings: Path, scale: OwnScale, built: Built) -> None:
    """Print which ratings became which level, before anything is written. Raises ValueError as both_sides does."""
    print(own_levels_table(built, scale), end="\n\n")
    both_sides(ratings, built)


def both_sides(ratings: Path, built: Built) -> None:
    """Raises ValueError if no row is left for training or none for testing."""
    for part, rows in (("training", built.split.train), ("testing", built.split.test)):
        if not rows:
            usable = len(built.split.train) + len(built.split.test)
            raise ValueError(
                f"{ratings}: none of {usable} usable rows is for {part}; give it more rows or subjects, or say train "
                "or test for each row in a column split; of a split without test rows, --test 0.1 draws some from train"
            )


def stanzas(name: str, strategies: list[str], parts: list[str]) -> dict[str, dict]:
    """<out>/dataset_info.json: <name>_train, <name>_val and <name>_test, with the strategy's suffix."""
    return {
        f"{name}_{part}{STRATEGIES[strategy].suffix}": stanza(f"{strategy}/{name}_{part}.jsonl")
        for strategy in strategies
        for part in parts
    }
