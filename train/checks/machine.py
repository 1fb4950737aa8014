"""Does this machine have what the recipe needs: versions, programs, GPUs, the batch, a free port?"""

import errno
import os
import shutil
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.specifiers import SpecifierSet

from train.checks.finding import Finding
from train.recipe import Header

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


def versions(recipe: dict, zero3: bool, ray: bool) -> list[Finding]:
    """Known-bad and missing packages."""
    found = []
    for package, bad, why, good in (*BAD, *([BAD_ZERO3] if zero3 else [])):
        have = _installed(package)
        if have and SpecifierSet(bad).contains(have, prereleases=True):
            found.append(Finding("error", "versions", f"{package} {have} {why}; pip install {package}=={good}"))
    if have := _installed("torch"):
        major, minor = map(int, have.split(".")[:2])
        # torchaudio has torch's number, torchvision 0.(minor + 15): the tables in their READMEs.
        for package, pair in (("torchvision", f"0.{minor + 15}"), ("torchaudio", f"{major}.{minor}")):
            other = _installed(package)
            if major == 2 and other and other.split(".")[:2] != pair.split("."):
                text = f"{package} {other} is not the one for torch {have}; pip install '{package}=={pair}.*'"
                found.append(Finding("error", "versions", text))
    needed = [
        ("deepspeed", recipe.get("deepspeed"), "deepspeed"),
        ("jieba", recipe.get("predict_with_generate"), "predict_with_generate"),
        ("nltk", recipe.get("predict_with_generate"), "predict_with_generate"),
        ("rouge-chinese", recipe.get("predict_with_generate"), "predict_with_generate"),
        ("liger-kernel", recipe.get("enable_liger_kernel"), "enable_liger_kernel"),
        ("flash-attn", recipe.get("flash_attn") == "fa2", "flash_attn=fa2"),
        ("ray", ray, "USE_RAY=1"),
    ]
    for package, wanted, by in needed:
        if wanted and not _installed(package):
            found.append(Finding("error", "versions", f"{by} needs {package}; pip install {package}"))
    named = ("llamafactory", "transformers", "torch", "deepspeed")
    known = ", ".join(f"{name} {have}" for name in named if (have := _installed(name)))
    return found or [Finding("ok", "versions", known)]


def _number(variable: str, default: int) -> int:
    """A number in the environment; `default` for what is none, which `port` complains of."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else default


def by_ray(command: str) -> bool:
    """Whether Ray starts the processes. command: the one in the recipe's header."""
    return _on("USE_RAY") or "USE_RAY=1" in command


def processes(told: int | None) -> tuple[int, int]:
    """(GPUs of this machine, of the whole run). told: what --gpus says; else those that torch sees."""
    if told is None:
        import torch

        told = torch.cuda.device_count()
        told = _number("NPROC_PER_NODE", told) if told else 0
    return told, told * _number("NNODES", 1)


def wanted_gpu(recipe: dict) -> list[str]:
    """The keys of the recipe that only a GPU does, or does in reasonable time."""
    return [] if recipe.get("use_cpu") else [key for key in GPU_KEYS if recipe.get(key)]


def gpus(
    recipe: dict, said: Header, here: int, all_: int, batch: tuple[int, int] | None, ray: bool = False
) -> list[Finding]:
    """Are there GPUs, and is the global batch the one that the header promises?

    here, all_: GPUs of this machine and of the run; batch: of one GPU, and steps that are accumulated; ray: whether
    Ray starts the processes, not torchrun.
    """
    found = []
    if not all_:
        if wants := wanted_gpu(recipe):
            fix = "start it where nvidia-smi lists some, or say --gpus N to check for another machine"
            about = f"no GPU is visible, and the recipe wants one ({', '.join(wants)})"
            return [Finding("error", "gpus", f"{about}; {fix}")]
        return [Finding("ok", "gpus", "none, and the recipe needs none")]
    if not ray and (recipe.get("deepspeed") or all_ > 1) and not shutil.which("torchrun"):
        fix = f'export PATH="{Path(sys.executable).parent}:$PATH"'
        found.append(Finding("error", "gpus", f"torchrun is not on PATH, and LLaMA-Factory starts it by name; {fix}"))
    forced = ray or "FORCE_TORCHRUN=1" in said.command or _on("FORCE_TORCHRUN")
    if recipe.get("deepspeed") and here == 1 and not forced:
        text = "deepspeed starts under torchrun only; FORCE_TORCHRUN=1 in front of llamafactory-cli"
        found.append(Finding("error", "gpus", text))
    machines = f"{all_} GPU{'s' * (all_ > 1)}" + (f" on {all_ // here} machines" if all_ > here > 0 else "")
    if said.gpus is None or not recipe.get("do_train") or batch is None:
        return found or [Finding("ok", "gpus", machines)]
    promised, (one, steps) = said.gpus * said.batch * said.accumulation, batch
    about = f"{machines} x {one} x {steps} = {all_ * one * steps}"
    if all_ * one * steps != promised:
        if promised % all_:
            most = max(number for number in range(1, all_) if promised % number == 0)
            fix = f"use {most} GPUs: CUDA_VISIBLE_DEVICES, and --gpus here"
        else:
            fits = max(size for size in range(1, max(one, 1) + 1) if promised // all_ % size == 0)
            less = f"per_device_train_batch_size={fits} " if fits != one else ""
            fix = f"{less}gradient_accumulation_steps={promised // all_ // fits}"
        found.append(Finding("error", "gpus", f"{about}, but the header promises a batch of {promised}; {fix}"))
    return found or [Finding("ok", "gpus", f"{about}, as the header says")]


def port() -> list[Finding]:
    """Do the processes know where to meet, and is that port free? It is this machine's if it is the first one."""
    for key in ("NNODES", "NPROC_PER_NODE", "NODE_RANK", "MASTER_PORT"):
        if not os.environ.get(key, "0").isdecimal():
            return [Finding("error", "port", f"{key}={os.environ[key]}: is no number; export {key}=NUMBER")]
    nodes, rank, number = (
        _number(key, default) for key, default in (("NNODES", 1), ("NODE_RANK", 0), ("MASTER_PORT", 0))
    )
    needed = {"MASTER_ADDR": "FIRST_MACHINE", "MASTER_PORT": "29500"}
    if "SLURM_JOB_ID" not in os.environ:  # a sweep tells each task of a Slurm step its rank
        needed["NODE_RANK"] = "0, 1, ..."
    for key, meant in needed.items():
        if nodes > 1 and key not in os.environ:
            return [Finding("error", "port", f"NNODES={nodes}, but {key} is not set here; export {key}={meant}")]
    if not number or rank:
        return []
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as torchrun does: a port just left is free
        try:
            probe.bind(("", number))
        except (OSError, OverflowError) as error:
            used = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            why = "is in use" if used else f"cannot be used ({error})"
            return [Finding("error", "port", f"port {number} {why}; choose another: export MASTER_PORT=29501")]
    return [Finding("ok", "port", f"{number} is free")]
