"""How long will the training take? An estimate, from the share of its peak that one kind of GPU reached."""

from train.checks.finding import Finding
from train.checks.job import Checked, Job
from train.checks.machine import wanted_gpu
from train.flops import estimated_flops
from train.gpus import peak_of

# Measured with bench/train.py, Qwen2.5-VL-3B on one H100, images of 1,280 tokens, what checkpointing computes again
# counted: 0.22 with weights in bf16 and FlashAttention-2, 0.14 with sdpa, 0.13 with ZeRO-3 in one process. The least is
# taken: ZeRO-3 is what the paper's recipes use.
SHARE = 0.13
PAPER = "NVIDIA A100"  # its GPU


def check_hours(job: Job) -> Checked:
    """The hours from tokens, patches, parameters and the peak of the GPU. Never an error."""
    if not (job.trains and job.samples and job.mean and job.count) or not wanted_gpu(job.recipe):
        return job, []
    if job.recipe.get("packing") or job.recipe.get("neat_packing"):
        return job, [Finding("ok", "hours", "not estimated: rows are packed")]
    here = [gpu.name for gpu in job.devices]
    peaks = [peak_of(name) for name in here or [PAPER]]
    if None in peaks:
        text = f"not estimated: train/gpus.py has no row for {here[peaks.index(None)]}"
        return job, [Finding("ok", "hours", text)]
    slowest = min(peaks, key=lambda peak: peak.tflops)  # the others wait for it
    gpus, flops = job.processes or 1, sample_flops(job)
    hours = job.samples * flops / (gpus * slowest.tflops * 1e12 * SHARE) / 3600
    which = f"{gpus} {slowest.name}" + ("" if here else " (the paper's; none is visible)")
    rate = f"{job.samples:,} rows of {flops / 1e12:,.2g} TFLOP at {SHARE:.0%} of {slowest.tflops:,g} TFLOP/s"
    text = f"estimate, may be wrong by a factor of 2: {duration(hours)} on {which}, {rate}; without scores and saving"
    return job, [Finding("ok", "hours", text)]


def sample_flops(job: Job) -> float:
    """Of an average training row, without the padding of its text."""
    checkpointing = not job.parsed.model.disable_gradient_checkpointing
    tokens = min(sum(job.mean), job.parsed.data.cutoff_len)
    return estimated_flops(job.count.text, job.count.tower, tokens, job.mean_patches, checkpointing)


def duration(hours: float) -> str:
    if hours < 1:
        return f"{max(hours * 60, 2):.0f} minutes"
    return f"{hours:.1f} hours" if hours < 72 else f"{hours / 24:,.0f} days"
