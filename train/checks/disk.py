"""Has the disk room for what a run writes, and what does its folder hold already?"""

import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

from train.checkpoints import fault, last, other_ranks
from train.checks.finding import Finding, folder
from train.checks.job import Checked, Job
from train.checks.memory import per_parameter


def check_written(job: Job) -> Checked:
    """Fill `bytes_written`: the weights, and the checkpoints that are there at the same time.

    A new checkpoint is written before the oldest is deleted.
    """
    if not job.count:
        return job, []
    if not job.trains:
        return replace(job, bytes_written=2 * job.count.all if "export_dir" in job.recipe else 0), []
    size, args, count = per_parameter(job.recipe, job.zero), job.parsed.training, job.count
    kept = count.trained if job.parsed.finetuning.finetuning_type == "lora" else count.all
    weights = kept * size.written
    checkpoint = weights if args.save_only_model else weights + count.trained * size.optimizer
    every = args.save_steps if args.save_steps >= 1 else max(1, math.ceil(args.save_steps * job.steps))
    written = {"no": 0, "epoch": math.ceil(args.num_train_epochs)}.get(
        str(getattr(args.save_strategy, "value", args.save_strategy)), math.ceil(job.steps / every)
    )
    limit = written if args.save_total_limit is None else args.save_total_limit + 1
    number = min(written, limit) if job.steps else limit
    return replace(job, bytes_written=weights + number * checkpoint), []


def check_disk(job: Job) -> Checked:
    """Can output_dir be written to, has its disk room, and what does it hold already?"""
    out = folder(job.recipe.get("output_dir") or job.recipe.get("export_dir"), "saves")
    parent = next((path for path in (out, *out.absolute().parents) if path.exists()), Path("/"))
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        text = f"{parent}: not a folder that you can write to; output_dir=ANOTHER"
        return job, [Finding("error", "disk", text)]
    # What earlier checkpoints take will be free when they are deleted.
    taken = sum(path.stat().st_size for path in out.glob("checkpoint-*/**/*") if path.is_file())
    free, findings = shutil.disk_usage(parent).free + taken, []
    gigabytes = f"{job.bytes_written / 1e9:,.1f} GB of weights and checkpoints, {free / 1e9:,.1f} GB are free"
    text = f"{out}: {gigabytes}"
    if job.bytes_written > free:
        fix = "output_dir on another disk, a smaller save_total_limit, or save_only_model=true (then it cannot go on)"
        findings.append(Finding("error", "disk", f"{text}; {fix}"))
    if job.predicts and (out / "generated_predictions.jsonl").exists():
        about = f"{out}/generated_predictions.jsonl will be written over; output_dir=ANOTHER keeps it"
        findings.append(Finding("warning", "disk", about))
    if job.trains and (step := last(out)):
        earlier = _earlier_run(job, out, step)
        findings += earlier
        text += f"; goes on from {step.name}" if not earlier else ""
    return job, findings or [Finding("ok", "disk", text)]


def _earlier_run(job: Job, out: Path, step: Path) -> list[Finding]:
    """Why the training should not go on from a checkpoint; [] if it can."""
    if reason := fault(step):
        text = f"{step} is broken ({reason}), and LLaMA-Factory would go on from it; mv {step} {step}.old"
        return [Finding("warning", "disk", text)]
    if (out / "train_results.json").exists():
        text = f"{out} holds a finished training, so there is nothing to train; to train again: mv {out} {out}.old"
        return [Finding("warning", "disk", text)]
    if job.recipe.get("deepspeed") and job.processes and (reason := other_ranks(step, job.processes)):
        return [Finding("error", "disk", reason)]
    return []
