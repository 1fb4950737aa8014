"""How a sweep starts its steps: on how many machines, with how many processes."""

import os


def machines() -> int:
    """How many machines train together: NNODES. Raises ValueError if this is not a Slurm job, which starts them all."""
    told = os.environ.get("NNODES", "1")
    if not told.isdecimal() or int(told) < 1:
        raise ValueError(f"NNODES={told}: is no number of machines; export NNODES=NUMBER")
    if int(told) > 1 and "SLURM_JOB_ID" not in os.environ:
        raise ValueError("NNODES > 1: a sweep starts several machines through Slurm only: sbatch recipes/slurm.sh")
    return int(told)


def on_all_machines(command: list[str], nodes: int) -> list[str]:
    """The command as a Slurm step, one task a machine, each told which one it is."""
    if nodes == 1:
        return command
    tell = ["bash", "-c", 'NODE_RANK=$SLURM_NODEID exec "$@"', "-"]
    return ["srun", f"--nodes={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1", *tell, *command]


def environment(gpus: int, nodes: int, deepspeed: bool) -> dict[str, str]:
    """For the host: gpus processes on each machine, under torchrun where there are several or DeepSpeed wants it."""
    env = dict(os.environ) | {"NPROC_PER_NODE": str(max(gpus, 1))}
    if gpus * nodes > 1 or deepspeed:
        env["FORCE_TORCHRUN"] = "1"
    return env


def visible_gpus() -> int:
    import torch  # seconds; a sweep that is finished does not need it

    return torch.cuda.device_count()
