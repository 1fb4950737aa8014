"""Has a recipe's `storm:` block the rows, votes and scale that it needs? train/run.py would ask with GPUs taken."""

from storm.options import describe
from train.checks.finding import Finding, names, quiet
from train.checks.job import Checked, Job


def check_block(job: Job) -> Checked:
    """An error for what train/run.py would refuse before the training."""
    if job.recipe.get("storm") is None:
        return job, []
    from train.training import block, setting  # imports torch

    read, about = {scan.stanza.name for scan in job.scans}, ["as train/run.py wants it"]
    try:
        with quiet():  # a width that is fitted is printed
            given = block.read(job.recipe)
            setting.check(job.recipe, given)
            if not read.issuperset(names(job.recipe.get("dataset"))):  # the rows have an error of their own
                return job, []
            val = setting.setting_of(job.recipe, given, None, None).val
            about = [f"scores {len(rows):,} rows of {stanza}" for stanza, rows in val.items()] or about
    except (ValueError, OSError) as error:
        return job, [Finding("error", "block", describe(error))]
    return job, [Finding("ok", "block", ", ".join(about))]
