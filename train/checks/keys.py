"""Are a recipe's keys LLaMA-Factory's, does its own parser take their values, and is none of them one of its traps?"""

from dataclasses import fields, replace
from difflib import get_close_matches
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from train.checks.finding import Finding, quiet
from train.checks.job import Checked, Job
from train.checks.traps import traps
from train.checks.values import in_range, shown, sound
from train.recipe import Zero, read_zero

# Names that LLaMA-Factory splits at commas, or takes as a list.
LISTS = ("dataset", "eval_dataset", "adapter_name_or_path", "lora_target", "additional_target")


class Parsed(NamedTuple):
    """A recipe as LLaMA-Factory's parser sees it, for a CPU: deepspeed is left out, pure_bf16 is bf16."""

    model: Any
    data: Any
    training: Any  # None for an export
    finetuning: Any
    generating: Any


def check_keys(job: Job) -> Checked:
    """Fill `parsed` and `zero`. Imports torch and LLaMA-Factory, which takes 20 s the first time."""
    try:
        zero, faults = read_zero(job.recipe), []
    except ValueError as error:
        zero, faults = Zero(), [Finding("error", "keys", str(error))]
    export = "export_dir" in job.recipe
    recipe, odd = sound(job.recipe)
    good, findings = _known_keys(recipe, export)
    findings += odd + faults + traps(recipe, good, zero)
    good, faults = in_range(good)
    findings += faults
    parsed = None
    try:
        parsed = _parse(good, export)
    # Its parser raises whatever the dataclasses of four packages raise; a user's mistake all the same.
    except Exception as error:
        lines = [line.strip() for line in str(error).strip().splitlines()[:3]] or [type(error).__name__]
        findings.append(Finding("error", "keys", f"LLaMA-Factory refuses the recipe: {' '.join(lines)}"))
    if not any(finding.level == "error" for finding in findings):
        findings.append(Finding("ok", "keys", f"{len(job.recipe)}, all known to LLaMA-Factory's parser"))
    return replace(job, parsed=parsed, zero=zero), findings


def _known_keys(recipe: dict, export: bool) -> tuple[dict, list[Finding]]:
    """The keys that LLaMA-Factory has and whose values are of their kind, and what is wrong with the others."""
    with quiet():
        from llamafactory.hparams import parser, training_args

    classes = parser._INFER_ARGS if export else [*parser._TRAIN_ARGS, training_args.RayArguments]
    hints = {key: hint for cls in classes for key, hint in get_type_hints(cls).items()}
    keys = [field.name for cls in classes for field in fields(cls) if field.init]
    good, findings = {}, []
    for key, value in recipe.items():
        if key == "storm":  # train/run.py's: block.py
            continue
        if key not in keys:
            match = get_close_matches(key, keys, 1)
            fix = f"did you mean {match[0]}?" if match else "leave it out"
            findings.append(Finding("error", "keys", f"{key}: LLaMA-Factory has no such key; {fix}"))
        elif (kind := _wrong_value(hints[key], value)) and not (key in LISTS and isinstance(value, list)):
            findings.append(Finding("error", "keys", f"{key}={shown(value)}: write {kind}"))
        else:
            good[key] = value
    return good, findings


def _wrong_value(hint: Any, value: Any) -> str:
    """What a key's value must be, "" if it is. LLaMA-Factory takes any value and dies of it when it is used."""
    kinds = {hint} if get_origin(hint) is Literal else set(get_args(hint) or (hint,)) - {NoneType}
    if value is None or type(value) in kinds:
        return ""
    if len(kinds) == 1 and get_origin(kind := kinds.copy().pop()) is Literal:
        choices = get_args(kind)
        return "" if value in choices else f"one of {', '.join(map(str, choices))}"
    if kinds == {str}:
        return "text"
    if not kinds <= {bool, int, float}:
        return ""
    if kinds == {bool}:
        return "true or false"
    return "" if type(value) is int else "a whole number" if kinds == {int} else "a number"


def _parse(recipe: dict, export: bool) -> Parsed:
    """The recipe such that it can be checked where no GPU is; DeepSpeed also wants torchrun."""
    from llamafactory.hparams import get_infer_args, get_train_args

    with quiet():
        if export:
            model, data, finetuning, generating = get_infer_args(dict(recipe))
            return Parsed(model, data, None, finetuning, generating)
        changed = {key: value for key, value in recipe.items() if key not in ("deepspeed", "tf32")}
        if changed.pop("pure_bf16", False) or changed.pop("fp16", False):
            changed["bf16"] = True
        return Parsed(*get_train_args(changed | {"use_cpu": True}))
