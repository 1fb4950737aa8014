"""Run a whole table of the paper: python recipes/sweep.py TABLE [--only RUN] [--dry-run] [--table] [key=value ...]

For each recipe of the table: preflight, train, predict on the test sets, score, results/<recipe>.json. What is finished
is not done again, an interrupted training goes on from its last whole checkpoint, a run that fails is reported and the
others go on. TABLE is table2 (with 3), table4, table5, table8 (with 9), all, demo, or the name of any one recipe.
key=value overrides a key in all of its recipes. Exit code 0, 1 if a run failed, 2 if the command cannot be understood.
"""

import argparse
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from storm.text import aligned
from storm import provenance
from train.checks.machine import wanted_gpu
from train.launch import Stopped
from train.machines import environment, machines, on_all_machines, visible_gpus
from train.results import RUNS, markdown, read_results
from train.plan import RECIPES, SAVES, Run, commands, plan, preflight_arguments, results_in
from train.steps import made_elsewhere, predict, score, train


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="recipes/sweep.py", description="Run a whole table of the paper.")
    parser.add_argument("table", metavar="TABLE", help=f"{', '.join(RUNS)}, or a recipe's name")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="override a key in all recipes")
    parser.add_argument("--only", action="append", metavar="RUN", help="only this run of the table; may be repeated")
    parser.add_argument("--datasets", type=lambda text: text.split(","), default=[], metavar="NAME,NAME")
    parser.add_argument("--gpus", type=int, metavar="N", help="of this machine; default: all that are visible")
    parser.add_argument("--saves", type=Path, default=SAVES, metavar="FOLDER", help="for models; others: results, too")
    parser.add_argument("--dry-run", action="store_true", help="print what would be run")
    parser.add_argument("--table", action="store_true", dest="only_table", help="print the table as it stands")
    parser.add_argument("--any-commit", action="store_true", help="take what other commits and versions made, too")
    parser.add_argument("--by-hand", action="store_true", help="take trainings that no sweep began, too")
    return parser


def finish(run: Run, gpus: int, nodes: int, any_commit: bool = False, by_hand: bool = False) -> str:
    """Do what is left of a run and write its results; says what was done. Raises Stopped or ValueError."""
    if is_finished(run, any_commit):
        return "was finished"
    where = result_origin(run)
    processes = max(gpus, 1) * nodes
    steps = commands(run, processes)
    if gpus and wanted_gpu(run.recipe) and gpus > (here := visible_gpus()):
        raise ValueError(f"--gpus {gpus}: torch sees {here} here; leave --gpus out, or see nvidia-smi")
    _preflight(run, processes, gpus)
    begin, said = time.time(), "predicted"
    if run.train:
        env = environment(gpus, nodes, "deepspeed" in run.recipe)
        said = train(run, on_all_machines(steps["train"], nodes), env, processes, any_commit, by_hand)
    env = environment(gpus, nodes, False)
    for stanza in run.test:
        predict(run, stanza, on_all_machines(steps[stanza], nodes), env, any_commit)
    unknown = bool(run.train) and not (run.saved / origin.STAMP).exists()
    facts = {"said": said, "by_hand": unknown, "gpus": gpus * nodes, "minutes": round((time.time() - begin) / 60, 2)}
    facts |= made_elsewhere(run, where) | {"datasets": list(run.datasets), "scores": score(run)}
    origin.keep(run.results, where | facts)
    return said


def is_finished(run: Run, any_commit: bool) -> bool:
    """Whether the results of a run are there. Raises ValueError if they are damaged, or of another origin."""
    if old := read_results([run.name], run.results.parent).get(run.name):
        origin.refuse(run.results, "is of", old, result_origin(run), any_commit)
    return bool(old)


def result_origin(run: Run) -> dict:
    return origin.origin(run.name, run.recipe, list(run.settings), [*run.train, *run.test])


def _preflight(run: Run, processes: int, gpus: int) -> None:
    """Raises ValueError with the first error that would waste GPU time; prints warnings."""
    from train.preflight import checked

    arguments = preflight_arguments(run, processes, gpus)
    _, findings = checked(arguments)
    for finding in findings:
        if finding.level == "warning":
            print(f"{run.name}: warning: {finding.text}", file=sys.stderr)
    errors = [finding.text for finding in findings if finding.level == "error"]
    if errors:
        command = f"python recipes/preflight.py {shlex.join(arguments)}"
        others = f" (and {len(errors) - 1} more: {command})" if len(errors) > 1 else ""
        raise ValueError(f"preflight: {errors[0]}{others}")


