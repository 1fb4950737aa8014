"""Run a whole table of the paper: python train/sweep.py TABLE [--only RUN] [--dry-run] [--show] [key=value ...]

For each recipe of the table: preflight, train, predict all test sets, score, results/<recipe>.json. What is finished
is not done again, an interrupted training or prediction goes on, a run that fails is reported and the others go on.
TABLE is table2 (with 3), table4, table5, table8 (with 9), all, demo, or the name of any one recipe.
key=value overrides a key in all of its recipes. Exit code 0, 1 if a run failed, 2 if the command cannot be understood.
table2 --server URL --served-model NAME, or --model DIR_OR_NAME, only predicts and scores: it adds the row of a model
that no recipe trains (docs/benchmark.md).
"""

import argparse
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from storm import provenance
from storm.files import write_json
from storm.options import Parser, add_old_name, describe, did_you_mean, positive, print_errors
from storm.text import table as draw
from train import model_rows
from train.checks.machine import wanted_gpu
from train.launch import Stopped, end_on_sigterm
from train.machines import environment, machines, on_all_machines, visible_gpus
from train.plan import RECIPES, SAVES, Options, Run, batch, missing, plan, preflight_arguments, results_in, training
from train.predictions import predict, prediction, settings_of
from train.results import RUNS, markdown, notes, read_results
from train.steps import other_tools, refuse_other, score, train


def arguments() -> argparse.ArgumentParser:
    parser = Parser(prog="train/sweep.py", description="Run a whole table of the paper.")
    parser.add_argument("table", metavar="TABLE", help=f"{', '.join(RUNS)}, or a recipe's name")
    parser.add_argument("settings", nargs="*", default=[], metavar="key=value", help="override a key in all recipes")
    parser.add_argument("--only", action="append", metavar="RUN", help="only this run of the table; may be repeated")
    datasets = {"type": lambda text: text.split(","), "default": [], "metavar": "NAME,NAME"}
    parser.add_argument("--datasets", **datasets, help="train and predict only these datasets")
    text = "GPUs of this machine (default: all that are visible)"
    parser.add_argument("--gpus", type=positive, metavar="N", help=text)
    text = "folder of models and predictions (default: saves); any other folder also holds its results"
    parser.add_argument("--saves", type=Path, default=SAVES, metavar="FOLDER", help=text)
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run nothing")
    parser.add_argument("--show", action="store_true", help="print the table as it stands")
    parser.add_argument("--any-commit", action="store_true", help="accept results of other commits and versions")
    parser.add_argument("--by-hand", action="store_true", help="accept trainings that no sweep began")
    add_old_name(parser, "--table", "--show")
    model_rows.add_options(parser)
    return parser


def run_all_steps(run: Run, options: Options) -> str:
    """Do what is left of a run and write its results; returns what was done. Raises Stopped, ValueError or OSError."""
    if is_finished(run, options):
        return "was finished"
    if lacking := missing([run]):
        raise ValueError(lacking)
    now, gpus = run.provenance_of([*run.train, *run.test]), options.gpus or 0
    # What raises ValueError comes before GPU time is spent.
    settings_of(run)
    if run.train:
        batch(run, options.processes)
    if gpus and wanted_gpu(run.recipe) and gpus > (visible := visible_gpus()):
        raise ValueError(f"--gpus {gpus}: torch sees {visible}; leave --gpus out, or see nvidia-smi")
    _preflight(run, options.processes, gpus)
    begin, outcome = time.time(), "predicted"
    if run.train:
        outcome = train(run, options)
    predict(run, options)
    by_hand = bool(run.train) and not provenance.exists(run.saved)
    minutes = round((time.time() - begin) / 60, 2)
    facts = {"outcome": outcome, "by_hand": by_hand, "gpus": gpus * options.nodes, "minutes": minutes}
    facts |= other_tools(run, now) | {"datasets": list(run.datasets), "scores": score(run)}
    write_json(run.results, now | facts)
    return outcome


def is_finished(run: Run, options: Options) -> bool:
    """Whether the results of a run are there. Raises ValueError if they are damaged, or of another provenance."""
    old = read_results([run.name], run.results.parent).get(run.name)
    if old:
        refuse_other(run, old, run.provenance_of([*run.train, *run.test]), options.any_commit)
    return bool(old)


def _preflight(run: Run, processes: int, gpus: int) -> None:
    """Raises ValueError with the first error that would waste GPU time; prints warnings."""
    from train.preflight import checked

    arguments = preflight_arguments(run, processes, gpus)
    _, findings, _ = checked(arguments)
    for finding in findings:
        if finding.level == "warning":
            print(f"{run.name}: warning: {finding.text}", file=sys.stderr)
    errors = [finding.text for finding in findings if finding.level == "error"]
    if errors:
        command = f"python train/preflight.py {shlex.join(arguments)}"
        rest = f" (and {len(errors) - 1} more: {command})" if len(errors) > 1 else ""
        raise ValueError(f"preflight: {errors[0]}{rest}")


