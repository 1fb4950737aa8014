"""The sweep finishes what is left, goes on after a failure, mixes no results. The host is tests/fake_llamafactory."""

import json
import shlex
import subprocess
import time
from pathlib import Path

import pytest
from tests.helpers.fake_host import ROOT, calls, forget

from storm.datasets import SCALES
from train import results, preflight, sweep
from train.checks.finding import Finding
from train.plan import batch, commands, plan

PREFLIGHT = sweep._preflight  # which the fixture `tree` leaves out
DEMO = ("demo_direct", "demo_num", "demo_text", "demo")


@pytest.mark.slow
def test_a_whole_table_runs_and_then_is_finished(tree, capsys):
    assert sweep.main(["demo"]) == 0
    assert len(calls()) == 8  # four trainings, four predictions
    out = capsys.readouterr().out
    assert "| Num. + Text, ours | 1.000 |" in out and "| w/o CoT, ours | 1.000 |" in out
    results = json.loads(Path("results/demo_num.json").read_text())
    assert results["seed"] == 42 and set(results["data"]) == {"demo_train_num", "demo_test_num"}
    assert results["versions"]["llamafactory"] == "0.9.5" and results["recipe"]["learning_rate"] == 1e-3
    assert [(s["dataset"], s["n"], s["of"], s["acc"]) for s in results["scores"]] == [("demo", 10, 10, 1.0)]
    forget()
    begin = time.time()
    assert sweep.main(["demo"]) == 0
    assert len(calls()) == 8 and "was finished" in capsys.readouterr().out
    assert time.time() - begin < 2 * len(DEMO), "at most 2 s for a finished run"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda old: old | {"commit": "0123456789ab"}, "another commit (0123456789ab, now "),
        (lambda old: old | {"data": {**old["data"], "demo_train": "x"}}, "another data build (demo_train)"),
        (lambda old: old | {"versions": {**old["versions"], "torch": "2.0"}}, "other versions (torch 2.0, now "),
    ],
)
def test_results_of_another_commit_or_data_build_are_refused(tree, capsys, change, said):
    assert sweep.main(["demo", "--only", "demo"]) == 0
    path = Path("results/demo.json")
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    before = len(calls())
    assert sweep.main(["demo", "--only", "demo"]) == 1
    error = capsys.readouterr().err
    assert f"results/demo.json is of {said}" in error and "mv results/demo.json" in error
    assert len(calls()) == before, "no GPU time spent"
    assert sweep.main(["demo", "--only", "demo", "--any-commit"]) == (1 if "data build" in said else 0)


def test_a_training_with_other_settings_is_not_gone_on_with(tree, capsys):
    assert sweep.main(["demo", "--only", "demo", "max_steps=3"]) == 0
    Path("results/demo.json").unlink()
    assert sweep.main(["demo", "--only", "demo"]) == 1
    assert "saves/demo holds a training of other settings (max_steps: 3, now None): mv" in capsys.readouterr().err


@pytest.mark.slow
def test_a_prediction_of_another_training_or_cut_short_is_made_again(tree):
    assert sweep.main(["demo", "--only", "demo"]) == 0
    file = Path("saves/predict/demo/demo/generated_predictions.jsonl")
    again = Path("saves/demo/train_results.json")
    for damage in (lambda: again.write_text("{}"), lambda: file.write_text(file.read_text()[:200])):
        damage()
        Path("results/demo.json").unlink()
        forget()
        before = len(calls())
        assert sweep.main(["demo", "--only", "demo"]) == 0
        assert len(calls()) == before + 1
    assert json.loads(Path("results/demo.json").read_text())["scores"][0]["n"] == 10


def test_a_part_of_a_test_set_is_no_cell_of_the_table(tree, capsys):
    assert sweep.main(["demo", "--only", "demo", "max_samples=4"]) == 0
    out = capsys.readouterr().out
    assert (
        "| Num. + Text, ours |  |" in out and "demo: not the whole test set, so not in the table: demo 4 of 10." in out
    )


