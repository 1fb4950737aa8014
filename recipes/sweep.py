"""Run a whole table of the paper: python recipes/sweep.py TABLE [--only RUN] [--dry-run] [--table] [key=value ...]

For each recipe of the table: preflight, train, predict on the test sets, score, results/<recipe>.json. What is finished
is not done again, an interrupted training goes on from its last whole checkpoint, a run that fails is reported and the
others go on. TABLE is table2 (with 3), table4, table5, table8 (with 9), all, demo, or the name of any one recipe.
key=value overrides a key in all of its recipes. Exit code 0, 1 if a run failed, 2 if the command cannot be understood.
"""

import argparse
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence

from data_prep.options import aligned
from recipes import origin
from recipes.launch import Stopped
from recipes.paper_table import RESULTS, RUNS, markdown, read_results
from recipes.steps import RECIPES, Run, batch, commands, plan, predict, score, train


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="recipes/sweep.py", description="Run a whole table of the paper.")
    parser.add_argument("table", metavar="TABLE", help=f"{', '.join(RUNS)}, or a recipe's name")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="override a key in all recipes")
    parser.add_argument("--only", action="append", metavar="RUN", help="only this run of the table; may be repeated")
    parser.add_argument("--datasets", type=lambda text: text.split(","), default=[], metavar="NAME,NAME")
    parser.add_argument("--gpus", type=int, metavar="N", help="of this machine; default: all that are visible")
    parser.add_argument("--dry-run", action="store_true", help="print what would be run")
    parser.add_argument("--table", action="store_true", dest="only_table", help="print the table as it stands")
    parser.add_argument("--any-commit", action="store_true", help="take results of other commits and versions, too")
    return parser


def machines() -> int:
    """How many machines train together: NNODES. Raises ValueError if this is not a Slurm job, which starts them all."""
    nodes = int(os.environ.get("NNODES", "1"))
    if nodes > 1 and "SLURM_JOB_ID" not in os.environ:
        raise ValueError("NNODES > 1: a sweep starts several machines through Slurm only: sbatch recipes/slurm.sh")
    return nodes


def on_all_machines(command: list[str], nodes: int) -> list[str]:
    """The command as a Slurm step, one task a machine, each told which one it is."""
    if nodes == 1:
        return command
    tell = ["bash", "-c", 'NODE_RANK=$SLURM_NODEID exec "$@"', "-"]
    return ["srun", f"--nodes={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1", *tell, *command]


def environment(gpus: int, nodes: int, deepspeed: bool) -> dict[str, str]:
    """For the host: gpus processes on each machine, under torchrun where there are several or DeepSpeed wants it."""
    env = dict(os.environ) | {"NPROC_PER_NODE": str(max(gpus, 1))}
    if gpus * nodes > 1 or deepspeed:
        env["FORCE_TORCHRUN"] = "1"
    return env


def finish(run: Run, gpus: int, nodes: int, any_commit: bool) -> str:
    """Do what is left of a run and write results/<run>.json; says what was done. Raises Stopped or ValueError."""
    where = origin.origin(run.name, run.recipe, list(run.settings), [*run.train, *run.test])
    results = RESULTS / f"{run.name}.json"
    if old := read_results([run.name]).get(run.name):
        if changed := origin.difference(old, where, any_commit):
            raise ValueError(f"{results} is of {changed}: mv {results} {results}.old, or --any-commit for commits")
        return "was finished"
    steps = commands(run, max(gpus, 1) * nodes)
    _preflight(run, max(gpus, 1) * nodes, gpus)
    begin, said = time.time(), "predicted"
    if run.train:
        env = environment(gpus, nodes, "deepspeed" in run.recipe)
        said = train(run, on_all_machines(steps["train"], nodes), env, where, any_commit)
    env = environment(gpus, nodes, False)
    for stanza in run.test:
        predict(run, stanza, on_all_machines(steps[stanza], nodes), env)
    facts = {"said": said, "gpus": gpus * nodes, "minutes": round((time.time() - begin) / 60, 2)}
    origin.keep(results, where | facts | {"datasets": list(run.datasets), "scores": score(run)})
    return said


def _preflight(run: Run, processes: int, gpus: int) -> None:
    """Raises ValueError with the first error that would waste GPU time; prints warnings."""
    from recipes.preflight import preflight  # imports torch and LLaMA-Factory

    settings = [*run.settings, *batch(run, processes), *([f"dataset={','.join(run.train)}"] if run.train else [])]
    findings = preflight(run.path, settings, gpus=gpus)
    for finding in findings:
        if finding.level == "warning":
            print(f"{run.name}: warning: {finding.text}", file=sys.stderr)
    errors = [finding.text for finding in findings if finding.level == "error"]
    if errors:
        others = f" (and {len(errors) - 1} more: python recipes/preflight.py {run.path})" if len(errors) > 1 else ""
        raise ValueError(f"preflight: {errors[0]}{others}")


def visible_gpus() -> int:
    import torch  # seconds; a sweep that is finished does not need it

    return torch.cuda.device_count()


def sweep(runs: Sequence[Run], gpus: int | None, nodes: int, any_commit: bool) -> list[list]:
    """Finish each run; a line (run, what was done or why it failed, failed?, minutes) for each."""
    lines = []
    for run in runs:
        begin, failed = time.time(), False
        try:
            if gpus is None and not (RESULTS / f"{run.name}.json").exists():
                gpus = visible_gpus()
            said = finish(run, gpus or 0, nodes, any_commit)
        except (Stopped, ValueError, OSError) as error:
            said, failed = str(error), True
            print(f"error: {run.name}: {said}", file=sys.stderr)
        lines.append([run.name, said, failed, (time.time() - begin) / 60])
    return lines


def dry_run(runs: Sequence[Run], gpus: int, nodes: int) -> None:
    for run in runs:
        if (RESULTS / f"{run.name}.json").exists():
            print(f"# {run.name}: results/{run.name}.json is there")
            continue
        print(f"python recipes/preflight.py {run.path} {shlex.join(run.settings)}".rstrip())
        for step, command in commands(run, max(gpus, 1) * nodes).items():
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
            print(_table(args.table))
            return 0
        nodes = machines()
        runs = [plan(name, args.settings, args.datasets) for name in names if not args.only or name in args.only]
        if args.dry_run:
            dry_run(runs, args.gpus if args.gpus is not None else visible_gpus(), nodes)
            return 0
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        lines = sweep(runs, args.gpus, nodes, args.any_commit)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130
    print(aligned([["run", "minutes", "what"], *([name, minutes, said] for name, said, _, minutes in lines)]))
    print("\n" + _table(args.table))
    return 1 if any(failed for _, _, failed, _ in lines) else 0


def _table(name: str) -> str:
    """The table as Markdown; for a single recipe that stands in none, its scores."""
    if name in RUNS:
        return markdown(name)
    scores = [score for result in read_results([name]).values() for score in result["scores"]]
    return aligned([["dataset", "n", "ACC", "MAE"], *([s["dataset"], s["n"], s["acc"], s["mae"]] for s in scores)])


if __name__ == "__main__":
    sys.exit(main())
