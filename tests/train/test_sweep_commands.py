"""What a sweep prints before it runs: dry runs, the preflight's command, and arguments that are refused."""

import shlex
import subprocess
from pathlib import Path

import pytest

from storm.datasets import SCALES
from tests.helpers.fake_host import calls
from train import preflight, sweep
from train.checks.finding import Finding
from train.machines import installed, on_all_gpus

PREFLIGHT = sweep._preflight  # which the fixture `tree` leaves out


@pytest.mark.slow
def test_dry_run_prints_commands_that_work(tree, monkeypatch, capsys):
    assert sweep.main(["demo", "--only", "demo", "--dry-run", "max_steps=3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert calls() == [] and len(lines) == 3
    jobs = []
    monkeypatch.setattr(preflight, "preflight", lambda job: jobs.append(job) or [Finding("ok", "a", "b")])
    python, script, *arguments = shlex.split(lines[0])
    assert (python, script, preflight.main(arguments)) == ("python", "train/preflight.py", 0)
    assert arguments[0] == "recipes/demo.yaml" and jobs[0].tests == ("demo_test",)
    assert jobs[0].settings == ("max_steps=3", "dataset=demo_train", "output_dir=saves/demo")
    for line in lines[1:]:
        subprocess.run(["bash", "-c", line], check=True)
    assert Path("saves/predict/demo/demo_test.jsonl").exists()
    assert calls()[0]["recipe"]["max_steps"] == 3


def test_dry_run_prints_the_settings_of_the_preflight_that_runs(tree, capsys):
    assert sweep.main(["zero_qwen", "max_samples=8", "--dry-run", "--datasets", "koniq,hci"]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert line.endswith(
        "zero_qwen.yaml max_samples=8 eval_dataset=storm_koniq_test_direct "
        "output_dir=saves/predict/zero_qwen --tests storm_hci_test_direct"
    )
    assert sweep.main(["storm_lite", "--dry-run", "--gpus", "8"]) == 0
    line = shlex.split(capsys.readouterr().out.splitlines()[0])
    assert {"gradient_accumulation_steps=4", "output_dir=saves/storm_lite"} < set(line) and line[-2:] == ["--gpus", "8"]
    assert line[-3].split(",") == [f"storm_{name}_test" for name in SCALES] and line[-4] == "--tests"


def test_preflight_of_a_sweep_names_the_command_that_shows_the_other_errors(tree, monkeypatch, capsys):
    findings = [Finding("error", "a", "first; fix"), Finding("error", "b", "second"), Finding("warning", "c", "odd")]
    monkeypatch.setattr(preflight, "preflight", lambda job: findings)
    monkeypatch.setattr(sweep, "_preflight", PREFLIGHT)
    monkeypatch.setattr(sweep, "visible_gpus", lambda: 8)
    assert sweep.main(["storm_lite", "--datasets", "deepdr"]) == 1
    error = capsys.readouterr().err
    assert "storm_lite: warning: odd" in error and "preflight: first; fix (and 1 more: python train/" in error
    command = error.split("1 more: ")[1].splitlines()[0].rstrip(")")
    assert sweep.main(["storm_lite", "--datasets", "deepdr", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == command


@pytest.mark.slow
def test_dry_run_says_what_is_wrong_with_results_that_are_there(tree, capsys):
    assert sweep.main(["demo", "--only", "demo"]) == 0
    result = Path("results/demo.json")
    for code, text, expected in (
        (0, result.read_text(), "results/demo.json is there"),
        (1, result.read_text().replace('"commit": null', '"commit": "abc"'), "mv results/demo.json"),
        (1, "{", "mv results/demo.json"),
    ):
        result.write_text(text)
        capsys.readouterr()
        assert sweep.main(["demo", "--only", "demo", "--dry-run"]) == code
        out = capsys.readouterr().out
        assert out.startswith("# demo: ") and out.count("\n") == 1 and expected in out


def test_a_sweep_starts_the_programs_of_its_own_python(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    for name in ("python", "torchrun"):
        (tmp_path / name).touch()
    command = on_all_gpus(["eval/predict.py", "--out", "x"], 4, 1)
    assert command[0] == "torchrun" and installed(command) == [str(tmp_path / "torchrun"), *command[1:]]
    assert installed(["python", "a", "srun"]) == [str(tmp_path / "python"), "a", "srun"]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["table9"], "did you mean table"),
        (["strom_lite"], "did you mean storm_lite?"),
        (["demo", "--only", "storm_lite"], "--only storm_lite"),
        (["demo", "--only", "demo_nun"], "did you mean demo_num?"),
        (["storm_lite", "--datasets", "spaq,konik"], "did you mean koniq?"),
        (["demo", "output_dir=x"], "output_dir=x: the sweep sets"),
        (["demo", "learning_rate"], "'learning_rate'"),
        (["demo", "--datasets", "spaq"], "--datasets spaq"),
        (["storm_lite", "--datasets", "koniq"], "--datasets koniq"),
        (["storm_lite", "dataset_dir="], "recipes/storm_lite.yaml: dataset_dir="),
        (["storm_lite", "dataset_dir=5"], "recipes/storm_lite.yaml: dataset_dir=5"),
        (["zero_qwen", "do_predict=false", "do_train=true"], "recipes/zero_qwen.yaml: no dataset, so there is nothing"),
    ],
)
def test_a_command_that_cannot_be_understood(tree, capsys, argv, expected):
    assert sweep.main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and expected in error and error.count("\n") == 1 and calls() == []


def test_no_gpus_and_options_that_do_not_exist_are_refused(tree, capsys):
    for argv, expected in (
        (["demo", "--gpus", "0"], "--gpus"),
        (["demo", "--any-comit"], "did you mean --any-commit?"),
    ):
        with pytest.raises(SystemExit) as stopped:
            sweep.main(argv)
        assert stopped.value.code == 2 and expected in capsys.readouterr().err


def test_missing_data_is_one_line(tree, capsys):
    Path("data/demo/demo_train.jsonl").unlink()
    assert sweep.main(["demo", "--only", "demo"]) == 1
    error = capsys.readouterr().err
    assert "data/demo/demo_train.jsonl" in error and "python -m demo.photographs" in error


def test_show_prints_what_there_is_at_any_time(tree, capsys):
    for name in ("table2", "table4", "table5", "table8", "all", "demo"):
        assert sweep.main([name, "--show"]) == 0
        out = capsys.readouterr().out
        ours = [line.split("|")[2:-1] for line in out.splitlines() if ", ours " in line]
        assert ours and not any("".join(cells).strip() for cells in ours)
    assert sweep.main(["demo", "--table"]) == 0
    captured = capsys.readouterr()
    assert ", ours" in captured.out and "--show" in captured.err, "the old name works, with a warning"
    Path("results").mkdir()
    Path("results/demo.json").write_text("{")
    assert sweep.main(["demo", "--show"]) == 2
    assert "mv results/demo.json results/demo.json.old" in capsys.readouterr().err
