"""Too few GPUs, another batch, a port in use, packages known to be bad: said before GPUs are taken."""

import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.helpers.tiny_recipe import HEADER, the_one
from train.checks import machine
from train.checks.finding import Finding
from train.checks.job import Job
from train.recipe import Zero


def batch_of(size: int, steps: int, ray_workers: int = 0) -> SimpleNamespace:
    training = SimpleNamespace(per_device_train_batch_size=size, gradient_accumulation_steps=steps)
    training.ray_num_workers = ray_workers
    return SimpleNamespace(training=training)


def gpus(number: int, batch=(4, 16), **keys) -> list[Finding]:
    recipe = {"do_train": True, "bf16": True} | keys
    return machine.check_gpus(Job(recipe, HEADER, gpus=number, parsed=batch_of(*batch)))[1]


def port() -> list[Finding]:
    return machine.check_port(Job({}))[1]


def versions(job: Job) -> list[Finding]:
    return machine.check_versions(job)[1]


def test_no_gpu(work):
    text = the_one(gpus(0))
    assert "(bf16)" in text and "--gpus N" in text
    assert gpus(0, use_cpu=True)[0].level == gpus(0, bf16=False)[0].level == "ok"


def test_why_there_is_no_gpu(work, monkeypatch):
    monkeypatch.setattr(machine, "visible_gpus", lambda: 0)
    monkeypatch.setattr(machine.devices, "no_gpu", lambda: "the driver is there; run this")
    assert the_one(gpus(None)).endswith("(bf16); the driver is there; run this")
    assert "--gpus N" in the_one(gpus(0)), "asked for another machine"


def test_another_batch_than_the_header_promises(work, monkeypatch):
    assert gpus(2) == [Finding("ok", "gpus", "2 GPUs x 4 x 16 = 128, as the header says")]
    settings = "per_device_train_batch_size=2 gradient_accumulation_steps=1"
    assert the_one(gpus(64)).endswith(f"{settings} max_grad_norm=1")
    assert the_one(gpus(64, deepspeed="zero3.json")).endswith(settings), "which divides gradients once"
    assert "use 4 GPUs" in the_one(gpus(6))
    monkeypatch.setenv("NNODES", "2")
    text = the_one(gpus(8))
    assert "16 GPUs on 2 machines x 4 x 16 = 1024" in text and text.endswith(
        "gradient_accumulation_steps=2 max_grad_norm=0.5"
    )


def test_torchrun_is_needed(work, monkeypatch):
    assert "FORCE_TORCHRUN=1" in the_one(gpus(1, (4, 32), deepspeed="ds_configs/zero3.json"))
    monkeypatch.setenv("FORCE_TORCHRUN", "1")
    assert gpus(1, (4, 32), deepspeed="ds_configs/zero3.json")[0].level == "ok"
    monkeypatch.setenv("PATH", "/nowhere")
    text = the_one(gpus(2))
    assert text.startswith("torchrun is not on PATH") and text.endswith(
        f'export PATH="{Path(sys.executable).parent}:$PATH"'
    )


