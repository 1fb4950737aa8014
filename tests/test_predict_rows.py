"""eval/predict.py with a stand-in for the model: memory of many rows, Ctrl-C, and kills that lose no answer."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_prep.scales import IQA
from data_prep.sharegpt import facts, turns, write_jsonl
from eval import progress

ROOT = Path(__file__).resolve().parent.parent
ROWS = 200  # where few are enough
STOPPED = "stopped; the same command goes on from here"

# In place of torch, model and rater: for every task a row of the right shape, after a pause.
STAND_IN = """
import os, signal, sys, time
from types import SimpleNamespace as Names

KNOWN = {"probs": [0.2] * 5, "coarse": [0.3] * 3, "entropy": 1.609438, "mass": 0.987654, "median": 3, "mean": 3.14}

class Rater:
    def __init__(self, *_):
        pass

    def rate(self, block):
        time.sleep(PAUSE)
        facts = [{"id": t.id, "dataset": t.dataset, "image": t.image, "label": t.answer} for t in block]
        return [fact | {"predict": fact["label"]} | KNOWN for fact in facts]

PAUSE = 0
sys.modules["torch"] = Names(cuda=Names(is_available=lambda: False), device=lambda *_: Names(type="cpu"))
sys.modules["eval.model"] = Names(load=lambda *_: None)
sys.modules["eval.rater"] = Names(Rater=Rater)
from data_prep.scales import SCALES
from eval import predict, progress
from eval.tasks import tasks

def peak():
    # Not getrusage's: a child's ru_maxrss begins at its parent's, and pytest may be larger than what is measured.
    [line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    print("MB", int(line.split()[1]) / 1024)
"""

MAIN = """
code = predict.main(sys.argv[1:])
peak()
sys.exit(code)
"""

# What three processes do under torchrun, one after another; then what the first one does with their parts.
RANKS = """
args = predict.arguments().parse_args(sys.argv[1:])
[file] = args.data
args.out.mkdir(exist_ok=True)
os.environ["WORLD_SIZE"] = "3"
for rank in "012":
    os.environ["RANK"] = rank
    predict.predict_file(Rater(), file, progress.finished(args.out, file.stem), args, dict(SCALES))
"""
MERGE = """
progress.merge(args.out, file.stem, (task.id for task in tasks(file)))
peak()
"""


def built(path: Path, rows: int) -> Path:
    """A test file as data_prep writes it."""

    def row(n: int) -> dict:
        label = IQA.lo + n % 5
        name = f"spaq/{n:06}.jpg"
        return turns(IQA, "cot", label) | facts(id=name, dataset="spaq", image=name, label=label)

    write_jsonl(path, map(row, range(rows)))
    return path


def command(driver: str, data: Path, out: Path, *more: str) -> list[str]:
    words = ["--model", "stand/in", "--data", str(data), "--out", str(out), "--batch-size", "4", *more]
    return [sys.executable, "-c", STAND_IN + driver, *words]


def run(driver: str, data: Path, out: Path, *more: str, code: int = 0) -> str:
    done = subprocess.run(command(driver, data, out, *more), cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return built(tmp_path_factory.mktemp("data") / "spaq_test.jsonl", ROWS)


@pytest.fixture(scope="module")
def whole(data) -> bytes:
    """What an unbroken run writes."""
    run(MAIN, data, data.parent / "whole")
    written = (data.parent / "whole" / data.name).read_bytes()
    assert written.count(b"\n") == ROWS
    return written


@pytest.mark.slow
@pytest.mark.parametrize(("driver", "bytes_a_row"), [(MAIN, 250), (RANKS + MERGE, 500)], ids=["alone", "ranks"])
def test_of_a_row_only_its_id_stays_in_memory(tmp_path, driver, bytes_a_row):
    """A row has 1.1 kB in the data and 0.3 kB in the answers. Of it stays: its id, seen; merging, also where it is."""
    few, many = 10_000, 100_000
    peaks = []
    for rows in (few, many):
        file = built(tmp_path / f"{rows}.jsonl", rows)
        said = run(driver, file, tmp_path / "out", "--batch-size", "100")
        peaks += [float(line.split()[1]) for line in said.splitlines() if line.startswith("MB ")]
        assert (tmp_path / "out" / file.name).read_bytes().count(b"\n") == rows
    assert (peaks[1] - peaks[0]) * 2**20 < bytes_a_row * (many - few), f"{peaks} MB"


def test_ctrl_c_ends_in_one_line_and_the_same_command_goes_on(data, whole, tmp_path):
    # A shell starts what is in its background with SIGINT ignored; a test must not depend on it.
    slow = "PAUSE = 0.05\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n" + MAIN
    written = tmp_path / data.name
    process = subprocess.Popen(command(slow, data, tmp_path), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    end = time.time() + 60
    while not (written.exists() and written.stat().st_size) and process.poll() is None:
        assert time.time() < end
        time.sleep(0.01)
    process.send_signal(2)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.endswith(f"\n{STOPPED}\n") and error.count(STOPPED) == 1 and "Traceback" not in error
    begun = written.read_bytes()
    assert 0 < len(begun) < len(whole) and begun.endswith(b"\n") and whole.startswith(begun)
    run(MAIN, data, tmp_path)
    assert written.read_bytes() == whole


def test_a_rank_killed_in_the_middle_of_a_line(data, whole, tmp_path):
    run(RANKS, data, tmp_path)
    for part, cut in (("spaq_test.0.part", 0), ("spaq_test.1.part", 1000), ("spaq_test.2.part", -1)):
        (tmp_path / part).write_bytes((tmp_path / part).read_bytes()[:cut])
    run(RANKS + MERGE, data, tmp_path)
    assert (tmp_path / data.name).read_bytes() == whole
    assert not list(tmp_path.glob("*.part"))


def test_killed_while_the_parts_are_put_together(data, whole, tmp_path):
    killed = "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n" + RANKS + MERGE
    run(killed, data, tmp_path, code=-9)
    run(RANKS + MERGE, data, tmp_path)
    assert (tmp_path / data.name).read_bytes() == whole


def test_a_limit_drops_no_answer_of_an_earlier_run(data, whole, tmp_path):
    run(RANKS, data, tmp_path)
    run(MAIN, data, tmp_path, "--limit", "10")
    assert (tmp_path / data.name).read_bytes() == whole


def test_rows_that_were_trained_on_are_left_out(data, whole, tmp_path):
    """What score.py --calibrate needs: of a train file, the rows that are not in the lite one."""
    lines = data.read_text().splitlines(keepends=True)
    trained = tmp_path / "spaq_lite.jsonl"
    trained.write_text("".join(lines[::2]))
    run(MAIN, data, tmp_path / "out", "--except", str(trained), "--limit", "30")
    assert (tmp_path / "out" / data.name).read_bytes().splitlines() == whole.splitlines()[1::2][:30]
    trained.write_text("".join(lines[::3]))
    run(MAIN, data, tmp_path / "out", "--except", str(trained), code=2)


def test_parts_are_of_one_file(tmp_path):
    for name in ("a.0", "a.11", "a.b.0", "a.jsonl", "[a].0"):
        (tmp_path / f"{name}.part").touch()
    found = {name: [path.name for path in progress.parts(tmp_path, name)] for name in ("a", "a.b", "[a]")}
    assert found == {"a": ["a.0.part", "a.11.part"], "a.b": ["a.b.0.part"], "[a]": ["[a].0.part"]}
