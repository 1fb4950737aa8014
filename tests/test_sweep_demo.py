"""make sweep-demo: Table 4's four strategies on the demo's task, with the real LLaMA-Factory, end to end."""

import json

import pytest
from test_readme import SWEEP, start


@pytest.mark.slow
def test_the_whole_sweep_runs_and_is_then_finished(copy, tmp_path):
    log = tmp_path / "log"
    assert start(SWEEP, copy, log).wait() == 0, log.read_text()[-3000:]
    printed = log.read_text()
    for name in ("w/o CoT", "Only Num.", "Only Text", "Num. + Text"):
        assert f"| {name}, ours | 0." in printed
    for run, strategy in (("demo_direct", "direct"), ("demo_num", "num"), ("demo_text", "text"), ("demo", "cot")):
        result = json.loads((copy / "results" / f"{run}.json").read_text())
        (score,) = result["scores"]
        assert (score["strategy"], score["n"], score["of"]) == (strategy, 240, 240)
        assert result["recipe"]["max_steps"] == 4 and result["said"] == "trained" and result["data"]
        state = json.loads((copy / "saves" / run / "trainer_state.json").read_text())
        assert state["global_step"] == 4

    assert start(SWEEP, copy, log).wait() == 0, log.read_text()[-3000:]
    assert log.read_text().count("was finished") == 4
