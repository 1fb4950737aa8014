"""How train/run.py starts torchrun, and what its exit code says."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT
from train import run
from train.training import host

pytestmark = pytest.mark.slow  # imports torch and LLaMA-Factory


@pytest.mark.parametrize(("ended", "code"), [(0, 0), (3, 3), (-9, 137)])
def test_torchrun_of_this_python_gets_our_file_and_whole_words(monkeypatch, capsys, ended, code):
    commands = []

    def started(command, env, pass_fds):
        commands.append(command)
        assert pass_fds == (5,), "the folder stays locked after a kill of this process"
        return subprocess.CompletedProcess(command, ended)

    monkeypatch.setattr(host.subprocess, "run", started)
    for name, value in {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": "2", "PATH": "/bin"}.items():
        monkeypatch.setenv(name, value)
    words = ["my recipe.yaml", "seed=1"]
    assert host.launch("a folder/run.py", lambda: pytest.fail("not here"), words, (5,)) == code
    [command] = commands
    assert command[0] == str(Path(sys.executable).parent / "torchrun") and command[-3:] == ["a folder/run.py", *words]
    assert "--nproc_per_node" in command
    lines = capsys.readouterr().err.splitlines()
    assert not any(line.startswith("error: ") for line in lines), "train/launch.py would take it for the cause"
    assert code == 0 or f"exit code {ended}" in lines[-1]


def test_a_fault_of_the_training_keeps_its_traceback(monkeypatch, tmp_path):
    """Python then ends with 1; 2 is for what was wrong before."""

    def fails(recipe, callbacks):
        raise ValueError("the optimizer is ill")

    monkeypatch.setattr("llamafactory.train.tuner.run_exp", fails)
    for name, value in {"FORCE_TORCHRUN": "0", "CUDA_VISIBLE_DEVICES": "", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    words = [str(ROOT / "recipes" / "demo.yaml"), f"output_dir={tmp_path / 'out'}"]
    with pytest.raises(ValueError, match="ill"):
        run.main(words)
    assert run.main([*words, "storm.objective=edm"]) == 2


def test_a_fault_before_the_training_shows_once_a_machine(monkeypatch, capsys):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert run.main([str(ROOT / "recipes" / "demo.yaml"), "storm.objective=edm"]) == 2
    assert capsys.readouterr().err == ""


def test_under_ray_a_line_says_who_counts_the_tokens(monkeypatch, capsys):
    monkeypatch.setenv("USE_RAY", "1")
    monkeypatch.setattr("llamafactory.train.tuner.run_exp", lambda recipe, callbacks: None)
    host.train({"model_name_or_path": "nowhere"}, None)
    assert "Ray" in capsys.readouterr().err
