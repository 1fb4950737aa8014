"""How many steps does a training take, has the disk room for what they write, and what does its folder hold already?"""

import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

from train.checkpoints import fault, last, model_only, other_ranks
from train.checks.finding import Finding, folder
from train.checks.job import Checked, Job
from train.checks.machine import expected_gpus
from train.checks.memory import per_parameter
from train.tensor_names import OTHER_NAMES, copied_bytes, renamed_tensors, sharded_names

FEW = 20  # our choice: below, a fine-tuning has hardly begun


def check_steps(job: Job) -> Checked:
    """Fill `steps`; warns if they are few, or all of them warm-up."""
    if not (job.trains and job.batch):
        return job, []
    limit = job.parsed.data.max_samples
    rows = sum(min(scan.rows, limit or scan.rows) for scan in job.training_scans)
    args, fix = job.parsed.training, "more num_train_epochs, or a smaller gradient_accumulation_steps"
    size = expected_gpus(job) * args.per_device_train_batch_size
    # As transformers counts them (Trainer.set_initial_training_values).
    of_an_epoch = math.ceil(math.ceil(rows / size) / args.gradient_accumulation_steps)
    steps = args.max_steps if args.max_steps > 0 else math.ceil(of_an_epoch * args.num_train_epochs)
    batch = size * args.gradient_accumulation_steps
    samples = steps * batch if args.max_steps > 0 else math.ceil(rows * args.num_train_epochs)
    job = replace(job, steps=steps, samples=samples)
    text = f"{steps:,} optimizer step{'s' * (steps != 1)} ({rows:,} rows in batches of {batch:,})"
    warmup = args.get_warmup_steps(steps)
    if steps and warmup >= steps:
        text = f"{text}, all of them warm-up: the learning rate is never reached; {fix}, or less warm-up"
        return job, [Finding("warning", "steps", text)]
    if 0 < steps < FEW:
        return job, [Finding("warning", "steps", f"only {text}; {fix}")]
    return job, [Finding("ok", "steps", text)] if steps else []


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
    limit = args.save_total_limit
    if evaluations := _evaluations(job):
        written += evaluations  # at most: each may be the best
        limit = limit and max(limit, 2)  # the best and the last
    limit = written if limit is None else limit + 1
    number = min(written, limit) if job.steps else limit
    return replace(job, bytes_written=weights + number * checkpoint), []


def _evaluations(job: Job) -> int:
    """How often the block of a recipe scores the model, and may save it."""
    block = job.recipe.get("storm")
    if not isinstance(block, dict) or not isinstance(asked := block.get("evaluate"), dict):
        return 0
    every = asked.get("every")
    every = 200 if every is None else every  # as in training/block.py, whose import takes seconds
    return math.ceil(job.steps / every) if isinstance(every, int) and every > 0 else 0


def written_to(job: Job) -> Path:
    return folder(job.recipe.get("output_dir") or job.recipe.get("export_dir"), "saves")


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that there is."""
    return next((place for place in (path, *path.absolute().parents) if place.exists()), Path("/"))


def check_disk(job: Job) -> Checked:
    """Can output_dir be written to, has its disk room, and what does it hold already?"""
    out = written_to(job)
    parent = existing(out)
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        text = f"{parent}: not a folder that you can write to; output_dir=ANOTHER"
        return job, [Finding("error", "disk", text)]
    # What earlier checkpoints take will be free when they are deleted.
    taken = sum(path.stat().st_size for path in out.glob("checkpoint-*/**/*") if path.is_file())
    free, findings = shutil.disk_usage(parent).free + taken, []
    text = f"{out}: {job.bytes_written / 1e9:,.1f} GB of weights and checkpoints, {free / 1e9:,.1f} GB are free"
    if job.bytes_written > free:
        fix = "output_dir on another disk, a smaller save_total_limit, or save_only_model=true"
        findings.append(Finding("error", "disk", f"{text}; {fix} (then a run that is interrupted cannot go on)"))
    if job.predicts and (out / "generated_predictions.jsonl").exists():
        about = f"{out}/generated_predictions.jsonl will be written over; output_dir=ANOTHER keeps it"
        findings.append(Finding("warning", "disk", about))
    if job.trains and (step := last(out)):
        level, reason = _of_last(job, out, step, free - taken)
        if reason:
            findings.append(Finding(level, "disk", reason))
        text += "" if reason else f"; goes on from {step.name}"
    return job, findings or [Finding("ok", "disk", text)]


def _of_last(job: Job, out: Path, step: Path, free: int) -> tuple[str, str | None]:
    """Level and text of what is wrong with the last checkpoint; None if a training can go on from it. free: bytes."""
    if reason := fault(step):
        return "warning", f"{step} is broken ({reason}), and LLaMA-Factory would go on from it; mv {step} {step}.old"
    if (out / "train_results.json").exists():
        text = f"{out} holds a finished training: there is nothing to train; to train again: mv {out} {out}.old"
        return "warning", text
    if reason := model_only(step) or sharded_names(step):
        return "error", reason
    if job.recipe.get("deepspeed") and job.processes and (reason := other_ranks(step, job.processes)):
        return "error", reason
    if (copied := copied_bytes(step)) > free:
        text = f"{step}: its tensors are renamed in a copy of {copied / 1e9:,.1f} GB, {free / 1e9:,.1f} GB are free"
        return "error", f"{text}; make room, or mv {out} to a larger disk"
    if "storm" not in job.recipe and renamed_tensors(step):
        fix = f"python -m train.checkpoints {out} before llamafactory-cli; train/run.py and the sweep do it"
        return "warning", f"{step}: {OTHER_NAMES}; {fix}"
    return "ok", None
