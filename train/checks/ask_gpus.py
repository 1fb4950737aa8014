"""What this machine's GPUs answer, as JSON: python -m train.checks.ask_gpus

A program of its own, since a process that has used CUDA keeps memory of every GPU until it ends.
"""

import json
import re
import warnings
from pathlib import Path

DRIVER = Path("/proc/driver/nvidia/version")
LENGTH = 1024  # of the tensor


def ask() -> dict:
    """The driver, torch's build, what CUDA warns of, and a row for each GPU that CUDA gives.

    Without a driver that this torch can use CUDA gives none, although NVML counts them.
    """
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gpus = [look(number) for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    warning = " ".join(str(entry.message) for entry in caught)
    return {
        "torch": torch.__version__,
        "build": torch.version.cuda,
        "driver": driver(),
        "warning": warning,
        "gpus": gpus,
    }


def look(number: int) -> dict:
    """Name, capability and memory (bytes) of a GPU, and "fault": why a tensor on it failed, "" if it did not."""
    import torch

    gpu = {"name": "", "capability": [0, 0], "memory": 0, "free": 0, "fault": ""}
    try:
        seen = torch.cuda.get_device_properties(number)
        gpu |= {"name": seen.name, "capability": [seen.major, seen.minor], "memory": seen.total_memory}
        total = torch.ones(LENGTH, device=f"cuda:{number}").sum().item()
        gpu["free"] = torch.cuda.mem_get_info(number)[0]
        if total != LENGTH:
            gpu["fault"] = f"the sum of {LENGTH} ones is {total:g}"
    except (
        Exception
    ) as error:  # RuntimeError, AssertionError, torch.AcceleratorError ...: the other GPUs are asked, too
        gpu["fault"] = str(error).strip().split("\n")[0] or type(error).__name__
    return gpu


def driver() -> str:
    """The version of NVIDIA's kernel module, "" if it is not known."""
    try:
        match = re.search(r"\b\d{3}\.\d+(\.\d+)?\b", DRIVER.read_text(encoding="utf-8"))
    except OSError:
        return ""
    return match[0] if match else ""


if __name__ == "__main__":
    print(json.dumps(ask()))
