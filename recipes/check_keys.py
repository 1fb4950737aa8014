"""Are a recipe's keys LLaMA-Factory's, does its own parser take their values, and is none of them one of its traps?"""

import json
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from recipes.finding import Finding, names, quiet


class Parsed(NamedTuple):
    """A recipe as LLaMA-Factory's parser sees it, for a CPU: deepspeed is left out, pure_bf16 is bf16."""

    model: Any
    data: Any
    training: Any
    finetuning: Any
    generating: Any


def keys(recipe: dict) -> tuple[Parsed | None, list[Finding]]:
    """Check keys and values. Imports torch and LLaMA-Factory, which takes 20 s the first time.

    None if LLaMA-Factory does not take the keys it knows.
    """
    with quiet():
        from llamafactory.hparams import parser, training_args

    export = "export_dir" in recipe
    classes = parser._INFER_ARGS if export else [*parser._TRAIN_ARGS, training_args.RayArguments]
    hints = {key: hint for cls in classes for key, hint in get_type_hints(cls).items()}
    known = [field.name for cls in classes for field in fields(cls) if field.init]
    found, good = [], {}
    for key, value in recipe.items():
        if key not in known:
            near = get_close_matches(key, known, 1)
            fix = f"is it {near[0]}?" if near else "leave it out"
            found.append(Finding("error", "keys", f"{key}: LLaMA-Factory has no such key; {fix}"))
        elif wanted := _wrong_value(hints[key], value):
            found.append(Finding("error", "keys", f"{key}={value}: write {wanted}"))
        else:
            good[key] = value
    found += _traps(recipe, good)
    parsed = None
    try:
        parsed = _export(good) if export else _train(good)
    # Its parser raises whatever the dataclasses of four packages raise; a user's mistake all the same.
    except Exception as error:
        found.append(Finding("error", "keys", f"LLaMA-Factory refuses the recipe: {_line(error)}"))
    if not any(finding.level == "error" for finding in found):
        found.append(Finding("ok", "keys", f"{len(recipe)}, all known to LLaMA-Factory's parser"))
    return parsed, found


def _wrong_value(hint: Any, value: Any) -> str:
    """What a key's value must be, "" if it is. LLaMA-Factory takes any value and dies of it when it is used."""
    kinds = {hint} if get_origin(hint) is Literal else set(get_args(hint) or (hint,)) - {NoneType}
    if value is None or type(value) in kinds:
        return ""
    if len(kinds) == 1 and get_origin(kind := kinds.copy().pop()) is Literal:
        choices = get_args(kind)
        return "" if value in choices else f"one of {', '.join(map(str, choices))}"
    if not kinds <= {bool, int, float}:
        return ""
    if kinds == {bool}:
        return "true or false"
    return "" if type(value) is int else "a whole number" if kinds == {int} else "a number"


def _train(recipe: dict) -> Parsed:
    from llamafactory.hparams import get_train_args

    with quiet():
        model, data, training, finetuning, generating = get_train_args(_for_a_cpu(recipe))
    return Parsed(model, data, training, finetuning, generating)


def _export(recipe: dict) -> Parsed:
    from llamafactory.hparams import get_infer_args

    with quiet():
        model, data, finetuning, generating = get_infer_args(dict(recipe))
    return Parsed(model, data, None, finetuning, generating)


def _for_a_cpu(recipe: dict) -> dict:
    """The recipe such that its keys can be checked where no GPU is; DeepSpeed also wants torchrun."""
    changed = {key: value for key, value in recipe.items() if key not in ("deepspeed", "tf32")}
    if changed.pop("pure_bf16", False) or changed.pop("fp16", False):
        changed["bf16"] = True
    return changed | {"use_cpu": True}


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return " ".join(line.strip() for line in lines[:3]) if lines else type(error).__name__


class Zero(NamedTuple):
    """What a DeepSpeed configuration says."""

    stage: int = 0  # 0: no DeepSpeed
    offloads: bool = False  # the optimizer is kept out of the GPU


def zero(recipe: dict) -> Zero:
    """Read the recipe's DeepSpeed file. Raises ValueError naming the file and the fix."""
    if not (given := recipe.get("deepspeed")):
        return Zero()
    try:
        config = given if isinstance(given, dict) else json.loads(Path(given).read_text(encoding="utf-8"))
        config = config.get("zero_optimization", {})
        offload = config.get("offload_optimizer") or {}
        return Zero(int(config.get("stage", 0)), offload.get("device", "none") != "none")
    except FileNotFoundError:
        there = ", ".join(sorted(map(str, Path("ds_configs").glob("*.json")))) or "none in ds_configs/ here"
        raise ValueError(f"deepspeed={given}: no such file; there are {there}") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"deepspeed={given}: not a DeepSpeed configuration ({error}); see ds_configs/") from None


def _traps(recipe: dict, good: dict) -> list[Finding]:
    """Values that LLaMA-Factory takes and that are not what one means. Evidence: its 0.9.5, read and measured."""
    found = []

    def add(level: str, text: str) -> None:
        found.append(Finding(level, "keys", text))

    try:
        stage = zero(recipe).stage
    except ValueError as error:
        add("error", str(error))
        stage = 0
    trains, predicts = bool(recipe.get("do_train")), bool(recipe.get("do_predict"))
    for part in ("vision_tower", "multi_modal_projector") if trains else ():
        if f"freeze_{part}" not in recipe:
            add("warning", f"freeze_{part} is not said, and LLaMA-Factory's default is true; freeze_{part}=false")
    if recipe.get("predict_with_generate") and stage == 3:
        add("error", "predict_with_generate cannot be with ZeRO-3; leave deepspeed out of a prediction")
    if recipe.get("pure_bf16") and stage == 3:
        add("error", "pure_bf16 cannot be with ZeRO-3; bf16=true pure_bf16=false")
    if predicts and recipe.get("do_sample", True):
        add("error", "do_sample is not false, so answers are drawn at random with temperature 0.95; do_sample=false")
    if predicts and good.get("group_by_length"):
        add("error", "group_by_length reorders rows, so prompts and predictions are of different rows; leave it out")
    if predicts and good.get("eval_on_each_dataset"):
        add("error", "eval_on_each_dataset with do_predict ends in KeyError: 0; one run for each eval_dataset")
    if predicts and len(names(recipe.get("eval_dataset"))) > 1:
        add("warning", "several eval_dataset end in one file that names none; one run with one output_dir for each")
    if recipe.get("packing") and not recipe.get("neat_packing"):
        add("warning", "packing lets positions run on from one sample to the next; packing=false or neat_packing=true")
    if (most := good.get("max_samples")) is not None:
        add("warning", f"max_samples={most} takes the first {most} rows of each dataset; leave it out for a whole run")
    for key in ("per_device_train_batch_size", "gradient_accumulation_steps", "per_device_eval_batch_size"):
        if isinstance(value := good.get(key, 1), int) and value < 1:
            add("error", f"{key}={value}: write 1 or more")
    return found