@pytest.mark.slow
def test_table4_predicts_fourteen_sets_a_run_and_prints_paper_and_ours(tree, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "visible_gpus", lambda: 4)
    assert sweep.main(["table4", "--only", "ablation_num", "--gpus", "4"]) == 0
    made = calls()
    assert len(made) == 15 and made[0]["env"]["FORCE_TORCHRUN"] == "1" and made[0]["env"]["NPROC_PER_NODE"] == "4"
    train, predicted = made[0]["recipe"], [call["recipe"] for call in made[1:]]
    assert train["per_device_train_batch_size"] * train["gradient_accumulation_steps"] * 4 == 128
    assert [p["eval_dataset"] for p in predicted] == [f"storm_{name}_test_num" for name in SCALES]
    assert {p["model_name_or_path"] for p in predicted} == {"saves/ablation_num"}
    assert all(p["do_sample"] is False for p in predicted)
    out = capsys.readouterr().out
    assert "| Only Num., paper | 0.573 | 0.399 |" in out and "| Only Num., ours | 1.000 | 1.000 |" in out
    assert "| Only Text, ours |  |  |" in out and "| ~1.02 | 2.516 |" in out


def test_some_datasets_only(tree, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "visible_gpus", lambda: 1)
    assert sweep.main(["table4", "--only", "ablation_text", "--datasets", "spaq,koniq", "--gpus", "1"]) == 0
    made = [call["recipe"] for call in calls()]
    assert made[0]["dataset"] == "storm_spaq_lite_text"
    assert [call["eval_dataset"] for call in made[1:]] == ["storm_spaq_test_text", "storm_koniq_test_text"]
    assert "ablation_text: trained on spaq, koniq only" in capsys.readouterr().out


def test_a_lora_run_is_predicted_with_its_adapter_on_the_base(tree):
    steps = commands(plan("ablation_lora", ["model_name_or_path=/models/qwen"], []), 8)
    predict = " ".join(steps["storm_hci_test"])
    assert "adapter_name_or_path=saves/ablation_lora finetuning_type=lora" in predict
    assert predict.count("model_name_or_path=/models/qwen") == 1 and "model_name_or_path=saves" not in predict


@pytest.mark.parametrize(
    ("gpus", "size", "steps"), [(1, 4, 32), (2, 4, 16), (8, 4, 4), (32, 4, 1), (64, 2, 1), (128, 1, 1)]
)
def test_the_global_batch_is_kept_on_any_number_of_gpus(tree, gpus, size, steps):
    run = plan("storm_lite", [], [])
    assert batch(run, gpus) == [f"per_device_train_batch_size={size}", f"gradient_accumulation_steps={steps}"]
    assert batch(plan("demo", [], []), gpus) == [], "promises no batch"


def test_gpus_that_cannot_share_the_batch(tree, capsys):
    assert sweep.main(["table4", "--only", "storm_lite", "--gpus", "6"]) == 1
    assert "6 GPUs cannot share a batch of 128 evenly: use 4 (--gpus 4)" in capsys.readouterr().err


def test_more_gpus_than_there_are(tree, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "visible_gpus", lambda: 2)
    assert sweep.main(["table4", "--only", "storm_lite", "--gpus", "8"]) == 1
    assert "storm_lite: --gpus 8: torch sees 2 here; leave --gpus out" in capsys.readouterr().err and calls() == []
    assert sweep.main(["demo", "--only", "demo", "--gpus", "8"]) == 0, "it runs on the CPU"


@pytest.mark.slow
def test_four_machines_train_together_through_srun(tree, monkeypatch):
    for name, value in (("NNODES", "2"), ("SLURM_JOB_ID", "7"), ("SLURM_NNODES", "2")):
        monkeypatch.setenv(name, value)
    assert sweep.main(["demo", "--only", "demo", "--gpus", "1"]) == 0
    made = calls()
    assert sorted(call["env"]["NODE_RANK"] for call in made) == ["0", "0", "1", "1"]
    assert {call["env"]["FORCE_TORCHRUN"] for call in made} == {"1"}


