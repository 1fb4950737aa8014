"""Does CUDA start, does a tensor on each GPU work, and can the GPUs do what the recipe asks for?"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from train.checks.finding import Finding
from train.checks.job import Checked, Job
from train.machines import visible_gpus

GIB = 2**30
SECONDS = 180  # for all GPUs to answer; our choice: a start of CUDA on 8 GPUs takes some 10 s, a broken one waits
FREE = 0.9  # of a GPU's memory; our choice: below, another program uses it
AMPERE = (8, 0)
# torch 2.11.0 is built for CUDA 12.6, 12.8 and 13.0 (torch/cuda/__init__.py, PYTORCH_RELEASES_CODE_CC). NVIDIA's least
# driver is 580 for CUDA 13.x and 525 for 12.x (CUDA Compatibility, "Minor Version Compatibility").
DRIVERS = {"13": 580, "12": 525}
OLDEST_CODE = (7, 5)  # of torch's build for CUDA 13.0; that for 12.6 has code for 5.0 and later
# Key, value, what it is, least capability, what to write instead.
# bf16: PTX ISA, bf16 needs sm_80; torch.cuda.is_bf16_supported() also accepts GPUs that only emulate it.
# fa2: flash-attn's README, "Ampere, Ada, or Hopper GPUs".
NEEDS = (
    ("bf16", True, "bf16, which it only emulates, several times slower than fp16", "bf16=false fp16=true"),
    ("pure_bf16", True, "bf16, which it only emulates, several times slower than fp16", "pure_bf16=false fp16=true"),
    ("bf16_full_eval", True, "bf16, which it only emulates, several times slower than fp16", "bf16_full_eval=false"),
    ("flash_attn", "fa2", "FlashAttention-2", "flash_attn=sdpa"),
)


class Gpu(NamedTuple):
    name: str
    capability: tuple[int, int]
    memory: int  # bytes
    free: int  # bytes
    fault: str  # why a tensor on it failed, "" if it did not


class Cuda(NamedTuple):
    """What train/checks/ask_gpus.py answers."""

    torch: str
    build: str | None  # the CUDA that torch is built for
    driver: str  # "" if unknown
    warning: str
    gpus: tuple[Gpu, ...]


def ask() -> Cuda:
    """Ask this machine's GPUs, in a process of its own. Raises ValueError if it gets no answer."""
    command = [sys.executable, "-m", "train.checks.ask_gpus"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise ValueError(f"the GPUs do not answer within {SECONDS} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise ValueError(f"asking the GPUs ended with: {lines[-1]}")
    facts = json.loads(done.stdout.splitlines()[-1])
    gpus = (Gpu(**gpu | {"capability": tuple(gpu["capability"])}) for gpu in facts["gpus"])
    return Cuda(**facts | {"gpus": tuple(gpus)})


def check_devices(job: Job) -> Checked:
    """Fill `devices` with the GPUs of this machine, if the recipe runs on it.

    More --gpus than there are here are those of another machine.
    """
    there = visible_gpus()
    wanted = there if job.gpus is None else job.gpus
    if not 0 < wanted <= there or job.recipe.get("use_cpu"):
        return job, []
    try:
        cuda = ask()
    except ValueError as error:
        return job, [Finding("error", "gpus", f"{error}; look at nvidia-smi and dmesg")]
    if not cuda.gpus:
        return job, [Finding("error", "gpus", _no_start(cuda, there))]
    gpus = cuda.gpus[:wanted]
    job = replace(job, devices=gpus)
    findings = [Finding("error", "gpus", text) for text in [*_broken(gpus, cuda), *_lacking(gpus, job.recipe)]]
    if findings:
        return job, findings
    kinds = ", ".join(f"{_which(numbers)} {name}" for name, numbers in _grouped(gpu.name for gpu in gpus))
    busy = [number for number, gpu in enumerate(gpus) if gpu.free < FREE * gpu.memory]
    if busy:
        free = ", ".join(f"{gpus[number].free / GIB:.0f} of {gpus[number].memory / GIB:.0f}" for number in busy)
        text = f"{_which(busy)}: {free} GB are free, so another program uses it; nvidia-smi shows which"
        return job, [Finding("warning", "gpus", text)]
    text = f"{kinds}, driver {cuda.driver or 'unknown'}, CUDA {cuda.build}: a tensor works on each"
    return job, [Finding("ok", "gpus", text)]


def _no_start(cuda: Cuda, there: int) -> str:
    """Why CUDA gives no GPU although NVML counts some."""
    number, some = cuda.driver or "of unknown version", f"{there} GPU{'s' * (there > 1)}"
    if match := re.search(r"too old \(found version (\d+)\)", cuda.warning):
        version = int(match[1])  # 1000 major + 10 minor
        least = DRIVERS.get((cuda.build or "").split(".")[0], "a newer one")
        what = f"the driver {number} is for CUDA {version // 1000}.{version % 1000 // 10}, torch {cuda.torch} for "
        fix = f"install a driver of {least} or later, or a torch for this one: make setup TORCH_BACKEND=auto"
        return f"{some}, but {what}{cuda.build}; {fix}"
    why = cuda.warning.split(" (Triggered internally")[0].split("\n")[0] or "it does not say why"
    return f"{some}, driver {number}, but CUDA does not start ({why.rstrip('.')}); nvidia-smi, then restart the driver"


def _broken(gpus: tuple[Gpu, ...], cuda: Cuda) -> Iterator[str]:
    """GPUs on which a tensor failed, those of one fault together."""
    for fault, numbers in _grouped(gpu.fault for gpu in gpus):
        if not fault:
            continue
        gpu, fix = gpus[numbers[0]], "leave it out with CUDA_VISIBLE_DEVICES, or see nvidia-smi"
        if "no kernel image" in fault:
            fault = f"torch {cuda.torch} has no code for its compute capability {_dotted(gpu.capability)}"
            fix = "make setup TORCH_BACKEND=cu126" if gpu.capability < OLDEST_CODE else "install a newer torch"
        elif "out of memory" in fault or "busy or unavailable" in fault:
            fix = "another program uses it: nvidia-smi"
        yield f"{_which(numbers)} {gpu.name}: a tensor on it fails: {fault}; {fix}"


def _lacking(gpus: tuple[Gpu, ...], recipe: dict) -> Iterator[str]:
    """What the recipe asks for and GPUs older than Ampere do not have."""
    old = [number for number, gpu in enumerate(gpus) if (0, 0) < gpu.capability < AMPERE]
    for key, value, what, fix in NEEDS:
        if old and recipe.get(key) == value:
            gpu = gpus[old[0]]
            about = f"{_which(old)} {gpu.name} has compute capability {_dotted(gpu.capability)}"
            yield f"{about}, and {key}={str(value).lower()} needs 8.0 for {what}; {fix}"


def no_gpu() -> str:
    """Why torch sees no GPU although the machine has NVIDIA's driver, with the fix; "" if it has none."""
    import torch

    from train.checks.ask_gpus import driver

    if not (number := driver()):
        return ""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if torch.version.cuda is None:
        return f"the driver {number} is there, but torch {torch.__version__} is built without CUDA; make setup"
    if hidden is not None:
        return f"the driver {number} is there, but CUDA_VISIBLE_DEVICES={hidden} hides all; unset CUDA_VISIBLE_DEVICES"
    return f"the driver {number} is there; nvidia-smi says what is wrong, or, in a container, start it with --gpus all"


def _grouped(values: Iterable[str]) -> list[tuple[str, list[int]]]:
    """The values that differ, in order, with the numbers of the GPUs that have each."""
    groups: dict[str, list[int]] = {}
    for number, value in enumerate(values):
        groups.setdefault(value, []).append(number)
    return list(groups.items())


def _which(numbers: list[int]) -> str:
    if numbers == [*range(numbers[0], numbers[-1] + 1)] and len(numbers) > 2:
        return f"GPUs {numbers[0]} to {numbers[-1]}"
    return f"GPU{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
