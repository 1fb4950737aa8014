"""A row of Tables 2 and 3 for a model that no recipe trains: behind servers, in a folder, or on the hub.

sweep.py table2 --server URL --served-model NAME, or --model DIR_OR_NAME: ask for the 14 test sets, score, and write
results/<row>.json. The paper does not say how its rows "Zero" were asked. Their neighbor, Qwen2.5-VL-3B Lite, is
Table 4's "w/o CoT" (equal but for DeepDR), so we take the strategy `direct` for such models.
"""

import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path

from eval.inference import resume
from eval.inference.arguments import add_options as add_prediction
from eval.inference.arguments import settings_of
from eval.inference.printout import files_table
from eval.inference.run import predict
from eval.inference.settings import Settings, command, provenance_of
from eval.servers.options import Servers
from storm import provenance
from storm.datasets import SCALES
from storm.files import read_jsonl, write_json
from storm.options import Parser, did_you_mean, not_empty, one_of
from storm.prompts import STRATEGIES
from storm.rows import read_examples
from storm.text import command_line
from train.launch import Stopped, launch, rows_of
from train.machines import installed, on_all_gpus
from train.model_scores import results_of, scores_table, test_files
from train.plan import Options, lacking, results_in
from train.results import ASKED, MODELS

OF_RECIPES = ("only", "any_commit", "by_hand")  # options of a sweep over recipes
LONGEST = 100  # letters of a file's name that a model's name makes up; our choice


@dataclass(frozen=True)
class ModelRow:
    name: str  # in the table
    strategy: str
    settings: Settings  # of the prediction
    results: Path


def add_options(parser: Parser) -> None:
    strategy, decode = ASKED
    title = "with --server or --model: a row of Tables 2 and 3 for a model that no recipe trains"
    add = add_prediction(parser, title, decode, required=False)
    text = f"prompt strategy: {', '.join(STRATEGIES)} (default: %(default)s)"
    add("--strategy", type=one_of(STRATEGIES), default=strategy, metavar="NAME", help=text)
    text = "name of the row (default: --served-model, or what --model is called)"
    add("--name", type=not_empty, metavar="ROW", help=text)


def is_asked_for(args: Namespace, parser: Parser) -> bool:
    """Whether a command line asks for such a row. Raises ValueError for options that cannot go together."""
    if not (args.server or args.model):
        names = [field.name for kind in (Settings, Servers) for field in fields(kind) if hasattr(args, field.name)]
        if given := [name for name in (*names, "strategy", "name") if getattr(args, name) != parser.get_default(name)]:
            raise ValueError(f"--{given[0].replace('_', '-')} goes with --server or --model")
        return False
    who = "--server" if args.server else "--model"
    if args.table != MODELS:
        raise ValueError(f"{args.table}: {who} adds a row to Tables 2 and 3; write {MODELS}")
    given = [*args.settings, *(f"--{name.replace('_', '-')}" for name in OF_RECIPES if getattr(args, name))]
    given += ["--gpus"] * bool(args.server and args.gpus)
    if given:
        raise ValueError(f"{given[0]} does not go with {who}; leave it out")
    return True


def model_row(args: Namespace) -> ModelRow:
    """The row that a command line asks for. Raises ValueError in one line for what stands in its way."""
    if unknown := [dataset for dataset in args.datasets if dataset not in SCALES]:
        raise ValueError(f"--datasets {unknown[0]}: not one of the 14; {did_you_mean(unknown[0], SCALES)}")
    files = test_files(args.strategy, args.datasets or list(SCALES))
    settings = settings_of(args, data=files.values())
    if gone := lacking(files):
        raise ValueError(gone)
    name = args.name or args.served_model or _folder_or_hub(settings.adapter or settings.model)
    stem = f"{file_name(name)}_{args.strategy}_{args.decode}"
    settings = replace(settings, out=args.saves / "predict" / stem)
    row = ModelRow(name, args.strategy, settings, results_in(args.saves) / f"{stem}.json")
    if any(settings.out.glob("*.jsonl")) and provenance.exists(settings.out):
        changed = resume.difference(provenance.read(settings.out), provenance_of(settings), settings)
        provenance.refuse(settings.out, "predictions", changed, "; or give this row another name: --name")
    return row


def _folder_or_hub(model: str) -> str:
    return Path(model).resolve().name if Path(model).is_dir() else model


def file_name(name: str) -> str:
    """A model's name as a part of a file's: Qwen/Qwen3-VL-8B-Instruct -> Qwen--Qwen3-VL-8B-Instruct."""
    safe = re.sub(r"[^A-Za-z0-9._+-]+", "--", name).strip(".-")[:LONGEST]
    if not safe:
        raise ValueError(f"{name!r} cannot be the name of a file; name the row with letters: --name")
    return safe


def prediction(row: ModelRow, options: Options) -> list[str]:
    """The command of all its predictions."""
    return on_all_gpus(["eval/predict.py", *command(row.settings)], options.gpus or 0, options.nodes)


def dry_run(rows: Sequence[ModelRow], options: Options) -> int:
    """Print the command of each row's predictions. Returns the exit code of a sweep."""
    print("\n".join(command_line(prediction(row, options)) for row in rows))
    return 0


def run_all_steps(row: ModelRow, options: Options) -> str:
    """Ask for what is left, score, write the results and print them; returns what was done.

    Raises ValueError, OSError, or Stopped: if rows are left, without results; if rows have no answer, with them.
    """
    settings = row.settings
    wanted = {file: _wanted(settings, file) for file in settings.data}
    before = _finished(settings, wanted)
    if settings.servers:
        print(f"{files_table(settings, predict(settings))}\n")
    else:
        _predict_here(row, options, wanted)
    result = results_of(settings, {"name": row.name, "strategy": row.strategy})
    write_json(row.results, result)
    print(f"{scores_table(result)}\n\n{command_line(['python', 'eval/score.py', settings.out, '--table', '2'])}\n")
    if lost := [f"{name} {count:,}" for name, count in result["unanswered"].items()]:
        raise Stopped(f"rows without an answer, so unparsed: {', '.join(lost)}; the same command asks again")
    return "was finished" if before else "predicted"


def _predict_here(row: ModelRow, options: Options, wanted: Mapping[Path, set[str]]) -> None:
    """With a model on this machine. Raises Stopped; not for images that cannot be read."""
    settings = row.settings
    watch = rows_of(settings.out, {file.stem for file in wanted}, row.name, sum(map(len, wanted.values())))
    try:
        launch(installed(prediction(row, options)), settings.out, watch)
    except Stopped:
        if not _finished(settings, wanted, faulty=True):
            raise


def _finished(settings: Settings, wanted: Mapping[Path, set[str]], faulty: bool = False) -> bool:
    """Whether each row has a prediction. faulty: or an error."""
    for file, ids in wanted.items():
        path = settings.out / f"{file.stem}.jsonl"
        rows = [line.row for line in read_jsonl(path) if line.row] if path.exists() else []
        if ids - {row["id"] for row in rows if faulty or "error" not in row}:
            return False
    return True


def _wanted(settings: Settings, file: Path) -> set[str]:
    return {example.id for example in islice(read_examples(file), settings.limit)}
