"""Is the gradient limited as the recipe says, although batches are accumulated?"""

from train.checks.finding import Finding
from train.checks.job import Checked, Job
from train.recipe import MAX_GRAD_NORM


def check_clipping(job: Job) -> Checked:
    """A warning with the value to write, if max_grad_norm lets through more than it says, or if it is one for another
    accumulation: see train.recipe.clipping."""
    if not (job.trains and job.batch):
        return job, []
    norm = job.parsed.training.max_grad_norm
    number = 1 if job.recipe.get("deepspeed") else job.batch[1]
    limit = norm * number
    # 1%: a value may be written with few digits.
    if norm <= 0 or abs(limit - MAX_GRAD_NORM) < 0.01 or (number == 1 and limit > MAX_GRAD_NORM):
        return job, []
    about = f"max_grad_norm={norm:g} limits the gradient to {limit:g}"
    if number > 1:
        about += f", as transformers and accelerate both divide the {number} accumulated batches by {number}"
    fix = f"for a limit of {MAX_GRAD_NORM:g}: max_grad_norm={MAX_GRAD_NORM / number:.6g}"
    return job, [Finding("warning", "keys", f"{about}; {fix}")]
