"""What bench/train.py runs and counts; that it runs at all."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.train import HEAD, OURS, STOCK, VARIANTS, cells, settings
from tests.helpers.paths import ROOT
from train.recipe import load

# LLaMA-Factory 0.9.5, examples/train_full/qwen2_5vl_full_sft.yaml, less files, names, amounts of data and saving.
EXAMPLE = {
    "image_max_pixels": 262144,
    "stage": "sft",
    "do_train": True,
    "finetuning_type": "full",
    "freeze_vision_tower": True,
    "freeze_multi_modal_projector": True,
    "freeze_language_model": False,
    "template": "qwen2_vl",
    "cutoff_len": 2048,
    "dataloader_num_workers": 4,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 2,
    "learning_rate": 1.0e-5,
    "lr_scheduler_type": "cosine",
    "warmup_ratio": 0.1,
    "bf16": True,
    "ddp_timeout": 180000000,
}
ROW = {"samples_per_s": 4.0, "tokens_per_s": 6000.4, "step_s": 0.25}
ROW |= {"peak_gb": 41.46, "tflops": 200.8, "of_peak": 0.251}
# What the bench sets itself, and what a step does not show.
BENCH = {"dataset", "dataset_dir", "media_dir", "output_dir", "model_name_or_path", "max_steps", "max_samples"}
BENCH |= {"save_strategy", "save_steps", "save_total_limit", "logging_steps", "plot_loss", "report_to", "deepspeed"}
BENCH |= {"preprocessing_num_workers", "num_train_epochs"}


def test_stock_is_llamafactorys_example():
    stock = settings("stock", Path("/bench"), 12)
    assert {key: value for key, value in stock.items() if key not in BENCH} == EXAMPLE
    assert stock["max_samples"] == 15 * 2 and Path(stock["deepspeed"]).is_file()


def test_the_recipe_is_the_recipe():
    recipe, run = load(ROOT / "recipes" / "storm_lite.yaml"), settings("recipe", Path("/bench"), 12)
    assert {key: run[key] for key in run.keys() - BENCH} == {key: recipe[key] for key in recipe.keys() - BENCH}
    assert {key: recipe[key] for key in OURS} == OURS, "stock_same_work does the recipe's work"
    assert VARIANTS["stock_same_work"] == STOCK | OURS


def test_one_gpu_is_the_recipe_for_one_gpu():
    recipe, run = load(ROOT / "recipes" / "storm_lite_1gpu.yaml"), settings("one_gpu", Path("/bench"), 12)
    recipe["gradient_accumulation_steps"] = 1  # so that more steps fit into the time
    del recipe["max_grad_norm"]  # of that accumulation
    assert {key: run[key] for key in run.keys() - BENCH} == {key: recipe[key] for key in recipe.keys() - BENCH}


def test_a_failure_is_a_row_of_the_table():
    assert cells("batch8", {"error": "out of memory"}, 1.0) == ("batch8", "out of memory", *[None] * 6)
    assert cells("batch1", ROW, 2.0) == ("batch1", "4.00", "2.00", 6000, 0.25, "41.5", "201", "25.1%")
    assert cells("batch1", ROW, None)[2] is None and len(cells("batch1", ROW, 2.0)) == len(HEAD)


@pytest.mark.slow  # trains
def test_it_trains_and_measures_without_a_gpu(tmp_path):
    command = [sys.executable, "-m", "bench.train", "--tiny", "--steps", "2", "--variants", "packed", "fa2"]
    command += ["--work", tmp_path / "work", "--out", tmp_path / "train.json"]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    variants = json.loads((tmp_path / "train.json").read_text())["variants"]
    assert list(variants) == ["packed", "fa2"]
    assert variants.pop("fa2") == {"error": "ImportError: flash_attn is not installed"}
    for name, row in variants.items():
        assert re.search(rf"^\| {name} +\| +{row['samples_per_s']:.2f} +\|", ended.stdout, re.MULTILINE)
        assert row["samples_per_s"] > 0 and row["tokens_per_s"] > 200 * row["samples_per_s"]
        assert row["patches_per_sample"] == 64 and len(row["steps_s"]) == 4
    assert variants["packed"]["samples"] >= 2 * 4
