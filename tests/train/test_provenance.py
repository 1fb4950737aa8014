"""No training, prediction or result of other settings, data, commits or hands is taken for one of this sweep."""

import json
import subprocess
from pathlib import Path

import pytest

from storm import provenance
from tests.helpers.fake_host import calls, fate, forget
from train import sweep

ZERO = ["zero_qwen", "--datasets", "koniq"]
RESULT, TRAINED = Path("results/demo.json"), Path("saves/demo/provenance.json")


def demo(*more: str) -> int:
    forget()
    return sweep.main(["demo", "--only", "demo", *more])


def result(path: Path = RESULT) -> dict:
    return json.loads(path.read_text())


def change(path: Path, **facts) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("data/storm/num/spaq_test.jsonl", "python -m data_prep spaq --strategy num"),
        ("data/storm/cot/spaq_val.jsonl", "python -m data_prep spaq --strategy cot --val 0.1"),
        ("data/storm/cot/koniq_val.jsonl", "python -m data_prep koniq --strategy cot"),
        ("data/demo/demo_test_num.jsonl", "python -m demo.photographs"),
        ("data/appeal/cot/appeal_val.jsonl", "python -m data_prep own RATINGS.csv --scale SCALE.yaml"),
    ],
)
def test_a_file_that_is_gone_names_the_command_that_writes_it(tmp_path, file, command):
    with pytest.raises(ValueError) as error:
        provenance.file_hash(tmp_path / file)
    assert str(tmp_path / file) in str(error.value) and str(error.value).endswith(command)


@pytest.mark.slow
def test_zero_shot_predictions_of_another_model_or_data_build_are_made_again(tree, capsys):
    assert sweep.main(ZERO) == 0
    for number, changed in enumerate(([], ["model_name_or_path=other/model"], ["image_max_pixels=5000"])):
        Path("results/zero_qwen.json").unlink()
        assert sweep.main([*ZERO, *changed]) == 0
        assert len(calls()) == 1 + number, "the first is taken"
    assert "other/model" in calls()[-2]["argv"]
    folder = Path("saves/predict/zero_qwen")
    assert str(folder / "koniq_test.jsonl") in capsys.readouterr().err
    old = [name for path in folder.iterdir() if ".old" in (name := path.name)]
    assert sorted(old) == [f"{name}.old{n}" for name in ("koniq_test.jsonl", "provenance.json") for n in ("", "2")]

    Path("results/zero_qwen.json").unlink()
    rows = Path("data/storm/direct/koniq_test.jsonl")
    rows.write_text(rows.read_text().replace("x.png", "y.png"))
    assert sweep.main([*ZERO, "image_max_pixels=5000"]) == 0
    assert len(calls()) == 4 and "koniq_test.jsonl" in capsys.readouterr().err


@pytest.mark.slow
def test_a_data_build_that_changed_one_test_set_predicts_this_one_again(tree, capsys):
    argv = ["zero_qwen", "--datasets", "koniq,hci"]
    assert sweep.main(argv) == 0
    hci = Path("saves/predict/zero_qwen/hci_test.jsonl")
    before = hci.stat().st_mtime_ns
    rows = Path("data/storm/direct/koniq_test.jsonl")
    rows.write_text(rows.read_text().replace("x.png", "y.png"))
    Path("results/zero_qwen.json").unlink()
    assert sweep.main(argv) == 0 and len(calls()) == 2
    assert hci.stat().st_mtime_ns == before and "hci" not in capsys.readouterr().err
    (prediction,) = [json.loads(line) for line in hci.with_name("koniq_test.jsonl").read_text().splitlines()]
    assert prediction["image"] == "y.png"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dataset"), [("demo", "demo"), ("zero_qwen", "koniq")])
def test_predictions_of_another_commit_are_taken_by_any_commit_only(tree, capsys, name, dataset):
    argv = [name, "--datasets", "koniq"] if name == "zero_qwen" else [name, "--only", name]
    assert sweep.main(argv) == 0
    before = len(calls())
    change(Path(f"saves/predict/{name}/provenance.json"), commit="0123456789ab")
    Path(f"results/{name}.json").unlink()
    assert sweep.main([*argv, "--any-commit"]) == 0 and len(calls()) == before
    assert result(Path(f"results/{name}.json"))["predicted_with"][dataset]["commit"] == "0123456789ab"
    assert f"{name}: {dataset} predicted with" in capsys.readouterr().out
    Path(f"results/{name}.json").unlink()
    assert sweep.main(argv) == 0 and len(calls()) == before + 1


@pytest.mark.slow
def test_a_prediction_without_a_whole_provenance_is_made_again(tree):
    facts, file = Path("saves/predict/demo/provenance.json"), Path("saves/predict/demo/demo_test.jsonl")
    assert demo() == 0
    for number, harm in enumerate((lambda: facts.unlink(), lambda: facts.write_text("{"))):
        harm()
        RESULT.unlink()
        before, rows = len(calls()), file.read_bytes()
        assert demo() == 0 and len(calls()) == before + 1
        old = file.with_name(f"{file.name}.old{'2' if number else ''}")
        assert old.read_bytes() == rows, "a user may have made them: nothing is deleted"
    assert facts.with_name("provenance.json.old").read_text() == "{"


