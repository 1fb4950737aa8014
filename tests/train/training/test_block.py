"""The keys of a recipe's `storm:` block, and recipes that cannot be run with one."""

import pytest

pytestmark = pytest.mark.slow  # imports torch
TRAINS = {"do_train": True, "stage": "sft"}


def read(given):
    from train.training import block

    return block.read(TRAINS | {"storm": given})


def test_a_recipe_without_a_block():
    from train.training import block

    assert block.read(TRAINS) is None


def test_a_whole_block():
    block = read({"objective": "emd", "weight": 2, "sft": 1, "target": "normal", "evaluate": {"every": 5, "rows": 9}})
    assert (block.objective, block.weight, block.sft, block.target, block.width) == ("emd", 2.0, 1.0, "normal", 0.5)
    assert (block.evaluate.every, block.evaluate.rows, block.evaluate.decode) == (5, 9, "exact")


def test_a_width_may_be_a_number_or_fit_and_null_is_no_key():
    soft = {"objective": "soft", "target": "normal"}
    assert [read(soft | {"width": width}).width for width in (1, "fit", None)] == [1.0, "fit", 0.5]
    assert read({"objective": "soft", "target": "votes", "width": None, "evaluate": None}).evaluate is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"objectiv": "emd"}, "objective"),
        ({"objective": "edm"}, "emd"),
        ({"target": "label", "objective": 3}, "storm.objective=3"),
        ({"target": "laplac"}, "laplace"),
        ({"weight": -1}, "storm.weight=-1"),
        ({"weight": float("inf")}, "storm.weight=inf"),
        ({"weight": "much"}, "storm.weight=much"),
        ({"weight": True}, "storm.weight=True"),
        ({"objective": "emd", "weight": 0}, "storm.weight=0"),
        ({"objective": "emd", "width": "wide"}, "storm.width=wide"),
        ({"objective": "emd", "width": "fit"}, "storm.target=laplace"),
        ({"evaluate": {"every": 0}}, "storm.evaluate.every=0"),
        ({"evaluate": {"often": 3}}, "every"),
        ({"evaluate": 200}, "every, rows"),
        ({"evaluate": {"decode": "generate"}}, "exact"),
        ({}, "storm=null"),
        ({"scale": "scale.yaml"}, "storm.objective=soft"),
        ({"target": "laplace"}, "storm.objective=soft"),
        ({"sft": 1.0, "evaluate": {}}, "storm.sft=null"),
        ({"width": 0.5, "evaluate": {}}, "storm.width=null"),
        ({"objective": "emd"}, "storm.sft=1.0"),
        ({"objective": "expected", "sft": 0}, "storm.sft=1.0"),
        ({"objective": "soft", "target": "votes", "width": 0.7}, "storm.width=null"),
        ({"objective": "soft", "width": 0.7}, "storm.width=null"),
        ("emd", "objective"),
        (["emd"], "objective"),
    ],
)
def test_bad_values_are_one_line(given, words):
    with pytest.raises(ValueError, match=r"^storm") as raised:
        read(given)
    assert words in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("switch", "keys", "fix"),
    [
        ("1", {}, "unset USE_RAY"),
        ("true", {"ray_num_workers": 2}, "leave ray_num_workers out"),
        ("0", {"ray_num_workers": 2}, "leave ray_num_workers out"),
    ],
)
def test_a_block_is_refused_under_ray_whose_processes_would_train_without_it(monkeypatch, switch, keys, fix):
    from train.training import block

    monkeypatch.setenv("USE_RAY", switch)
    for given in ({"objective": "emd", "sft": 1.0}, {"evaluate": {"every": 5}}):
        with pytest.raises(ValueError, match="leave the block out") as raised:
            block.read(TRAINS | keys | {"storm": given})
        assert fix in str(raised.value) and "\n" not in str(raised.value)
    assert block.read(TRAINS | keys) is None


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"do_train": False}, "leave the block out"),
        ({"packing": True}, "packing: false"),
        ({"enable_liger_kernel": True}, "enable_liger_kernel: false"),
        ({"flash_attn": "fa2"}, "flash_attn: sdpa"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor: 0"),
        ({"use_dft_loss": True}, "use_dft_loss: false"),
        ({"use_eaft_loss": True}, "use_eaft_loss: false"),
        ({"use_asft_loss": True}, "use_asft_loss: false"),
        ({"use_hyper_parallel": True}, "use_hyper_parallel: false"),
        ({"val_size": 0.1}, "storm.evaluate; val_size: 0"),
        ({"eval_dataset": "demo_val"}, "storm.evaluate; eval_dataset: null"),
        ({"eval_strategy": "steps"}, 'storm.evaluate; eval_strategy: "no"'),
        ({"load_best_model_at_end": True}, "storm.evaluate; load_best_model_at_end: false"),
        ({"eval_dataset": "a", "eval_strategy": "epoch"}, 'eval_dataset: null, eval_strategy: "no"'),
        ({"eval_strategy": False}, 'eval_strategy: "no"'),
    ],
)
def test_recipes_that_cannot_be_run_with_an_objective(recipe, words):
    from train.training.setting import check

    with pytest.raises(ValueError, match=words):
        check(TRAINS | recipe, read({"objective": "soft"}))
    off = {"flash_attn": "sdpa", "packing": False, "eval_strategy": "no", "val_size": 0, "label_smoothing_factor": 0.0}
    check(TRAINS | off, read({"objective": "soft"}))
    check(TRAINS | {"flash_attn": None}, read({"objective": "soft"}))


def test_scores_while_training_need_a_mask_that_only_sdpa_takes():
    from train.training.setting import check

    with pytest.raises(ValueError, match="storm.evaluate.*flash_attn: sdpa"):
        check(TRAINS | {"flash_attn": "fa2"}, read({"evaluate": {"every": 10}}))


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"load_best_model_at_end": True}, "load_best_model_at_end: false"),
        ({"metric_for_best_model": "eval_loss"}, "metric_for_best_model: null"),
        ({"fsdp": "full_shard"}, "fsdp: null"),
        ({"deepspeed": {"zero_optimization": {"stage": 3}}}, "ZeRO-3"),
    ],
)
def test_recipes_that_cannot_be_scored_while_training(recipe, words, monkeypatch):
    from train.training.setting import check

    block = read({"evaluate": {"every": 10}})
    with pytest.raises(ValueError, match=r"^storm.evaluate") as raised:
        check(TRAINS | recipe, block)
    assert words in str(raised.value) and "\n" not in str(raised.value)
    check(TRAINS | {"eval_dataset": "demo_val", "deepspeed": {"zero_optimization": {"stage": 2}}}, block)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ValueError, match="FSDP"):
        check(TRAINS, block)


def test_a_scale_that_is_not_there_is_named():
    from train.training.setting import check

    with pytest.raises(ValueError, match=r"^storm.scale=nowhere.yaml: ") as raised:
        check(TRAINS, read({"objective": "soft", "scale": "nowhere.yaml"}))
    assert "\n" not in str(raised.value)
