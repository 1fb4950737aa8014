"""No training, prediction or result of other settings, data, commits or hands is taken for one of this sweep."""

import json
import subprocess
from pathlib import Path

import pytest
from tests.helpers.fake_host import calls, fate, forget

from storm import provenance
from train import sweep

ZERO = ["zero_qwen", "--datasets", "koniq"]
RESULT, STAMP = Path("results/demo.json"), Path("saves/demo/origin.json")


def demo(*more: str) -> int:
    forget()
    return sweep.main(["demo", "--only", "demo", *more])


def result(path: Path = RESULT) -> dict:
    return json.loads(path.read_text())


def change(path: Path, **facts) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


@pytest.mark.slow
def test_zero_shot_predictions_of_another_model_or_data_build_are_made_again(tree, capsys):
    assert sweep.main(ZERO) == 0
    for number, changed in enumerate(([], ["model_name_or_path=other/model"], ["image_max_pixels=5000"])):
        Path("results/zero_qwen.json").unlink()
        assert sweep.main([*ZERO, *changed]) == 0
        assert len(calls()) == 1 + number, "the first is taken"
    assert calls()[-2]["recipe"]["model_name_or_path"] == "other/model"
    assert "zero_qwen: predicts koniq again: saves/predict/zero_qwen/koniq/generated_p" in capsys.readouterr().err

    Path("results/zero_qwen.json").unlink()
    rows = Path("data/storm/direct/koniq_test.jsonl")
    rows.write_text(rows.read_text().replace("x.png", "y.png"))
    assert sweep.main([*ZERO, "image_max_pixels=5000"]) == 0
    assert len(calls()) == 4 and "another data build (storm_koniq_test_direct)" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "stamp"), [("demo", "demo/demo"), ("zero_qwen", "zero_qwen/koniq")])
def test_predictions_of_another_commit_are_taken_by_any_commit_only(tree, capsys, name, stamp):
    argv = [name, "--datasets", "koniq"] if name == "zero_qwen" else [name, "--only", name]
    assert sweep.main(argv) == 0
    before = len(calls())
    change(Path(f"saves/predict/{stamp}/origin.json"), commit="0123456789ab")
    Path(f"results/{name}.json").unlink()
    assert sweep.main([*argv, "--any-commit"]) == 0 and len(calls()) == before
    known = result(Path(f"results/{name}.json"))
    assert known["predicted_with"][stamp.split("/")[1]]["commit"] == "0123456789ab"
    assert "predicted with another commit or other versions." in capsys.readouterr().out or name != "demo"
    Path(f"results/{name}.json").unlink()
    assert sweep.main(argv) == 0 and len(calls()) == before + 1


@pytest.mark.slow
def test_a_prediction_without_a_whole_stamp_is_made_again(tree):
    stamp = Path("saves/predict/demo/demo/origin.json")
    assert demo() == 0
    for harm in (lambda: stamp.unlink(), lambda: stamp.write_text("{")):
        harm()
        RESULT.unlink()
        before = len(calls())
        assert demo() == 0 and len(calls()) == before + 1


def test_a_training_that_no_sweep_began_is_refused_or_named(tree, monkeypatch, capsys):
    Path("saves/demo").mkdir(parents=True)
    Path("saves/demo/train_results.json").write_text("{}")
    assert demo() == 1 and calls() == []
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "no sweep began" in error and "--by-hand" in error
    assert demo("--by-hand") == 0 and len(calls()) == 1
    assert result()["said"] == "was trained by hand" and result()["by_hand"] is True
    assert "demo: trained by hand: its settings are not known." in capsys.readouterr().out
    assert not STAMP.exists(), "it stays unknown"


def test_an_interrupted_training_by_hand_stays_one(tree, monkeypatch):
    monkeypatch.setattr("train.steps.discard_broken", lambda folder: [])
    Path("saves/demo/checkpoint-2").mkdir(parents=True)
    assert demo() == 1 and calls() == []
    assert demo("--by-hand") == 0
    assert result()["said"] == "resumed by hand" and result()["by_hand"] is True and not STAMP.exists()


