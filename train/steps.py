"""The steps of one run of a sweep: train, predict each test set, score. A finished step is not done again."""

import sys
from pathlib import Path

from storm.custom_scale import load as load_scale
from storm.datasets import SCALES
from eval.scoring.scores import score_file
from storm import provenance
from train.checkpoints import discard_broken, last, other_ranks
from train.launch import Stopped, launch
from train.plan import Run, dataset_of
from train.recipe import load

PREDICTIONS = "generated_predictions.jsonl"
DONE = "train_results.json"  # what the host writes at the end of a training


def train(
    run: Run, command: list[str], env: dict[str, str], processes: int, any_commit: bool = False, by_hand: bool = False
) -> str:
    """Train, or go on from the last whole checkpoint; says what was done.

    Only from a training whose stamp is that of this run; by_hand: or that has none. processes: GPUs of the whole run.
    Raises Stopped, or ValueError with the fix.
    """
    where = origin.origin(run.name, run.recipe, list(run.settings), run.train)
    stamp, done = run.saved / origin.STAMP, (run.saved / DONE).exists()
    if done or last(run.saved):
        if stamp.exists():
            origin.refuse(run.saved, "holds a training of", origin.read(stamp), where, any_commit)
        elif not by_hand:
            told = f"{run.saved} holds a training that no sweep began, so its settings are not known"
            raise ValueError(f"{told}: mv {run.saved} {run.saved}.old, or --by-hand takes it")
    hand = "" if stamp.exists() else " by hand"
    if done:
        return f"was trained{hand}"
    broken = discard_broken(run.saved) if run.saved.exists() else []
    resumed = last(run.saved)
    if not resumed:
        origin.keep(stamp, where)
    elif "deepspeed" in run.recipe and (reason := other_ranks(resumed, processes)):
        raise ValueError(reason)
    launch(command, run.saved, env, f"{run.name}: train")
    if not (run.saved / DONE).exists():
        raise Stopped(f"the training ended without {run.saved}/{DONE}; its output: {run.saved}/output.log")
    said = f"resumed{hand}" if resumed else "trained"
    return said + "".join(f", {path.name} was broken: {reason}" for path, reason in broken)


def predict(run: Run, stanza: str, command: list[str], env: dict[str, str], any_commit: bool = False) -> bool:
    """Predict one test set unless that was done with the same model, settings and rows; says whether it had to.

    command: as `plan.commands` has it, perhaps behind Slurm's. Raises Stopped.
    """
    file = run.predicted(stanza) / PREDICTIONS
    limit = int(run.recipe.get("max_samples") or run.tested_rows(stanza))
    rows = min(limit, run.tested_rows(stanza))
    where, stamp = prediction_origin(run, stanza, command), file.parent / origin.STAMP
    if file.exists():
        changed = _changed(file, stamp, rows, where, any_commit)
        if not changed:
            return False
        print(f"{run.name}: predicts {dataset_of(stanza)} again: {file} is {changed}", file=sys.stderr)
    stamp.unlink(missing_ok=True)
    file.unlink(missing_ok=True)
    launch(command, file.parent, env, f"{run.name}: predict {dataset_of(stanza)}")
    if not file.exists() or origin.rows(file) != rows:
        raise Stopped(f"{file}: not the {rows:,} rows of {stanza}; output: {file.parent}/output.log")
    origin.keep(stamp, where)
    return True


def _changed(file: Path, stamp: Path, rows: int, where: dict, any_commit: bool) -> str | None:
    """Why predictions that are there are not the ones that are wanted."""
    if origin.rows(file) != rows:
        return f"not {rows:,} rows"
    try:
        return origin.difference(origin.read(stamp), where, any_commit)
    except FileNotFoundError:
        return "of unknown settings"
    except ValueError as error:
        return str(error)


def prediction_origin(run: Run, stanza: str, command: list[str]) -> dict:
    """The stamp of a prediction; "training" tells one training from the next, since its results hold its seconds."""
    settings = command[command.index("llamafactory-cli") + 2 :]
    recipe = load(Path(settings[0]), settings[1:])
    files = [path for name in (origin.STAMP, DONE) if (path := run.saved / name).exists()] if run.train else []
    training = {path.name: origin.file_hash(path) for path in files} or None
    return origin.origin(run.name, recipe, list(run.settings), [stanza]) | {"training": training}


def made_elsewhere(run: Run, where: dict) -> dict:
    """Commit and versions of the training, and of each prediction, for those that are not the present ones."""
    found, names = {}, ("commit", "versions")
    stamp = run.saved / origin.STAMP
    if run.train and stamp.exists() and origin.other_tools(old := origin.read(stamp), where):
        found["trained_with"] = {name: old[name] for name in names}
    for stanza in run.test:
        old = origin.read(run.predicted(stanza) / origin.STAMP)
        if origin.other_tools(old, where):
            found.setdefault("predicted_with", {})[dataset_of(stanza)] = {name: old[name] for name in names}
    return found


def score(run: Run) -> list[dict]:
    """A score for each test set, with how many rows the set has ("of"). Raises Stopped for rows that cannot be read."""
    own = Path(run.recipe["dataset_dir"]) / "scale.yaml"
    scales = SCALES
    if own.exists():
        scale = load_scale(own).scale
        scales = SCALES | {scale.name: scale}
    scores = []
    for stanza in run.test:
        found, errors = score_file(run.predicted(stanza) / PREDICTIONS, scales)
        if errors:
            raise Stopped(errors[0])
        scores += [one | {"of": run.tested_rows(stanza)} for one in found]
    return scores
