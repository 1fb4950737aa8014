"""Trainings of too few steps to learn from, and numbers that cannot be meant."""

from types import SimpleNamespace

import pytest
from tests.helpers.tiny_recipe import the_one

from train.checks.steps import steps
from train.checks.traps import limits, traps


def found(rows: list[int], processes: int = 1, most: int | None = None, **changed):
    from transformers.training_args import TrainingArguments  # imports torch

    args = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 128, "num_train_epochs": 1.0}
    args |= {"max_steps": -1, "warmup_steps": 0.05} | changed
    training = SimpleNamespace(**args)
    training.get_warmup_steps = lambda number: TrainingArguments.get_warmup_steps(training, number)
    return steps(SimpleNamespace(training=training, data=SimpleNamespace(max_samples=most)), rows, processes)


@pytest.mark.slow
def test_ten_rows_in_batches_of_128_learn_nothing():
    number, said = found([10])
    assert number == 1
    assert the_one(said, "warning").startswith("1 optimizer step (10 rows in batches of 128), all of them warm-up")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "settings", "expected"),
    [
        ([123_185], {"processes": 32, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1}, 963),
        ([500], {}, 4),
        ([500], {"gradient_accumulation_steps": 16, "num_train_epochs": 3.0}, 96),
        ([500, 10], {"most": 20}, 1),
        ([500], {"max_steps": 7}, 7),
        ([], {}, 0),
    ],
)
def test_optimizer_steps(rows, settings, expected):
    number, said = found(rows, **settings)
    assert number == expected
    assert [finding.level for finding in said] == (["warning"] if 0 < number < 20 else ["ok"] if number else [])


@pytest.mark.slow
def test_warm_up_of_as_many_steps_as_there_are():
    assert "all of them warm-up" in the_one(found([128 * 50], warmup_steps=50)[1], "warning")
    assert found([128 * 50], warmup_steps=49)[1][0].level == "ok"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("num_train_epochs", 0, "num_train_epochs=0: write more than 0"),
        ("max_samples", 0, "max_samples=0: write 1 or more"),
        ("max_samples", -5, "max_samples=-5: write 1 or more"),
        ("warmup_ratio", 1.5, "warmup_ratio=1.5: write a share of the steps, from 0 to 1"),
        ("warmup_ratio", -0.1, "warmup_ratio=-0.1: write"),
        ("learning_rate", 0.0, "learning_rate=0.0: write more than 0"),
        ("stage", "dpo", "stage=dpo: is not for rows of questions and answers; stage=sft"),
    ],
)
def test_numbers_that_cannot_be_meant(key, value, said):
    good = {"stage": "sft", "learning_rate": 1e-4, key: value}
    assert the_one(limits(good)).startswith(said) and key not in good


def test_numbers_at_the_edge():
    assert limits({"num_train_epochs": 0, "max_steps": 5, "warmup_ratio": 0, "max_samples": None, "stage": "sft"}) == []


def test_full_training_in_pure_bf16():
    recipe = {"do_train": True, "pure_bf16": True, "finetuning_type": "full"}
    recipe |= {"freeze_vision_tower": False, "freeze_multi_modal_projector": False}
    assert "rounds most updates away" in the_one(traps(recipe, recipe), "warning")
    assert traps(recipe | {"finetuning_type": "lora"}, recipe | {"finetuning_type": "lora"}) == []
