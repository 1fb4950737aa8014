"""Does this machine have what the recipe needs: versions, programs, GPUs, the batch, a free port?"""

import errno
import os
import shutil
import socket
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from train.checks.finding import Finding
from train.checks.job import Checked, Job

# Beside these, transformers 5.3.0-5.5.3 misplace still images (M; its issue 45325), 5.6.0 is broken for FlashAttention.
# Package, versions, what is wrong with them, what to install. M: measured here or for this project, R: read.
BAD = (
    ("transformers", ">=4.54,<4.57", "decodes left-padded batches wrongly (M; its issue 40136)", "5.2.0"),
    ("transformers", "==4.57.1", "saves checkpoints that load as another model type (M)", "5.2.0"),
    ("transformers", ">=5.3", "places image tokens like words in LLaMA-Factory 0.9.5's do_predict (M)", "5.2.0"),
    ("torch", "==2.9.*", "is slow in Conv3d, and LLaMA-Factory refuses it (R: model/loader.py)", "2.11.0"),
)
# 0.16.9 and 0.18.4 measured with two processes on a CPU: the loss prints 0 and the run ends with success.
BAD_ZERO3 = ("deepspeed", "<0.19.8", "can train on garbage with ZeRO-3 (M: 0.16.9, 0.18.4 on a CPU)", "0.19.8")
GPU_KEYS = ("deepspeed", "bf16", "pure_bf16", "fp16", "bf16_full_eval")


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _on(switch: str) -> bool:
    """Whether a switch in the environment is on, as LLaMA-Factory reads it."""
    return os.environ.get(switch, "0").lower() in ("1", "true", "y")


def check_versions(job: Job) -> Checked:
    """Known-bad and missing packages."""
    findings = [*_bad_packages(job.zero.stage == 3), *_unmatched_packages(), *_missing_packages(job)]
    packages = ("llamafactory", "transformers", "torch", "deepspeed")
    installed = ", ".join(f"{name} {number}" for name in packages if (number := _installed(name)))
    return job, findings or [Finding("ok", "versions", installed)]


def _bad_packages(zero3: bool) -> list[Finding]:
    from packaging.specifiers import SpecifierSet

    findings = []
    for package, bad, why, good in (*BAD, *([BAD_ZERO3] if zero3 else [])):
        number = _installed(package)
        if number and SpecifierSet(bad).contains(number, prereleases=True):
            findings.append(Finding("error", "versions", f"{package} {number} {why}; pip install {package}=={good}"))
    return findings


def _unmatched_packages() -> list[Finding]:
    number = _installed("torch")
    if not number or not number.startswith("2."):
        return []
    minor, findings = int(number.split(".")[1]), []
    # torchaudio has torch's number, torchvision 0.(minor + 15): the tables in their READMEs.
    for package, pair in (("torchvision", f"0.{minor + 15}"), ("torchaudio", f"2.{minor}")):
        other = _installed(package)
        if other and other.split(".")[:2] != pair.split("."):
            text = f"{package} {other} is not the one for torch {number}; pip install '{package}=={pair}.*'"
            findings.append(Finding("error", "versions", text))
    return findings


def _missing_packages(job: Job) -> list[Finding]:
    recipe = job.recipe
    needed = [
        ("deepspeed", recipe.get("deepspeed"), "deepspeed"),
        ("jieba", recipe.get("predict_with_generate"), "predict_with_generate"),
        ("nltk", recipe.get("predict_with_generate"), "predict_with_generate"),
        ("rouge-chinese", recipe.get("predict_with_generate"), "predict_with_generate"),
        ("liger-kernel", recipe.get("enable_liger_kernel"), "enable_liger_kernel"),
        ("flash-attn", recipe.get("flash_attn") == "fa2", "flash_attn=fa2"),
        ("ray", by_ray(job), "USE_RAY=1"),
    ]
    return [
        Finding("error", "versions", f"{key} needs {package}; pip install {package}")
        for package, wanted, key in needed
        if wanted and not _installed(package)
    ]


