"""Has the disk room for what a run writes, and what does its folder hold already?"""

import math
import os
import shutil
from pathlib import Path

from recipes.check_keys import Parsed, Zero
from recipes.check_memory import per_parameter
from recipes.check_model import Count
from recipes.checkpoints import fault
from recipes.finding import Finding


def checkpoints(recipe: dict, parsed: Parsed, count: Count, rows: int, processes: int, zero: Zero) -> float:
    """Bytes that a run writes: its weights, and the checkpoints that are there at the same time.

    A new checkpoint is written before the oldest is deleted. rows: of the training sets, 0 if unknown; processes: all
    GPUs.
    """
    if not recipe.get("do_train"):
        return 2 * count.all if "export_dir" in recipe else 0
    each, args = per_parameter(recipe, zero), parsed.training
    kept = count.trained if parsed.finetuning.finetuning_type == "lora" else count.all
    weights = kept * each.written
    one = weights if args.save_only_model else weights + count.trained * each.optimizer
    batch = processes * args.per_device_train_batch_size * args.gradient_accumulation_steps
    steps = args.max_steps if args.max_steps > 0 else math.ceil(rows / max(batch, 1) * args.num_train_epochs)
    every = args.save_steps if args.save_steps >= 1 else max(1, math.ceil(args.save_steps * steps))
    written = {"no": 0, "epoch": math.ceil(args.num_train_epochs)}.get(
        str(getattr(args.save_strategy, "value", args.save_strategy)), math.ceil(steps / every)
    )
    limit = written if args.save_total_limit is None else args.save_total_limit + 1
    there = min(written, limit) if rows else limit
    return weights + there * one


def output(recipe: dict, needed: float) -> list[Finding]:
    """Can output_dir be written to, has its disk room for `needed` bytes, and what does it hold already?"""
    folder = Path(recipe.get("output_dir") or recipe.get("export_dir") or "saves")
    there = next((path for path in (folder, *folder.absolute().parents) if path.exists()), Path("/"))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return [Finding("error", "disk", f"{there}: not a folder that you can write to; output_dir=ANOTHER")]
    steps = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()]
    # What earlier checkpoints take will be free when they are deleted.
    taken = sum(path.stat().st_size for step in steps for path in step.rglob("*") if path.is_file())
    free, found = shutil.disk_usage(there).free + taken, []
    said = f"{folder}: {needed / 1e9:,.1f} GB of weights and checkpoints, {free / 1e9:,.1f} GB are free"
    if needed > free:
        fix = "output_dir on another disk, a smaller save_total_limit, or save_only_model=true (then no going on)"
        found.append(Finding("error", "disk", f"{said}; {fix}"))
    if recipe.get("do_predict") and (folder / "generated_predictions.jsonl").exists():
        text = f"{folder}/generated_predictions.jsonl will be written over; output_dir=ANOTHER keeps it"
        found.append(Finding("warning", "disk", text))
    if recipe.get("do_train") and steps:
        last = max(steps, key=lambda path: int(path.name.rpartition("-")[2]))
        if reason := fault(last):
            text = f"{last} is broken ({reason}), and LLaMA-Factory would go on from it; mv {last} {last}.old"
            found.append(Finding("warning", "disk", text))
        elif (folder / "train_results.json").exists():
            text = f"{folder} holds a finished training, so there is nothing to train; mv {folder} {folder}.old"
            found.append(Finding("warning", "disk", text))
        else:
            said += f"; goes on from {last.name}"
    return found or [Finding("ok", "disk", said)]
