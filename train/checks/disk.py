"""Has the disk room for what a run writes, and what does its folder hold already?"""

import math
import os
import shutil
from pathlib import Path

from train.checks.keys import Parsed
from train.checks.memory import per_parameter
from train.checks.model import Count
from train.checkpoints import fault, last, other_ranks
from train.checks.finding import Finding, folder
from train.zero import Zero


def checkpoints(recipe: dict, parsed: Parsed, count: Count, steps: int, zero: Zero) -> float:
    """Bytes that a run writes: its weights, and the checkpoints that are there at the same time.

    A new checkpoint is written before the oldest is deleted. steps: of the optimizer, 0 if unknown.
    """
    if not recipe.get("do_train"):
        return 2 * count.all if "export_dir" in recipe else 0
    each, args = per_parameter(recipe, zero), parsed.training
    kept = count.trained if parsed.finetuning.finetuning_type == "lora" else count.all
    weights = kept * each.written
    one = weights if args.save_only_model else weights + count.trained * each.optimizer
    every = args.save_steps if args.save_steps >= 1 else max(1, math.ceil(args.save_steps * steps))
    written = {"no": 0, "epoch": math.ceil(args.num_train_epochs)}.get(
        str(getattr(args.save_strategy, "value", args.save_strategy)), math.ceil(steps / every)
    )
    limit = written if args.save_total_limit is None else args.save_total_limit + 1
    there = min(written, limit) if steps else limit
    return weights + there * one


def output(recipe: dict, needed: float, processes: int = 0) -> list[Finding]:
    """Can output_dir be written to, has its disk room for `needed` bytes, and what does it hold already?

    processes: GPUs of the whole run, 0 if unknown.
    """
    out = folder(recipe.get("output_dir") or recipe.get("export_dir"), "saves")
    there = next((path for path in (out, *out.absolute().parents) if path.exists()), Path("/"))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return [Finding("error", "disk", f"{there}: not a folder that you can write to; output_dir=ANOTHER")]
    # What earlier checkpoints take will be free when they are deleted.
    taken = sum(path.stat().st_size for path in out.glob("checkpoint-*/**/*") if path.is_file())
    free, found = shutil.disk_usage(there).free + taken, []
    said = f"{out}: {needed / 1e9:,.1f} GB of weights and checkpoints, {free / 1e9:,.1f} GB are free"
    if needed > free:
        fix = "output_dir on another disk, a smaller save_total_limit, or save_only_model=true (then no going on)"
        found.append(Finding("error", "disk", f"{said}; {fix}"))
    if recipe.get("do_predict") and (out / "generated_predictions.jsonl").exists():
        text = f"{out}/generated_predictions.jsonl will be written over; output_dir=ANOTHER keeps it"
        found.append(Finding("warning", "disk", text))
    if recipe.get("do_train") and (step := last(out)):
        if reason := fault(step):
            text = f"{step} is broken ({reason}), and LLaMA-Factory would go on from it; mv {step} {step}.old"
            found.append(Finding("warning", "disk", text))
        elif (out / "train_results.json").exists():
            text = f"{out} holds a finished training, so there is nothing to train; to train again: mv {out} {out}.old"
            found.append(Finding("warning", "disk", text))
        elif recipe.get("deepspeed") and processes and (reason := other_ranks(step, processes)):
            found.append(Finding("error", "disk", reason))
        else:
            said += f"; goes on from {step.name}"
    return found or [Finding("ok", "disk", said)]
