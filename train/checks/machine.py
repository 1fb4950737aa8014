"""Does this machine have what the recipe needs: versions, programs, GPUs, the batch, a free port?"""

import os
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from train.checks import devices
from train.checks.finding import Finding
from train.checks.job import Checked, Job
from train.machines import switched_on, visible_gpus
from train.recipe import clipping, share

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
# Read: wrong gradients without a word from 0.17.6 to 0.18.2 (DeepSpeed's issue 7718), and to 0.19.3 where a module gets
# gradients twice in one backward pass (issue 8224). Measured here with two processes on a CPU: 0.18.4 equals plain DDP.
BAD_ZERO2 = (
    "deepspeed",
    ">=0.17.6,<=0.19.3",
    "is reported to compute wrong gradients with ZeRO-2 (R)",
    "0.19.8",
)
GPU_KEYS = ("deepspeed", "bf16", "pure_bf16", "fp16", "bf16_full_eval")


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def check_versions(job: Job) -> Checked:
    texts = [*_bad_packages([*BAD, *[BAD_ZERO3] * (job.zero.stage == 3)]), *_pairs(), *_missing_packages(job)]
    warnings = _bad_packages([BAD_ZERO2] * (job.zero.stage == 2))
    packages = ("llamafactory", "transformers", "torch", "deepspeed")
    installed = ", ".join(f"{name} {number}" for name in packages if (number := _installed(name)))
    findings = [Finding("error", "versions", text) for text in texts]
    findings += [Finding("warning", "versions", text) for text in warnings]
    return job, findings or [Finding("ok", "versions", installed)]


def _bad_packages(rows: Iterable[tuple[str, str, str, str]]) -> Iterator[str]:
    from packaging.specifiers import SpecifierSet

    for package, bad, why, good in rows:
        number = _installed(package)
        if number and SpecifierSet(bad).contains(number, prereleases=True):
            yield f"{package} {number} {why}; pip install {package}=={good}"


def _pairs() -> Iterator[str]:
    torch = _installed("torch") or ""
    minor = int(torch.split(".")[1]) if torch.startswith("2.") else 0
    # torchaudio has torch's number, torchvision 0.(minor + 15): the tables in their READMEs.
    for package, pair in (("torchvision", f"0.{minor + 15}"), ("torchaudio", f"2.{minor}")) if minor else ():
        other = _installed(package)
        if other and other.split(".")[:2] != pair.split("."):
            yield f"{package} {other} is not the one for torch {torch}; pip install '{package}=={pair}.*'"


def _missing_packages(job: Job) -> Iterator[str]:
    recipe, generates = job.recipe, job.recipe.get("predict_with_generate")
    for package, wanted, key in (
        ("deepspeed", recipe.get("deepspeed"), "deepspeed"),
        *((package, generates, "predict_with_generate") for package in ("jieba", "nltk", "rouge-chinese")),
        ("liger-kernel", recipe.get("enable_liger_kernel"), "enable_liger_kernel"),
        ("ray", by_ray(job), "USE_RAY=1"),
    ):
        if wanted and not _installed(package):
            yield f"{key} needs {package}; pip install {package}"


