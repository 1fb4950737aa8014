"""What README tells a user to type is run here, in a copy of the working tree, with few training steps."""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", README, re.S) for line in block.splitlines() if line]
SWEEP = 'make sweep-demo ARGS="max_samples=240 max_steps=4"'  # run by tests/test_sweep_demo.py
FEW = "max_samples=240 max_steps=6 save_steps=2 save_total_limit=3"  # what the tests add to a training


def test_readme_names_the_commands_this_file_and_ci_run():
    assert [command for command in COMMANDS if command.startswith("make ")] == ["make demo", "make test", SWEEP]
    assert "make test" in (ROOT / ".ci" / "run").read_text().splitlines()


def test_every_file_readme_names_is_there():
    ours = "data_prep|eval|demo|recipes|tests|bench|examples"
    paths = re.findall(
        rf"(?<![\w/])(?:(?:{ours})/[\w./]*\w|pyproject\.toml|constraints\.txt|dataset_info\.json|LICENSE)", README
    )
    assert len(set(paths)) > 12
    assert [path for path in paths if not (ROOT / path).exists()] == []


def start(command: str, folder: Path, log: Path) -> subprocess.Popen:
    """Run a command of README with few steps. `-o .venv/ready`: the copy must not re-install the shared .venv."""
    command = command.replace("make sweep-demo", "make -o .venv/ready sweep-demo").replace(
        "make demo", f"make -o .venv/ready demo ARGS={shlex.quote(FEW)}"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # not a make in a make
    with log.open("w") as output:
        return subprocess.Popen(
            ["bash", "-c", command], cwd=folder, env=env, stdout=output, stderr=output, start_new_session=True
        )


def kill_after(checkpoint: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 480
    while not checkpoint.exists():
        assert process.poll() is None and time.monotonic() < deadline, "no checkpoint to interrupt after"
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_make_demo_goes_on_after_kill_9_and_runs_twice(copy, tmp_path):
    log = tmp_path / "log"
    first = copy / "saves/demo/checkpoint-2/trainer_state.json"
    kill_after(first, start("make demo", copy, log))
    assert not (copy / "saves/demo/train_results.json").exists(), "killed too late to prove anything"
    half_written = copy / "saves/demo/checkpoint-9"
    half_written.mkdir()
    saved = first.stat().st_mtime_ns

    assert start("make demo", copy, log).wait() == 0, log.read_text()[-3000:]
    assert json.loads((copy / "saves/demo/trainer_state.json").read_text())["global_step"] == 6
    assert first.stat().st_mtime_ns == saved, "it went on from there, not from the start"
    assert not half_written.exists()

    printed = log.read_text()
    assert re.search(r"demo +cot +text +240 +240 +4 ", printed)
    predicted = copy / "saves/demo_predict"
    score = json.loads((predicted / "score.json").read_text())["scores"][0]
    assert (score["n"], score["scale"], score["constant_acc"], score["constant_mae"]) == (240, "iqa", 0.2, 1.2)
    assert "data:image/jpeg;base64," in (predicted / "report.html").read_text()
    assert "saves/demo_predict/report.html" in printed.splitlines()[-1], "it ends with the report"

    before = (predicted / "generated_predictions.jsonl").stat().st_mtime_ns
    assert start("make demo", copy, log).wait() == 0, log.read_text()[-3000:]
    assert (predicted / "generated_predictions.jsonl").stat().st_mtime_ns == before, "nothing to train again"
    assert re.search(r"demo +cot +text +240 +240 +4 ", log.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c in COMMANDS if not c.startswith("make ")])
def test_each_other_command_runs(command, copy, tmp_path):
    log = tmp_path / "log"
    assert start(command, copy, log).wait() == 0, log.read_text()[-3000:]
