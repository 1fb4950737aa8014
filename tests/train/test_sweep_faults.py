"""Whatever fails or is killed in a sweep is said and costs no other run. The host is fake_llamafactory."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tests.helpers.fake_host import calls, fate

from train import sweep
from train.launch import sick

# The sweep of one run as a process of its own, without preflight.
ONE_RUN = [
    sys.executable,
    "-c",
    "import train.sweep as s; s._preflight = lambda *a: None; s.visible_gpus = lambda: 0;"
    "raise SystemExit(s.main(['demo', '--only', 'demo']))",
]


def test_a_failing_run_is_reported_and_the_others_go_on(tree, monkeypatch, capsys):
    fate(monkeypatch, demo_num="crash")
    assert sweep.main(["demo"]) == 1
    captured = capsys.readouterr()
    assert "demo_num: exit code 1: torch.OutOfMemoryError: CUDA out of memory." in captured.err
    assert "saves/demo_num/output.log" in captured.err
    assert sorted(path.stem for path in Path("results").iterdir()) == ["demo", "demo_direct", "demo_text"]
    assert "| Only Num., ours |  |" in captured.out, "an empty cell, nothing invented"


@pytest.mark.parametrize(
    ("what", "said"),
    [("nan", "the loss is nan"), pytest.param("zero", "the loss is exactly 0", marks=pytest.mark.slow)],
)
def test_a_run_that_learns_nothing_is_stopped(tree, monkeypatch, capsys, what, said):
    fate(monkeypatch, demo=what)
    begin = time.time()
    assert sweep.main(["demo", "--only", "demo"]) == 1
    assert f"demo: stopped at step 2: {said}" in capsys.readouterr().err
    assert time.time() - begin < 20 and not Path("results/demo.json").exists()


def test_only_a_loss_of_exactly_0_or_no_number_is_sick():
    assert sick(0.0) and sick(float("nan")) and sick(float("inf"))
    assert sick(1e-9) is None and sick(6.7) is None


def test_an_interrupted_training_goes_on(tree, monkeypatch, capsys):
    fate(monkeypatch, demo="half")
    monkeypatch.setattr("train.steps.discard_broken", lambda folder: [])  # the fake's checkpoint holds no weights
    assert sweep.main(["demo", "--only", "demo"]) == 1
    assert "exit code -9" in capsys.readouterr().err
    assert sweep.main(["demo", "--only", "demo"]) == 0
    assert "resumed" in capsys.readouterr().out
    steps = [
        json.loads(line)["current_steps"] for line in Path("saves/demo/trainer_log.jsonl").read_text().splitlines()
    ]
    assert steps == [1, 2, 3, 3, 4], "from checkpoint 2 on"


@pytest.mark.slow
def test_a_killed_sweep_leaves_a_training_that_nobody_writes_beside(tree, monkeypatch):
    """SIGKILL of the sweep cannot be caught: its child lives on, and holds the lock of its folder."""
    fate(monkeypatch, demo="hang")
    first = subprocess.Popen(ONE_RUN, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    _wait_for(lambda: Path("saves/demo/trainer_log.jsonl").exists())
    first.kill()
    first.wait()
    second = subprocess.run(ONE_RUN, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1 and "another process is writing there" in second.stderr
    (training,) = _trainings(tree)
    training.kill()


@pytest.mark.slow
def test_ctrl_c_and_sigterm_end_the_training_too(tree, monkeypatch):
    fate(monkeypatch, demo="hang")
    for sent, rc in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        shutil.rmtree("saves", ignore_errors=True)
        process = subprocess.Popen(ONE_RUN, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        _wait_for(lambda: Path("saves/demo/trainer_log.jsonl").exists())
        assert len(_trainings(tree)) == 1
        process.send_signal(sent)
        assert process.wait(timeout=40) == rc
        assert not _trainings(tree), "its child is still there"


def _trainings(tree: Path) -> list[psutil.Process]:
    """The host's processes in this test's folder; tests beside it have theirs."""
    processes = psutil.process_iter(["cwd", "cmdline"])
    return [p for p in processes if p.info["cwd"] == str(tree) and "train" in (p.info["cmdline"] or ())]


def _wait_for(condition) -> None:
    end = time.time() + 30
    while not condition():
        assert time.time() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    "damaged", ["{", '{"scores": null}', '{"scores": [{"dataset": "demo"}]}', "[]", '{"scores": [], "settings": 5}']
)
def test_a_damaged_results_file_is_one_line_after_the_work(tree, capsys, damaged):
    Path("results").mkdir()
    Path("results/demo_text.json").write_text(damaged)
    assert sweep.main(["demo", "--only", "demo_num"]) == 1
    captured = capsys.readouterr()
    assert "error: no table: results/demo_text.json: not a results file; mv" in captured.err
    assert "demo_num" in captured.out and Path("results/demo_num.json").exists()
    assert sweep.main(["demo", "--only", "demo_text"]) == 1 and len(calls()) == 2


def test_a_fault_of_this_program_does_not_end_the_sweep(tree, monkeypatch, capsys):
    def fails(run, processes, gpus):
        if run.name == "demo_num":
            raise KeyError("nobody foresaw it")

    monkeypatch.setattr(sweep, "_preflight", fails)
    assert sweep.main(["demo", "--only", "demo_num", "--only", "demo"]) == 1
    error = capsys.readouterr().err
    assert "Traceback" in error and "error: demo_num: KeyError: 'nobody foresaw it'" in error
    assert Path("results/demo.json").exists()


def test_a_checkpoint_of_another_number_of_gpus(tree, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "visible_gpus", lambda: 2)
    monkeypatch.setattr("train.steps.discard_broken", lambda folder: [])
    run = ["storm_lite", "--datasets", "deepdr"]
    fate(monkeypatch, storm_lite="half")
    assert sweep.main(run) == 1
    states = Path("saves/storm_lite/checkpoint-2/global_step2")
    states.mkdir()
    for rank in range(32):
        (states / f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").touch()
    capsys.readouterr()
    assert sweep.main(run) == 1 and len(calls()) == 1
    error = "saves/storm_lite/checkpoint-2 is of 32 GPUs, here are 2, and DeepSpeed goes on with the same number only"
    assert error in capsys.readouterr().err
    for rank in range(2, 32):
        (states / f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").unlink()
    assert sweep.main(run) == 0
