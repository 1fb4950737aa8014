"""Keys of a recipe that a `storm:` block does not work with. Evidence: LLaMA-Factory 0.9.5 and transformers 5.2, read.

Not refused, they would drop the block, change what it minimizes, or end the training at its first evaluation.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from train.recipe import read_zero
from train.training.block import Block

# Key -> why. Each is left out, or false, 0 or no.
TRAINERS = dict.fromkeys(
    ("use_mca", "use_hyper_parallel", "use_kt"), "trains with another trainer of LLaMA-Factory, without the block"
)
_BATCH, _LOSS = "makes another batch than the tree of answers", "replaces the loss of the objective, or is ignored"
_HOSTS = "the host's evaluation has no loss with an objective; use storm.evaluate"
OBJECTIVE = TRAINERS | {
    **dict.fromkeys(("packing", "neat_packing", "streaming", "train_on_prompt", "mask_history", "shift_attn"), _BATCH),
    **dict.fromkeys(("use_dft_loss", "use_eaft_loss", "use_asft_loss", "label_smoothing_factor"), _LOSS),
    **dict.fromkeys(("enable_liger_kernel", "use_unsloth"), "makes no logits of its own"),
    **dict.fromkeys(("val_size", "eval_dataset", "do_eval", "eval_strategy", "do_predict"), _HOSTS),
    **dict.fromkeys(("load_best_model_at_end", "metric_for_best_model", "early_stopping_steps"), _HOSTS),
}
_BEST = "storm.evaluate keeps the best checkpoint by its own scores"
EVALUATE = TRAINERS | {
    **dict.fromkeys(("load_best_model_at_end", "metric_for_best_model", "early_stopping_steps"), _BEST),
    "fsdp": "the weights lie in several processes, and these score rows of their own",
}
OFF = {"eval_strategy": '"no"', "val_size": 0, "label_smoothing_factor": 0}  # what to write; of others false or null
NAMED = ("eval_dataset", "metric_for_best_model", "early_stopping_steps", "fsdp")  # whose off is null


def refuse(recipe: Mapping[str, Any], block: Block) -> None:
    """Raises ValueError in one line for a recipe that cannot be run with its block."""
    if not recipe.get("do_train") or recipe.get("stage", "sft") != "sft":
        raise ValueError("storm: is for trainings of stage: sft; leave the block out")
    if recipe.get("eval_strategy") is False:
        text = "YAML reads no as false, with which LLaMA-Factory ends"
        raise ValueError(f'eval_strategy: {text}; write eval_strategy: "no" (as an argument: \'eval_strategy="no"\')')
    if block.objective:
        _refuse(f"storm.objective={block.objective}", OBJECTIVE, recipe)
    if block.evaluate:
        _refuse("storm.evaluate", EVALUATE, recipe)
        if os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("true", "1"):
            raise ValueError(f"storm.evaluate: does not work with FSDP: {EVALUATE['fsdp']}; leave it out")
        if recipe.get("deepspeed") and read_zero(dict(recipe)).stage == 3:
            text = "ZeRO-3 gathers weights in all processes at once, and these score rows of their own"
            raise ValueError(f"storm.evaluate: {text}; use another DeepSpeed stage, or leave it out")
    if (recipe.get("flash_attn") or "auto") not in ("auto", "sdpa"):
        asked = f"storm.objective={block.objective}" if block.objective else "storm.evaluate"
        raise ValueError(f"{asked}: needs a mask that only sdpa takes; flash_attn: sdpa")


def _refuse(asked: str, keys: Mapping[str, str], recipe: Mapping[str, Any]) -> None:
    on: Sequence[str] = [key for key in keys if recipe.get(key) and str(recipe[key]).lower() != "no"]
    if on:
        why = "; ".join(dict.fromkeys(keys[key] for key in on))
        off = ", ".join(f"{key}: {OFF.get(key, 'null' if key in NAMED else 'false')}" for key in on)
        raise ValueError(f"{asked}: does not work with {', '.join(on)}: {why}; {off}")
