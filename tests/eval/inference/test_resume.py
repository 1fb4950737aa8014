"""eval/predict.py with a stand-in for the model: memory of many rows, Ctrl-C, and kills that lose no answer."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from storm.scales import IQA
from storm.rows import facts, turns
from storm.files import write_jsonl
from eval.inference import progress
from storm.images import opened

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
sys.modules["eval.inference.model"] = Names(load=lambda *_: None)
sys.modules["eval.inference.rater"] = Names(Rater=Rater)
from storm.scales import SCALES
from eval import predict, progress
from storm.rows import tasks

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
progress.claim(args.out, predict.origin(args))
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
    killed = "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    run(RANKS + killed + MERGE, data, tmp_path, code=-9)
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


# Every fifth image cannot be read, unless there is a file FOUND.
UNREADABLE = """
def rate(self, block, good=Rater.rate):
    rows = good(self, block)
    for row in [] if os.path.exists("FOUND") else rows:
        if row["id"][-5] in "05":
            row |= {"predict": "", "error": "lost"}
    return rows
Rater.rate = rate
"""


def test_images_that_could_not_be_read_are_asked_for_again(data, whole, tmp_path):
    """--media was wrong, or a disk not there: the same command mends it, and until then it says so."""
    found, out = tmp_path / "found", tmp_path / "out"
    lost = UNREADABLE.replace("FOUND", str(found))
    run(lost + MAIN, data, out, code=2)
    first = (out / data.name).read_bytes()
    assert first.count(b"lost") == ROWS // 5 and first.count(b"\n") == ROWS
    run(lost + MAIN, data, out, code=2)
    assert (out / data.name).read_bytes() == first
    found.touch()
    run(lost + MAIN, data, out)
    assert (out / data.name).read_bytes() == whole
    assert not list(out.glob("*.part"))


@pytest.mark.slow
def test_two_at_once_do_not_write_one_file(data, whole, tmp_path):
    first = subprocess.Popen(command("PAUSE = 0.05\n" + MAIN, data, tmp_path), cwd=ROOT, stdout=subprocess.DEVNULL)
    end = time.time() + 60
    while not (tmp_path / data.name).exists():
        assert time.time() < end
        time.sleep(0.01)
    second = subprocess.run(command(MAIN, data, tmp_path), cwd=ROOT, capture_output=True, text=True)
    assert second.returncode == 2 and second.stderr == (
        f"error: {tmp_path}: another process is writing there; wait for it, or stop it\n"
    )
    assert first.wait(60) == 0 and (tmp_path / data.name).read_bytes() == whole


@pytest.mark.slow
def test_a_damaged_folder_is_one_line(data, whole, tmp_path):
    out = tmp_path / "out"
    run(MAIN, data, out)
    lines = whole.splitlines(keepends=True)
    (out / data.name).write_bytes(b"".join([*lines[:2], b"{damaged\n", *lines[3:]]))
    done = subprocess.run(command(MAIN, data, out), cwd=ROOT, capture_output=True, text=True)
    said = f"error: {out / data.name}, line 3: damaged: delete the line, or name another --out\n"
    assert (done.returncode, done.stderr) == (2, said)
    (out / "run.json").write_text("[]")
    done = subprocess.run(command(MAIN, data, out), cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, f"error: {out}/run.json: damaged: name another --out\n")


def test_images_may_lie_behind_links_but_not_elsewhere(tmp_path):
    """A dataset on another disk; and the copies that data_prep --resize writes beside the rows."""
    pixels, media, built = tmp_path / "disk", tmp_path / "raw", tmp_path / "data" / "storm"
    for path in (pixels / "a.png", built / "images" / "spaq" / "b.png", tmp_path / "secret.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(path)
    media.mkdir()
    (media / "spaq").symlink_to(pixels)
    file = built / "cot" / "spaq_test.jsonl"
    copy = "../data/storm/images/spaq/b.png"
    assert opened(media, "spaq/a.png").size == opened(media, copy, file).size == (9, 9)
    for image, of in ((copy, None), ("../secret.png", file), (str(tmp_path / "secret.png"), file), ("..", file)):
        with pytest.raises(ValueError, match="outside of"):
            opened(media, image, of)


def test_parts_are_of_one_file(tmp_path):
    for name in ("a.0", "a.11", "a.b.0", "a.jsonl", "[a].0"):
        (tmp_path / f"{name}.part").touch()
    found = {name: [path.name for path in progress.parts(tmp_path, name)] for name in ("a", "a.b", "[a]")}
    assert found == {"a": ["a.0.part", "a.11.part"], "a.b": ["a.b.0.part"], "[a]": ["[a].0.part"]}
