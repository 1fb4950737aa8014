"""Too few GPUs, another batch, a port in use, packages known to be bad: said before GPUs are taken."""

import socket
import sys
from pathlib import Path

import pytest
from tests.helpers.tiny_recipe import SAID, the_one

from train.checks import machine
from train.checks.finding import Finding


def gpus(here: int, all_: int, batch=(4, 16), **keys) -> list[Finding]:
    return check_machine.gpus({"do_train": True, "bf16": True} | keys, SAID, here, all_, batch)


def test_no_gpu(work):
    text = the_one(gpus(0, 0))
    assert text.startswith("no GPU is visible, and the recipe wants one (bf16);") and "--gpus N" in text
    assert gpus(0, 0, use_cpu=True)[0].level == gpus(0, 0, bf16=False)[0].level == "ok"


def test_another_batch_than_the_header_promises(work):
    assert gpus(2, 2) == [Finding("ok", "gpus", "2 GPUs x 4 x 16 = 128, as the header says")]
    assert the_one(gpus(8, 16)).endswith("promises a batch of 128; gradient_accumulation_steps=2")
    assert "16 GPUs on 2 machines x 4 x 16 = 1024" in the_one(gpus(8, 16))
    assert the_one(gpus(64, 64)).endswith("per_device_train_batch_size=2 gradient_accumulation_steps=1")
    assert "use 4 GPUs" in the_one(gpus(6, 6))


def test_torchrun_is_needed(work, monkeypatch):
    assert "FORCE_TORCHRUN=1" in the_one(gpus(1, 1, (4, 32), deepspeed="ds_configs/zero3.json"))
    monkeypatch.setenv("FORCE_TORCHRUN", "1")
    assert gpus(1, 1, (4, 32), deepspeed="ds_configs/zero3.json")[0].level == "ok"
    monkeypatch.setenv("PATH", "/nowhere")
    text = the_one(gpus(2, 2))
    assert text.startswith("torchrun is not on PATH") and text.endswith(
        f'export PATH="{Path(sys.executable).parent}:$PATH"'
    )


def test_workers_of_ray_need_no_torchrun(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    keys = {"do_train": True, "deepspeed": "ds_configs/zero3.json"}
    found = check_machine.gpus(keys, SAID, 0, 32, (4, 1), ray=True)
    assert found == [Finding("ok", "gpus", "32 GPUs x 4 x 1 = 128, as the header says")]
    assert check_machine.by_ray("USE_RAY=1 llamafactory-cli train x.yaml") and not check_machine.by_ray("")
    packages = {"transformers": "5.2.0", "torch": "2.11.0", "torchvision": "0.26.0", "torchaudio": "2.11.0"}
    monkeypatch.setattr(check_machine, "_installed", packages.get)
    assert the_one(check_machine.versions({}, zero3=False, ray=True)) == "USE_RAY=1 needs ray; pip install ray"


def test_gpus_times_machines(work, monkeypatch):
    monkeypatch.setenv("NNODES", "4")
    assert check_machine.processes(8) == (8, 32)
    assert check_machine.processes(0) == (0, 0)


def test_a_port_in_use(work, monkeypatch):
    assert check_machine.port() == []
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        number = other.getsockname()[1]
        monkeypatch.setenv("MASTER_PORT", str(number))
        assert the_one(check_machine.port()).startswith(f"port {number} is in use; choose another: export MASTER_PORT=")
        monkeypatch.setenv("NODE_RANK", "1")
        assert check_machine.port() == [], "the port is the first machine's"
    monkeypatch.setenv("NODE_RANK", "0")
    assert check_machine.port()[0].level == "ok"
    monkeypatch.setenv("MASTER_PORT", "70000")
    assert "cannot be used" in the_one(check_machine.port())


def test_several_machines_must_know_where_to_meet(work, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("NNODES", "two")
    assert the_one(check_machine.port()) == "NNODES=two: is no number; export NNODES=NUMBER"
    monkeypatch.setenv("NNODES", "2")
    for key, value in (("MASTER_ADDR", "localhost"), ("MASTER_PORT", "0"), ("NODE_RANK", "1")):
        assert f"NNODES=2, but {key} is not set here; export {key}=" in the_one(check_machine.port())
        monkeypatch.setenv(key, value)
    assert check_machine.port() == []


@pytest.mark.parametrize(
    ("installed", "recipe", "said"),
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
        ({"flash-attn": None}, {"flash_attn": "fa2"}, "flash_attn=fa2 needs flash-attn"),
    ],
)
def test_known_bad_and_missing_packages(monkeypatch, installed, recipe, said):
    good = {"transformers": "5.2.0", "torch": "2.11.0+cu130", "torchvision": "0.26.0", "torchaudio": "2.11.0"}
    packages = good | {"deepspeed": "0.19.8"} | installed
    monkeypatch.setattr(check_machine, "_installed", lambda package: packages.get(package, "1.0"))
    assert said in the_one(check_machine.versions(recipe, zero3="deepspeed" in recipe, ray=False))


@pytest.mark.parametrize("transformers", ["4.53.3", "4.57.6", "5.0.0", "5.2.0"])
def test_sound_packages(monkeypatch, transformers):
    packages = {"transformers": transformers, "torch": "2.11.0", "torchvision": "0.26.0", "torchaudio": "2.11.0"}
    monkeypatch.setattr(check_machine, "_installed", packages.get)
    assert check_machine.versions({}, zero3=True, ray=False)[0].level == "ok"
