"""Values that LLaMA-Factory's parser takes and no training can use."""

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.tiny_recipe import the_one
from train.checks.traps import traps
from train.checks.values import BATCHES, LIMITS, in_range, shown, sound
from train.recipe import Zero, load

INF = float("inf")


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("num_train_epochs", 0, "num_train_epochs=0: write more than 0"),
        ("max_samples", 0, "max_samples=0: write 1 or more"),
        ("max_samples", -5, "max_samples=-5: write 1 or more"),
        ("warmup_ratio", 1.5, "warmup_ratio=1.5: write a share of the steps, from 0 to 1"),
        ("warmup_ratio", -0.1, "warmup_ratio=-0.1: write"),
        ("warmup_steps", -5, "warmup_steps=-5: write a number of steps"),
        ("learning_rate", 0.0, "learning_rate=0.0: write more than 0"),
        ("learning_rate", 20, "learning_rate=20: write more than 0, else nothing is learned, and 1 at most"),
        ("max_grad_norm", -1, "max_grad_norm=-1: write the largest norm of the gradient, or 0"),
        ("weight_decay", -5, "weight_decay=-5: write"),
        ("per_device_train_batch_size", 0, "per_device_train_batch_size=0: write 1 or more"),
        ("stage", "dpo", "stage=dpo: is not for rows of questions and answers; stage=sft"),
    ],
)
def test_numbers_that_make_no_sense(key, value, text):
    good, findings = in_range({"stage": "sft", "learning_rate": 1e-4, key: value})
    assert the_one(findings).startswith(text) and (key not in good) == (key not in BATCHES)


def test_numbers_at_the_edge():
    keys = {"num_train_epochs": 0, "max_steps": 5, "warmup_ratio": 0, "max_samples": None, "stage": "sft"}
    keys |= {"max_grad_norm": 0, "weight_decay": 0.0, "dataloader_num_workers": 0, "learning_rate": 1}
    assert in_range(keys) == (keys, [])


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_our_recipes_have_sound_values(path):
    recipe = load(path)
    assert sound(recipe) == (recipe, []) and in_range(recipe) == (recipe, [])


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("learning_rate", INF, "learning_rate=inf: is not finite"),
        ("learning_rate", float("nan"), "learning_rate=nan: is not finite"),
        ("learning_rate", 10**400, "learning_rate=10000000000000000000... (401 characters): "),
        ("max_steps", -(10**400), "max_steps=-1000000000000000000... (402 characters): "),
        ("output_dir", "${oc.env:HOME}/saves", "output_dir=${oc.env:HOME}/saves: LLaMA-Factory does not"),
        ("output_dir", "???", "output_dir=???: is a placeholder"),
        ("dataset", ["storm_ava_train", "${x}"], "dataset=['storm_ava_train', '${x}']: "),
        ("deepspeed", {"zero_optimization": {"stage": INF}}, "deepspeed={'zero_optimization': {'stage': inf}}: is"),
        ("save_strategy", False, "save_strategy=False: YAML reads no as false"),
    ],
)
def test_values_that_nothing_can_use(key, value, text):
    good, findings = sound({"stage": "sft", key: value})
    assert good == {"stage": "sft"} and the_one(findings).startswith(text)


def test_the_fix_of_a_bare_no_works(tmp_path):
    (tmp_path / "x.yaml").write_text("save_strategy: steps\n")
    assert load(tmp_path / "x.yaml", ["save_strategy=no"]) == {"save_strategy": False}
    fix = the_one(sound({"save_strategy": False})[1]).rpartition("on the command line ")[2]
    assert load(tmp_path / "x.yaml", [fix.replace("'", "")]) == {"save_strategy": "no"}


@pytest.mark.parametrize(
    ("key", "value"), [("trust_remote_code", True), ("push_to_hub", True), ("export_hub_model_id", "me/rater")]
)
def test_keys_that_run_foreign_code_or_upload(key, value):
    text = the_one(traps({key: value}, {key: value}, Zero()))
    assert text.startswith(f"{key}=") and text.endswith("; leave it out")
    assert traps({key: False}, {key: False}, Zero()) == []


def test_a_long_value_is_cut():
    assert shown(16**5000) == "a whole number of thousands of digits"  # YAML reads hexadecimal ones of any length
    assert shown("x" * 40) == "x" * 40 and shown("x" * 41) == f"{'x' * 20}... (41 characters)"


@pytest.mark.slow  # imports LLaMA-Factory
def test_limits_are_of_keys_that_there_are():
    from dataclasses import fields

    from llamafactory.hparams import parser

    assert set(LIMITS) <= {field.name for cls in parser._TRAIN_ARGS for field in fields(cls)}
