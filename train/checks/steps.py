"""How many optimizer steps does a training take, and are they enough to learn anything?"""

import math
from dataclasses import replace

from train.checks.finding import Finding, names
from train.checks.job import Checked, Job
from train.checks.machine import expected_gpus

FEW = 20  # our choice: below, a fine-tuning has hardly begun


def check_steps(job: Job) -> Checked:
    """Fill `steps`; warns if they are few, or all of them warm-up."""
    if not (job.trains and job.batch):
        return job, []
    limit, training_sets = job.parsed.data.max_samples, names(job.recipe.get("dataset"))
    rows = sum(min(scan.rows, limit or scan.rows) for scan in job.scans if scan.stanza.name in training_sets)
    args, fix = job.parsed.training, "more num_train_epochs, or a smaller gradient_accumulation_steps"
    size = expected_gpus(job) * args.per_device_train_batch_size
    # As transformers counts them (Trainer.set_initial_training_values).
    of_an_epoch = math.ceil(math.ceil(rows / size) / args.gradient_accumulation_steps)
    steps = args.max_steps if args.max_steps > 0 else math.ceil(of_an_epoch * args.num_train_epochs)
    job = replace(job, steps=steps)
    batch = size * args.gradient_accumulation_steps
    text = f"{steps:,} optimizer step{'s' * (steps != 1)} ({rows:,} rows in batches of {batch:,})"
    warmup = args.get_warmup_steps(steps)
    if steps and warmup >= steps:
        text = f"{text}, all of them warm-up: the learning rate is never reached; {fix}, or less warm-up"
        return job, [Finding("warning", "steps", text)]
    if 0 < steps < FEW:
        return job, [Finding("warning", "steps", f"only {text}; {fix}")]
    return job, [Finding("ok", "steps", text)] if steps else []
