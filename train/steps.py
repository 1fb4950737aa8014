"""The steps of one run of a sweep: train, and score. A finished training is not done again."""

from pathlib import Path

from eval.inference.run import LOG, scales_of
from storm import provenance
from storm.files import locked
from storm.rows import dataset_and_part
from train.checkpoints import discard_broken, last, other_ranks
from train.launch import Stopped, launch, steps_of
from train.machines import environment, installed, on_all_machines
from train.plan import Options, Run, training
from train.predictions import settings_of

RECORDED = "STORM_RECORDED"  # in the environment of a training whose provenance.json a sweep wrote and compares
DONE = "train_results.json"  # what the host writes at the end of a training


def train(run: Run, options: Options) -> str:
    """Train, or go on from the last whole checkpoint; returns what was done.

    Only from a training whose provenance is that of this run; by hand: or that has none. Raises Stopped, or ValueError
    with the fix.
    """
    now, done = run.provenance_of(run.train), (run.saved / DONE).exists()
    begun = provenance.exists(run.saved)
    if done or last(run.saved):
        if begun:
            refuse_other(run, provenance.read(run.saved), now, options.any_commit)
        elif not options.by_hand:
            unknown = f"{run.saved} holds a training that no sweep began, so its settings are not known"
            raise ValueError(f"{unknown}; move it away: mv {run.saved} {run.saved}.old; or take it: --by-hand")
    hand = "" if begun else " by hand"
    if done:
        return f"was trained{hand}"
    with locked(run.saved):
        broken = discard_broken(run.saved)
        resumed = last(run.saved)
        if not resumed:
            provenance.write(run.saved, now)
    if resumed and "deepspeed" in run.recipe and (reason := other_ranks(resumed, options.processes)):
        raise ValueError(reason)
    command = installed(on_all_machines(training(run, options.processes), options.nodes))
    env = environment(options.gpus or 0, options.nodes, "deepspeed" in run.recipe) | {RECORDED: "1"}
    launch(command, run.saved, steps_of(run.saved, f"{run.name}: train"), env)
    if not (run.saved / DONE).exists():
        raise Stopped(f"the training ended without {run.saved}/{DONE}; its output: {run.saved / LOG}")
    outcome = f"resumed{hand}" if resumed else "trained"
    return outcome + "".join(f", {path.name} was broken, now {new.name}: {reason}" for path, reason, new in broken)


def refuse_other(run: Run, old: dict, now: dict, any_commit: bool) -> None:
    """Raises ValueError with the fix if a training (or results, if `now` has test sets) is of another provenance."""
    files = run.files(list(now["data"]))
    trained = set(now["data"]) <= set(run.train)
    place, what = (run.saved, "a training") if trained else (run.results, "results")
    only_tools = not provenance.difference(old, now, True, files)
    changed = provenance.difference(old, now, any_commit, files)
    provenance.refuse(place, what, changed, "; or take it: --any-commit" if only_tools else "")


def other_tools(run: Run, now: dict) -> dict:
    """Commit and versions of the training, and of the predictions, if they are not the present ones."""

    def differing(folder: Path) -> dict | None:
        old = provenance.read(folder)
        return {name: old.get(name) for name in ("commit", "versions")} if provenance.other_tools(old, now) else None

    other = {}
    if run.train and provenance.exists(run.saved) and (tools := differing(run.saved)):
        other["trained_with"] = tools
    if tools := differing(run.predicted):
        other["predicted_with"] = {dataset_and_part(stanza)[0]: tools for stanza in run.test}
    return other


def score(run: Run) -> list[dict]:
    """A score for each test set. Raises Stopped for rows without a score."""
    from eval.scoring import testsets  # imports NumPy; a sweep that is finished does not need it
    from eval.scoring.scores import score_file

    settings, rows = settings_of(run), []
    scales = scales_of(settings)
    for file in settings.data:
        tests, errors = testsets.index([file], scales)
        scores, faults = score_file(settings.out / f"{file.stem}.jsonl", scales, tests)
        if errors or faults:
            raise Stopped([*errors, *faults][0])
        rows += [score.to_json() for score in scores]
    return rows
