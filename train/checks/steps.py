"""How many optimizer steps does a training take, and are they enough to learn anything?"""

import math
from collections.abc import Sequence

from train.checks.keys import Parsed
from train.checks.finding import Finding

FEW = 20  # our choice: below, a fine-tuning has hardly begun


def steps(parsed: Parsed, rows: Sequence[int], processes: int) -> tuple[int, list[Finding]]:
    """Optimizer steps, 0 if unknown; warns if they are few, or all of them warm-up.

    rows: of each training set; processes: GPUs of the whole run.
    """
    number = sum(min(count, parsed.data.max_samples or count) for count in rows)
    args, fix = parsed.training, "more num_train_epochs, or a smaller gradient_accumulation_steps"
    accumulated, one = args.gradient_accumulation_steps, processes * args.per_device_train_batch_size
    # As transformers counts them (Trainer.set_initial_training_values).
    each = math.ceil(math.ceil(number / one) / accumulated)
    taken = args.max_steps if args.max_steps > 0 else math.ceil(each * args.num_train_epochs)
    said = f"{taken:,} optimizer step{'s' * (taken != 1)} ({number:,} rows in batches of {one * accumulated:,})"
    warmup = args.get_warmup_steps(taken)
    if taken and warmup >= taken:
        text = f"{said}, all of them warm-up: the learning rate is never reached; {fix}, or less warm-up"
        return taken, [Finding("warning", "steps", text)]
    if 0 < taken < FEW:
        return taken, [Finding("warning", "steps", f"only {said}; {fix}")]
    return taken, [Finding("ok", "steps", said)] if taken else []
