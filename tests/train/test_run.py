"""train/run.py trains as LLaMA-Factory does, and with what the `storm:` block of a recipe adds."""

import json
from importlib.util import find_spec

import pytest

from storm.files import read_json, write_json
from tests.helpers.paths import ROOT
from tests.helpers.training import history, make_inputs, settings, train
from train import run

pytestmark = pytest.mark.slow  # trains with LLaMA-Factory
PLAIN = ("max_steps=4", "save_steps=2", "deepspeed=null")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = make_inputs(tmp_path_factory.mktemp("inputs"), tmp_path_factory.mktemp("cache"))
    info = read_json(folder / "dataset_info.json")
    rows = (folder / "demo_train.jsonl").read_text().splitlines()
    (folder / "demo_val.jsonl").write_text("\n".join(rows[::4]) + "\n")
    write_json(folder / "dataset_info.json", info | {"demo_val": info["demo_train"] | {"file_name": "demo_val.jsonl"}})
    return folder


def trained(inputs, out, storm: dict | None, *more: str, processes: int = 1) -> list[dict]:
    recipe = settings(inputs, out, *PLAIN, *more)
    code, output = train(recipe if storm is None else recipe | {"storm": storm}, processes)
    assert code == 0, output[-3000:]
    return history(out)


def test_without_a_block_every_step_is_the_hosts(inputs, tmp_path):
    host, ours = trained(inputs, tmp_path / "host", None), trained(inputs, tmp_path / "ours", {})
    assert host == ours and len(host) == 4
    for name in ("model.safetensors", "checkpoint-2/model.safetensors"):
        assert (tmp_path / "host" / name).read_bytes() == (tmp_path / "ours" / name).read_bytes()


@pytest.mark.parametrize("objective", ["soft", "expected", "emd"])
def test_an_objective_is_learned(inputs, tmp_path, objective):
    storm = {"objective": objective, "target": "laplace", "width": 0.5, "sft": 1.0, "weight": 1.0}
    steps = trained(inputs, tmp_path / "out", storm, "max_steps=12")
    assert all(0 < step["grad_norm"] < 1000 for step in steps)
    first, last = sum(step["loss"] for step in steps[:3]), sum(step["loss"] for step in steps[-3:])
    assert last < first


def test_two_processes_and_deepspeed_take_the_steps_of_one(inputs, tmp_path):
    storm = {"objective": "emd", "sft": 1.0}
    one = trained(inputs, tmp_path / "one", storm, "per_device_train_batch_size=8")
    two = trained(inputs, tmp_path / "two", storm, "per_device_train_batch_size=4", processes=2)
    zero = f"deepspeed={ROOT / 'ds_configs/zero3.json'}"
    third = trained(inputs, tmp_path / "zero", storm, "per_device_train_batch_size=4", zero, processes=2)
    for ours, theirs in zip(two, third, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3)
    assert two[0]["loss"] == pytest.approx(one[0]["loss"], rel=0.05), "other rows: not the same batch"


def test_lora_and_accumulation_with_an_objective(inputs, tmp_path):
    more = ("finetuning_type=lora", "lora_target=all", "lora_rank=4", "gradient_accumulation_steps=2")
    steps = trained(inputs, tmp_path / "lora", {"objective": "soft", "target": "laplace"}, *more)
    assert len(steps) == 4 and (tmp_path / "lora" / "adapter_model.safetensors").is_file()


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
        assert 0 <= line["val_demo_val_acc"] <= 1 and -1 <= line["val_demo_val_qwk"] <= 1
        assert line["val_error"] == pytest.approx(line["val_demo_val_mae"] / 4) and line["val_demo_val_rps"] >= 0
    best = min(scores, key=lambda step: (scores[step]["val_error"], step))
    assert (tmp_path / "scored" / f"checkpoint-{best}").is_dir()
    state = read_json(tmp_path / "scored" / "trainer_state.json")
    assert state["best_model_checkpoint"].endswith(f"checkpoint-{best}")


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (["demo_emd.yaml"], "unset USE_RAY"),
        (["storm_lite_ray.yaml", "storm.objective=emd"], "leave ray_num_workers out"),
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
        (["storm.objective=emd", "flash_attn=fa2"], "flash_attn: sdpa"),
        (["storm.evaluate.every=0"], "whole number"),
        (["storm.evaluate.every=2", "dataset_dir=nowhere"], "nowhere"),
    ],
)
def test_bad_blocks_are_one_line_before_the_training(inputs, tmp_path, capsys, monkeypatch, more, words):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    path = ROOT / "recipes" / "demo.yaml"
    assert run.main([str(path), f"model_name_or_path={inputs / 'base'}", f"output_dir={tmp_path / 'x'}", *more]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert words in lines[-1] and lines[-1].startswith("error: ")
