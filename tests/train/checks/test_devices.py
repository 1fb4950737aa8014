"""GPUs that cannot do what a recipe asks for are named before it starts, from the answers of real machines."""

import subprocess
import sys

import pytest

from tests.helpers.machines import A100, BUSY, H100, NO_FABRIC, OLD_DRIVER, RTX_4090, T4, V100, gpu, machine
from tests.helpers.tiny_recipe import the_one
from train.checks import ask_gpus, devices
from train.checks.finding import Finding
from train.checks.job import Job
from train.gpus import PEAKS, peak_of

BF16 = {"do_train": True, "bf16": True}


def check(monkeypatch, cuda: devices.Cuda, recipe: dict, gpus: int | None = None, there: int | None = None):
    """The job and findings on a machine with these answers; NVML counts `there` GPUs, or as many as CUDA gives."""
    monkeypatch.setattr(devices, "visible_gpus", lambda: len(cuda.gpus) if there is None else there)
    monkeypatch.setattr(devices, "ask", lambda: cuda)
    return devices.check_devices(Job(recipe, gpus=gpus))


@pytest.mark.parametrize("kind", [A100, H100, RTX_4090])
def test_sound_gpus(monkeypatch, kind):
    job, findings = check(monkeypatch, machine(kind, kind, kind), BF16 | {"flash_attn": "fa2"})
    text = f"GPUs 0 to 2 {kind.name}, driver 580.65.06, CUDA 13.0: a tensor works on each"
    assert job.devices == (kind, kind, kind) and findings == [Finding("ok", "gpus", text)]


def test_a_driver_too_old_for_this_torch(monkeypatch):
    """NVML counts the GPUs all the same, so that a count says that all is well."""
    job, findings = check(monkeypatch, machine(driver="550.54.15", warning=OLD_DRIVER), BF16, there=8)
    text = the_one(findings)
    assert job.devices == () and text.startswith(
        "8 GPUs, but the driver 550.54.15 is for CUDA 12.4, torch 2.11.0+cu130"
    )
    assert "580" in text and text.endswith("make setup TORCH_BACKEND=auto")


def test_another_reason_why_cuda_does_not_start(monkeypatch):
    text = the_one(check(monkeypatch, machine(warning=NO_FABRIC), BF16, there=8)[1])
    assert "Error 802: system not yet initialized" in text and "Triggered" not in text


def test_gpus_without_code_in_this_torch(monkeypatch):
    text = the_one(check(monkeypatch, machine(V100, V100), {"do_train": True, "fp16": True})[1])
    assert text.startswith("GPUs 0, 1 Tesla V100-SXM2-16GB: ") and "compute capability 7.0" in text
    assert text.endswith("; make setup TORCH_BACKEND=cu126")


@pytest.mark.parametrize(
    ("keys", "fix"),
    [
        ({"bf16": True}, "bf16=false fp16=true"),
        ({"pure_bf16": True}, "pure_bf16=false fp16=true"),
        ({"flash_attn": "fa2", "fp16": True}, "flash_attn=sdpa"),
    ],
)
def test_what_a_t4_cannot_do(monkeypatch, keys, fix):
    text = the_one(check(monkeypatch, machine(A100, T4), {"do_train": True} | keys)[1])
    assert text.startswith("GPU 1 Tesla T4 has compute capability 7.5") and text.endswith(f"; {fix}")


def test_what_a_t4_can_do(monkeypatch):
    assert check(monkeypatch, machine(T4), {"do_train": True, "fp16": True})[1][0].level == "ok"


def test_gpus_that_others_use(monkeypatch):
    half = A100._replace(free=A100.memory // 2)
    text = the_one(check(monkeypatch, machine(A100, half), BF16)[1], "warning")
    assert text.startswith("GPU 1: 40 of 79 GB are free") and text.endswith("nvidia-smi shows which")
    assert check(monkeypatch, machine(A100, half), BF16, gpus=1)[1][0].level == "ok", "it will not be used"
    text = the_one(check(monkeypatch, machine(A100, A100._replace(free=0, fault=BUSY)), BF16)[1])
    assert text.startswith("GPU 1 ") and text.endswith("another program uses it: nvidia-smi")


@pytest.mark.parametrize(("gpus", "there"), [(8, 1), (0, 1), (None, 0)])
def test_gpus_of_another_machine_are_not_asked(monkeypatch, gpus, there):
    assert check(monkeypatch, machine(T4), BF16, gpus, there) == (Job(BF16, gpus=gpus), [])


def test_gpus_that_do_not_answer(monkeypatch):
    monkeypatch.setattr(devices, "visible_gpus", lambda: 8)

    def run(done: subprocess.CompletedProcess | Exception):
        def started(*args, **kwargs):
            if isinstance(done, Exception):
                raise done
            return done

        monkeypatch.setattr(subprocess, "run", started)
        return the_one(devices.check_devices(Job(BF16))[1])

    assert "180 s" in run(subprocess.TimeoutExpired("python", 180))
    died = subprocess.CompletedProcess([], -11, "", "Fatal Python error: Segmentation fault\n")
    assert "Fatal Python error: Segmentation fault; " in run(died)


@pytest.mark.slow  # imports torch in a process of its own
def test_this_machine_answers():
    cuda = devices.ask()
    assert cuda.torch.startswith("2.11.0") and cuda.build == "13.0" and all(not gpu.fault for gpu in cuda.gpus)


@pytest.mark.parametrize(
    "text",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.161.08  Sat Feb  9 22:57:57 UTC 2024\nGCC version: 12.3.0",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.161.08  Release Build  (dvs-builder@U22)",
    ],
)
def test_the_driver(tmp_path, monkeypatch, text):
    monkeypatch.setattr(ask_gpus, "DRIVER", tmp_path / "version")
    assert ask_gpus.driver() == ""
    (tmp_path / "version").write_text(text)
    assert ask_gpus.driver() == "535.161.08"


@pytest.mark.slow  # imports torch
def test_gpus_that_torch_does_not_see(tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(ask_gpus, "DRIVER", tmp_path / "version")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.no_gpu() == ""
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06\n")
    assert "nvidia-smi" in devices.no_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.no_gpu().endswith("; unset CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert devices.no_gpu().endswith("; make setup")


def test_asking_starts_no_cuda_here():
    code = "import sys; import train.checks.devices, train.checks.ask_gpus; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", 835),
        ("NVIDIA L40S", 362),
        ("NVIDIA L4", 121),
        ("NVIDIA A10G", 70),
        ("NVIDIA RTX A6000", 154.8),
        ("NVIDIA RTX 6000 Ada Generation", 364.2),
        ("NVIDIA GeForce RTX 4090", 165.2),
    ],
)
def test_the_peak_of_a_gpu(name, tflops):
    assert peak_of(name).tflops == tflops


def test_peaks():
    assert peak_of("Radeon VII") is peak_of("NVIDIA GeForce GTX 1080 Ti") is None
    assert [peak_of(peak.name) for peak in PEAKS] == list(PEAKS), "a row above takes the GPUs of one below"


def test_a_fault_names_its_gpu(monkeypatch):
    broken = gpu(A100.name, (8, 0), A100.memory, fault="CUDA error: uncorrectable ECC error encountered")
    text = the_one(check(monkeypatch, machine(A100, A100, broken), BF16)[1])
    assert text.startswith("GPU 2 NVIDIA A100-SXM4-80GB: a tensor on it fails: CUDA error: uncorrectable ECC error")
