"""llamafactory-cli api with a tiny model: what it answers is what the model answers in this process."""

import sys
from pathlib import Path

import pytest

from eval import predict
from storm.files import read_jsonl
from tests.helpers.real_server import free_port, started, write_world

pytestmark = pytest.mark.slow  # starts LLaMA-Factory


def test_a_served_model_says_what_it_says_here(base, tmp_path, capsys):
    files = write_world(tmp_path / "world", 6)
    port = free_port()
    command = [str(Path(sys.executable).parent / "llamafactory-cli"), "api", "--model_name_or_path", str(base)]
    command += ["--template", "qwen2_vl", "--infer_backend", "huggingface", "--do_sample", "false"]
    command += ["--image_max_pixels", "12544"]
    environment = {"API_HOST": "127.0.0.1", "API_PORT": str(port), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    rest = ["--data", *map(str, files), "--media", str(tmp_path / "world/media"), "--image-max-pixels", "12544"]
    url = f"http://127.0.0.1:{port}"
    served = [*rest, "--server", url, "--served-model", "gpt-3.5-turbo"]  # its default name, API_MODEL_NAME
    text = ["--decode", "generate", "--max-new-tokens", "12"]
    with started(command, f"{url}/v1/models", tmp_path / "api.log", 120, OMP_NUM_THREADS="1", **environment):
        assert predict.main([*served, *text, "--out", str(tmp_path / "served")]) == 0
        assert predict.main([*served, "--out", str(tmp_path / "exact")]) == 2
        assert "--decode generate" in capsys.readouterr().err
    assert predict.main([*rest, *text, "--model", str(base), "--out", str(tmp_path / "here")]) == 0
    for file in files:
        served, here = ([line.row for line in read_jsonl(tmp_path / out / file.name)] for out in ("served", "here"))
        assert {row.pop("odd", "cut off") for row in served} == {"cut off"}, "12 tokens are few"
        assert served == here and len({row["predict"] for row in here}) > 1
