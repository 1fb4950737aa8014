"""train/run.py trains as LLaMA-Factory does, and with what the `storm:` block of a recipe adds."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest
import yaml
from PIL import Image

from storm.files import read_json, write_json, write_jsonl
from storm.rows import Example, to_row
from storm.scales import IQA
from tests.helpers.paths import ROOT
from tests.helpers.training import ENVIRONMENT, history, make_inputs, settings, train
from train import run

pytestmark = pytest.mark.slow  # trains with LLaMA-Factory
PLAIN = ("max_steps=4", "save_steps=2", "deepspeed=null", "flash_attn=sdpa")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """With val rows, too; the first of these is of an image whose header is sound and whose end is missing."""
    folder = make_inputs(tmp_path_factory.mktemp("inputs"), tmp_path_factory.mktemp("cache"))
    info = read_json(folder / "dataset_info.json")
    rows = []
    for number in range(10):
        name = f"val{number}.png"
        Image.effect_noise((56, 56), 10.0 * (number + 1)).convert("RGB").save(folder / name)
        rows.append(to_row(Example(name, "demo", name, number % 5, IQA, "cot")))
    write_jsonl(folder / "demo_val.jsonl", rows)
    cut = folder / "val0.png"
    cut.write_bytes(cut.read_bytes()[:500])
    write_json(folder / "dataset_info.json", info | {"demo_val": info["demo_train"] | {"file_name": "demo_val.jsonl"}})
    return folder


def trained(inputs, out, storm: dict | None, *more: str, processes: int = 1) -> list[dict]:
    recipe = settings(inputs, out, *PLAIN, *more)
    code, output = train(recipe if storm is None else recipe | {"storm": storm}, processes)
    assert code == 0, output[-3000:]
    return history(out)


@pytest.fixture(scope="module")
def host(inputs):
    """A training of four steps by LLaMA-Factory alone."""
    trained(inputs, inputs / "host", None)
    return inputs / "host"


def test_without_a_block_every_step_is_the_hosts(inputs, host, tmp_path):
    ours = trained(inputs, tmp_path / "ours", {})
    assert history(host) == ours and len(ours) == 4
    for name in ("model.safetensors", "checkpoint-2/model.safetensors"):
        assert (host / name).read_bytes() == (tmp_path / "ours" / name).read_bytes()


def test_the_command_goes_on_under_torchrun_with_its_own_weights(inputs, host, tmp_path):
    """After a kill at step 3; the recipe's name has a space, and PATH has no torchrun."""
    out, recipe = tmp_path / "out", tmp_path / "my recipe.yaml"
    shutil.copytree(host / "checkpoint-2", out / "checkpoint-2")
    block = {"evaluate": {"every": 2, "rows": 4}}
    recipe.write_text(yaml.safe_dump(settings(inputs, out, *PLAIN) | {"storm": block}))
    env = os.environ | ENVIRONMENT | {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": "1", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, ROOT / "train/run.py", recipe]
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    for step, expected in zip(history(out), history(host), strict=True):
        assert step == pytest.approx(expected, abs=1e-4)
    lines = [json.loads(line) for line in (out / "trainer_log.jsonl").read_text().splitlines()]
    assert [line["current_steps"] for line in lines if "val_error" in line] == [4]
    again = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert again.returncode == 2 and len(again.stderr.splitlines()) == 1, "nothing to train, in one line"


@pytest.mark.parametrize("objective", ["soft", "expected", "emd"])
def test_an_objective_is_learned(inputs, tmp_path, objective):
    storm = {"objective": objective, "target": "laplace", "width": 0.5, "sft": 1.0, "weight": 1.0}
    steps = trained(inputs, tmp_path / "out", storm, "max_steps=12")
    assert all(0 < step["grad_norm"] < 1000 for step in steps)
    first, last = sum(step["loss"] for step in steps[:3]), sum(step["loss"] for step in steps[-3:])
    assert last < first


def test_two_processes_and_deepspeed_take_the_steps_of_one(inputs, tmp_path):
    storm = {"objective": "soft", "target": "laplace"}  # a mean over rows, as LLaMA-Factory's over tokens is not
    single = trained(inputs, tmp_path / "one", storm, "per_device_train_batch_size=8")
    two = trained(inputs, tmp_path / "two", storm, "per_device_train_batch_size=4", processes=2)
    zero = f"deepspeed={ROOT / 'ds_configs/zero3.json'}"
    third = trained(inputs, tmp_path / "zero", storm, "per_device_train_batch_size=4", zero, processes=2)
    for key in ("loss", "grad_norm"):
        expected = [step[key] for step in single]
        for steps in (two, third):
            assert [step[key] for step in steps] == pytest.approx(expected, rel=1e-2)
            assert steps[0][key] == pytest.approx(expected[0], rel=1e-3)


def test_lora_and_accumulation_take_the_steps_of_a_larger_batch(inputs, tmp_path):
    storm, lora = {"objective": "soft", "target": "laplace"}, ("finetuning_type=lora", "lora_target=all", "lora_rank=4")
    single = trained(inputs, tmp_path / "one", storm, *lora, "per_device_train_batch_size=8")
    two = trained(inputs, tmp_path / "two", storm, *lora, "gradient_accumulation_steps=2")
    assert (tmp_path / "two" / "adapter_model.safetensors").is_file()
    assert [step["loss"] for step in two] == pytest.approx([step["loss"] for step in single], rel=1e-2)
    assert two[0]["loss"] == pytest.approx(single[0]["loss"], rel=1e-4)
    # Without DeepSpeed, transformers and accelerate both divide by the accumulation, as in every training of the host.
    assert 2 * two[0]["grad_norm"] == pytest.approx(single[0]["grad_norm"], rel=1e-3)


@pytest.mark.parametrize("processes", [1, 2])
def test_scores_while_training_change_no_step_and_the_best_checkpoint_is_kept(inputs, tmp_path, processes):
    more = ("max_steps=6", "save_steps=100", "save_total_limit=1")
    plain = trained(inputs, tmp_path / "plain", {}, *more, processes=processes)
    scored = trained(inputs, tmp_path / "scored", {"evaluate": {"every": 2, "rows": 8}}, *more, processes=processes)
    assert plain == scored
    lines = [json.loads(line) for line in (tmp_path / "scored" / "trainer_log.jsonl").read_text().splitlines()]
    scores = {line["current_steps"]: line for line in lines if "val_error" in line}
    assert list(scores) == [2, 4, 6]
    for line in scores.values():
        assert 0 <= line["val_demo_acc"] <= 1 and -1 <= line["val_demo_qwk"] <= 1
        assert line["val_error"] == pytest.approx(line["val_demo_mae"] / 4) and line["val_demo_rps"] >= 0
        assert (line["val_rows"], line["val_errors"]) == (7, 1)
    seconds = [line["val_seconds"] for line in scores.values()]
    assert 0 < seconds[0] < seconds[1] < seconds[2], "the present one is counted"
    assert (tmp_path / "scored.log").read_text().count("val0.png") == 1, "warned once"
    best = min(scores, key=lambda step: (scores[step]["val_error"], step))
    assert (tmp_path / "scored" / f"checkpoint-{best}").is_dir()
    state = read_json(tmp_path / "scored" / "trainer_state.json")
    assert state["best_model_checkpoint"].endswith(f"checkpoint-{best}")


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (["demo_emd.yaml"], "unset USE_RAY"),
        (["storm_lite_ray.yaml", "storm.objective=soft"], "leave ray_num_workers out"),
    ],
)
def test_ray_and_a_block_are_refused_before_llamafactory_starts(capsys, monkeypatch, words, fix):
    monkeypatch.setenv("USE_RAY", "1")
    monkeypatch.setattr("train.training.host.launch", lambda *_: pytest.fail("it started"))
    assert run.main([str(ROOT / "recipes" / words[0]), *words[1:]]) == 2
    error = capsys.readouterr().err
    assert fix in error and error.count("\n") == 1


@pytest.mark.skipif(find_spec("ray") is not None, reason="ray is installed")
def test_ray_that_is_not_installed_is_one_line(capsys, monkeypatch):
    monkeypatch.setenv("USE_RAY", "1")
    assert run.main([str(ROOT / "recipes/storm_lite_ray.yaml")]) == 2
    assert "pip install -e '.[ray]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["storm.objectiv=emd"], "objective"),
        (["storm.objective=soft", "flash_attn=fa2"], "flash_attn: sdpa"),
        (["storm.evaluate.every=0"], "whole number"),
        (["storm.evaluate.every=2", "dataset_dir=nowhere"], "nowhere"),
        (["storm.objective=soft", "storm.scale=nowhere.yaml"], "storm.scale=nowhere.yaml"),
    ],
)
def test_bad_blocks_are_one_line_before_the_training(inputs, tmp_path, capsys, monkeypatch, more, words):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    path = ROOT / "recipes" / "demo.yaml"
    assert run.main([str(path), f"model_name_or_path={inputs / 'base'}", f"output_dir={tmp_path / 'x'}", *more]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert words in lines[-1] and lines[-1].startswith("error: ")
