"""make sweep-demo: Table 4's four strategies on the demo's task, with the real LLaMA-Factory, end to end."""

import json
import re

import pytest

from storm.files import read_jsonl
from storm.prompts import STRATEGIES
from tests.helpers.documented import SWEEP, start


@pytest.mark.slow
def test_the_whole_sweep_runs_and_is_then_finished(copy, warm, tmp_path):
    log = tmp_path / "log"

    def run(command: str) -> str:
        assert start(command, copy, log, **warm).wait() == 0, log.read_text()[-3000:]
        return log.read_text()

    printed = run(SWEEP)
    for name in ("w/o CoT", "Only Num.", "Only Text", "Num. + Text"):
        assert re.search(rf"\| {re.escape(name)}, ours +\| +0\.", printed)
    for name, strategy in (("demo_direct", "direct"), ("demo_num", "num"), ("demo_text", "text"), ("demo", "cot")):
        result = json.loads((copy / "saves/sweep_demo/results" / f"{name}.json").read_text())
        (score,) = result["scores"]
        assert (score["strategy"], score["n"], score["n_test"]) == (strategy, 240, 240)
        assert result["recipe"]["max_steps"] == 4 and result["outcome"] == "trained" and result["data"]
        state = json.loads((copy / "saves/sweep_demo" / name / "trainer_state.json").read_text())
        assert state["global_step"] == 4
        rows = [
            line.row
            for line in read_jsonl(
                copy / f"saves/sweep_demo/predict/{name}/demo_test{STRATEGIES[strategy].suffix}.jsonl"
            )
        ]
        assert len({row["id"] for row in rows}) == 240 and not any("error" in row for row in rows)
    assert "Loading weights" not in printed and "Trace" not in printed, "the noise of the libraries is in output.log"

    assert run(SWEEP).count("was finished") == 4
    assert not (copy / "saves/demo").exists() and not (copy / "results").exists(), "these are other commands'"

    dry = "env CUDA_VISIBLE_DEVICES= .venv/bin/python train/sweep.py demo --only demo --dry-run num_train_epochs=2"
    printed = next(line for line in run(dry).splitlines() if line.startswith("python train/preflight.py"))
    assert "in 2 files" in run(f"env CUDA_VISIBLE_DEVICES= .venv/bin/{printed}"), "the test set, too"
