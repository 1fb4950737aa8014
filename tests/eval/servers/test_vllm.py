"""A real vLLM on the CPU (make test-vllm): probabilities through it are those of our own engine."""

import signal

import pytest

from eval import predict
from storm.files import read_jsonl
from tests.helpers.paths import ROOT
from tests.helpers.real_server import QUESTIONS, free_port, started, write_world

PYTHON = ROOT / ".venv/vllm/bin/python"
pytestmark = [
    pytest.mark.slow,  # starts vLLM
    pytest.mark.skipif(not PYTHON.exists(), reason="no vLLM: make vllm"),
]
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}


def rows(folder, name: str) -> list[dict]:
    return [line.row for line in read_jsonl(folder / f"{name}_test.jsonl")]


def test_exact_through_vllm_is_exact_here_and_a_kill_loses_nothing(base, tmp_path, capsys):
    files = write_world(tmp_path / "world", 8)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(PYTHON), "-m", "vllm.entrypoints.openai.api_server", "--model", str(base), "--host", "127.0.0.1"]
    command += ["--served-model-name", "tiny", "--port", str(port), "--max-model-len", "1024", "--dtype", "float32"]
    rest = ["--data", *map(str, files), "--media", str(tmp_path / "world/media"), "--image-max-pixels", "12544"]
    served = [*rest, "--server", url, "--served-model", "tiny"]
    text = ["--decode", "generate", "--max-new-tokens", "12"]
    with started(command, f"{url}/health", tmp_path / "vllm.log", 400, **ENVIRONMENT) as process:
        assert predict.main([*served, *text, "--out", str(tmp_path / "text")]) == 0
        assert predict.main([*served, "--out", str(tmp_path / "killed"), "--limit", "3"]) == 0
        assert predict.main([*served, "--out", str(tmp_path / "served")]) == 0
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert predict.main([*served, "--out", str(tmp_path / "killed")]) == 2
        assert "no server answers" in capsys.readouterr().err
        assert [len(rows(tmp_path / "killed", name)) for name, _ in QUESTIONS] == [3] * 4
    with started(command, f"{url}/health", tmp_path / "again.log", 400, **ENVIRONMENT):
        assert predict.main([*served, "--out", str(tmp_path / "killed")]) == 0
    for name, _ in QUESTIONS:
        killed, whole = rows(tmp_path / "killed", name), rows(tmp_path / "served", name)
        assert [row["id"] for row in killed] == [row["id"] for row in whole]
        for row, other in zip(killed, whole, strict=True):  # vLLM puts requests together as they come: the last digit
            assert row["predict"] == other["predict"] and row["probs"] == pytest.approx(other["probs"], abs=1e-5)
    assert predict.main([*rest, *text, "--model", str(base), "--out", str(tmp_path / "text_here")]) == 0
    assert predict.main([*rest, "--model", str(base), "--out", str(tmp_path / "here")]) == 0
    for name, _ in QUESTIONS:
        for ours, theirs in zip(rows(tmp_path / "here", name), rows(tmp_path / "served", name), strict=True):
            assert ours["probs"] == pytest.approx(theirs["probs"], abs=1e-4)
            assert ours["mass"] == pytest.approx(theirs["mass"], abs=1e-4)
            assert {key: ours[key] for key in ("id", "label", "scale", "strategy")} == {
                key: theirs[key] for key in ("id", "label", "scale", "strategy")
            }