def test_several_machines_need_slurm(tree, monkeypatch, capsys):
    monkeypatch.setenv("NNODES", "4")
    assert sweep.main(["demo"]) == 2
    assert "sbatch recipes/slurm.sh" in capsys.readouterr().err


def test_a_number_of_machines_that_is_none(tree, monkeypatch, capsys):
    monkeypatch.setenv("NNODES", "abc")
    assert sweep.main(["demo"]) == 2
    assert capsys.readouterr().err == "error: NNODES=abc: is no number of machines; export NNODES=NUMBER\n"


def test_dry_run_prints_commands_that_work(tree, monkeypatch, capsys):
    assert sweep.main(["demo", "--only", "demo", "--dry-run", "max_steps=3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert calls() == [] and len(lines) == 3
    told = []
    monkeypatch.setattr(preflight, "preflight", lambda *arguments: told.append(arguments) or [Finding("ok", "a", "b")])
    python, script, *arguments = shlex.split(lines[0])
    assert (python, script, preflight.main(arguments)) == ("python", "recipes/preflight.py", 0)
    path, settings, *_, tests = told[0]
    assert (path, tests) == (Path("recipes/demo.yaml"), ["demo_test"])
    assert settings == ["max_steps=3", "dataset=demo_train", "output_dir=saves/demo"]
    for line in lines[1:]:
        subprocess.run(["bash", "-c", line], check=True)
    assert Path("saves/predict/demo/demo/generated_predictions.jsonl").exists()
    assert calls()[0]["recipe"]["max_steps"] == 3


def test_dry_run_prints_the_settings_of_the_preflight_that_runs(tree, capsys):
    assert sweep.main(["zero_qwen", "max_samples=8", "--dry-run", "--datasets", "koniq,hci"]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert line.endswith(
        "zero_qwen.yaml max_samples=8 eval_dataset=storm_koniq_test_direct "
        "output_dir=saves/predict/zero_qwen --tests storm_hci_test_direct"
    )
    assert sweep.main(["storm_lite", "--dry-run", "--gpus", "8"]) == 0
    line = shlex.split(capsys.readouterr().out.splitlines()[0])
    assert {"gradient_accumulation_steps=4", "output_dir=saves/storm_lite"} < set(line) and line[-2:] == ["--gpus", "8"]
    assert line[-3].split(",") == [f"storm_{name}_test" for name in SCALES] and line[-4] == "--tests"


def test_preflight_of_a_sweep_names_the_command_that_shows_the_other_errors(tree, monkeypatch, capsys):
    found = [Finding("error", "a", "first; fix"), Finding("error", "b", "second"), Finding("warning", "c", "odd")]
    monkeypatch.setattr(preflight, "preflight", lambda *arguments: found)
    monkeypatch.setattr(sweep, "_preflight", PREFLIGHT)
    monkeypatch.setattr(sweep, "visible_gpus", lambda: 8)
    assert sweep.main(["storm_lite", "--datasets", "deepdr"]) == 1
    error = capsys.readouterr().err
    assert "storm_lite: warning: odd" in error and "preflight: first; fix (and 1 more: python recipes/" in error
    command = error.split("1 more: ")[1].splitlines()[0].rstrip(")")
    assert sweep.main(["storm_lite", "--datasets", "deepdr", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == command


def test_dry_run_says_what_is_wrong_with_results_that_are_there(tree, capsys):
    assert sweep.main(["demo", "--only", "demo"]) == 0
    result = Path("results/demo.json")
    for text, said in (
        (result.read_text(), "results/demo.json is there"),
        (result.read_text().replace('"commit": null', '"commit": "abc"'), "results/demo.json is of another commit"),
        ("{", "results/demo.json: not a results file"),
    ):
        result.write_text(text)
        capsys.readouterr()
        assert sweep.main(["demo", "--only", "demo", "--dry-run"]) == 0
        assert capsys.readouterr().out.startswith(f"# demo: {said}")


def test_a_prediction_takes_of_a_trainings_settings_only_what_predicts(tree):
    settings = ["deepspeed=ds_configs/zero2.json", "learning_rate=1.0", "max_samples=3", "flash_attn=fa2"]
    predict = commands(plan("storm_lite", [*settings, "max_new_tokens=50", "cutoff_len=4096"], []), 8)["storm_hci_test"]
    assert {"max_samples=3", "flash_attn=fa2", "max_new_tokens=50", "cutoff_len=4096"} < set(predict)
    assert not any(text.startswith(("deepspeed", "learning_rate")) for text in predict)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["table9"], "table9: neither one of table2"),
        (["demo", "--only", "storm_lite"], "--only storm_lite: demo runs demo_direct"),
        (["demo", "output_dir=x"], "output_dir=x: the sweep sets"),
        (["demo", "learning_rate"], "setting 'learning_rate': write key=value"),
        (["demo", "--datasets", "spaq"], "--datasets spaq: not a test set of demo_direct"),
        (["storm_lite", "--datasets", "koniq"], "--datasets koniq: storm_lite trains on none of them"),
        (["demo", "--gpus", "0"], "--gpus 0: name one or more"),
        (["storm_lite", "dataset_dir="], "recipes/storm_lite.yaml: dataset_dir="),
        (["storm_lite", "dataset_dir=5"], "recipes/storm_lite.yaml: dataset_dir=5"),
        (["zero_qwen", "do_predict=false", "do_train=true"], "recipes/zero_qwen.yaml: no dataset, so there is nothing"),
    ],
)
def test_a_command_that_cannot_be_understood(tree, capsys, argv, said):
    assert sweep.main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {said}") and error.count("\n") == 1 and calls() == []


def test_missing_data_is_one_line(tree, capsys):
    Path("data/demo/demo_train.jsonl").unlink()
    assert sweep.main(["demo", "--only", "demo"]) == 1
    assert "demo_train.jsonl: no such file; python -m demo.photographs writes it" in capsys.readouterr().err


def test_table_prints_what_there_is_at_any_time(tree, capsys):
    for name in ("table2", "table4", "table5", "table8", "all", "demo"):
        assert sweep.main([name, "--table"]) == 0
        assert "ours |  |" in capsys.readouterr().out
    Path("results").mkdir()
    Path("results/demo.json").write_text("{")
    assert sweep.main(["demo", "--table"]) == 2
    assert "results/demo.json: not a results file" in capsys.readouterr().err


def test_averages_need_every_dataset(tmp_path):
    levels = [name for name in SCALES if SCALES[name].unit == "level"]
    score = {"n": 1, "of": 1, "unparsed": 0}
    all14 = [score | {"dataset": name, "acc": 0.5 if name in levels else None, "mae": 2.0} for name in SCALES]
    (tmp_path / "storm_lite.json").write_text(json.dumps({"scores": all14}))
    table = paper_table.markdown("table4", tmp_path)
    assert "| Num. + Text, ours |" in table and table.count("| 0.500 |\n") == 1
    (tmp_path / "storm_lite.json").write_text(json.dumps({"scores": all14[1:]}))
    assert "| 0.500 |\n" not in paper_table.markdown("table4", tmp_path)


def test_every_recipe_of_the_papers_tables_is_in_a_sweep():
    trained = {path.stem for path in (ROOT / "recipes").glob("*.yaml") if "Table" in path.read_text().splitlines()[0]}
    demo = {name for name in trained if name.startswith("demo")}
    assert trained - demo == set(paper_table.RUNS["all"])
