"""Has each machine the memory that its processes need beside that of the GPUs?

What is counted, and why (transformers 5.2.0, LLaMA-Factory 0.9.5, DeepSpeed 0.19.8, read; measured where it says so):

- loading: nothing. With ZeRO-3 each process reads the whole checkpoint (modeling_utils.py: load_state_dict of every
  file), but maps the files (measured with 512 MB of safetensors in two processes: no memory of their own; the pages are
  the kernel's, which both share and it drops when needed), and zero.Init splits each parameter over the GPUs as it
  is made (get_init_context). Without ZeRO-3 the model is made without memory and filled from mapped files.
- processes: PROCESS each, WORKER for each loader of images, and for those that tokenize, whichever are more.
- offloading: 16 bytes a trained parameter, and 2 for each whose weight is offloaded, shared by the machines and times
  1.5 for buffers (stage3.py: estimate_zero3_model_states_mem_needs).
- saving with ZeRO-3: the first process collects all 16-bit weights (stage3_gather_16bit_weights_on_model_save).
"""

from pathlib import Path
from typing import NamedTuple

from train.checks.finding import Finding
from train.checks.job import Checked, Job
from train.checks.machine import wanted_gpu

GIB = 2**30
PROCESS = 4 * GIB  # our choice: 1 GB of imports was measured; CUDA's and NCCL's part was not
WORKER = GIB // 2  # our choice: what a forked process has of its own, and two batches of images ahead
TIGHT = 0.8  # of what is available: warning (our choice)
CGROUP = Path("/sys/fs/cgroup")


def check_host_memory(job: Job) -> Checked:
    """Compare the need with what this machine has, if it has the GPUs."""
    if not (job.trains and job.parsed and job.count and (job.local or wanted_gpu(job.recipe))):
        return job, []
    need = host_need(job)
    if not job.devices:  # it runs elsewhere
        text = f"about {sum(need) / GIB:,.0f} GB on each machine; this is not one of them, so nothing is compared"
        return job, [Finding("ok", "host memory", text)]
    free = available()
    text = f"about {sum(need) / GIB:,.0f} of {free / GIB:,.0f} GB that are available"
    if sum(need) <= TIGHT * free:
        return job, [Finding("ok", "host memory", text)]
    fixes = ["fewer dataloader_num_workers and preprocessing_num_workers"]
    if job.zero.offloads:
        fixes.insert(0, "more machines, or a DeepSpeed file without offload_optimizer")
    fixes.append("in a Slurm job more --mem")
    # PROCESS and WORKER are guesses, which should stop nobody.
    level = "error" if need.weights > free else "warning"
    return job, [Finding(level, "host memory", f"{text}; {', or '.join(fixes)}")]


class HostNeed(NamedTuple):
    """Bytes on each machine."""

    processes: float
    weights: float  # offloaded, and collected to be saved


def host_need(job: Job) -> HostNeed:
    local = max(job.local, 1)
    share = local / max(job.processes, local)  # of the machines' work
    args, workers = job.parsed.training, job.parsed.data.preprocessing_num_workers or 1
    processes = local * PROCESS + max(local * args.dataloader_num_workers, workers) * WORKER
    offloaded = 16 * job.count.trained * job.zero.offloads + 2 * job.count.all * job.zero.offloads_weights
    gathered = 2 * job.count.all if job.zero.stage == 3 and job.zero.gathers else 0
    return HostNeed(processes, 1.5 * share * offloaded + gathered)


def available() -> float:
    """Bytes that processes can still take, of the machine or of the container or job that this runs in."""
    import psutil

    return min(psutil.virtual_memory().available, *map(_left, _cgroups()))


def _cgroups() -> list[Path]:
    """The folders of this process's control group and of those above it; of version 1, of its memory."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return [CGROUP]
    folders = [CGROUP]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root = CGROUP / controllers
            inner = root / path.lstrip("/")
            folders += [folder for folder in (inner, *inner.parents) if folder.is_relative_to(root)]
    return folders


def _left(folder: Path) -> float:
    """Bytes of a control group's limit that its processes have not taken; inf if it has no limit."""
    for limit, taken in (("memory.max", "anon"), ("memory.limit_in_bytes", "total_rss")):
        try:
            text = (folder / limit).read_text(encoding="utf-8").strip()
            rows = (line.split() for line in (folder / "memory.stat").read_text(encoding="utf-8").splitlines())
            if text.isdecimal():  # not "max"
                return max(0.0, int(text) - float(dict(rows).get(taken, 0)))
        except (OSError, ValueError):  # not this version of control groups
            continue
    return float("inf")
