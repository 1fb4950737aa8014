"""The sweep finishes what is left, goes on after a failure, mixes no results. The host is tests.helpers.fake_host."""

import json
import time
from pathlib import Path

import pytest

from storm.datasets import SCALES
from storm.prompts import STRATEGIES
from tests.helpers.fake_host import calls, forget
from tests.helpers.paths import ROOT
from train import results, sweep
from train.plan import Options, plan
from train.predictions import prediction, settings_of

DEMO = [f"demo{row.suffix}" for row in STRATEGIES.values()]
UNKNOWN = ("do_sample=true", "image_min_pixels=3136", "quantization_bit=4", "model_revision=a", "cache_dir=x")


def cell(markdown: str, row: str, number: int = 0) -> list[str]:
    """The cells of a row of a Markdown table; number: of several tables."""
    lines = [[part.strip() for part in line.split("|")[1:-1]] for line in markdown.splitlines()]
    return [line for line in lines if line[:1] == [row]][number][1:]


def after(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


@pytest.mark.slow
def test_a_whole_table_runs_and_then_is_finished(tree, capsys):
    assert sweep.main(["demo"]) == 0
    assert [call["kind"] for call in calls()] == ["train", "predict"] * len(DEMO)
    out = capsys.readouterr().out
    assert cell(out, "Num. + Text, ours") == cell(out, "w/o CoT, ours") == ["1.000"]
    result = json.loads(Path("results/demo_num.json").read_text())
    assert result["seed"] == 42 and set(result["data"]) == {"demo_train_num", "demo_test_num"}
    assert result["versions"]["llamafactory"] == "0.9.5" and result["recipe"]["learning_rate"] == 5e-4
    assert [(s["dataset"], s["n"], s["n_test"], s["acc"]) for s in result["scores"]] == [("demo", 10, 10, 1.0)]
    forget()
    begin = time.time()
    assert sweep.main(["demo"]) == 0
    assert len(calls()) == 2 * len(DEMO) and "was finished" in capsys.readouterr().out
    assert time.time() - begin < 2 * len(DEMO), "at most 2 s for a finished run"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda old: old | {"commit": "0123456789ab"}, "0123456789ab"),
        (lambda old: old | {"data": {**old["data"], "demo_train": "x"}}, "(demo_train)"),
        (lambda old: old | {"versions": {**old["versions"], "torch": "2.0"}}, "torch 2.0, now "),
    ],
)
def test_results_of_another_commit_or_data_build_are_refused(tree, capsys, change, expected):
    assert sweep.main(["demo", "--only", "demo"]) == 0
    path = Path("results/demo.json")
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    before = len(calls())
    assert sweep.main(["demo", "--only", "demo"]) == 1
    error = capsys.readouterr().err
    assert expected in error and "mv results/demo.json results/demo.json.old" in error
    assert len(calls()) == before, "no GPU time spent"
    assert sweep.main(["demo", "--only", "demo", "--any-commit"]) == (1 if "demo_train" in expected else 0)


def test_rows_that_are_missing_are_written_by_one_command(tree, capsys):
    for strategy in ("num", "text"):
        for path in Path("data/storm", strategy).glob("hci_*.jsonl"):
            path.unlink()
    runs = ["--only", "ablation_num", "--only", "ablation_text", "--datasets", "spaq,hci"]
    assert sweep.main(["table4", *runs]) == 1 and not calls()
    first, *others = capsys.readouterr().err.splitlines()
    assert "python -m data_prep hci --strategy num text" in first and "data/storm/num/hci_test.jsonl" in first
    assert [line.split("--strategy ")[1].split(";")[0] for line in others] == ["num", "text"]


def test_a_training_with_other_settings_is_not_gone_on_with(tree, capsys):
    assert sweep.main(["demo", "--only", "demo", "max_steps=3"]) == 0
    Path("results/demo.json").unlink()
    assert sweep.main(["demo", "--only", "demo"]) == 1
    error = capsys.readouterr().err
    assert "max_steps: 3, now None" in error and "mv saves/demo saves/demo.old" in error
    assert "--any-commit" not in error, "would not help"


