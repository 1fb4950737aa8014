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
    assert (block.evaluate.every, block.evaluate.rows) == (5, 9)


def test_a_width_may_be_a_number_or_fit():
    assert [read({"target": "normal", "width": width}).width for width in (1, "fit")] == [1.0, "fit"]


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
    for given in ({"objective": "emd"}, {"evaluate": {"every": 5}}):
        with pytest.raises(ValueError, match="leave the block out") as raised:
            block.read(TRAINS | keys | {"storm": given})
        assert fix in str(raised.value) and "\n" not in str(raised.value)
    assert block.read(TRAINS | keys | {"storm": {}}) == block.Block(), "asks for nothing"
    assert block.read(TRAINS | keys) is None


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"do_train": False}, "leave the block out"),
        ({"packing": True}, "packing: false"),
        ({"enable_liger_kernel": True}, "enable_liger_kernel: false"),
        ({"flash_attn": "fa2"}, "flash_attn: sdpa"),
    ],
)
def test_recipes_that_cannot_be_run_with_an_objective(recipe, words):
    from train.training.setting import check

    with pytest.raises(ValueError, match=words):
        check(TRAINS | recipe, read({"objective": "soft"}))
    check(TRAINS | {"flash_attn": "sdpa", "packing": False}, read({"objective": "soft"}))


def test_scores_while_training_need_a_mask_that_only_sdpa_takes():
    from train.training.setting import check

    with pytest.raises(ValueError, match="storm.evaluate.*flash_attn: sdpa"):
        check(TRAINS | {"flash_attn": "fa2"}, read({"evaluate": {"every": 10}}))
    check(TRAINS | {"flash_attn": "fa2"}, read({"width": 1.0}))
