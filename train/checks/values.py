"""Values of a recipe that no training can use: not written out, infinite, or outside of what a key may be.

LLaMA-Factory's parser takes all of them, unless a comment says otherwise. Evidence: its 0.9.5, read and run.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from train.checks.finding import Finding

LARGEST = 2**63 - 1  # what torch and Arrow count with
SHOWN = 40  # characters of a value in a message
COUNT = "1 or more"


class Limit(NamedTuple):
    possible: Callable[[float], bool]
    fix: str  # what to write


def _between(low: float, high: float, fix: str) -> Limit:
    return Limit(lambda value: low <= value <= high, fix)


def _above_0(high: float, fix: str) -> Limit:
    return Limit(lambda value: 0 < value <= high, fix)


# Key -> what its value may be. Highest values are our choice where a comment names nothing else.
LIMITS = {
    "num_train_epochs": _above_0(10_000, "more than 0, else nothing is trained, and 10,000 at most"),
    "max_samples": _between(1, LARGEST, "1 or more, or leave it out for all rows"),
    "learning_rate": _above_0(1, "more than 0, else nothing is learned, and 1 at most; ours are 1e-5 to 2e-3"),
    "warmup_ratio": _between(0, 1, "a share of the steps, from 0 to 1"),
    "warmup_steps": _between(0, LARGEST, "a number of steps, or below 1 a share of them; 0 for no warm-up"),
    # Below 0 neither transformers nor DeepSpeed clips, as if it were 0.
    "max_grad_norm": _between(0, LARGEST, "the largest norm of the gradient, or 0 for no limit"),
    "weight_decay": _between(0, 1, "a number from 0 to 1"),
    "adam_beta1": _between(0, 0.999999, "a number from 0 to below 1"),
    "adam_beta2": _between(0, 0.999999, "a number from 0 to below 1"),
    "adam_epsilon": _above_0(1, "more than 0, such as 1e-8"),
    "label_smoothing_factor": _between(0, 0.999999, "a number from 0 to below 1"),
    "lora_dropout": _between(0, 0.999999, "a number from 0 to below 1"),
    "lora_rank": _between(1, 65_536, "a whole number from 1 to 65536; ours is 64"),
    "cutoff_len": _between(1, LARGEST, COUNT),
    "image_max_pixels": _between(1, LARGEST, COUNT),
    "max_new_tokens": _between(1, LARGEST, COUNT),
    "save_steps": _above_0(LARGEST, 'more than 0; to save nothing, save_strategy: "no"'),
    "save_total_limit": _between(1, LARGEST, "1 or more, or leave it out to keep all"),
    "per_device_train_batch_size": _between(1, 65_536, "1 or more, up to 65536"),
    "per_device_eval_batch_size": _between(1, 65_536, "1 or more, up to 65536"),
    "gradient_accumulation_steps": _between(1, 1_000_000, "1 or more, up to 1000000"),
    "preprocessing_num_workers": _between(1, 1024, "a number of processes from 1 to 1024"),
    "dataloader_num_workers": _between(0, 1024, "a number of processes from 0 to 1024"),
}
BATCHES = ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps")
STRATEGIES = ("save_strategy", "eval_strategy", "logging_strategy")


def shown(value: object) -> str:
    """A value in a message, cut if it is long."""
    try:
        text = str(value)
    except ValueError:  # a whole number of more digits than Python writes
        return "a whole number of thousands of digits"
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]}... ({len(text):,} characters)"


def sound(recipe: dict) -> tuple[dict, list[Finding]]:
    """The keys whose values are written out and finite, and what is wrong with the others."""
    kept, texts = {}, []
    for key, value in recipe.items():
        reason = next(filter(None, map(_unusable, _leaves(value))), "")
        if key in STRATEGIES and value is False:
            # YAML reads a bare no as false, and LLaMA-Factory's parser refuses that.
            reason = f'YAML reads no as false; write {key}: "no", on the command line {key}=\'"no"\''
        if reason:
            texts.append(f"{key}={shown(value)}: {reason}")
        else:
            kept[key] = value
    return kept, [Finding("error", "keys", text) for text in texts]


def _leaves(value: Any) -> Iterator[Any]:
    """The values within lists and mappings, such as an inline DeepSpeed configuration."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


def _unusable(value: Any) -> str:
    """Why nothing can use a value, with the fix; "" if something can."""
    if isinstance(value, str):
        if value == "???":
            return "is a placeholder; write the value"
        return "LLaMA-Factory does not resolve ${...}; write the value itself" if "${" in value else ""
    if isinstance(value, float) and not math.isfinite(value):
        return "is not finite; write a finite number"
    if isinstance(value, int) and abs(value) > LARGEST:
        return "no counter holds such a number; write a smaller one"
    return ""


def in_range(good: dict) -> tuple[dict, list[Finding]]:
    """The keys whose values make sense, and what is wrong with the others: the parser would refuse some again."""
    texts, kept = [], dict(good)
    for key, (possible, fix) in LIMITS.items():
        value = good.get(key)
        # A recipe that sets max_steps does not count epochs.
        if (
            isinstance(value, int | float)
            and not possible(value)
            and (key != "num_train_epochs" or good.get("max_steps", -1) <= 0)
        ):
            texts.append(f"{key}={shown(value)}: write {fix}")
            if key not in BATCHES:  # the defaults of these would give another batch, and the parser takes any
                kept.pop(key)
    if good.get("stage", "sft") != "sft":
        texts.append(f"stage={kept.pop('stage')}: is not for rows of questions and answers; stage=sft")
    return kept, [Finding("error", "keys", text) for text in texts]