def sweep(runs: Sequence[Run], gpus: int | None, nodes: int, any_commit: bool, by_hand: bool) -> list[list]:
    """Finish each run; a line (run, what was done or why it failed, failed?, minutes) for each."""
    lines = []
    for run in runs:
        begin, failed = time.time(), False
        try:
            if gpus is None and not run.results.exists():
                gpus = visible_gpus()
            said = finish(run, gpus or 0, nodes, any_commit, by_hand)
        except (Stopped, ValueError, OSError) as error:
            said, failed = str(error), True
        except Exception as error:  # a fault of this program: the other runs need not wait until it is mended
            said, failed = f"{type(error).__name__}: {error}", True
            traceback.print_exc()
        if failed:
            print(f"error: {run.name}: {said}", file=sys.stderr)
        lines.append([run.name, said, failed, (time.time() - begin) / 60])
    return lines


def dry_run(runs: Sequence[Run], gpus: int, nodes: int, any_commit: bool) -> None:
    for run in runs:
        try:
            if is_finished(run, any_commit):
                print(f"# {run.name}: {run.results} is there")
                continue
        except ValueError as error:
            print(f"# {run.name}: {error}")
            continue
        processes = max(gpus, 1) * nodes
        print(f"python recipes/preflight.py {shlex.join(preflight_arguments(run, processes, gpus))}")
        for step, command in commands(run, processes).items():
            env = environment(gpus, nodes, step == "train" and "deepspeed" in run.recipe)
            told = "".join(f"{key}={env[key]} " for key in ("FORCE_TORCHRUN", "NPROC_PER_NODE") if key in env)
            print(told + shlex.join(on_all_machines(command, nodes)))


def main(argv: list[str] | None = None) -> int:
    args = arguments().parse_intermixed_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Slurm ends a job: the child is ended, too
    try:
        if not RECIPES.is_dir():
            raise ValueError(f"no folder {RECIPES}/ here: run this from the repository's root")
        names = RUNS.get(args.table) or ((args.table,) if (RECIPES / f"{args.table}.yaml").exists() else ())
        if not names:
            raise ValueError(f"{args.table}: neither one of {', '.join(RUNS)} nor the name of a recipe")
        if wrong := set(args.only or ()) - set(names):
            raise ValueError(f"--only {wrong.pop()}: {args.table} runs {', '.join(names)}")
        if args.gpus is not None and args.gpus < 1:
            raise ValueError(f"--gpus {args.gpus}: name one or more; without --gpus a recipe for the CPU runs on it")
        if args.only_table:
            print(_table(args.table, results_in(args.saves)))
            return 0
        nodes = machines()
        runs = [plan(name, args.settings, args.datasets, args.saves) for name in names if name in (args.only or names)]
        if args.dry_run:
            dry_run(runs, args.gpus if args.gpus is not None else visible_gpus(), nodes, args.any_commit)
            return 0
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        lines = sweep(runs, args.gpus, nodes, args.any_commit, args.by_hand)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130
    print(aligned([["run", "minutes", "what"], *([name, minutes, said] for name, said, _, minutes in lines)]))
    try:
        print("\n" + _table(args.table, results_in(args.saves)))
    except ValueError as error:
        print(f"error: no table: {error}", file=sys.stderr)
        return 1
    return 1 if any(failed for _, _, failed, _ in lines) else 0


def _table(name: str, folder: Path) -> str:
    """The table as Markdown; for a single recipe that stands in none, its scores."""
    if name in RUNS:
        return markdown(name, folder)
    scores = [score for result in read_results([name], folder).values() for score in result["scores"]]
    return aligned([["dataset", "n", "ACC", "MAE"], *([s["dataset"], s["n"], s["acc"], s["mae"]] for s in scores)])


if __name__ == "__main__":
    if {"--dry-run", "--table"}.intersection(sys.argv):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no fault; but it must not end a training
    sys.exit(main())
