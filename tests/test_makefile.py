"""make demo trains again what other settings, or a sweep, have trained; make setup installs what a GPU needs.

The programs that they start are stand-ins.
"""

import re
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


UV = """#!/bin/sh
echo "$*" >> calls
case "$*" in *--no-build-isolation*) echo "MAX_JOBS=$MAX_JOBS" >> calls; [ ! -e broken ];; esac
"""


@pytest.fixture
def setup(tmp_path):
    """A function: make setup with arguments; returns the calls of uv and what was printed. compiler: whether CUDA's is
    there."""
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "torch").write_text("2.11.0")
    for path, text in (
        (".venv/bin/uv", UV),
        (".venv/bin/python", "#!/bin/sh\ncat torch\n"),
        ("cuda/bin/nvcc", "#!/bin/sh\n"),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
        (tmp_path / path).chmod(0o755)

    def run(*arguments: str, compiler: bool = False) -> tuple[list[str], str]:
        (tmp_path / "calls").write_text("")
        env = {"PATH": "/usr/bin:/bin", "CUDA_HOME": str(tmp_path / "cuda") if compiler else "/nowhere"}
        command = ["make", "setup", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return (tmp_path / "calls").read_text().splitlines(), done.stdout

    return run


def test_setup_installs_by_the_constraints_once(setup, tmp_path):
    (call,), _ = setup()
    assert call.endswith("-e .[test]") and "torch-backend" not in call
    assert (tmp_path / ".venv/constraints.txt").read_text() == (ROOT / "constraints.txt").read_text()
    assert setup()[0] == []


def test_a_torch_of_another_cuda_takes_its_own_cuda_packages_and_stays_chosen(setup, tmp_path):
    setup()
    (call,), _ = setup("TORCH_BACKEND=cu126")
    assert "--torch-backend cu126 --reinstall-package torch --reinstall-package torchvision" in call
    kept = (tmp_path / ".venv/constraints.txt").read_text().splitlines()
    left_out = set((ROOT / "constraints.txt").read_text().splitlines()) - set(kept)
    assert {line.split("-")[0] for line in left_out} == {"nvidia", "cuda"} and "torch==2.11.0" in kept
    assert setup("TORCH_BACKEND=cu126")[0] == setup()[0] == []
    (tmp_path / "constraints.txt").touch()
    assert "--torch-backend cu126" in setup()[0][0]
    assert "--torch-backend auto" in setup("TORCH_BACKEND=auto")[0][0]


def test_without_a_compiler_there_is_no_flash_attn_and_a_line_says_so(setup):
    calls, printed = setup("GPU=1")
    assert len(calls) == 3 and "liger-kernel" in calls[1]
    assert "sdpa will be used" in printed and setup()[0] == []
    calls, printed = setup("GPU=1", compiler=True)
    assert calls[-1] == "MAX_JOBS=4" and "flash-attn" in calls[-2], "tried again, now that there is a compiler"
    assert "sdpa" not in printed and setup("GPU=1", compiler=True)[0] == []


def test_flash_attn_is_built_again_for_another_torch_only_and_a_failure_is_not_an_error(setup, tmp_path):
    setup("GPU=1", "MAX_JOBS=2", compiler=True)
    (tmp_path / "constraints.txt").touch()
    calls, _ = setup(compiler=True)
    assert calls and not any("flash-attn" in call for call in calls), "it takes hours"
    assert setup(compiler=True)[0] == []
    (tmp_path / "constraints.txt").touch()
    (tmp_path / "torch").write_text("2.11.0+cu126")
    calls, _ = setup(compiler=True)
    assert "--no-cache --no-build-isolation" in calls[-2] and any("uninstall" in call for call in calls[:-2])
    (tmp_path / "constraints.txt").touch()
    (tmp_path / "torch").write_text("2.12.0")
    (tmp_path / "broken").touch()
    assert "sdpa will be used" in setup(compiler=True)[1]


def test_the_docker_file_names_targets_variables_and_files_that_there_are():
    """It was not built: there was no Docker daemon."""
    docker, make = (ROOT / "Dockerfile").read_text(), (ROOT / "Makefile").read_text()
    (arguments,) = re.findall(r"^RUN make setup (.*)$", docker, re.MULTILINE)
    given = dict(word.split("=") for word in arguments.split())
    assert given and all(value == f"${{{name}}}" for name, value in given.items())
    for name in given:
        assert re.search(rf"^{name} \?=", make, re.MULTILINE) and re.search(rf"^ARG {name}=", docker, re.MULTILINE)
    assert {target for target in re.findall(r"\bmake (\w+)", docker)} <= set(
        re.findall(r"^([\w-]+):", make, re.MULTILINE)
    )
    named = re.findall(r"(?:recipes|train|docs)/\w+\.\w+", docker)
    assert len(named) >= 3 and all((ROOT / path).is_file() for path in named)
    assert re.search(r"^COPY \. \.$", docker, re.MULTILINE), "what it needs is what git has"
    left_out = (ROOT / ".dockerignore").read_text().split()
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {path.split("/")[0] for path in listed.splitlines()} & set(left_out)
