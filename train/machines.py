"""How a sweep starts its steps: on how many machines, with how many processes."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

PROGRAMS = ("python", "torchrun", "llamafactory-cli")
# What each task of a Slurm step tells the host and torchrun: which machine it is.
TASK = 'export NODE_RANK=$SLURM_NODEID PET_NODE_RANK=$SLURM_NODEID; exec "$@"'


def switched_on(variable: str) -> bool:
    """Whether a switch in the environment is on, as LLaMA-Factory reads it."""
    return os.environ.get(variable, "0").lower() in ("1", "true", "y")


def machines() -> int:
    """How many machines train together: NNODES. Raises ValueError if this is not a Slurm job, which starts them all."""
    count = os.environ.get("NNODES", "1")
    if not count.isdecimal() or int(count) < 1:
        raise ValueError(f"NNODES={count} is not a number of machines; export NNODES=NUMBER")
    if int(count) > 1 and "SLURM_JOB_ID" not in os.environ:
        raise ValueError("NNODES > 1: a sweep starts several machines through Slurm only: sbatch recipes/slurm.sh")
    return int(count)


def on_all_machines(command: list[str], nodes: int) -> list[str]:
    """The command as a Slurm step, one task a machine."""
    if nodes == 1:
        return command
    step = ["srun", f"--nodes={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    return [*step, "bash", "-c", TASK, "-", *command]


def installed(command: Sequence[str]) -> list[str]:
    """A command as it is started: with the programs of this Python, whatever the first ones on PATH are."""
    folder = Path(sys.executable).parent
    return [str(folder / word) if word in PROGRAMS and (folder / word).exists() else word for word in command]


def on_all_gpus(script: list[str], gpus: int, nodes: int) -> list[str]:
    """The command of a Python script of ours and its arguments: a process for each GPU, under torchrun if several."""
    if gpus * nodes <= 1:
        return ["python", *script]
    rendezvous = ["--standalone"]  # a free port of this machine
    if nodes > 1:  # the rank of the machine: TASK
        names = ("MASTER_ADDR", "MASTER_PORT")
        rendezvous = [
            f"--nnodes={nodes}",
            *(f"--{name.lower()}={os.environ[name]}" for name in names if name in os.environ),
        ]
    return on_all_machines(["torchrun", *rendezvous, f"--nproc_per_node={max(gpus, 1)}", *script], nodes)


def environment(gpus: int, nodes: int, deepspeed: bool) -> dict[str, str]:
    """For the host: gpus processes on each machine, under torchrun if these are several or DeepSpeed wants it."""
    env = dict(os.environ) | {"NPROC_PER_NODE": str(max(gpus, 1))}
    if gpus * nodes > 1 or deepspeed:
        env["FORCE_TORCHRUN"] = "1"
    return env


def visible_gpus() -> int:
    import torch  # seconds; a sweep that is finished does not need it

    return torch.cuda.device_count()
