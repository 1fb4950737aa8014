"""`python -m train.launch` shows a training's steps and loss, and ends it with everything that it started."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tqdm import tqdm

from storm.files import append_jsonl
from tests.helpers.paths import ROOT
from train.launch import LOG, Stopped, launch, main, rows_of, steps_of

# A training: two steps, a child of its own, and then it waits.
TRAINING = """
import json, subprocess, sys, time
from pathlib import Path
out = Path("out")
for step in (1, 2):
    with (out / "trainer_log.jsonl").open("a") as log:
        print(json.dumps({"current_steps": step, "total_steps": 4, "loss": 0.5}), file=log)
print("noise", flush=True)
if "waits" in sys.argv:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (out / "started").touch()
    time.sleep(60)
if "fails" in sys.argv:
    raise RuntimeError("the disk is full")
(out / "trainer_state.json").write_text(json.dumps({"global_step": 2, "log_history": [{"step": 2, "loss": 0.5}]}))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "training.py").write_text(TRAINING)
    return tmp_path / "out"


def test_it_prints_steps_and_loss_and_keeps_the_rest_in_the_log(folder, capsys):
    assert main(["out", "--", sys.executable, "training.py"]) == 0
    out = capsys.readouterr().out
    assert "2 steps" in out and "0.500" in out and "out/output.log" in out and "noise" not in out
    assert (folder / LOG).read_text() == "noise\n"


def test_a_training_that_fails_ends_with_its_last_error(folder, capsys):
    assert main(["out", "--", sys.executable, "training.py", "fails"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "RuntimeError: the disk is full" in error and "out/output.log" in error
    assert main(["out", "--", "no-such-program"]) == 1
    assert "no-such-program" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "rc"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_training_and_its_children(folder, sent, rc):
    command = [sys.executable, "-m", "train.launch", "out", "--", sys.executable, "training.py", "waits"]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    end = time.time() + 30
    while not (folder / "started").exists():
        assert time.time() < end
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == 2
    process.send_signal(sent)
    assert process.wait(timeout=40) == rc
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


@pytest.mark.slow
def test_kill_9_of_make_ends_the_training_too(folder):
    """All are in one group of processes, so nothing goes on in the background and keeps the folder."""
    command = [sys.executable, "-m", "train.launch", "out", "--", sys.executable, "training.py", "waits"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    end = time.time() + 30
    while not (folder / "started").exists():
        assert time.time() < end
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    psutil.wait_procs(children, timeout=10)
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


def test_a_folder_that_another_process_writes_to_is_left_alone(folder, capsys):
    from storm.files import locked

    with locked(folder):
        assert main(["out", "--", sys.executable, "training.py"]) == 1
    assert "out: another process" in capsys.readouterr().err and not (folder / "trainer_log.jsonl").exists()


def test_a_training_that_it_starts_takes_the_lock_for_its_own(tmp_path):
    """train/run.py must not take the lock that it inherits for that of another process, and takes no other folder."""
    text = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from train.training.folder import held\n"
    text += "with held({'do_train': True, 'output_dir': sys.argv[1]}) as locks: print('locks', len(locks))"
    for name, count in (("run", 0), ("other", 1)):
        command = [sys.executable, "-c", text, str(tmp_path / name)]
        launch(command, tmp_path / "run", steps_of(tmp_path / "run", "run"))
        assert (tmp_path / "run" / "output.log").read_text().splitlines()[-1] == f"locks {count}"


def test_steps_of_an_earlier_start_are_not_judged_and_half_a_line_waits(tmp_path):
    log = tmp_path / "trainer_log.jsonl"
    append_jsonl(log, [{"current_steps": 1, "total_steps": 9, "loss": 0.0}])
    watch = steps_of(tmp_path, "run")
    with tqdm(disable=True) as bar, log.open("a") as file:
        watch.update(bar)
        file.write('{"current_steps": 2, "total_steps": 9, "lo')
        file.flush()
        watch.update(bar)
        file.write('ss": NaN}\n')
        file.flush()
        with pytest.raises(Stopped, match="step 2"):
            watch.update(bar)


def test_a_damaged_line_of_the_log_does_not_end_a_training(tmp_path):
    watch, bar = steps_of(tmp_path, "run"), tqdm(file=io.StringIO())
    lines = [
        "",
        "{",
        "[]",
        "5",
        '{"loss": "x", "current_steps": null}',
        '{"current_steps": 3, "total_steps": 9}',
        '{"loss": 0.5}',
    ]
    (tmp_path / "trainer_log.jsonl").write_bytes("\n".join([*lines, ""]).encode() + b"\xff\n")
    watch.update(bar)
    assert (bar.n, bar.total, bar.postfix) == (3, 9, "loss 0.500")


def test_rows_are_counted_over_parts_and_merges(tmp_path):
    bar = tqdm(file=io.StringIO())
    watch = rows_of(tmp_path, {"a_test"}, "run", 5)
    append_jsonl(tmp_path / "a_test.0.part", [{"id": "1"}, {"id": "2"}])
    append_jsonl(tmp_path / "other_test.jsonl", [{"id": "1"}])
    watch.update(bar)
    assert (bar.n, bar.total) == (2, 5)
    append_jsonl(tmp_path / "a_test.1.part", [{"id": "3"}])
    watch.update(bar)
    assert bar.n == 3
    append_jsonl(tmp_path / "a_test.jsonl", [{"id": str(n)} for n in range(4)])
    for part in tmp_path.glob("a_test.*.part"):
        part.unlink()
    watch.update(bar)
    assert bar.n == 4


def test_the_loss_is_shown(tmp_path):
    watch = steps_of(tmp_path, "run")
    append_jsonl(tmp_path / "trainer_log.jsonl", [{"current_steps": 3, "total_steps": 9, "loss": 0.25}])
    bar = tqdm(file=io.StringIO())
    watch.update(bar)
    assert (bar.n, bar.total, bar.postfix) == (3, 9, "loss 0.250")


def test_our_own_error_is_named_not_the_last_line(tmp_path):
    text = "import sys; print('error: x.jsonl: damaged'); print('more'); sys.exit(2)"
    with pytest.raises(Stopped, match="x.jsonl: damaged"):
        launch([sys.executable, "-c", text], tmp_path, steps_of(tmp_path, "run"))
    assert json.dumps("error: x.jsonl: damaged")[1:-1] in (tmp_path / LOG).read_text()
