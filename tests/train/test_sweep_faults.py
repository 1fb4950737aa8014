"""Whatever fails or is killed in a sweep is reported and costs no other run. The host is fake_llamafactory."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from storm.files import read_jsonl
from tests.helpers.fake_host import calls, fate
from train import sweep
from train.launch import loss_fault

pytestmark = pytest.mark.slow  # starts programs

# The sweep of one run as a process of its own, without preflight.
ONE_RUN = [
    sys.executable,
    "-c",
    "import sys, train.sweep as s; sys.executable = 'bin/python';"
    "s._preflight = lambda *a: None; s.visible_gpus = lambda: 0;"
    "raise SystemExit(s.main(['demo', '--only', 'demo']))",
]


def test_a_failing_run_is_reported_and_the_others_go_on(tree, monkeypatch, capsys):
    fate(monkeypatch, demo_num="crash")
    assert sweep.main(["demo"]) == 1
    captured = capsys.readouterr()
    assert "demo_num: " in captured.err and "CUDA out of memory" in captured.err
    assert "saves/demo_num/output.log" in captured.err
    assert sorted(path.stem for path in Path("results").iterdir()) == ["demo", "demo_direct", "demo_text"]
    (line,) = [line for line in captured.out.splitlines() if "Only Num., ours" in line][:1]
    assert line.split("|")[2].strip() == "", "an empty cell, nothing invented"


@pytest.mark.parametrize(
    ("what", "expected"),
    [("nan", "the loss is nan"), pytest.param("zero", "the loss is exactly 0", marks=pytest.mark.slow)],
)
def test_a_run_that_learns_nothing_is_stopped(tree, monkeypatch, capsys, what, expected):
    fate(monkeypatch, demo=what)
    begin = time.time()
    assert sweep.main(["demo", "--only", "demo"]) == 1
    assert f"demo: stopped at step 2: {expected}" in capsys.readouterr().err
    assert time.time() - begin < 20 and not Path("results/demo.json").exists()


def test_only_a_loss_of_exactly_0_or_no_number_is_a_fault():
    assert loss_fault(0.0) and loss_fault(float("nan")) and loss_fault(float("inf"))
    assert loss_fault(1e-9) is None and loss_fault(6.7) is None


def test_an_interrupted_training_goes_on(tree, monkeypatch, capsys):
    fate(monkeypatch, demo="half")
    monkeypatch.setattr("train.steps.discard_broken", lambda folder: [])  # the fake's checkpoint holds no weights
    assert sweep.main(["demo", "--only", "demo"]) == 1
    assert "exit code -9" in capsys.readouterr().err
    assert sweep.main(["demo", "--only", "demo"]) == 0
    assert "resumed" in capsys.readouterr().out
    steps = [line.row["current_steps"] for line in read_jsonl(Path("saves/demo/trainer_log.jsonl"))]
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
    assert second.returncode == 1 and "saves/demo: another process" in second.stderr
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
    return [p for p in processes if p.info["cwd"] == str(tree) and "train/run.py" in (p.info["cmdline"] or ())]


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
    assert "mv results/demo_text.json results/demo_text.json.old" in captured.err and "Trace" not in captured.err
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
    error = capsys.readouterr().err
    assert "saves/storm_lite/checkpoint-2 is of 32 GPUs" in error and "mv saves/storm_lite" in error
    for rank in range(2, 32):
        (states / f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").unlink()
    assert sweep.main(run) == 0


def test_an_interrupted_prediction_goes_on(tree, monkeypatch, capsys):
    fate(monkeypatch, demo="killed")
    assert sweep.main(["demo", "--only", "demo"]) == 1
    assert "exit code -9" in capsys.readouterr().err and not Path("results/demo.json").exists()
    file = Path("saves/predict/demo/demo_test.jsonl")
    assert file.read_bytes().count(b"\n") == 3, "and a half one"
    fate(monkeypatch)
    assert sweep.main(["demo", "--only", "demo"]) == 0
    assert [line.row["id"] for line in read_jsonl(file)] == [str(number) for number in range(10)]
    assert len(calls("train")) == 1 and len(calls("predict")) == 2
    assert "again" not in capsys.readouterr().err


def test_an_image_that_cannot_be_read_is_named_and_no_score_is_written(tree, monkeypatch, capsys):
    fate(monkeypatch, demo="unreadable")
    assert sweep.main(["demo", "--only", "demo"]) == 1
    error = capsys.readouterr().err
    assert (
        all(part in error for part in ("data/demo/demo_test.jsonl", "id 4", "data/demo/x.png"))
        and error.strip().count("error:") == 1
    )
    assert not Path("results/demo.json").exists()
    fate(monkeypatch)
    assert sweep.main(["demo", "--only", "demo"]) == 0, "it is asked for again"


def test_more_predictions_than_max_samples_wants_are_neither_scored_nor_deleted(tree, capsys):
    argv = ["zero_qwen", "--datasets", "koniq"]
    Path("data/storm/direct/koniq_test.jsonl").write_text(Path("data/demo/demo_test_direct.jsonl").read_text())
    assert sweep.main([*argv, "max_samples=4"]) == 0
    file, result = Path("saves/predict/zero_qwen/koniq_test.jsonl"), Path("results/zero_qwen.json")
    result.unlink()
    assert sweep.main([*argv, "max_samples=6"]) == 0, "goes on with two more"
    result.unlink()
    before = file.read_bytes()
    assert before.count(b"\n") == 6
    assert sweep.main([*argv, "max_samples=4"]) == 1 and file.read_bytes() == before
    assert f"mv {file} {file}.old" in capsys.readouterr().err


def test_another_prediction_in_the_same_folder_is_waited_for(tree, capsys):
    from storm.files import locked

    with locked(Path("saves/predict/demo")):
        assert sweep.main(["demo", "--only", "demo"]) == 1
    assert "saves/predict/demo: another process" in capsys.readouterr().err and calls("predict") == []