@pytest.mark.slow
def test_a_prediction_of_another_training_or_cut_short_is_made_again(tree):
    assert sweep.main(["demo", "--only", "demo"]) == 0
    file = Path("saves/predict/demo/demo_test.jsonl")
    weights = Path("saves/demo/model.safetensors")
    for damage in (lambda: weights.write_text("other"), lambda: file.write_text(file.read_text()[:200])):
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
    assert cell(out, "Num. + Text, ours") == [""] and "4 of 10" in out


@pytest.mark.slow
def test_table4_predicts_fourteen_sets_with_one_command_and_prints_paper_and_ours(tree, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "visible_gpus", lambda: 4)
    assert sweep.main(["table4", "--only", "ablation_num", "--gpus", "4"]) == 0
    training, prediction = calls()
    assert training["env"]["FORCE_TORCHRUN"] == "1" and training["env"]["NPROC_PER_NODE"] == "4"
    recipe, argv = training["recipe"], prediction["argv"]
    assert recipe["per_device_train_batch_size"] * recipe["gradient_accumulation_steps"] * 4 == 128
    assert argv[:3] == ["--standalone", "--nproc_per_node=4", "eval/predict.py"]
    assert [word for word in argv if word.endswith(".jsonl")] == [
        f"data/storm/num/{name}_test.jsonl" for name in SCALES
    ]
    assert after(argv, "--model") == "saves/ablation_num" and after(argv, "--decode") == "generate"
    out = capsys.readouterr().out
    assert cell(out, "Only Num., paper")[:2] == ["0.573", "0.399"]
    assert cell(out, "Only Num., ours")[:2] == ["1.000", "1.000"]
    assert set(cell(out, "Only Text, ours")) == {""} and cell(out, "Only Text, paper", 1)[-2:] == ["~1.02", "2.516"]


def test_some_datasets_only(tree, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "visible_gpus", lambda: 1)
    assert sweep.main(["table4", "--only", "ablation_text", "--datasets", "spaq,koniq", "--gpus", "1"]) == 0
    training, prediction = calls()
    assert training["recipe"]["dataset"] == "storm_spaq_lite_text"
    files = [word for word in prediction["argv"] if word.endswith(".jsonl")]
    assert files == ["data/storm/text/spaq_test.jsonl", "data/storm/text/koniq_test.jsonl"]
    assert "ablation_text: trained on spaq, koniq only" in capsys.readouterr().out


def test_a_lora_run_is_predicted_with_its_adapter_on_the_base(tree):
    words = prediction(plan("ablation_lora", ["model_name_or_path=/models/qwen"], []), Options(gpus=8))
    assert (after(words, "--model"), after(words, "--adapter")) == ("/models/qwen", "saves/ablation_lora")


def test_a_prediction_takes_of_a_trainings_settings_only_what_predicts(tree):
    settings = ["deepspeed=ds_configs/zero2.json", "learning_rate=1.0", "max_samples=3", "flash_attn=fa2"]
    run = plan("storm_lite", [*settings, "max_new_tokens=50", "cutoff_len=4096", "per_device_eval_batch_size=2"], [])
    settings = settings_of(run)
    assert (settings.limit, settings.max_new_tokens, settings.cutoff_len, settings.batch_size) == (3, 50, 4096, 2)
    assert (settings.model, settings.media, settings.out.as_posix()) == (
        "saves/storm_lite",
        Path("data/raw"),
        "saves/predict/storm_lite",
    )


@pytest.mark.parametrize("setting", [*UNKNOWN, "bf16=true", "num_beams=2"])
def test_a_setting_that_predict_does_not_know_is_refused(tree, capsys, setting):
    assert sweep.main(["zero_qwen", "--datasets", "koniq", setting]) == 1
    assert f"zero_qwen: {setting.split('=')[0]}=" in capsys.readouterr().err and calls() == []


