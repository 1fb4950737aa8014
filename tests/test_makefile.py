"""make demo trains again what other settings, or a sweep, have trained. The programs that it starts are stand-ins."""

import shutil
import subprocess

import pytest

from tests.helpers.paths import ROOT

PYTHON = """#!/bin/sh
case "$*" in
  "-m demo.photographs") mkdir -p data/demo && touch data/demo/demo_test.jsonl;;
  "-m demo.model") mkdir -p saves/demo_base && touch saves/demo_base/config.json;;
  "-m train.launch saves/demo -- llamafactory-cli train recipes/demo.yaml"*)
    mkdir -p saves/demo/checkpoint-1 && [ ! -e dies ] && touch saves/demo/train_results.json || exit 1;;
  "eval/predict.py "*)
    mkdir -p saves/demo_predict && touch saves/demo_predict/provenance.json saves/demo_predict/demo_test.jsonl
    [ ! -e predict_dies ] || exit 1;;
esac
echo "python $*" >> calls
"""
TRAIN = "python -m train.launch saves/demo -- llamafactory-cli train recipes/demo.yaml"


@pytest.fixture
def made(tmp_path):
    """A function: make with arguments; returns the settings of each training that it started."""
    for folder in ("recipes", "demo", "storm"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/ready").touch()
    (tmp_path / ".venv/bin/python").write_text(PYTHON)
    (tmp_path / ".venv/bin/python").chmod(0o755)

    def make(*arguments: str, rc: int = 0) -> list[str]:
        (tmp_path / "calls").write_text("")
        done = subprocess.run(
            ["make", "-o", ".venv/ready", *arguments], cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True
        )
        assert done.returncode == rc, done.stderr
        calls = (tmp_path / "calls").read_text().splitlines()
        return [call.removeprefix(TRAIN).strip() for call in calls if call.startswith(TRAIN)]

    return make


def test_other_arguments_train_again_and_the_same_do_not(made):
    assert made("demo") == [""]
    assert made("demo") == []
    assert made("demo", "ARGS=max_steps=8") == ["max_steps=8"]
    assert made("demo", "ARGS=max_steps=8") == []
    assert made("demo") == [""]


def test_an_interrupted_training_goes_on_unless_its_arguments_change(made, tmp_path):
    (tmp_path / "dies").touch()
    made("demo", "ARGS=max_steps=8", rc=2)
    (tmp_path / "saves/demo/checkpoint-1/whole").touch()
    (tmp_path / "dies").unlink()
    assert made("demo", "ARGS=max_steps=8") == ["max_steps=8"]
    assert (tmp_path / "saves/demo/checkpoint-1/whole").exists()
    assert made("demo", "ARGS=max_steps=9") == ["max_steps=9"]
    assert not (tmp_path / "saves/demo/checkpoint-1/whole").exists()


@pytest.mark.parametrize("name", ["provenance.json", "origin.json"])
def test_a_model_that_a_sweep_left_is_trained_again(made, tmp_path, name):
    assert made("demo") == [""]
    (tmp_path / "saves/demo" / name).touch()
    assert made("demo") == [""]
    assert not (tmp_path / "saves/demo" / name).exists()


def test_interrupted_predictions_go_on_and_those_of_another_model_or_version_do_not(made, tmp_path):
    predicted = tmp_path / "saves/demo_predict"
    (tmp_path / "predict_dies").touch()
    made("demo", rc=2)
    (predicted / "half").touch()
    (tmp_path / "predict_dies").unlink()
    made("demo")
    assert (predicted / "half").exists()
    made("demo", "ARGS=max_steps=8")
    assert not (predicted / "half").exists() and (predicted / "demo_test.jsonl").exists()
    for name in ("provenance.json", "done"):
        (predicted / name).unlink()
    (predicted / "generated_predictions.jsonl").touch()
    made("demo")
    assert not (predicted / "generated_predictions.jsonl").exists(), "it would be scored beside ours"


def test_the_arguments_of_the_page_are_not_the_demos(made):
    assert made("demo", "ARGS=max_steps=8") == ["max_steps=8"]
    assert made("app", "ARGS=--port 7861") == []
    assert made("demo", "ARGS=max_steps=8") == []
