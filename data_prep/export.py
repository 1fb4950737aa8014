"""Test files for other tools: python -m data_prep export DATASET ... --to vlmevalkit|lmms-eval|openai-batch

Reads the built rows (<data>/<strategy>/<dataset>_test.jsonl, and _<part><suffix>.jsonl directly in <data>), and writes
what the tool runs, so that any model of it answers our questions. eval/score.py reads the results: each row has an id
that names its test file. All files of a command are written, or none of a dataset and strategy with an image that
cannot be used (--allow-missing leaves such rows out). docs/other-tools.md explains each tool.
"""

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from tqdm import tqdm

from data_prep.build import Refused
from data_prep.export_images import Picture, pictures
from data_prep.export_task import Settings, Written
from data_prep.export_tools import TOOLS, Tool
from data_prep.source import Drop
from data_prep.write import quarantine, quarantine_of
from storm.custom_scale import load
from storm.datasets import DATASETS, SCALES
from storm.files import locked, whole_files
from storm.options import Parser, describe, did_you_mean, one_of, positive, print_errors
from storm.prompts import STRATEGIES
from storm.rows import BUILT, Example, build_command, read_examples, task_name
from storm.scales import Scale
from storm.text import command_line, printable, table

PARTS = ("test", "val")  # that models are asked about


def arguments() -> Parser:
    parser = Parser(prog="python -m data_prep export", description="Write test files for other evaluation tools.")
    add = parser.add_argument
    add("datasets", nargs="+", metavar="DATASET", help="built datasets, such as spaq")
    add("--to", required=True, type=one_of(TOOLS), metavar="TOOL", help=f"the tool: {', '.join(TOOLS)}")
    default = next(iter(STRATEGIES))
    text = f"prompt strategies: {', '.join(STRATEGIES)} (default: {default})"
    add("--strategy", nargs="+", type=one_of(STRATEGIES), default=[default], metavar="STRATEGY", help=text)
    text = f"folder of the built rows (default: {' or '.join(map(str, BUILT))}, or that of --scale)"
    add("--data", type=Path, metavar="FOLDER", help=text)
    add("--scale", type=Path, metavar="SCALE.yaml", help="a scale of your own (python -m data_prep own)")
    add("--part", type=one_of(PARTS), default=PARTS[0], metavar="|".join(PARTS), help="which rows (default: test)")
    add("--media", type=Path, default=Path("data/raw"), metavar="FOLDER", help="image root (data/raw)")
    add("--out", type=Path, metavar="FOLDER", help="where the files are written (default: data/export/TOOL)")
    add("--limit", type=positive, metavar="N", help="only the first N rows of each file")
    add("--allow-missing", action="store_true", help="leave out rows whose image is missing or cannot be read")

    def only(name: str, text: str, **named) -> None:
        option = name.strip("-").replace("-", "_")
        add(name, help=f"{', '.join(tool.name for tool in TOOLS.values() if option in tool.options)}: {text}", **named)

    only("--model", "the name of the model in each request", metavar="NAME")
    only("--embed", "images inside of the table, for another machine", action="store_true", default=None)
    text = "upright JPEG copies of at most so many pixels, where images are inside of the file"
    only("--resize", text, type=positive, metavar="PIXELS")
    text = "send PREFIX and the path of an image from the image root, not the image (https://..., file:///...)"
    only("--image-url", text, metavar="PREFIX")
    text = f"most tokens of an answer (default: {Settings.max_tokens})"
    only("--max-tokens", text, type=positive, metavar="N")
    only("--body", "more keys of each request, such as '{\"seed\": 1}'; null takes a key out", type=_object)
    return parser


