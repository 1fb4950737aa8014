"""The output_dir of a run before it trains: its lock, what an earlier training left there, and what the new one is."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from storm.files import locked
from train.checkpoints import discard_broken, fault, last, model_only, report, wrong_start
from train.launch import HELD
from train.machines import switched_on
from train.steps import DONE, RECORDED
from train.tensor_names import rename_tensors, renamed_tensors
from train.training.record import record


@contextmanager
def held(recipe: Mapping[str, Any]) -> Iterator[Sequence[int]]:
    """Hold the lock of output_dir, unless a sweep, which started this, does; yields its descriptors for a child.

    Raises Locked. Of several machines, the first one does it.
    """
    if not _is_ours(recipe):
        yield ()
        return
    out = Path(str(recipe["output_dir"]))
    with nullcontext() if os.environ.get(HELD) == str(out.resolve()) else locked(out) as lock:
        yield () if lock is None else (lock,)


def check(recipe: Mapping[str, Any]) -> None:
    """Raises ValueError with the fix for an output_dir from which no training should start. Changes nothing."""
    _refuse_finished(recipe)
    step, given = _start(recipe), recipe.get("resume_from_checkpoint")
    if given is True and recipe.get("do_train") and not step:
        out = recipe.get("output_dir")
        raise ValueError(f"resume_from_checkpoint=true: no checkpoint in {out}; to begin from step 0, leave it out")
    if step and not step.is_dir():
        raise ValueError(f"resume_from_checkpoint={given}: not a folder; name a checkpoint, or leave it out")
    if step and (reason := wrong_start(step)):
        raise ValueError(reason)


def prepare(recipe: Mapping[str, Any], name: str, settings: Sequence[str]) -> None:
    """Make output_dir, which held() keeps, ready: put broken checkpoints aside, and write provenance.json.

    Raises ValueError as check(), but for what can be mended, which is printed; and for a training of other settings or
    rows than that which it would go on with. name: of the recipe. Of several machines, the first one does it.
    """
    _refuse_finished(recipe)
    if not _is_ours(recipe):
        return
    if (out := _goes_on_in(recipe)) is not None:
        for line in report(out, discard_broken(out)):
            print(line, file=sys.stderr)
    elif (step := _start(recipe)) and step.is_dir() and not (fault(step) or model_only(step)):
        _rename(step, Path(str(recipe["output_dir"])))
    check(recipe)
    if not switched_on(RECORDED):
        record(recipe, name, settings, _start(recipe))


def _rename(step: Path, out: Path) -> None:
    """Of a checkpoint that the recipe names, in out, whose lock is held, or elsewhere."""
    if renamed_tensors(step):
        with nullcontext() if step.parent.resolve() == out.resolve() else locked(step.parent):
            rename_tensors(step)


def _is_ours(recipe: Mapping[str, Any]) -> bool:
    """Whether this process makes output_dir ready."""
    return bool(recipe.get("do_train") and recipe.get("output_dir")) and os.environ.get("NODE_RANK", "0") == "0"


def _refuse_finished(recipe: Mapping[str, Any]) -> None:
    if (out := _goes_on_in(recipe)) and (out / DONE).exists():
        more = f"or, to go on with more epochs, rm {out / DONE}"
        raise ValueError(f"{out} holds a finished training: nothing to train; mv {out} {out}.old, {more}")


def _goes_on_in(recipe: Mapping[str, Any]) -> Path | None:
    """The folder whose last checkpoint the training goes on from, if that has one; None if none is looked for.

    LLaMA-Factory looks there without resume_from_checkpoint (hparams/parser.py), transformers if that is true.
    """
    out, given = Path(str(recipe.get("output_dir") or "")), recipe.get("resume_from_checkpoint")
    looks = given is True or (given is None and not recipe.get("overwrite_output_dir"))
    return out if looks and recipe.get("do_train") and recipe.get("output_dir") and out.is_dir() else None


def _start(recipe: Mapping[str, Any]) -> Path | None:
    """The checkpoint that the training goes on from, None if it begins from step 0."""
    if isinstance(given := recipe.get("resume_from_checkpoint"), str) and recipe.get("do_train"):
        return Path(given)
    return last(out) if (out := _goes_on_in(recipe)) else None
