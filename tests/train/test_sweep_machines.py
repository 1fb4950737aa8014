"""On which GPUs and machines a sweep trains, and what it refuses."""

import json
from pathlib import Path

import pytest

from tests.helpers.fake_host import calls
from train import sweep
from train.plan import batch, plan

RENDEZVOUS = (("MASTER_ADDR", "10.0.0.1"), ("MASTER_PORT", "23456"))  # as recipes/slurm.sh sets them


@pytest.mark.parametrize(
    ("gpus", "size", "steps"), [(1, 4, 32), (2, 4, 16), (8, 4, 4), (32, 4, 1), (64, 2, 1), (128, 1, 1)]
)
def test_the_global_batch_is_kept_on_any_number_of_gpus(tree, gpus, size, steps):
    run = plan("storm_lite", [], [])
    assert batch(run, gpus) == [f"per_device_train_batch_size={size}", f"gradient_accumulation_steps={steps}"]
    assert batch(plan("demo", [], []), gpus) == [], "promises no batch"


def test_without_deepspeed_the_limit_of_the_gradient_follows_the_accumulation(tree):
    steps = "gradient_accumulation_steps"
    assert batch(plan("storm_lora_1gpu", [], []), 4)[1:] == [f"{steps}=32", "max_grad_norm=0.03125"]
    assert batch(plan("storm_lite", ["deepspeed=null"], []), 32)[1:] == [f"{steps}=1", "max_grad_norm=1"]
    assert batch(plan("storm_lora_1gpu", ["max_grad_norm=0.5"], []), 4)[1:] == [f"{steps}=32"]


def test_gpus_that_cannot_share_the_batch(tree, capsys):
    assert sweep.main(["table4", "--only", "storm_lite", "--gpus", "6"]) == 1
    assert "--gpus 4" in capsys.readouterr().err


@pytest.mark.slow
def test_more_gpus_than_there_are(tree, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "visible_gpus", lambda: 2)
    assert sweep.main(["table4", "--only", "storm_lite", "--gpus", "8"]) == 1
    assert "storm_lite: --gpus 8" in capsys.readouterr().err and calls() == []
    assert sweep.main(["demo", "--only", "demo", "--gpus", "8"]) == 0, "it runs on the CPU"


@pytest.mark.slow
def test_four_machines_train_together_through_srun(tree, monkeypatch):
    for name, value in (("NNODES", "2"), ("SLURM_JOB_ID", "7"), *RENDEZVOUS):
        monkeypatch.setenv(name, value)
    assert sweep.main(["demo", "--only", "demo", "--gpus", "1"]) == 0
    trainings, predictions = calls("train"), calls("predict")
    assert sorted(call["env"]["NODE_RANK"] for call in trainings) == ["0", "1"]
    assert {call["env"]["FORCE_TORCHRUN"] for call in trainings} == {"1"}
    assert sorted(call["env"]["PET_NODE_RANK"] for call in predictions) == ["0", "1"], "which torchrun reads"
    rendezvous = [
        "--nnodes=2",
        "--master_addr=10.0.0.1",
        "--master_port=23456",
        "--nproc_per_node=1",
        "eval/predict.py",
    ]
    assert [call["argv"][:5] for call in predictions] == [rendezvous, rendezvous]
    assert json.loads(Path("results/demo.json").read_text())["scores"][0]["n"] == 10


def test_several_machines_need_slurm(tree, monkeypatch, capsys):
    monkeypatch.setenv("NNODES", "4")
    assert sweep.main(["demo"]) == 2
    assert "sbatch recipes/slurm.sh" in capsys.readouterr().err


def test_a_number_of_machines_that_is_none(tree, monkeypatch, capsys):
    monkeypatch.setenv("NNODES", "abc")
    assert sweep.main(["demo"]) == 2
    error = capsys.readouterr().err
    assert "NNODES=abc" in error and "export NNODES=NUMBER" in error and error.count("\n") == 1
