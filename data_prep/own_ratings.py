"""Your own ratings: python -m data_prep csv RATINGS.csv --scale SCALE.yaml [--media FOLDER] [--out data/NAME]

RATINGS.csv has columns image (its path below FOLDER, by default the folder of the csv), rating and, if you have them,
subject (the person or thing shown) and split (train, val or test). SCALE.yaml says what the ratings mean
(storm/custom_scale.py; worked example: examples/product_photos/).
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from data_prep.build import Built, Refused, prepare
from data_prep.downloads import Files
from data_prep.finish import write_and_report
from data_prep.options import Options, add_options, add_strictness, need_file, options
from data_prep.registry import stanza
from data_prep.source import Drop, Items, Reader, Row
from data_prep.tables import read_table
from data_prep.write import quarantine_of, with_earlier
from storm.custom_scale import OwnScale, load
from storm.datasets import DatasetFacts, Sizes
from storm.files import locked, write_json, write_text
from storm.options import Parser
from storm.prompts import STRATEGIES

EXAMPLE = "examples/product_photos"
COLUMNS, OPTIONAL = ({name: (name,) for name in names} for names in (("image", "rating"), ("subject", "split")))
PARTS = ("train", "val", "test")
VAL = 0.1  # the share of the training rows that is for validation, unless a split column names val rows. Our choice.
TEST = 10  # without a split column, one row in ten is for testing; with subjects, whole ones. Our choice.


def dataset(ratings: Path, scale: OwnScale) -> tuple[DatasetFacts, Reader]:
    """Facts and reader of a csv of ratings. Raises ValueError if a column is missing or a split is another word."""
    rows = list(read_table(ratings, COLUMNS, OPTIONAL))
    parts = {row.get("split", "") for _, row in rows}
    if not parts <= set(PARTS) and parts != {""}:
        line, row = next((line, row) for line, row in rows if row["split"] not in PARTS)
        raise ValueError(f"{ratings}, line {line}: split {row['split']!r} is not train, val or test")

    def read(files: Files) -> Items:
        files.label_paths.append(ratings.name)
        for line, row in rows:
            place, image = f"{ratings.name}, line {line}", files.exact(row["image"])
            try:
                score = scale.score(row["rating"])
            except ValueError as error:
                yield Drop(row["image"], place, "rule", str(error))
            else:
                if image:
                    yield Row(image, (image,), score, row.get("subject", ""), row.get("split", ""))
                else:
                    yield Drop(row["image"], place, "missing", f"no such image below {files.root}")

    facts = DatasetFacts(
        name=scale.scale.name,
        title=scale.scale.title,
        **dict.fromkeys(("url", "terms", "download", "domain"), ""),
        scale=scale.scale,
        label=lambda score, lo, hi: scale.label(score),
        ratings=(float("-inf"), float("inf")),
        sizes=Sizes(train=0, lite=None, test=0),
        rows=0,
        test=None if parts <= set(PARTS) else TEST,
    )
    return facts, read


def arguments() -> Parser:
    parser = Parser(prog="python -m data_prep csv", description="Turn your own ratings into conversations.")
    columns = "a table with columns image, rating and, if you have them, subject and split"
    parser.add_argument("ratings", type=Path, metavar="RATINGS.csv", help=columns)
    parser.add_argument("--scale", type=Path, required=True, metavar="SCALE.yaml", help="what the ratings mean")
    parser.add_argument("--media", type=Path, help="image root that image names start from (default: the csv's folder)")
    parser.add_argument("--out", type=Path, help="where the rows are written (default: data/ and the scale's name)")
    add_options(parser)
    add_strictness(parser)
    return parser


def main(argv: list[str]) -> int:
    """Returns the exit code. Raises OSError or ValueError if nothing could be built."""
    parser = arguments()
    args = parser.parse_args(argv)
    args.media = args.media or args.ratings.parent
    need_file(args.ratings, f"write one with columns image and rating, as {EXAMPLE}/ratings.csv")
    need_file(args.scale, f"write one as {EXAMPLE}/scale.yaml")
    need_file(args.media, "--media is the folder that image names start from")
    scale = load(args.scale)
    out, val = args.out or Path("data") / scale.scale.name, VAL if args.val is None else args.val
    opts = options(parser, args, out=out, protocol="subject", val=val)
    if opts.hashed and not opts.drop_conflicts:  # of one file with two ratings, neither can be believed
        opts = replace(opts, drop_conflicts=("exact",))
    facts, read = dataset(args.ratings, scale)
    with locked(opts.out):
        return build(args.ratings, args.scale, facts, read, opts)


def build(ratings: Path, scale: Path, facts: DatasetFacts, read: Reader, options: Options) -> int:
    """Write rows, registry and a copy of the scale. Returns the exit code; raises OSError or ValueError."""
    try:
        built = prepare(facts, read, "", options)
    except Refused as error:
        raise ValueError(f"{ratings}: {error}{quarantine_of(error, facts.name, options.out)}") from None
    built.facts = None
    both_sides(ratings, built)
    if write_and_report([built], options, options.settings, refuse=partial(both_sides, ratings)):
        return 1
    if scale.resolve() != (options.out / "scale.yaml").resolve():
        write_text(options.out / "scale.yaml", scale.read_text(encoding="utf-8"))
    strategies = with_earlier(options.strategies, facts.name, options.out)
    registry = stanzas(facts.name, strategies, [part for part in PARTS if getattr(built.split, part)])
    write_json(options.out / "dataset_info.json", registry)
    train, val = list(registry)[:2]
    settings = f"dataset_dir: {options.out}, media_dir: {options.media}, dataset: {train}"
    print(f"in a recipe: {settings}" + (f", eval_dataset: {val}" if built.split.val else ""))
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


def stanzas(name: str, strategies: list[str], parts: list[str]) -> dict[str, dict]:
    """<out>/dataset_info.json: <name>_train, <name>_val and <name>_test, with the strategy's suffix."""
    return {
        f"{name}_{part}{STRATEGIES[strategy].suffix}": stanza(f"{strategy}/{name}_{part}.jsonl")
        for strategy in strategies
        for part in parts
    }