def _object(text: str) -> dict:
    """A JSON object. Raises argparse.ArgumentTypeError."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON ({error})") from None
    if not isinstance(value, dict) or value.keys() & {"messages", "model"}:
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object without the keys messages and model")
    return value


def settings_of(parser: Parser, args: argparse.Namespace, tool: Tool) -> Settings:
    """Exits if an option is not one of this tool, or one is missing."""
    special = {option for one in TOOLS.values() for option in one.options}
    given = {option: getattr(args, option) for option in special if getattr(args, option) is not None}
    for option in sorted(given):
        if option not in tool.options:
            parser.error(f"--{option.replace('_', '-')} is not an option of --to {tool.name}; leave it out")
    for option in tool.needs:
        if not given.get(option):
            parser.error(f"--to {tool.name} needs --{option.replace('_', '-')}")
    settings = Settings(args.out or Path("data/export") / tool.name, args.media, **given)
    if settings.resize and not tool.embeds(settings):
        parser.error("--resize is of images inside of the file; add --embed, or build the rows with --resize")
    return settings


def built_file(dataset: str, strategy: str, part: str, folders: tuple[Path, ...], own: str) -> Path:
    """The file of built rows. own: the name of the user's scale, "" without one. Raises FileNotFoundError with the
    command that writes it, ValueError for several."""
    names = (f"{strategy}/{dataset}_{part}.jsonl", f"{dataset}_{part}{STRATEGIES[strategy].suffix}.jsonl")
    files = [folder / name for folder in folders for name in names if (folder / name).is_file()]
    if len(files) > 1:
        raise ValueError(f"{dataset}: {' and '.join(map(str, files))}; name one folder with --data")
    if not files:
        known = dataset in DATASETS or dataset in ("demo", own)
        fix = build_command(dataset, strategy) if known else did_you_mean(dataset, [*DATASETS, "demo"])
        fix += f" --strategy {strategy}" if dataset == own else ""
        raise FileNotFoundError(f"{dataset}: no file {folders[0] / names[0]}; {fix}")
    return files[0]


def read(file: Path, dataset: str, strategy: str, scales: Mapping[str, Scale]) -> list[Example]:
    """The rows of a built file. Raises OSError, or ValueError for a bad row or one of another dataset or strategy."""
    rows = list(read_examples(file, scales))
    for line, row in enumerate(rows, start=1):
        if (row.dataset, row.strategy) != (dataset, strategy):
            raise ValueError(f"{file}, row {line}: is of {row.dataset} {row.strategy}, not {dataset} {strategy}")
    return rows


def export(task: str, rows: list[Example], tool: Tool, settings: Settings, allow_missing: bool) -> list[Written]:
    """Write the files of one dataset and strategy, all or none. Raises OSError, ValueError, or Refused with the rows
    whose image cannot be used."""
    drops: list[Drop] = []

    def usable() -> Iterator[tuple[int, Example, Picture]]:
        found = pictures(rows, settings.media, tool.embeds(settings), settings.resize)
        for place, row, picture in tqdm(found, task, len(rows), unit="image"):
            if picture.fault:
                drops.append(Drop(row.id, row.image, "unreadable", picture.fault))
            else:
                yield place, row, picture

    with whole_files() as open_:
        files = list(tool.write(task, usable(), settings, open_))
        if drops and (not allow_missing or len(drops) == len(rows)):
            first = f"for example {drops[0].file}: {drops[0].reason}"
            fix = "" if allow_missing else ", or leave their rows out with --allow-missing"
            what = f"{len(drops):,} of {len(rows):,} images cannot be used, {first}"
            raise Refused(f"{what}; check --media {settings.media}{fix}", drops)
        quarantine(drops, open_(settings.out / "quarantine" / f"{task}.csv"))
    for path in settings.out.glob(f"{task}*"):
        if re.fullmatch(re.escape(task) + tool.stale, path.name) and path not in {file.path for file in files}:
            path.unlink()
    return files


def main(argv: list[str]) -> int:
    """Returns the exit code: 1 if a dataset could not be written (all others are). Raises OSError or ValueError."""
    parser = arguments()
    args = parser.parse_args(argv)
    tool = TOOLS[args.to]
    settings = settings_of(parser, args, tool)
    if args.data and not args.data.is_dir():
        parser.error(
            f"--data {args.data}: not a folder; name the one that holds {args.strategy[0]}/, and datasets by name"
        )
    own = load(args.scale).scale if args.scale else None
    scales = SCALES | ({own.name: own} if own else {})
    folders = (args.data,) if args.data else (args.scale.parent,) if own else BUILT
    files, data, errors = [], [], []
    rows_of_table: list[list] = [["file", "rows", "left out", "bytes"]]
    with locked(settings.out):
        for dataset in dict.fromkeys(args.datasets):
            for strategy in dict.fromkeys(args.strategy):
                task = task_name(dataset, args.part, strategy)
                try:
                    file = built_file(dataset, strategy, args.part, folders, own.name if own else "")
                    rows = read(file, dataset, strategy, scales)[: args.limit]
                    if not rows:
                        raise ValueError(f"{file}: no rows; {build_command(dataset, strategy)}")
                    written = export(task, rows, tool, settings, args.allow_missing)
                except Refused as error:
                    errors.append(f"{task}: {error}{quarantine_of(error, task, settings.out)}")
                    continue
                except (OSError, ValueError) as error:
                    errors.append(describe(error))
                    continue
                left_out = len(rows) - sum(file.rows for file in written)
                for place, (path, count) in enumerate(written):
                    rows_of_table.append([str(path), count, None if place else left_out, path.stat().st_size])
                files, data = files + written, [*data, file]
        if files:
            with whole_files() as open_:
                tool.functions(settings, open_)
    if files:
        print(table(rows_of_table), end="\n\n")
        print(*map(printable, tool.run(files, settings)), sep="\n")
        scale = ["--scale", args.scale] if args.scale else []
        print(command_line(["python", "eval/score.py", "RESULTS", "--data", *data, *scale]))
    return min(1, print_errors(errors))
