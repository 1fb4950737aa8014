"""Trainings of too few steps to learn from, and keys that have an unexpected effect."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.helpers.tiny_recipe import the_one
from train.checks.data import Scan, Stanza
from train.checks.disk import check_steps
from train.checks.finding import Finding
from train.checks.job import Job
from train.checks.traps import traps
from train.recipe import Zero


def steps(rows: list[int], processes: int = 1, max_samples: int | None = None, **changed) -> tuple[int, list[Finding]]:
    """Optimizer steps of a training on datasets of so many rows, beside one test set; and the findings."""
    from transformers.training_args import TrainingArguments  # imports torch

    args = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 128, "num_train_epochs": 1.0}
    args |= {"max_steps": -1, "warmup_steps": 0.05} | changed
    training = SimpleNamespace(**args)
    training.get_warmup_steps = lambda number: TrainingArguments.get_warmup_steps(training, number)
    parsed = SimpleNamespace(training=training, data=SimpleNamespace(max_samples=max_samples))
    names = [f"data{number}" for number in range(len(rows))]
    scans = [Scan(Stanza(name, Path(), "", "", {}), count, {}, set()) for name, count in zip(names, rows)]
    scans.append(Scan(Stanza("test", Path(), "", "", {}), 10_000, {}, set()))
    recipe = {"do_train": True, "dataset": ",".join(names)}
    job, findings = check_steps(Job(recipe, scans=tuple(scans), parsed=parsed, processes=processes))
    return job.steps, findings


@pytest.mark.slow
def test_ten_rows_in_batches_of_128_learn_nothing():
    number, findings = steps([10])
    assert number == 1
    assert the_one(findings, "warning").startswith("1 optimizer step (10 rows in batches of 128), all of them warm-up")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "settings", "expected"),
    [
        ([123_185], {"processes": 32, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1}, 963),
        ([500], {}, 4),
        ([500], {"gradient_accumulation_steps": 16, "num_train_epochs": 3.0}, 96),
        ([500, 10], {"max_samples": 20}, 1),
        ([500], {"max_steps": 7}, 7),
        ([], {}, 0),
    ],
)
def test_optimizer_steps(rows, settings, expected):
    number, findings = steps(rows, **settings)
    assert number == expected
    assert [finding.level for finding in findings] == (["warning"] if 0 < number < 20 else ["ok"] if number else [])


@pytest.mark.slow
def test_warm_up_of_as_many_steps_as_there_are():
    assert "all of them warm-up" in the_one(steps([128 * 50], warmup_steps=50)[1], "warning")
    assert steps([128 * 50], warmup_steps=49)[1][0].level == "ok"


def test_full_training_in_pure_bf16():
    recipe = {"do_train": True, "pure_bf16": True, "finetuning_type": "full"}
    recipe |= {"freeze_vision_tower": False, "freeze_multi_modal_projector": False}
    assert the_one(traps(recipe, recipe, Zero()), "warning").endswith("bf16=true pure_bf16=false")
    assert traps(recipe | {"finetuning_type": "lora"}, recipe | {"finetuning_type": "lora"}, Zero()) == []
    assert the_one(traps(recipe, recipe | {"finetuning_type": "lora"}, Zero(3))).endswith("bf16=true pure_bf16=false")


def test_no_step_is_chosen_on_test_rows():
    recipe = {"do_train": True, "freeze_vision_tower": False, "freeze_multi_modal_projector": False}
    for name in ("storm_ava_test", "appeal_test", "storm_ava_test_num"):
        line = the_one(traps(recipe | {"eval_dataset": f"storm_ava_val,{name}"}, recipe, Zero()))
        assert name in line and f"{name.split('_test')[0].removeprefix('storm_')}_val" in line
    assert traps(recipe | {"eval_dataset": "storm_ava_val, appeal_val"}, recipe, Zero()) == []
    both = recipe | {"do_predict": True, "do_sample": False, "eval_dataset": "storm_ava_test"}
    assert traps(both, both, Zero()) == traps(both | {"eval_strategy": "no"}, both, Zero()) == []
    assert "storm_ava_test" in the_one(traps(both | {"eval_strategy": "steps"}, both, Zero()))
    predict = {"do_predict": True, "do_sample": False, "eval_dataset": "storm_ava_test"}
    assert traps(predict, predict, Zero()) == []