def _number(variable: str, default: int) -> int:
    """A number in the environment; `default` for what is not a number, which `check_port` reports."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else default


def by_ray(job: Job) -> bool:
    """Whether Ray starts the processes, not torchrun."""
    return _on("USE_RAY") or "USE_RAY=1" in job.header.command


def local_gpus(job: Job) -> int:
    """GPUs of this machine: what --gpus says, else those that torch sees."""
    if job.gpus is not None:
        return job.gpus
    import torch

    visible = torch.cuda.device_count()
    return _number("NPROC_PER_NODE", visible) if visible else 0


def wanted_gpu(recipe: dict) -> list[str]:
    """The keys of the recipe that only a GPU does, or does in reasonable time."""
    return [] if recipe.get("use_cpu") else [key for key in GPU_KEYS if recipe.get(key)]


def check_gpus(job: Job) -> Checked:
    """Fill `processes`. Are there GPUs, and is the global batch the one that the header promises?"""
    local = local_gpus(job)
    processes = local * _number("NNODES", 1)
    if by_ray(job) and job.batch:  # its workers are on any machines
        processes = job.parsed.training.ray_num_workers
    job = replace(job, processes=processes)
    if not processes:
        if keys := wanted_gpu(job.recipe):
            fix = "start it where nvidia-smi lists some, or use --gpus N to check for another machine"
            about = f"no GPU is visible, and the recipe wants one ({', '.join(keys)})"
            return job, [Finding("error", "gpus", f"{about}; {fix}")]
        return job, [Finding("ok", "gpus", "none, and the recipe needs none")]
    machines = f"{processes} GPU{'s' * (processes > 1)}"
    if processes > local > 0:
        machines += f" on {processes // local} machines"
    findings = _torchrun(job, local)
    if job.header.gpus is None or not job.trains or job.batch is None:
        return job, findings or [Finding("ok", "gpus", machines)]
    size, steps = job.batch
    about = f"{machines} x {size} x {steps} = {processes * size * steps}"
    if fix := _other_batch(job):
        findings.append(Finding("error", "gpus", f"{about}, {fix}"))
    return job, findings or [Finding("ok", "gpus", f"{about}, as the header says")]


def _torchrun(job: Job, local: int) -> list[Finding]:
    """Can the processes be started?"""
    findings, deepspeed, ray = [], job.recipe.get("deepspeed"), by_ray(job)
    if not ray and (deepspeed or job.processes > 1) and not shutil.which("torchrun"):
        fix = f'export PATH="{Path(sys.executable).parent}:$PATH"'
        text = f"torchrun is not on PATH, and LLaMA-Factory starts it by name; {fix}"
        findings.append(Finding("error", "gpus", text))
    forced = ray or "FORCE_TORCHRUN=1" in job.header.command or _on("FORCE_TORCHRUN")
    if deepspeed and local == 1 and not forced:
        text = "deepspeed starts under torchrun only; FORCE_TORCHRUN=1 in front of llamafactory-cli"
        findings.append(Finding("error", "gpus", text))
    return findings


def _other_batch(job: Job) -> str:
    """Why the global batch is not the promised one, with the settings that give it; "" if it is."""
    (size, steps), processes, header = job.batch, job.processes, job.header
    promised = header.gpus * header.batch * header.accumulation
    if processes * size * steps == promised:
        return ""
    if promised % processes:
        most = max(number for number in range(1, processes) if promised % number == 0)
        fix = f"use {most} GPUs: CUDA_VISIBLE_DEVICES, and --gpus here"
    else:
        fits = max(number for number in range(1, max(size, 1) + 1) if promised // processes % number == 0)
        less = f"per_device_train_batch_size={fits} " if fits != size else ""
        fix = f"{less}gradient_accumulation_steps={promised // processes // fits}"
    return f"but the header promises a batch of {promised}; {fix}"


def expected_gpus(job: Job) -> int:
    """GPUs of the whole run: those that it gets, else those of the header; at least 1."""
    return job.processes or (job.header.gpus if wanted_gpu(job.recipe) else None) or 1


def check_port(job: Job) -> Checked:
    """Do the processes know where to meet, and is that port free? It is this machine's if it is the first one."""
    for key in ("NNODES", "NPROC_PER_NODE", "NODE_RANK", "MASTER_PORT"):
        if not os.environ.get(key, "0").isdecimal():
            text = f"{key}={os.environ[key]}: is not a number; export {key}=NUMBER"
            return job, [Finding("error", "port", text)]
    nodes, rank, port = _number("NNODES", 1), _number("NODE_RANK", 0), _number("MASTER_PORT", 0)
    needed = {"MASTER_ADDR": "FIRST_MACHINE", "MASTER_PORT": "29500"}
    if "SLURM_JOB_ID" not in os.environ:  # a sweep gives each task of a Slurm step its rank
        needed["NODE_RANK"] = "0, 1, ..."
    if missing := [key for key in needed if nodes > 1 and key not in os.environ]:
        key = missing[0]
        text = f"NNODES={nodes}, but {key} is not set; export {key}={needed[key]}"
        return job, [Finding("error", "port", text)]
    if not port or rank:
        return job, []
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as torchrun does: a port just left is free
        try:
            probe.bind(("", port))
        except (OSError, OverflowError) as error:
            used = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            reason = "is in use" if used else f"cannot be used ({getattr(error, 'strerror', None) or error})"
            text = f"port {port} {reason}; choose another: export MASTER_PORT=29501"
            return job, [Finding("error", "port", text)]
    return job, [Finding("ok", "port", f"{port} is free")]
