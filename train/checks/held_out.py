"""Are the rows that are scored while training others than those trained on?"""

from os.path import normpath

from storm.datasets import CARVE, DATASETS
from storm.rows import build_command, dataset_and_part
from train.checks.finding import Finding, names
from train.checks.job import Checked, Job


def check_held_out(job: Job) -> Checked:
    """An error for each eval_dataset that shares images with the training sets: its scores would be too good."""
    if not job.trains:
        return job, []
    trained = set(names(job.recipe.get("dataset")))
    scans = [scan for scan in job.scans if scan.stanza.name in trained]
    line_of = {normpath(image): (scan, line) for scan in scans for image, line in scan.images.items()}
    findings = []
    for scan in job.scans:
        if scan.stanza.name not in names(job.recipe.get("eval_dataset")):
            continue
        shared = [image for image in scan.images if normpath(image) in line_of]
        if shared:
            other, line = line_of[normpath(shared[0])]
            dataset = dataset_and_part(scan.stanza.name)[0]
            what = f"eval_dataset={scan.stanza.name}: {len(shared):,} of its {scan.rows:,} images are trained on, too"
            place = f"{shared[0]!r}, {other.stanza.file}, line {line}"
            fix = build_command(dataset, val=CARVE if dataset in DATASETS else "")
            findings.append(Finding("error", "rows", f"{what} ({place}); {fix}, or leave eval_dataset out"))
    return job, findings
