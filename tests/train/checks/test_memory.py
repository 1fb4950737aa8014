"""Bytes that a run needs, on its GPUs and on the disk, beside those that are there."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from storm.files import write_json
from tests.helpers.checkpoint_layouts import plain, sharded, weights
from tests.helpers.paths import ROOT
from tests.helpers.tiny_recipe import the_one
from train.checks import disk, memory
from train.checks.finding import Finding
from train.checks.job import Job
from train.checks.length import RowTokens
from train.checks.model import Count
from train.recipe import Zero, load

QWEN_3B = SimpleNamespace(
    model_type="qwen2_5_vl",
    get_text_config=lambda: SimpleNamespace(
        num_hidden_layers=36,
        hidden_size=2048,
        intermediate_size=11008,
        num_key_value_heads=2,
        num_attention_heads=16,
        vocab_size=151936,
    ),
    vision_config=SimpleNamespace(depth=32, hidden_size=1280, intermediate_size=3420, spatial_merge_size=2),
)
PARSED = SimpleNamespace(
    training=SimpleNamespace(
        per_device_train_batch_size=4,
        per_device_eval_batch_size=8,
        gradient_accumulation_steps=1,
        num_train_epochs=1,
        max_steps=-1,
        save_steps=200,
        save_strategy="steps",
        save_total_limit=2,
        save_only_model=False,
    ),
    model=SimpleNamespace(disable_gradient_checkpointing=False, enable_liger_kernel=False),
    finetuning=SimpleNamespace(finetuning_type="full"),
    generating=SimpleNamespace(max_new_tokens=96),
)
FULL_3B, LORA_3B = Count(3_754_622_976, 3_754_622_976), Count(3_811_874_048, 57_251_072)
SCORED = {"storm": {"evaluate": {"every": 100}}}
UNSAID = {"storm": {"evaluate": {"every": None}}}
LONGEST = RowTokens(1280, 500)


def job(recipe: dict, count: Count = FULL_3B, **more) -> Job:
    """A training with batches of 4, unless `parsed` is another."""
    return Job({"do_train": True} | recipe, count=count, **({"parsed": PARSED} | more))


def parsed(**changed) -> SimpleNamespace:
    """PARSED with other arguments of the training."""
    return SimpleNamespace(**(vars(PARSED) | {"training": SimpleNamespace(**(vars(PARSED.training) | changed))}))


def training_need(recipe: dict, count: Count = FULL_3B, **more) -> memory.Need:
    return memory.training_need(job(recipe, count, config=QWEN_3B, longest=LONGEST, longest_patches=5120, **more))


def output(recipe: dict, bytes_written: float = 0, processes: int = 0) -> list[Finding]:
    return disk.check_disk(Job(recipe, bytes_written=bytes_written, processes=processes))[1]


@pytest.mark.parametrize(
    ("recipe", "count", "zero", "processes", "bytes_"),
    [
        ({"bf16": True}, FULL_3B, Zero(3), 32, 16 * 3_754_622_976 / 32 + 2e9),
        ({"bf16": True}, FULL_3B, Zero(2), 2, (2 + 1 + 6) * 3_754_622_976),
        ({"bf16": True}, FULL_3B, Zero(2, offloads=True), 2, (2 + 1) * 3_754_622_976),
        ({"pure_bf16": True}, FULL_3B, Zero(), 1, 8 * 3_754_622_976),
        ({"bf16": True}, FULL_3B, Zero(), 1, 18 * 3_754_622_976),
        ({"bf16": True}, FULL_3B, Zero(), 2, 22 * 3_754_622_976),
        ({"bf16": True}, LORA_3B, Zero(), 1, 2 * (3_811_874_048 - 57_251_072) + 18 * 57_251_072),
    ],
)
def test_bytes_of_weights_gradients_and_optimizer(recipe, count, zero, processes, bytes_):
    need = training_need(recipe, count, processes=processes, zero=zero)
    assert need.weights + need.gradients + need.optimizer == pytest.approx(bytes_)
    assert need.logits == 4 * 1780 * 151936 * 12


def test_a_full_training_fits_one_gpu_of_80_gb_with_batches_of_one(work):
    recipe = load(ROOT / "recipes" / "storm_lite_1gpu.yaml")
    need = training_need(recipe, parsed=parsed(per_device_train_batch_size=1), processes=1)
    assert the_one([memory.compare(need, 80, recipe)], "warning").startswith("about 69 of 80 GB")
    assert "About 69 of the 80 GB, by an estimate" in (ROOT / "recipes" / "storm_lite_1gpu.yaml").read_text()


def test_a_gpu_that_is_too_small(work):
    recipe = {"do_train": True, "finetuning_type": "full", "pure_bf16": True, "per_device_train_batch_size": 4}
    need = training_need(recipe, processes=1)
    assert memory.compare(need, 80, recipe).level == "ok"
    text = the_one([memory.compare(need, 24, recipe)])
    assert "of 24 GB" in text and "weights 7.0, gradients 7.0, optimizer 14.0" in text
    assert "per_device_train_batch_size" in text and "gradient_accumulation_steps" in text
    assert "recipes/storm_lora_1gpu.yaml" in text
    assert memory.compare(need, need.total() / memory.GIB / 0.9, recipe).level == "warning"


def test_predicting_needs_the_weights_and_little_more():
    need = memory.predicting_need(job({}, config=QWEN_3B, longest=LONGEST, longest_patches=5120))
    assert need.weights == 2 * FULL_3B.all
    assert 1 < need.total() / need.weights < 2


@pytest.mark.parametrize(
    ("changed", "recipe", "count", "zero", "bytes_"),
    [
        ({}, {"bf16": True}, FULL_3B, Zero(3), (3 * 14 + 2) * FULL_3B.all),  # 2 that are kept and the next
        ({"save_total_limit": None}, {"bf16": True}, FULL_3B, Zero(3), (5 * 14 + 2) * FULL_3B.all),
        ({"save_only_model": True}, {"bf16": True}, FULL_3B, Zero(3), 4 * 2 * FULL_3B.all),
        ({"save_strategy": "no"}, {"bf16": True}, FULL_3B, Zero(3), 2 * FULL_3B.all),
        ({"max_steps": 100}, {"bf16": True}, FULL_3B, Zero(), (12 + 4) * FULL_3B.all),
        ({}, {"pure_bf16": True}, FULL_3B, Zero(), (3 * 6 + 2) * FULL_3B.all),
        ({"save_total_limit": 1}, {"bf16": True}, FULL_3B, Zero(3), (2 * 14 + 2) * FULL_3B.all),
        ({"save_total_limit": 1}, {"bf16": True} | SCORED, FULL_3B, Zero(3), (3 * 14 + 2) * FULL_3B.all),
        ({"save_total_limit": None}, {"bf16": True} | SCORED, FULL_3B, Zero(3), (15 * 14 + 2) * FULL_3B.all),
        ({"save_strategy": "no"}, {"bf16": True} | SCORED, FULL_3B, Zero(3), (3 * 14 + 2) * FULL_3B.all),
        # Each 200 steps, as train/run.py reads null.
        ({"save_total_limit": None}, {"bf16": True} | UNSAID, FULL_3B, Zero(3), (10 * 14 + 2) * FULL_3B.all),
    ],
)
def test_bytes_of_checkpoints(changed, recipe, count, zero, bytes_):
    """963 steps (123,179 rows in batches of 128) are 5 checkpoints."""
    steps = changed.get("max_steps", 963)
    planned = job(recipe, count, parsed=parsed(**changed), steps=steps, zero=zero)
    assert disk.check_written(planned)[0].bytes_written == bytes_


def test_a_full_disk(work, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10e9))
    recipe = {"do_train": True, "output_dir": "saves/tiny"}
    assert output(recipe, 9e9)[0].level == "ok"
    text = the_one(output(recipe, 165e9))
    assert text.startswith("saves/tiny: 165.0 GB ") and "10.0 GB" in text
    assert "save_total_limit" in text and "save_only_model=true (then a run that is interrupted cannot go on)" in text
    (work / "saves/tiny/checkpoint-200").mkdir(parents=True)
    with (work / "saves/tiny/checkpoint-200/model.safetensors").open("wb") as file:
        file.truncate(160_000_000_000)  # a file of holes: its room is free again when it is deleted
    assert "GB are free" not in the_one(output(recipe, 165e9), "warning"), "only that it is broken"


def test_an_output_dir_that_cannot_be(work):
    text = the_one(output({"do_train": True, "output_dir": "tiny.yaml/saves"}))
    assert text.startswith(f"{work}/tiny.yaml: ") and text.endswith("output_dir=ANOTHER")


def test_a_checkpoint_of_another_number_of_gpus(work, monkeypatch):
    recipe = {"do_train": True, "output_dir": "saves/tiny", "deepspeed": "ds_configs/zero3.json"}
    states = work / "saves/tiny/checkpoint-8/global_step8"
    states.mkdir(parents=True)
    for rank in range(2):
        (states / f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").write_bytes(b"")
    monkeypatch.setattr(disk, "fault", lambda checkpoint: None)  # it is whole
    assert output(recipe, 0, 2)[0].text.endswith("; goes on from checkpoint-8")
    text = the_one(output(recipe, 0, 32))
    assert text.startswith("saves/tiny/checkpoint-8 ") and text.endswith("use 2, or mv saves/tiny saves/tiny.old")
    assert output(recipe, 0, 0)[0].level == "ok", "nobody knows how many there will be"


def test_a_checkpoint_from_which_a_training_would_begin_anew(work, monkeypatch):
    checkpoint = work / "saves/tiny/checkpoint-8"
    checkpoint.mkdir(parents=True)
    write_json(checkpoint / "config.json", {"model_type": "qwen2_5_vl"})
    save_file({"model.layers.0.x": np.zeros(1)}, checkpoint / "model.safetensors")  # as transformers 5 saves it
    monkeypatch.setattr(disk, "fault", lambda checkpoint: None)  # it is whole
    text = the_one(output({"do_train": True, "output_dir": "saves/tiny"}), "warning")
    assert text.startswith("saves/tiny/checkpoint-8: ") and "python -m train.checkpoints saves/tiny" in text


def test_room_for_the_copy_in_which_tensors_are_renamed(work, monkeypatch):
    """What lies in checkpoints is not free yet: the copy is written before the training begins."""
    weights(plain(work / "saves/tiny/checkpoint-8") / "model.safetensors", "visual.a")
    size = (work / "saves/tiny/checkpoint-8/model.safetensors").stat().st_size
    recipe = {"do_train": True, "output_dir": "saves/tiny", "storm": {"objective": "soft"}}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=size))
    assert output(recipe)[0].level == "ok"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=size - 1))
    assert the_one(output(recipe)).startswith("saves/tiny/checkpoint-8: ")


def test_checkpoints_from_which_no_training_can_go_on(work):
    recipe = {"do_train": True, "output_dir": "saves/tiny"}
    weights(sharded(work / "saves/tiny/checkpoint-8") / "model-00001-of-00002.safetensors", "visual.a")
    names = {"visual.a": "model-00001-of-00002.safetensors"}
    write_json(work / "saves/tiny/checkpoint-8/model.safetensors.index.json", {"weight_map": names})
    assert the_one(output(recipe)).endswith("mv saves/tiny saves/tiny.old")
    model = plain(work / "saves/tiny/checkpoint-9")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        (model / name).unlink()
    assert "save_only_model=false" in the_one(output(recipe))
    (work / "saves/tiny/train_results.json").write_text("{}")
    assert "finished" in the_one(output(recipe), "warning")


def test_what_earlier_runs_left(work):
    (work / "saves/tiny/checkpoint-9").mkdir(parents=True)
    recipe = {"do_train": True, "output_dir": "saves/tiny"}
    text = the_one(output(recipe, 0), "warning")
    assert text.startswith("saves/tiny/checkpoint-9 ") and "mv saves/tiny/checkpoint-9" in text
    sound = plain(work / "saves/tiny/checkpoint-10")
    assert output(recipe, 0)[0].text.endswith("; goes on from checkpoint-10")
    weights(sound / "model.safetensors", "visual.a")
    text = the_one(output(recipe, 0), "warning")
    assert "python -m train.checkpoints saves/tiny" in text, "llamafactory-cli would begin anew"
    assert output(recipe | {"storm": {"objective": "soft"}}, 0)[0].level == "ok", "train/run.py gives the right names"
    (work / "saves/tiny/generated_predictions.jsonl").write_text("")
    predict = {"do_predict": True, "output_dir": "saves/tiny"}
    assert the_one(output(predict, 0), "warning").startswith("saves/tiny/generated_predictions.jsonl ")