@pytest.mark.slow
def test_a_sweep_elsewhere_touches_neither_models_nor_results(tree, capsys):
    Path("saves/demo").mkdir(parents=True)
    Path("saves/demo/train_results.json").write_text("{}")
    assert demo("--saves", "saves/elsewhere") == 0
    assert [path.name for path in Path("saves/demo").iterdir()] == ["train_results.json"]
    assert not Path("results").exists() and not Path("saves/predict").exists()
    assert result(Path("saves/elsewhere/results/demo.json"))["scores"][0]["n"] == 10
    assert calls()[-1]["recipe"]["model_name_or_path"] == "saves/elsewhere/demo"
    capsys.readouterr()
    assert sweep.main(["demo", "--table", "--saves", "saves/elsewhere"]) == 0
    assert "| Num. + Text, ours | 1.000 |" in capsys.readouterr().out


def test_a_row_with_other_settings_says_so(tree, capsys):
    assert demo("max_steps=4", "learning_rate=1.0") == 0
    assert "demo: with max_steps=4 learning_rate=1.0." in capsys.readouterr().out


@pytest.mark.slow
def test_any_commit_keeps_what_the_training_was_made_with(tree, capsys):
    assert demo() == 0
    change(STAMP, commit="0123456789ab")
    stamp = STAMP.read_bytes()
    RESULT.unlink()
    assert demo() == 1
    error = capsys.readouterr().err
    assert "saves/demo holds a training of another commit" in error
    assert "mv saves/demo saves/demo.old, or --any-commit" in error
    assert demo("--any-commit") == 0
    assert STAMP.read_bytes() == stamp and result()["trained_with"]["commit"] == "0123456789ab"
    assert "demo: trained with another commit (0123456789ab, now" in capsys.readouterr().out


def test_results_of_another_commit_are_named_below_the_table(tree, capsys):
    assert demo() == 0
    change(RESULT, commit="0123456789ab")
    assert demo("--any-commit") == 0
    assert "demo: scored with another commit (0123456789ab, now None)." in capsys.readouterr().out


@pytest.mark.slow
def test_a_stamp_outlives_an_interruption_of_another_commit(tree, monkeypatch):
    fate(monkeypatch, demo="half")
    monkeypatch.setattr("train.steps.discard_broken", lambda folder: [])
    assert demo() == 1
    change(STAMP, commit="0123456789ab")
    assert demo("--any-commit") == 0
    assert json.loads(STAMP.read_text())["commit"] == "0123456789ab"


@pytest.mark.slow
def test_a_training_that_left_nothing_may_start_with_other_settings(tree, monkeypatch):
    fate(monkeypatch, demo="crash")
    assert demo() == 1
    fate(monkeypatch)
    assert demo("max_steps=3") == 0 and json.loads(STAMP.read_text())["settings"] == ["max_steps=3"]


@pytest.mark.slow
def test_one_more_test_set_needs_no_training(tree, monkeypatch):
    monkeypatch.setattr(sweep, "visible_gpus", lambda: 1)
    assert sweep.main(["storm_lite", "--datasets", "deepdr"]) == 0
    Path("results/storm_lite.json").unlink()
    assert sweep.main(["storm_lite", "--datasets", "deepdr,hci"]) == 0
    assert [call["recipe"].get("eval_dataset") for call in calls()] == [None, "storm_deepdr_test", "storm_hci_test"]


def test_a_damaged_stamp_is_one_line(tree, capsys):
    assert demo() == 0
    RESULT.unlink()
    STAMP.write_text('{"data": {}}')
    assert demo() == 1
    assert "saves/demo/origin.json: damaged; mv saves/demo saves/demo.old" in capsys.readouterr().err


def test_other_changes_are_another_commit(tree):
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *who, *arguments], check=True, capture_output=True)

    def seen() -> str:
        forget()
        return origin.commit()

    git("init")
    git("add", "recipes", "dataset_info.json")
    git("commit", "-m", "first")
    clean = seen()
    assert len(clean) == 12
    Path("notes.txt").write_text("of no account")
    assert seen() == clean
    commits = [clean]
    for text in ("one", "two"):
        Path("recipes/demo.yaml").write_text(text)
        commits.append(seen())
    Path("recipes/new.py").write_text("")
    commits.append(seen())
    Path("recipes/mine.yaml").write_text("")
    assert len(set(commits)) == 4 and all(commit.startswith(f"{clean}+changes.") for commit in commits[1:])
    assert seen() == commits[-1]