def _number(variable: str, default: int) -> int:
    """A number in the environment; `default` for what is not a number, which `check_port` reports."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else default


def by_ray(job: Job) -> bool:
    """Whether Ray starts the processes, not torchrun."""
    return switched_on("USE_RAY") or "USE_RAY=1" in job.header.command


def wanted_gpu(recipe: dict) -> list[str]:
    """The keys of the recipe that only a GPU does, or does in reasonable time."""
    return [] if recipe.get("use_cpu") else [key for key in GPU_KEYS if recipe.get(key)]


def check_gpus(job: Job) -> Checked:
    """Fill `processes`. Are there GPUs, and is the global batch the one that the header promises?"""
    local = job.gpus
    if local is None:
        there = visible_gpus()
        local = there and _number("NPROC_PER_NODE", there)
    processes = local * _number("NNODES", 1)
    if by_ray(job) and job.batch:  # its workers are on any machines
        processes = job.parsed.training.ray_num_workers
    job = replace(job, local=local, processes=processes)
    keys = wanted_gpu(job.recipe)
    if not processes and keys:
        fix = "start it where nvidia-smi lists some, or use --gpus N to check for another machine"
        fix = devices.no_gpu() if job.gpus is None and devices.no_gpu() else fix
        about = f"no GPU is visible, and the recipe wants one ({', '.join(keys)})"
        return job, [Finding("error", "gpus", f"{about}; {fix}")]
    if not processes:
        return job, [Finding("ok", "gpus", "none, and the recipe needs none")]
    machines = f" on {processes // local} machines" if processes > local > 0 else ""
    texts, about = _torchrun(job, local), f"{processes} GPU{'s' * (processes > 1)}{machines}"
    if job.header.gpus and job.trains and job.batch:
        size, steps = job.batch
        about += f" x {size} x {steps} = {processes * size * steps}"
        if fix := _other_batch(job):
            texts.append(f"{about}, {fix}")
        about += ", as the header says"
    return job, [Finding("error", "gpus", text) for text in texts] or [Finding("ok", "gpus", about)]


def _torchrun(job: Job, local: int) -> list[str]:
    texts, deepspeed, ray = [], job.recipe.get("deepspeed"), by_ray(job)
    if not ray and (deepspeed or job.processes > 1) and not shutil.which("torchrun"):
        fix = f'export PATH="{Path(sys.executable).parent}:$PATH"'
        texts.append(f"torchrun is not on PATH, and LLaMA-Factory starts it by name; {fix}")
    forced = ray or "FORCE_TORCHRUN=1" in job.header.command or switched_on("FORCE_TORCHRUN")
    if deepspeed and local == 1 and not forced:
        texts.append("deepspeed starts under torchrun only; FORCE_TORCHRUN=1 in front of llamafactory-cli")
    return texts


def _other_batch(job: Job) -> str:
    """The settings that give the promised global batch; "" if it is the one that the recipe gives."""
    (size, steps), promised = job.batch, job.header.global_batch
    if job.processes * size * steps == promised:
        return ""
    try:
        fits, steps = share(promised, job.processes, size)
    except ValueError as error:
        return str(error)
    less = f"per_device_train_batch_size={fits} " if fits != size else ""
    limit = f" {limit}" if (limit := clipping(job.recipe, steps)) else ""
    return f"but the header promises a batch of {promised}; {less}gradient_accumulation_steps={steps}{limit}"


def expected_gpus(job: Job) -> int:
    """GPUs of the whole run: those that it gets, else those of the header; at least 1."""
    return job.processes or (job.header.gpus if wanted_gpu(job.recipe) else None) or 1


def check_port(job: Job) -> Checked:
    """Do the processes know where to meet, and is that port free? It is this machine's if it is the first one."""
    env, fault = os.environ, ""
    nodes, rank, port = _number("NNODES", 1), _number("NODE_RANK", 0), _number("MASTER_PORT", 0)
    needed = {"MASTER_ADDR": "FIRST_MACHINE", "MASTER_PORT": "29500", "NODE_RANK": "0, 1, ..."}
    if "SLURM_JOB_ID" in env:
        needed.pop("NODE_RANK")  # a sweep gives each task of a Slurm step its rank
    odd = [key for key in ("NNODES", "NPROC_PER_NODE", "NODE_RANK", "MASTER_PORT") if not env.get(key, "0").isdecimal()]
    if odd:
        fault = f"{odd[0]}={env[odd[0]]}: is not a number; export {odd[0]}=NUMBER"
    elif missing := [key for key in needed if nodes > 1 and key not in env]:
        fault = f"NNODES={nodes}, but {missing[0]} is not set; export {missing[0]}={needed[missing[0]]}"
    if fault:
        return job, [Finding("error", "port", fault)]
    if not port or rank:
        return job, []
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as torchrun does: a port just left is free
        try:
            probe.bind(("", port))
        except (OSError, OverflowError) as error:
            text = f"port {port} cannot be used ({getattr(error, 'strerror', None) or error})"
            return job, [Finding("error", "port", f"{text}; choose another: export MASTER_PORT=29501")]
    return job, [Finding("ok", "port", f"{port} is free")]
