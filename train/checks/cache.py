"""Has the disk of the tokenized rows room for them? LLaMA-Factory writes them there before the first step.

Measured with its 0.9.5 and datasets 4.0.0 on 400 and 2,000 rows of the demo, of 268 and 652 tokens: 13.0 bytes a token
(input_ids of 4 bytes, attention_mask of 1, labels of 8) and 36 a row, beside two copies of the rows, each of 0.9 of
their JSONL file. The pixels are not written.
"""

import os
import shutil
from pathlib import Path

from train.checks.disk import existing, written_to
from train.checks.finding import Finding
from train.checks.job import Checked, Job

TOKEN, ROW, COPIES = 13, 36, 1.8  # bytes, bytes, of the JSONL file
GB = 1e9


def check_cache(job: Job) -> Checked:
    """Room for the tokenized training rows, beside the checkpoints if these are on the same disk."""
    if not (job.trains and job.parsed and job.mean) or job.parsed.data.streaming:
        return job, []
    try:
        need, place = cache_bytes(job), existing(cache_folder(job.parsed.model.cache_dir))
        free = shutil.disk_usage(place).free
    except OSError as error:
        return job, [Finding("error", "cache", f"{error}; export HF_DATASETS_CACHE=FOLDER")]
    if not os.access(place, os.W_OK | os.X_OK):
        text = f"{place}: not a folder that you can write to; export HF_DATASETS_CACHE=FOLDER"
        return job, [Finding("error", "cache", text)]
    same = place.stat().st_dev == existing(written_to(job)).stat().st_dev
    beside = f", beside {job.bytes_written / GB:,.1f} GB of checkpoints on this disk" if same else ""
    text = f"{place}: about {need / GB:,.1f} GB of tokenized rows{beside}, {free / GB:,.1f} GB are free"
    # checkpoints that do not fit by themselves are reported by check_disk
    if need + same * job.bytes_written > free >= same * job.bytes_written:
        fix = "export HF_DATASETS_CACHE=FOLDER on another disk, or rm -r what older runs left in it"
        return job, [Finding("error", "cache", f"{text}; {fix}")]
    return job, [Finding("ok", "cache", text)]


def cache_bytes(job: Job) -> float:
    """Of the training rows; with tokenized_path they are written twice."""
    limit = job.parsed.data.max_samples
    files = [scan.stanza.file.stat().st_size * COPIES for scan in job.training_scans]
    rows = sum(min(scan.rows, limit or scan.rows) for scan in job.training_scans)
    tokenized = rows * (TOKEN * min(sum(job.mean), job.parsed.data.cutoff_len) + ROW)
    return sum(files) + tokenized * (2 if job.parsed.data.tokenized_path else 1)


def cache_folder(cache_dir: str | None) -> Path:
    """Where datasets keeps them: the recipe's cache_dir, else HF_DATASETS_CACHE, else below HF_HOME."""
    from datasets import config  # LLaMA-Factory has imported it

    return Path(cache_dir) if cache_dir else Path(config.HF_DATASETS_CACHE)
