"""make demo trains again what other settings, or a sweep, have trained. The programs that it starts are stand-ins."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON = """#!/bin/sh
case "$*" in
  "-m demo.photographs") mkdir -p data/demo && touch data/demo/demo_test.jsonl;;
  "-m demo.model") mkdir -p saves/demo_base && touch saves/demo_base/config.json;;
esac
echo "python $*" >> calls
"""
HOST = """#!/bin/sh
echo "$*" >> calls
case "$*" in
  "train recipes/demo.yaml"*) mkdir -p saves/demo/checkpoint-1 && [ ! -e dies ] && touch saves/demo/train_results.json;;
  *) mkdir -p saves/demo_predict && touch saves/demo_predict/generated_predictions.jsonl;;
esac
"""


@pytest.fixture
def made(tmp_path):
    """A function: make with arguments; returns the trainings that it started."""
    for folder in ("recipes", "demo", "data_prep"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/ready").touch()
    for name, text in (("python", PYTHON), ("llamafactory-cli", HOST)):
        (tmp_path / ".venv/bin" / name).write_text(text)
        (tmp_path / ".venv/bin" / name).chmod(0o755)

    def make(*arguments: str, rc: int = 0) -> list[str]:
        (tmp_path / "calls").write_text("")
        done = subprocess.run(
            ["make", "-o", ".venv/ready", *arguments], cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True
        )
        assert done.returncode == rc, done.stderr
        calls = (tmp_path / "calls").read_text().splitlines()
        return [call.removeprefix("train recipes/demo.yaml").strip() for call in calls if "recipes/demo.yaml" in call]

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


def test_a_model_that_a_sweep_left_is_trained_again(made, tmp_path):
    assert made("demo") == [""]
    (tmp_path / "saves/demo/origin.json").touch()
    assert made("demo") == [""]
    assert not (tmp_path / "saves/demo/origin.json").exists()


def test_the_arguments_of_the_page_are_not_the_demos(made):
    assert made("demo", "ARGS=max_steps=8") == ["max_steps=8"]
    assert made("app", "ARGS=--port 7861") == []
    assert made("demo", "ARGS=max_steps=8") == []
