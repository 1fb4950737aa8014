"""From a file of own ratings to a page in the browser: each command is the last line of the one before it."""

import os
import re
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.helpers.paths import EXAMPLE, ROOT

TINY = " model_name_or_path=saves/demo_base bf16=false image_max_pixels=12544 max_steps=2 eval_strategy=steps"
PORT = 7985


@pytest.fixture
def run(copy, warm, tmp_path):
    """A function that runs a command line as a user types it, in a copy of the working tree, and returns its output."""
    env = os.environ | warm | {"PYTHONPATH": str(copy), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    env["PATH"] = f"{copy}/.venv/bin:{env['PATH']}"

    def output(line: str) -> str:
        done = subprocess.run(["bash", "-ec", line], cwd=copy, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
        return done.stdout

    output.env = env
    return output


def last(text: str) -> str:
    """The last command of a command's output, which may go on over lines."""
    return re.split(r"\n\n", text.strip())[-1].replace("\\\n", " ")


@pytest.mark.slow
def test_the_last_line_of_each_command_is_the_next_one(copy, run, tmp_path):
    photographs = EXAMPLE.relative_to(ROOT)
    run("python -m demo.model")
    line = last(run(f"python -m data_prep own {photographs}/ratings.csv --scale {photographs}/scale.yaml --workers 1"))
    assert line.startswith("python train/preflight.py recipes/custom.yaml ")
    line = last(run(f"{line}{TINY} --gpus 1 --memory 24"))
    assert line.startswith("llamafactory-cli train recipes/custom.yaml ") and "eval/predict.py" in line
    printed = run(line)
    line = last(printed)
    assert line == "python eval/score.py saves/appeal_test --scale data/appeal/scale.yaml"
    line = last(run(line))
    assert line.startswith("python eval/report.py saves/appeal_test ")
    line = last(run(line))
    page = (copy / "saves/appeal_test/report.html").read_text()
    assert "data:image/jpeg;base64," in page and "Irresistible" in page
    assert line.startswith("python eval/app.py --model saves/demo_base --adapter saves/appeal ")
    with (tmp_path / "log").open("w") as log:
        app = subprocess.Popen(
            ["bash", "-c", f"exec {line} --port {PORT}"], cwd=copy, env=run.env, stdout=log, stderr=log
        )
    try:
        assert "appeal of a product photo" in answered(app, tmp_path / "log")
    finally:
        app.send_signal(signal.SIGTERM)
        app.wait(60)


def answered(app: subprocess.Popen, log: Path) -> str:
    """The page, as soon as the program sends it."""
    deadline = time.monotonic() + 120
    while True:
        assert app.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}") as page:
                return page.read().decode()
        except OSError:
            time.sleep(0.5)
