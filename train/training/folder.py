"""The output_dir of a run before it trains: what an earlier training left there, and what the new one is."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from storm import provenance
from storm.options import describe
from train.checkpoints import discard_broken, last, rename_tensors, wrong_start
from train.checks.finding import names
from train.plan import OURS, files_of
from train.steps import DONE

# What the sweep, which writes provenance.json from the recipe alone, adds to the keys of a run.
ADDED = {*OURS, *provenance.GPU_KEYS, "logging_nan_inf_filter", "max_grad_norm"}


def check(recipe: Mapping[str, Any]) -> None:
    """Raises ValueError with the fix for an output_dir from which no training should start. Changes nothing."""
    _refuse_finished(recipe)
    given, out = recipe.get("resume_from_checkpoint"), _goes_on_in(recipe)
    step = Path(given) if isinstance(given, str) else last(out) if out else None
    if step and step.is_dir() and (reason := wrong_start(step)):
        raise ValueError(reason)


def prepare(recipe: Mapping[str, Any], name: str, settings: Sequence[str]) -> None:
    """Make output_dir ready: put broken checkpoints aside, and write provenance.json if none is there.

    Raises ValueError as check(), but for what can be mended, which is printed. name: of the recipe. Of several
    machines, the first one does it.
    """
    _refuse_finished(recipe)
    if not recipe.get("do_train") or not recipe.get("output_dir") or os.environ.get("NODE_RANK", "0") != "0":
        return
    if (out := _goes_on_in(recipe)) is not None:
        for path, reason in discard_broken(out):
            print(f"{path} is broken ({reason}) and was renamed", file=sys.stderr)
    if isinstance(given := recipe.get("resume_from_checkpoint"), str) and Path(given).is_dir():
        rename_tensors(Path(given))
    check(recipe)
    _record(recipe, name, settings, began=not given and (out is None or last(out) is None))


def _refuse_finished(recipe: Mapping[str, Any]) -> None:
    if (out := _goes_on_in(recipe)) and (out / DONE).exists():
        more = f"or, to go on with more epochs, rm {out / DONE}"
        raise ValueError(f"{out} holds a finished training: nothing to train; mv {out} {out}.old, {more}")


def _goes_on_in(recipe: Mapping[str, Any]) -> Path | None:
    """The folder where LLaMA-Factory looks for a checkpoint to go on from (hparams/parser.py), None if it does not."""
    out = Path(str(recipe.get("output_dir") or ""))
    looks = recipe.get("do_train") and recipe.get("output_dir") and not recipe.get("overwrite_output_dir")
    return out if looks and not recipe.get("resume_from_checkpoint") and out.is_dir() else None


def _record(recipe: Mapping[str, Any], name: str, settings: Sequence[str], began: bool) -> None:
    """began: with this start. The beginning of another is not known, unless it left its own provenance."""
    out = Path(str(recipe["output_dir"]))
    keys = {key: value for key, value in recipe.items() if key not in provenance.GPU_KEYS}
    if provenance.exists(out) and not recipe.get("overwrite_output_dir"):
        old = provenance.read(out).get("recipe") or {}
        other = [key for key in sorted(old.keys() | keys.keys()) if old.get(key) != keys.get(key) and key not in ADDED]
        if other:
            fix = f"to begin anew: mv {out} {out}.old"
            print(f"{out / provenance.FILE} records other settings ({', '.join(other)}); {fix}", file=sys.stderr)
        return
    if not began:
        print(f"{out}: goes on from a training that recorded no {provenance.FILE}, nor does this one", file=sys.stderr)
        return
    try:
        files = files_of(names(recipe.get("dataset")), Path(str(recipe.get("dataset_dir") or "data")))
        data = {stanza: provenance.file_hash(file) for stanza, file in files.items()}
    except ValueError as error:  # rows that are not ours, such as of the hub: LLaMA-Factory may have them
        print(f"no {provenance.FILE}: {describe(error)}", file=sys.stderr)
        return
    facts = {"run": name, "settings": list(settings), "recipe": keys, "seed": recipe.get("seed", provenance.SEED)}
    out.mkdir(parents=True, exist_ok=True)
    provenance.write(out, facts | {"data": data} | provenance.tools())