@pytest.mark.slow
def test_exact_predictions_that_a_user_made_there_are_not_deleted(tree, capsys):
    file = Path("saves/predict/demo/demo_test.jsonl")
    assert demo() == 0
    change(file.with_name("provenance.json"), decode="exact")
    RESULT.unlink()
    before, count = file.read_bytes(), len(calls())
    assert demo() == 1 and len(calls()) == count
    assert file.read_bytes() == before and "mv saves/predict/demo saves/predict/demo.old" in capsys.readouterr().err


def test_a_training_that_no_sweep_began_is_refused_or_named(tree, monkeypatch, capsys):
    Path("saves/demo").mkdir(parents=True)
    Path("saves/demo/train_results.json").write_text("{}")
    assert demo() == 1 and calls() == []
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "mv saves/demo saves/demo.old" in error and "--by-hand" in error
    assert demo("--by-hand") == 0 and len(calls()) == 1
    assert result()["outcome"] == "was trained by hand" and result()["by_hand"] is True
    assert "demo: trained by hand" in capsys.readouterr().out
    assert not TRAINED.exists(), "it stays unknown"


@pytest.mark.slow
def test_an_interrupted_training_by_hand_stays_one(tree, monkeypatch):
    monkeypatch.setattr("train.steps.discard_broken", lambda folder: [])
    Path("saves/demo/checkpoint-2").mkdir(parents=True)
    assert demo() == 1 and calls() == []
    assert demo("--by-hand") == 0
    assert result()["outcome"] == "resumed by hand" and result()["by_hand"] is True and not TRAINED.exists()


@pytest.mark.slow
def test_a_sweep_elsewhere_touches_neither_models_nor_results(tree, capsys):
    Path("saves/demo").mkdir(parents=True)
    Path("saves/demo/train_results.json").write_text("{}")
    assert demo("--saves", "saves/elsewhere") == 0
    assert [path.name for path in Path("saves/demo").iterdir()] == ["train_results.json"]
    assert not Path("results").exists() and not Path("saves/predict").exists()
    assert result(Path("saves/elsewhere/results/demo.json"))["scores"][0]["n"] == 10
    assert "saves/elsewhere/demo" in calls()[-1]["argv"]
    capsys.readouterr()
    assert sweep.main(["demo", "--show", "--saves", "saves/elsewhere"]) == 0
    assert "1.000" in capsys.readouterr().out


@pytest.mark.slow
def test_a_row_with_other_settings_says_so(tree, capsys):
    assert demo("max_steps=4", "learning_rate=1.0") == 0
    assert "demo: with max_steps=4 learning_rate=1.0" in capsys.readouterr().out


@pytest.mark.slow
def test_any_commit_keeps_what_the_training_was_made_with(tree, capsys):
    assert demo() == 0
    change(TRAINED, commit="0123456789ab")
    before = TRAINED.read_bytes()
    RESULT.unlink()
    assert demo() == 1
    error = capsys.readouterr().err
    assert "0123456789ab" in error and "mv saves/demo saves/demo.old" in error and "--any-commit" in error
    assert demo("--any-commit") == 0
    assert TRAINED.read_bytes() == before and result()["trained_with"]["commit"] == "0123456789ab"
    assert "demo: trained with" in capsys.readouterr().out


@pytest.mark.slow
def test_results_of_another_commit_are_named_below_the_table(tree, capsys):
    assert demo() == 0
    change(RESULT, commit="0123456789ab")
    assert demo("--any-commit") == 0
    (note,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("demo: scored with")]
    assert "0123456789ab" in note


@pytest.mark.slow
def test_a_provenance_outlives_an_interruption_of_another_commit(tree, monkeypatch):
    fate(monkeypatch, demo="half")
    monkeypatch.setattr("train.steps.discard_broken", lambda folder: [])
    assert demo() == 1
    change(TRAINED, commit="0123456789ab")
    assert demo("--any-commit") == 0
    assert json.loads(TRAINED.read_text())["commit"] == "0123456789ab"


@pytest.mark.slow
def test_a_training_that_left_nothing_may_start_with_other_settings(tree, monkeypatch):
    fate(monkeypatch, demo="crash")
    assert demo() == 1
    fate(monkeypatch)
    assert demo("max_steps=3") == 0 and json.loads(TRAINED.read_text())["settings"] == ["max_steps=3"]


@pytest.mark.slow
def test_one_more_test_set_needs_no_training(tree, monkeypatch):
    monkeypatch.setattr(sweep, "visible_gpus", lambda: 1)
    assert sweep.main(["storm_lite", "--datasets", "deepdr"]) == 0
    Path("results/storm_lite.json").unlink()
    assert sweep.main(["storm_lite", "--datasets", "deepdr,hci"]) == 0
    assert len(calls("train")) == 1 and len(calls("predict")) == 2
    facts = json.loads(Path("saves/predict/storm_lite/provenance.json").read_text())
    assert set(facts["data"]) == {"deepdr_test", "hci_test"}


@pytest.mark.slow
def test_a_damaged_provenance_is_one_line(tree, capsys):
    assert demo() == 0
    RESULT.unlink()
    TRAINED.write_text('{"data": {}}')
    assert demo() == 1
    error = capsys.readouterr().err
    assert "saves/demo/provenance.json" in error and "mv saves/demo saves/demo.old" in error and error.count("\n") == 1


def test_other_changes_are_another_commit(tree):
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *who, *arguments], check=True, capture_output=True)

    def seen() -> str:
        forget()
        return provenance.commit()

    git("init")
    git("add", "recipes", "dataset_info.json")
    git("commit", "-m", "first")
    clean = seen()
    assert len(clean) == 12
    Path("notes.txt").write_text("they change no number")
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
