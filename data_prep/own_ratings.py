"""Your own ratings: python -m data_prep own SOURCE ... --scale SCALE.yaml [--media FOLDER] [--out data/NAME]

SOURCE is a rating file of any usual kind (rating_files.py) with columns image (below FOLDER, by default that of the
file), rating and, if you have them, subject (the person or thing shown) and split (train, val or test);
rating_columns.py finds them. SCALE.yaml says what the ratings mean (storm/custom_scale.py; worked example:
examples/product_photos/). Also called csv, as before.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from data_prep.build import Built, Refused, prepare
from data_prep.downloads import Files
from data_prep.finish import write_and_report
from data_prep.options import Options, add_options, add_strictness, need_file, options
from data_prep.own_images import finder
from data_prep.own_rows import PARTS, Rating, read_all
from data_prep.own_scale import add_levels, scale_text
from data_prep.raters import COMBINE, Vote, about, combined
from data_prep.rating_columns import USUAL
from data_prep.registry import stanza
from data_prep.source import Drop, Items, Reader, Row
from data_prep.write import quarantine_of, with_earlier
from storm.custom_scale import load
from storm.custom_scale import read as read_scale
from storm.datasets import DatasetFacts, Sizes
from storm.files import locked, write_json, write_text
from storm.levels import OwnScale
from storm.options import Parser, one_of
from storm.prompts import STRATEGIES

EXAMPLE = "examples/product_photos"
VAL = 0.1  # the share of the training rows that is for validation, unless a split column names val rows. Our choice.
TEST = 10  # without a split column, one row in ten is for testing; with subjects, whole ones. Our choice.
OFF_SCALE = 0.01  # our choice: with more ratings that the scale does not have, the scale is another one


def dataset(
    rows: Sequence[Rating], sources: Sequence[Path], scale: OwnScale, off_scale: bool, how: str
) -> tuple[DatasetFacts, Reader]:
    """Facts and reader of rows. off_scale: ratings that the scale does not have are dropped, however many. how: of
    several ratings of an image, a key of COMBINE.

    Raises ValueError if only some rows name their part, or if many ratings are not on the scale.
    """
    parts = {row.split for row in rows}
    if "" in parts and len(parts) > 1:
        row = next(row for row in rows if not row.split)
        raise ValueError(f"{row.place}: no split, but other rows have one; write train, val or test in each row")
    faults = [(row, fault) for row in rows if row.rating and (fault := fault_of(scale, row.rating))]
    if len(faults) > OFF_SCALE * len(rows) and not off_scale:
        row, fault = faults[0]
        what = f"{len(faults):,} of {len(rows):,} ratings are not on the scale, the first: {row.place}: {fault}"
        raise ValueError(f"{what}; {scale.hint([row.rating for row in rows])}, or --allow-off-scale drops those rows")

    raters = any(row.rater for row in rows)

    def read(files: Files) -> Items:
        files.label_paths += [source.name for source in sources]
        find, found = finder(files), {}
        votes: list[Vote] = []
        for row in rows:
            path, why = find(row.image)
            if not row.rating:
                yield Drop(row.image, row.place, "rule", "rating is empty")
            elif fault := fault_of(scale, row.rating):
                yield Drop(row.image, row.place, "rule", fault)
            elif not path:
                yield Drop(row.image, row.place, "missing", why)
            elif not raters:
                yield Row(path, (path,), scale.score(row.rating), row.subject, row.split)
            elif _about(first := found.setdefault(path, row)) != _about(row):
                raise ValueError(f"{row.place}: another subject or split than in {first.place} for the same image")
            else:
                votes.append(Vote(path, row.rater, scale.score(row.rating)))
        if votes:
            files.notes += about(votes, how)
        for path, (score, shares) in combined(votes, scale, how).items():
            yield Row(path, (path,), score, found[path].subject, found[path].split, shares=shares)

    facts = DatasetFacts(
        name=scale.scale.name,
        title=scale.scale.title,
        **dict.fromkeys(("url", "terms", "download", "domain"), ""),
        scale=scale.scale,
        label=lambda score, lo, hi: scale.rounded(score) if raters else scale.label(score),
        ratings=(float("-inf"), float("inf")),
        sizes=Sizes(train=0, lite=None, test=0),
        rows=0,
        test=TEST if parts == {""} else None,
    )
    return facts, read


def _about(row: Rating) -> tuple[str, str]:
    """What all ratings of an image must agree on."""
    return row.subject, row.split


def fault_of(scale: OwnScale, rating: str) -> str:
    """Why a scale does not have a rating, "" if it has it."""
    try:
        scale.score(rating)
    except ValueError as error:
        return str(error)
    return ""


def arguments() -> Parser:
    parser = Parser(prog="python -m data_prep own", description="Turn your own ratings into conversations.")
    text = "csv, tsv, xlsx, parquet, JSON or JSON lines with a row for each image, or a folder with a folder for each "
    text += "level; several are read together (train.csv test.csv)"
    parser.add_argument("sources", type=Path, nargs="+", metavar="SOURCE", help=text)
    parser.add_argument("--scale", type=Path, metavar="SCALE.yaml", help="what the ratings mean; or:")
    add_levels(parser)
    for role in USUAL:
        text = f"name of the column (usual names are found: {', '.join(USUAL[role][:6])})"
        parser.add_argument(f"--{role}-column", metavar="COLUMN", help=text)
    text = f"of several ratings of an image, what counts: {', '.join(COMBINE)} (default: mean)"
    parser.add_argument("--raters", type=one_of(COMBINE), default="mean", metavar="HOW", help=text)
    text = "the first row is data; columns are called 1, 2, 3 ..."
    parser.add_argument("--no-header", action="store_true", help=text)
    text = "image root that image names start from (default: the folder of the first SOURCE)"
    parser.add_argument("--media", type=Path, help=text)
    parser.add_argument("--out", type=Path, help="where the rows are written (default: data/ and the scale's name)")
    text = "drop ratings that the scale does not have, however many"
    parser.add_argument("--allow-off-scale", action="store_true", help=text)
    add_options(parser)
    add_strictness(parser)
    return parser


def main(argv: list[str]) -> int:
    """Returns the exit code. Raises OSError or ValueError if nothing could be built."""
    parser = arguments()
    args = parser.parse_args(argv)
    first = args.sources[0]
    args.media = args.media or (first if first.is_dir() else first.parent)
    for source in args.sources:
        need_file(source, f"write one with columns image and rating, as {EXAMPLE}/ratings.csv")
    if bool(args.scale) == bool(args.levels):
        parser.error("say what the ratings mean: --scale SCALE.yaml, or --levels WORDS and --range LOWEST,HIGHEST")
    if args.scale and (made := [name for name in ("range", "by", "rates", "name") if getattr(args, name)]):
        parser.error(f"--{made[0]} goes with --levels; --scale says it already")
    need_file(args.media, "--media is the folder that image names start from")
    if args.scale:
        need_file(args.scale, f"write one as {EXAMPLE}/scale.yaml")
        scale, text = load(args.scale), args.scale.read_text(encoding="utf-8")
    else:
        text = scale_text(args.levels, args.range, args.by, args.rates, args.name or first.resolve().name)
        scale = read_scale(text)
        print(text, end="")
    out, val = args.out or Path("data") / scale.scale.name, VAL if args.val is None else args.val
    opts = options(parser, args, out=out, protocol="subject", val=val)
    if opts.hashed and not opts.drop_conflicts:  # of one file with two ratings, neither can be believed
        opts = replace(opts, drop_conflicts=("exact",))
    asked = {role: [name] for role in USUAL if (name := getattr(args, f"{role}_column", None))}
    if "rating" in asked:
        asked["rating"] = asked["rating"][0].split(",")
    notes: list[str] = []
    rows = read_all(args.sources, asked, not args.no_header, notes)
    print(*notes, sep="\n")
    facts, reader = dataset(rows, args.sources, scale, args.allow_off_scale, args.raters)
    with locked(opts.out):
        return build(first, text, facts, reader, opts)


def build(ratings: Path, scale: str, facts: DatasetFacts, read: Reader, options: Options) -> int:
    """Write rows, registry and the scale, a YAML text. Returns the exit code; raises OSError or ValueError."""
    try:
        built = prepare(facts, read, "", options)
    except Refused as error:
        raise ValueError(f"{ratings}: {error}{quarantine_of(error, facts.name, options.out)}") from None
    built.facts = None
    both_sides(ratings, built)
    if write_and_report([built], options, options.settings, refuse=partial(both_sides, ratings)):
        return 1
    if not (path := options.out / "scale.yaml").is_file() or path.read_text(encoding="utf-8") != scale:
        write_text(path, scale)
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