def test_workers_of_ray_need_no_torchrun(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    recipe = {"do_train": True, "deepspeed": "ds_configs/zero3.json"}
    header = HEADER._replace(command="USE_RAY=1 llamafactory-cli train x.yaml")
    job, findings = machine.check_gpus(Job(recipe, header, gpus=0, parsed=batch_of(4, 1, ray_workers=32)))
    assert job.processes == 32
    assert findings == [Finding("ok", "gpus", "32 GPUs x 4 x 1 = 128, as the header says")]
    assert not machine.by_ray(Job(recipe, HEADER))
    packages = {"transformers": "5.2.0", "torch": "2.11.0", "torchvision": "0.26.0", "torchaudio": "2.11.0"}
    monkeypatch.setattr(machine, "_installed", packages.get)
    assert the_one(versions(Job({}, header))) == "USE_RAY=1 needs ray; pip install ray"


def test_gpus_times_machines(work, monkeypatch):
    monkeypatch.setenv("NNODES", "4")
    assert [machine.check_gpus(Job({}, gpus=number))[0].processes for number in (8, 0)] == [32, 0]


def test_a_port_in_use(work, monkeypatch):
    assert port() == []
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        number = other.getsockname()[1]
        monkeypatch.setenv("MASTER_PORT", str(number))
        assert str(number) in the_one(port()) and "export MASTER_PORT=" in the_one(port())
        monkeypatch.setenv("NODE_RANK", "1")
        assert port() == [], "the port is the first machine's"
    monkeypatch.setenv("NODE_RANK", "0")
    assert port()[0].level == "ok"
    monkeypatch.setenv("MASTER_PORT", "70000")
    assert "cannot be used" in the_one(port())


def test_several_machines_must_know_where_to_meet(work, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("NNODES", "two")
    assert the_one(port()).startswith("NNODES=two: ") and the_one(port()).endswith("export NNODES=NUMBER")
    monkeypatch.setenv("NNODES", "2")
    for key, value in (("MASTER_ADDR", "localhost"), ("MASTER_PORT", "0"), ("NODE_RANK", "1")):
        assert f"export {key}=" in the_one(port())
        monkeypatch.setenv(key, value)
    assert port() == []


@pytest.mark.parametrize(
    ("installed", "recipe", "text"),
    [
        ({"transformers": "4.55.0"}, {}, "4.55.0 decodes left-padded batches wrongly"),
        ({"transformers": "4.57.1"}, {}, "another model type"),
        ({"transformers": "5.3.0"}, {}, "places image tokens like words"),
        ({"transformers": "5.5.4"}, {}, "pip install transformers==5.2.0"),
        ({"torch": "2.9.1", "torchvision": "0.24.1", "torchaudio": "2.9.1"}, {}, "Conv3d"),
        (
            {"torchvision": "0.25.0"},
            {},
            "torchvision 0.25.0 is not the one for torch 2.11.0+cu130; pip install 'torchvision==0.26.*'",
        ),
        ({"torchaudio": "2.10.0"}, {}, "torchaudio==2.11.*"),
        ({"deepspeed": "0.18.4"}, {"deepspeed": "x"}, "deepspeed 0.18.4 can train on garbage"),
        ({"deepspeed": None}, {"deepspeed": "x"}, "deepspeed needs deepspeed; pip install deepspeed"),
        ({"jieba": None}, {"predict_with_generate": True}, "predict_with_generate needs jieba"),
    ],
)
def test_known_bad_and_missing_packages(monkeypatch, installed, recipe, text):
    good = {"transformers": "5.2.0", "torch": "2.11.0+cu130", "torchvision": "0.26.0", "torchaudio": "2.11.0"}
    packages = good | {"deepspeed": "0.19.8"} | installed
    monkeypatch.setattr(machine, "_installed", lambda package: packages.get(package, "1.0"))
    assert text in the_one(versions(Job(recipe, zero=Zero(3 if "deepspeed" in recipe else 0))))


@pytest.mark.parametrize(
    ("number", "stage", "level"),
    [
        ("0.17.5", 2, "ok"),
        ("0.17.6", 2, "warning"),
        ("0.18.4", 2, "warning"),
        ("0.19.3", 2, "warning"),
        ("0.19.4", 2, "ok"),
        ("0.18.4", 0, "ok"),
        ("0.18.4", 3, "error"),
    ],
)
def test_deepspeed_that_others_report_wrong(monkeypatch, number, stage, level):
    packages = {"torch": "2.11.0", "torchvision": "0.26.0", "torchaudio": "2.11.0", "deepspeed": number}
    monkeypatch.setattr(machine, "_installed", packages.get)
    findings = versions(Job({"deepspeed": "x"}, zero=Zero(stage)))
    assert [finding.level for finding in findings] == [level]
    assert level == "ok" or findings[0].text.endswith("pip install deepspeed==0.19.8")


@pytest.mark.parametrize("transformers", ["4.53.3", "4.57.6", "5.0.0", "5.2.0"])
def test_sound_packages(monkeypatch, transformers):
    packages = {"transformers": transformers, "torch": "2.11.0", "torchvision": "0.26.0", "torchaudio": "2.11.0"}
    monkeypatch.setattr(machine, "_installed", packages.get)
    assert versions(Job({}, zero=Zero(3)))[0].level == "ok"
