"""Can FlashAttention-2 do what a recipe with flash_attn: fa2 asks of it? Of the GPUs, train/checks/devices.py asks."""

from importlib.util import find_spec

from storm.models import family_of
from train.checks.finding import Finding, quiet
from train.checks.job import Checked, Job
from train.checks.machine import wanted_gpu

HALF = ("bf16", "fp16", "pure_bf16", "bf16_full_eval")
SDPA = "flash_attn=sdpa"


def check_attention(job: Job) -> Checked:
    """Without a GPU and without the package, LLaMA-Factory 0.9.5 warns and takes sdpa: the same losses (tested)."""
    if job.recipe.get("flash_attn") != "fa2":
        return job, []
    if job.config and (reason := family_of(job.config).no_fa2):
        return job, [Finding("error", "attention", f"flash_attn=fa2: {reason}; {SDPA}")]
    if not (job.processes or wanted_gpu(job.recipe)):
        return job, []
    if find_spec("flash_attn") is None:
        text = "flash-attn is not installed: sdpa is used, which may be slower; make setup GPU=1"
        return job, [Finding("warning", "attention", text)]
    if fault := _fault(job.recipe):
        return job, [Finding("error", "attention", f"{fault}, or {SDPA}")]
    return job, [Finding("ok", "attention", "FlashAttention-2")]


def _fault(recipe: dict) -> str:
    """Why flash-attn, which is installed, would end the training, with a fix; "" if it would not."""
    if not any(recipe.get(key) for key in HALF):
        return "FlashAttention-2 computes in 16 bits only; bf16=true"
    try:
        with quiet():
            import flash_attn  # noqa: F401
    # What a library raises that was built for another torch: ImportError, OSError, RuntimeError. LLaMA-Factory and
    # transformers see only that it is installed.
    except Exception as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return f"flash-attn cannot be loaded ({why}); rm .venv/gpu && make setup GPU=1"
    return ""
