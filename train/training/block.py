"""What a recipe's `storm:` block may say: keys that train/run.py adds to those of LLaMA-Factory.

storm:
  objective: soft          # of OBJECTIVES (objectives.py); without it: the host's cross-entropy
  weight: 1.0              # of the objective in the loss
  sft: 0.0                 # of plain training beside it
  target: laplace          # of TARGETS (objectives.py): what the objective wants the model to give each level
  width: 0.5               # of laplace and normal, in levels; fit: to the votes of the val rows
  scale: data/my/scale.yaml   # of rows of your own
  evaluate: {every: 200, rows: 500}   # exact scores on the val parts, each so many steps

A key that would change nothing is refused; null is as if the key were not there.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

from storm.options import describe, did_you_mean
from train.machines import switched_on
from train.training.objectives import OBJECTIVES, SPREAD, TARGETS

KEY = "storm"
FIT = "fit"  # a width that is taken from votes: width.py
EXACT = "exact"  # the only way to decode while training


class Refused(ValueError):
    """What was wrong before the training, in one line with the fix."""


@contextmanager
def refusing() -> Iterator[None]:
    """Makes Refused of what is raised in it; a ValueError of the training itself keeps its traceback."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise Refused(describe(error)) from error


@dataclass(frozen=True)
class Evaluate:
    """When the model is scored while it trains."""

    every: int = 200  # steps
    rows: int = 500  # of all val parts together, shared evenly
    decode: str = EXACT


@dataclass(frozen=True)
class Block:
    """The values of a block."""

    objective: str = ""  # "": the host's own loss
    weight: float = 1.0
    sft: float = 0.0
    target: str = "label"
    width: float | str = 0.5  # FIT, or a number
    scale: str = ""
    evaluate: Evaluate | None = None


def read(recipe: Mapping[str, Any]) -> Block | None:
    """The block of a recipe, None without one.

    Raises ValueError naming the key and the fix, and for a block that Ray's processes would not see.
    """
    given = recipe.get(KEY)
    if given is None:
        return None
    block = _of(Block, KEY, given)
    if block.objective and block.objective not in OBJECTIVES:
        raise ValueError(f"storm.objective={block.objective}: {did_you_mean(block.objective, OBJECTIVES)}")
    if block.target not in TARGETS:
        raise ValueError(f"storm.target={block.target}: {did_you_mean(block.target, TARGETS)}")
    for name in ("weight", "sft", "width"):
        value = getattr(block, name)
        if name == "width" and value == FIT:
            continue
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"storm.{name}={value}: write a number of 0 or more")
    _refuse_idle(block, {key for key, value in given.items() if value is not None})
    if block.objective and not block.weight:
        raise ValueError("storm.weight=0: the objective would not count; leave it out, or write a number above 0")
    if block.objective and not block.sft and not OBJECTIVES[block.objective].whole:
        text = "says nothing about other texts than the answers, so it needs plain training beside it"
        raise ValueError(f"storm.sft=0: {block.objective} {text}; storm.sft=1.0")
    if block.evaluate and block.evaluate.decode != EXACT:
        raise ValueError(f"storm.evaluate.decode={block.evaluate.decode}: while training, only {EXACT}")
    _refuse_ray(recipe)
    return block


def _refuse_idle(block: Block, given: set[str]) -> None:
    """Raises ValueError for a key that would change nothing."""
    if not block.objective and not block.evaluate:
        key = f".{sorted(given)[0]}" if given else ""
        fix = "add storm.objective=soft or storm.evaluate.every=200, or leave the block out (storm=null)"
        raise ValueError(f"storm{key}: changes nothing without an objective or evaluate; {fix}")
    for key in ("weight", "sft", "target", "width"):
        if key in given and not block.objective:
            raise ValueError(f"storm.{key}: changes nothing without an objective; storm.{key}=null")
    if "width" in given and block.target not in SPREAD:
        fix = f"storm.width=null, or storm.target={SPREAD[0]}"
        raise ValueError(f"storm.width={block.width}: target={block.target} has no width; {fix}")


def _refuse_ray(recipe: Mapping[str, Any]) -> None:
    """Ray's processes import LLaMA-Factory anew (train/tuner.py, Worker), and would train without the block."""
    keys = [key for key in recipe if str(key).startswith("ray_")]
    if not keys and not switched_on("USE_RAY"):
        return
    fix = f"leave {', '.join(keys)} out of the recipe and unset USE_RAY" if keys else "unset USE_RAY"
    raise ValueError(f"storm: Ray's processes would train without the block; {fix} (torchrun), or leave the block out")


def _of(kind: type, name: str, given: Any) -> Any:
    """A dataclass from a mapping of plain values. Raises ValueError."""
    known = {field.name: field for field in fields(kind)}
    if not isinstance(given, Mapping):
        raise ValueError(f"{name}={given}: write keys below it: {', '.join(known)}")
    values = {}
    for key, value in given.items():
        if key not in known:
            raise ValueError(f"{name}.{key}: no such key; {did_you_mean(str(key), known)}")
        default = known[key].default
        if value is None:
            continue
        if key == "evaluate":
            value = _of(Evaluate, f"{name}.{key}", value)
        elif isinstance(default, str):
            value = _text(f"{name}.{key}", value)
        elif isinstance(default, int):
            if type(value) is not int or value < 1:
                raise ValueError(f"{name}.{key}={value}: write a whole number of 1 or more")
        elif not (key == "width" and value == FIT):
            if type(value) not in (int, float):
                raise ValueError(f"{name}.{key}={value}: write a number")
            value = float(value)
        values[key] = value
    return kind(**values)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name}={value}: write a word")
    return value