@pytest.mark.parametrize("setting", ["do_sample=true", "num_beams=2", "use_fast_tokenizer=false", "model_revision=a"])
def test_a_setting_of_a_training_that_would_change_its_predictions_is_refused(tree, capsys, setting):
    """A revision is of the base model, which the predictions of an adapter load again."""
    assert sweep.main(["ablation_lora", "--datasets", "deepdr", setting]) == 1
    assert f"ablation_lora: {setting.split('=')[0]}=" in capsys.readouterr().err and calls() == []
    if setting == "model_revision=a":
        assert settings_of(plan("storm_lite", [setting], [])).model == "saves/storm_lite"


def test_averages_need_every_dataset(tmp_path):
    levels = [name for name in SCALES if SCALES[name].unit == "level"]
    score = {"n": 1, "n_test": 1, "unparsed": 0}
    all14 = [score | {"dataset": name, "acc": 0.5 if name in levels else None, "mae": 2.0} for name in SCALES]
    (tmp_path / "storm_lite.json").write_text(json.dumps({"scores": all14}))
    table = results.markdown("table4", tmp_path)
    assert (cell(table, "Num. + Text, ours")[-1], cell(table, "Num. + Text, ours", 1)[-1]) == ("0.500", "2.000")
    (tmp_path / "storm_lite.json").write_text(json.dumps({"scores": all14[1:]}))
    table = results.markdown("table4", tmp_path)
    assert (cell(table, "Num. + Text, ours")[-1], cell(table, "Num. + Text, ours", 1)[-1]) == ("", "")


def test_results_of_an_earlier_version_are_shown(tmp_path):
    """They say "of" for the rows of the test set."""
    scores = [{"dataset": "demo", "n": 10, "of": 10, "unparsed": 0, "acc": 0.5, "mae": 1.0}]
    (tmp_path / "demo.json").write_text(json.dumps({"scores": scores}))
    assert cell(results.markdown("demo", tmp_path), "Num. + Text, ours") == ["0.500"]
    (tmp_path / "demo.json").write_text(json.dumps({"scores": [scores[0] | {"of": 11}]}))
    table = results.markdown("demo", tmp_path)
    assert cell(table, "Num. + Text, ours") == [""] and "demo 10 of 11" in table


def test_every_recipe_of_the_papers_tables_is_in_a_sweep():
    trained = {path.stem for path in (ROOT / "recipes").glob("*.yaml") if "Table" in path.read_text().splitlines()[0]}
    demo = {name for name in trained if name.startswith("demo")}
    assert trained - demo == set(results.RUNS["all"])


def test_a_users_own_scale_beside_the_data_is_predicted_and_scored(tree, monkeypatch):
    from storm.custom_scale import load
    from storm.files import write_json, write_jsonl
    from storm.rows import Example, to_row
    from tests.helpers.paths import EXAMPLE

    folder = Path("data/appeal")
    folder.mkdir()
    (folder / "scale.yaml").write_bytes((EXAMPLE / "scale.yaml").read_bytes())
    scale = load(folder / "scale.yaml").scale
    stanza = json.loads(Path("dataset_info.json").read_text())["demo_train"]
    for part in ("train", "val", "test"):
        rows = [Example(str(n), scale.name, "x.png", n % 5, scale, "cot") for n in range(7)]
        write_jsonl(folder / f"{scale.name}_{part}.jsonl", map(to_row, rows))
    names = {
        f"appeal_{part}": stanza | {"file_name": f"{scale.name}_{part}.jsonl"} for part in ("train", "val", "test")
    }
    write_json(folder / "dataset_info.json", names)
    monkeypatch.setattr(sweep, "visible_gpus", lambda: 1)
    assert sweep.main(["custom"]) == 0
    assert after(calls()[-1]["argv"], "--scale") == "data/appeal/scale.yaml"
    (score,) = json.loads(Path("results/custom.json").read_text())["scores"]
    assert (score["scale"], score["n"], score["n_test"], score["acc"]) == (scale.name, 7, 7, 1.0)