def sweep(runs: Sequence, options: Options, steps: Callable = run_all_steps) -> list[list]:
    """Finish each run; a line (run, what was done or why it failed, failed?, minutes) for each. steps: of one run."""
    lines = []
    if len(runs) > 1 and (lacking := missing([run for run in runs if not run.results.exists()])):
        print_errors([f"all runs: {lacking}"])
    for run in runs:
        begin, failed = time.time(), False
        try:
            if options.gpus is None and not run.results.exists():
                options = replace(options, gpus=visible_gpus())
            outcome = steps(run, options)
        except (Stopped, ValueError, OSError) as error:
            outcome, failed = describe(error), True
        except Exception as error:  # a fault of this program: the other runs need not wait until it is mended
            outcome, failed = f"{type(error).__name__}: {error}", True
            traceback.print_exc()
        if failed:
            print_errors([f"{run.name}: {outcome}"])
        lines.append([run.name, outcome, failed, (time.time() - begin) / 60])
    return lines


def dry_run(runs: Sequence[Run], options: Options) -> int:
    """Print the commands of each run. Returns the exit code of a sweep: 1 if a run would be refused."""
    gpus, nodes, code = options.gpus or 0, options.nodes, 0
    for run in runs:
        try:
            if is_finished(run, options):
                print(f"# {run.name}: {run.results} is there")
                continue
            lines = [["python", "train/preflight.py", *preflight_arguments(run, options.processes, gpus)]]
            if run.train:
                env = environment(gpus, nodes, "deepspeed" in run.recipe)
                words = [f"{key}={env[key]}" for key in ("FORCE_TORCHRUN", "NPROC_PER_NODE") if key in env]
                lines.append([*words, *on_all_machines(training(run, options.processes), nodes)])
            lines.append(prediction(run, options))
            print("\n".join(map(shlex.join, lines)))
        except ValueError as error:
            print(f"# {run.name}: {error}")
            code = 1
    return code


def main(argv: list[str] | None = None) -> int:
    parser = arguments()
    args = parser.parse_intermixed_args(argv)
    end_on_sigterm()
    try:
        of_model = model_rows.is_asked_for(args, parser)
        runs = [model_rows.model_row(args)] if of_model and not args.show else _runs(args)
        if args.show:
            print(_table(args.table, results_in(args.saves)))
            return 0
        gpus = 0 if args.server else args.gpus
        if args.model and gpus is None:  # its results are there after some of the datasets, too
            gpus = visible_gpus()
        options = Options(gpus, machines(), args.any_commit, args.by_hand)
        if args.dry_run:
            options = options if args.gpus or args.server else replace(options, gpus=visible_gpus())
            return (model_rows.dry_run if of_model else dry_run)(runs, options)
    except (ValueError, OSError) as error:
        return print_errors([error])
    try:
        lines = sweep(runs, options, model_rows.run_all_steps if of_model else run_all_steps)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130
    print(draw([["run", "minutes", "outcome"], *([name, minutes, outcome] for name, outcome, _, minutes in lines)]))
    try:
        print("\n" + _table(args.table, results_in(args.saves)))
    except ValueError as error:
        print_errors([f"no table: {error}"])
        return 1
    return 1 if any(failed for _, _, failed, _ in lines) else 0


def _runs(args: argparse.Namespace) -> list[Run]:
    """The runs that a command names. Raises ValueError in one line."""
    if not RECIPES.is_dir():
        raise ValueError(f"no folder {RECIPES}/ in this folder: run this from the repository's root")
    recipes = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    names = RUNS.get(args.table) or tuple(name for name in recipes if name == args.table)
    if not names:
        hint = did_you_mean(args.table, [*RUNS, *recipes])
        raise ValueError(f"{args.table}: neither one of {', '.join(RUNS)} nor the name of a recipe; {hint}")
    for name in args.only or ():
        if name not in names:
            raise ValueError(f"--only {name}: {args.table} does not run it; {did_you_mean(name, names)}")
    if args.show:
        return []
    return [plan(name, args.settings, args.datasets, args.saves) for name in names if name in (args.only or names)]


def _table(name: str, folder: Path) -> str:
    """The table as Markdown; for a single recipe that stands in none, its scores."""
    if name in RUNS:
        return markdown(name, folder)
    results = read_results([name], folder)
    rows = [[s["dataset"], s["n"], s["acc"], s["mae"]] for result in results.values() for s in result["scores"]]
    return "\n\n".join([draw([["dataset", "n", "ACC", "MAE"], *rows]), *notes(results)])


if __name__ == "__main__":
    if {"--dry-run", "--show", "--table"}.intersection(sys.argv):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is not a fault, but it must not end a training
    sys.exit(main())
