"""--help prints help, quickly, and does nothing else; what is mistyped is named with what was meant."""

import os
import re
import resource
import signal
import subprocess
import sys

import pytest

from tests.helpers import in_process
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow  # starts every command

COMMANDS = (
    "-m data_prep",
    "-m data_prep own",
    "-m data_prep release",
    "-m data_prep registry",
    "-m demo.model",
    "-m demo.photographs",
    "eval/predict.py",
    "eval/score.py",
    "eval/report.py",
    "eval/app.py",
    "eval/serve.py",
    "train/preflight.py",
    "train/sweep.py",
    "train/card.py",
    "-m train.checkpoints",
    "-m train.launch",
    "-m train.docs",
)
SECONDS = 0.5  # of CPU; a busy machine may need more than one try


def run(command: str, *more: str, cwd=ROOT, timeout=None) -> subprocess.CompletedProcess:
    argv = [str(ROOT / word) if word.endswith(".py") else word for word in command.split()]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, *argv, *more]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, env=env, timeout=timeout)


def cpu_seconds(command: str, cwd) -> tuple[float, subprocess.CompletedProcess]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run(command, "--help", cwd=cwd)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done


@pytest.mark.parametrize("command", COMMANDS)
def test_help_prints_help_and_does_nothing_else(command, tmp_path):
    tries = [cpu_seconds(command, tmp_path)]
    while tries[-1][0] > SECONDS and len(tries) < 3:
        tries.append(cpu_seconds(command, tmp_path))
    seconds, done = min(tries, key=lambda one: one[0])
    assert done.returncode == 0 and done.stdout.startswith("usage: ") and done.stderr == ""
    assert os.listdir(tmp_path) == []
    assert seconds <= SECONDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_help_text(command):
    text = in_process.run(command, "--help").stdout
    options = text.split("options:", 1)[1]
    entries = re.split(r"\n  (?=-)", options)[1:]
    silent = [entry.split("\n")[0] for entry in entries if not re.search(r"\s{2,}\w", entry.split("\n", 1)[-1])
              and not re.search(r"\S\s{2,}\S", entry.split("\n")[0])]  # fmt: skip
    assert entries and silent == []


@pytest.mark.parametrize("command", ["eval/score.py", "train/preflight.py", "train/sweep.py"])
def test_a_command_in_this_process_leaves_its_signals(command):
    """What ends a command behind `| head` would end the tests of servers that come later in this process."""
    before = signal.getsignal(signal.SIGPIPE)
    in_process.run(command, "--dry-run", "--help")
    assert signal.getsignal(signal.SIGPIPE) is before is signal.SIG_IGN


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        ("-m data_prep spak", "spaq"),
        ("-m data_prep --medai x", "--media"),
        ("eval/score.py saves --tabel 2", "--table"),
        ("eval/score.py saves --table 22", "2"),
        ("eval/predict.py --modle x", "--model"),
        ("eval/report.py x --ot y", "--out"),
        ("eval/app.py --modle x", "--model"),
        ("eval/serve.py --modle x", "--model"),
        ("train/preflight.py recipes/storm_lit.yaml", "storm_lite"),
        ("train/sweep.py tabel4", "table4"),
        ("train/sweep.py table4 --only ablation_nun", "ablation_num"),
        ("train/sweep.py table4 --datasets spak", "spaq"),
    ],
)
def test_what_is_mistyped_is_named_with_what_was_meant(command, meant):
    done = in_process.run(command)
    assert done.returncode == 2 and "Traceback" not in done.stderr and "Errno" not in done.stderr
    text = done.stderr + done.stdout
    assert re.search(rf"did you mean [^?]*{re.escape(meant)}", text), text


@pytest.mark.parametrize(
    "command",
    [
        "-m data_prep own x.csv --levels Bad,Good --name",
        "-m data_prep own x.csv --levels",
        "eval/predict.py --data x.jsonl --out x --model",
        "eval/predict.py --data x.jsonl --out x --model m --adapter",
        "eval/predict.py --data x.jsonl --out x --server http://127.0.0.1:9 --served-model",
        "eval/app.py --model",
        "eval/serve.py --model m --api-key-env",
        "train/sweep.py table2 --model m --name",
    ],
)
def test_an_empty_value_is_not_an_option_that_is_left_out(command, tmp_path):
    """As of "$NAME" where it is not set."""
    done = in_process.run(command, "", cwd=tmp_path)
    option = command.split()[-1]
    assert done.returncode == 2 and option in done.stderr.splitlines()[-1] and os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "command",
    [
        "eval/score.py nowhere",
        "eval/score.py nowhere.jsonl --baseline nowhere2",
        "eval/report.py nowhere --out x.html",
        "eval/predict.py --model nowhere --data nowhere.jsonl --out x",
        "-m data_prep --media nowhere",
        "-m data_prep own nowhere.csv --scale nowhere.yaml",
        "-m data_prep release nowhere_train.jsonl",
        "train/preflight.py nowhere.yaml",
        "train/card.py nowhere",
    ],
)
def test_a_missing_file_is_named_in_one_line(command, tmp_path):
    done = in_process.run(command, cwd=tmp_path)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr and "Errno" not in done.stderr
    text = done.stderr + done.stdout
    assert "nowhere" in text, text


@pytest.mark.parametrize(
    "command",
    [
        "eval/score.py fifo",
        "eval/score.py folder --data fifo",
        "eval/score.py folder --scale fifo",
        "eval/predict.py --model m --data fifo --out x",
        "-m data_prep own fifo --scale fifo",
        "-m data_prep release fifo --part test",
        "train/preflight.py list.yaml",
        "eval/app.py --model m --port 70000",
    ],
)
def test_what_is_not_a_file_of_this_kind_is_refused_at_once(command, tmp_path):
    """A pipe has no end: whoever opens it waits for ever."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "rows.jsonl")
    (tmp_path / "list.yaml").write_text("- a\n- b\n")
    done = run(command, cwd=tmp_path, timeout=20)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr and "Errno" not in done.stderr
    assert any(name in done.stderr for name in ("fifo", "folder", "list.yaml", "70000"))
