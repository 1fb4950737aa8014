"""The output folder of eval/predict.py, with a stand-in for the model: memory, Ctrl-C, kills that lose no row."""

import hashlib
import json
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from eval.inference import resume
from eval.inference.run import _wait_for_all
from storm.files import read_jsonl
from storm.provenance import file_hash
from tests.helpers.inference import MAIN, built, command, finished
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow  # starts programs

ROWS = 200  # where few are enough
STOPPED = "stopped; the same command goes on from here"
# What three processes do under torchrun, one after another; then what the first one does with their parts.
RANKS = """
settings = predict.settings_of(predict.arguments().parse_args(sys.argv[1:]))
[file] = settings.data
settings.out.mkdir(exist_ok=True)
resume.check_or_write_provenance(settings)
resume.merge_parts_before_run(settings.out, file.stem)
request = run._request(file, run.scales_of(settings), settings.limit)
request = request._replace(before=resume.finished(settings.out, file.stem))
os.environ["WORLD_SIZE"] = "3"
for rank in "012":
    os.environ["RANK"] = rank
    run.predict_file(rater.Rater(None, settings), settings, request, sys.stderr)
"""
MERGE = """
resume.merge(settings.out, file.stem, request.order)
peak()
"""


def names(count: int) -> list[str]:
    return [f"spaq/{number:06}.jpg" for number in range(count)]


def run(driver: str, data: Path, out: Path, *more: str, code: int = 0) -> str:
    return finished(driver, data, out, *more, code=code).stdout


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return built(tmp_path_factory.mktemp("data") / "spaq_test.jsonl", names(ROWS))


@pytest.fixture(scope="module")
def whole(data) -> bytes:
    """What an unbroken run writes."""
    run(MAIN, data, data.parent / "whole")
    written = (data.parent / "whole" / data.name).read_bytes()
    assert written.count(b"\n") == ROWS
    return written


@pytest.mark.slow
@pytest.mark.parametrize(("driver", "bytes_a_row"), [(MAIN, 700), (RANKS + MERGE, 3500)], ids=["alone", "ranks"])
def test_of_a_finished_row_only_its_id_stays_in_memory(tmp_path, driver, bytes_a_row):
    """A row has 1.1 kB in the data and 0.3 kB in the predictions. Only to merge parts are a file's rows in memory."""
    few, many = 5_000, 35_000
    peaks = []
    for rows in (few, many):
        file = built(tmp_path / f"{rows}.jsonl", names(rows))
        printed = run(driver, file, tmp_path / "out", "--batch-size", "100")
        peaks += [float(line.split()[1]) for line in printed.splitlines() if line.startswith("MB ")]
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


def test_a_full_disk_is_one_line_that_names_the_file_and_the_same_command_goes_on(data, whole, tmp_path):
    full = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))\n"
    done = finished(full + MAIN, data, tmp_path, code=2)
    errors = [line for line in done.stderr.replace("\r", "\n").splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and errors[0].startswith(f"error: {tmp_path / data.name}: ")
    assert (tmp_path / data.name).stat().st_size == 20_000 < len(whole), "the end of a line is missing"
    run(MAIN, data, tmp_path)
    assert (tmp_path / data.name).read_bytes() == whole


@pytest.mark.parametrize("text", ["{}", "[]", '{"max_tokens": 0}', "not JSON"])
def test_a_damaged_note_about_memory_is_one_line(data, whole, tmp_path, text):
    (tmp_path / resume.MEMORY).write_text(text)
    done = finished(MAIN, data, tmp_path, code=2)
    assert done.stderr.startswith(f"error: {tmp_path / resume.MEMORY}: ") and done.stderr.count("\n") == 1


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


# Every fifth image cannot be read, unless there is a file MOUNTED.
UNREADABLE = """
def lost(self, block):
    rows = rate(self, block)
    for row in [] if os.path.exists("MOUNTED") else rows:
        if row["id"][-5] in "05":
            row |= {"predict": "", "error": "lost"}
    return rows
rater.Rater.rate = lost
"""


def test_images_that_could_not_be_read_are_tried_again(data, whole, tmp_path):
    """--media was wrong, or a disk not there: the same command mends it, and until then it says so."""
    mounted, out = tmp_path / "mounted", tmp_path / "out"
    lost = UNREADABLE.replace("MOUNTED", str(mounted))
    run(lost + MAIN, data, out, code=2)
    first = (out / data.name).read_bytes()
    assert first.count(b"lost") == ROWS // 5 and first.count(b"\n") == ROWS
    run(lost + MAIN, data, out, code=2)
    assert (out / data.name).read_bytes() == first
    mounted.touch()
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
    assert second.returncode == 2 and second.stderr.startswith(f"error: {tmp_path}: ")
    assert second.stderr.count("\n") == 1
    assert first.wait(60) == 0 and (tmp_path / data.name).read_bytes() == whole


@pytest.mark.parametrize("file", [0, 1], ids=["rows", "provenance"])
def test_a_damaged_folder_is_one_line(data, whole, tmp_path, file):
    run(MAIN, data, tmp_path)
    lines = whole.splitlines(keepends=True)
    if file == 0:
        (tmp_path / data.name).write_bytes(b"".join([*lines[:2], b"{damaged\n", *lines[3:]]))
        place, fix = f"{tmp_path / data.name}, line 3", "delete the line"
    else:
        (tmp_path / "provenance.json").write_text("[]")
        place, fix = f"{tmp_path}/provenance.json", f"mv {tmp_path} {tmp_path}.old"
    error = finished(MAIN, data, tmp_path, code=2).stderr
    assert error.startswith(f"error: {place}: ") and fix in error and error.count("\n") == 1


def test_what_is_finished_loads_no_model(data, whole, tmp_path):
    run(MAIN, data, tmp_path)
    (tmp_path / "output.log").unlink()
    dies = "sys.modules['eval.inference.model'] = None\n"
    assert f"{ROWS}  " in run(dies + MAIN, data, tmp_path)
    assert (tmp_path / data.name).read_bytes() == whole and not (tmp_path / "output.log").exists()
    run(dies + MAIN, data, tmp_path / "other", code=2)


def test_predictions_of_an_earlier_version_go_on(data, whole, tmp_path):
    """A run.json and test files whose rows did not say scale and strategy: nobody predicts again."""
    rows = [line.row for line in read_jsonl(data)]
    earlier = [{key: value for key, value in row.items() if key not in ("scale", "strategy")} for row in rows]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in earlier)
    facts = json.loads((data.parent / "whole" / "provenance.json").read_text())
    run_json = {key: value for key, value in facts.items() if key != "commit"}
    run_json["versions"].pop("python")
    run_json["data"] = {data.stem: hashlib.sha256(text.encode()).hexdigest()[:16]}
    begun = b"".join(whole.splitlines(keepends=True)[: ROWS // 2])

    def start(changed: dict) -> None:
        (tmp_path / "run.json").write_text(json.dumps(run_json | changed))
        (tmp_path / data.name).write_bytes(begun)

    start({"versions": run_json["versions"] | {"torch": "1.0"}})
    assert "torch 1.0" in finished(MAIN, data, tmp_path, code=2).stderr
    assert (tmp_path / data.name).read_bytes() == begun
    start({})
    run(MAIN, data, tmp_path)
    assert (tmp_path / data.name).read_bytes() == whole
    assert json.loads((tmp_path / "provenance.json").read_text()) == run_json | {"data": facts["data"]}
    assert not (tmp_path / "run.json").exists()


def test_another_commit_goes_on_and_another_file_may_be_added(data, whole, tmp_path):
    run(MAIN, data, tmp_path, "--limit", "10")
    path = tmp_path / "provenance.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"commit": "another"}))
    second = built(tmp_path / "data" / "spaq_second.jsonl", names(3))
    run(MAIN, data, tmp_path)
    run(MAIN, second, tmp_path)
    assert (tmp_path / data.name).read_bytes() == whole
    assert len((tmp_path / second.name).read_bytes().splitlines()) == 3
    after = json.loads(path.read_text())
    assert after["commit"] == "another", "that of the first rows"
    assert after["data"] == facts["data"] | {"spaq_second": file_hash(second)}
    built(second, names(4))
    error = finished(MAIN, second, tmp_path, code=2).stderr
    assert "spaq_second" in error and f"mv {tmp_path} {tmp_path}.old" in error


# A host that prints in every way, and then cannot load the model.
NOISE = """
import logging
def load(settings, device):
    print("by print"), os.system("echo by child")
    os.write(1, b"by descriptor 1\\n"), os.write(2, b"by descriptor 2\\n")
    logging.getLogger("host").addHandler(logging.StreamHandler())
    logging.getLogger("host").warning("by logger")
    if FAILS:
        raise RuntimeError("stand/in: cannot be loaded (a fault)\\nof two lines")
sys.modules["eval.inference.model"].load = load
def rate_aloud(self, block):
    logging.getLogger("host").warning("by logger, later")
    return rate(self, block)
rater.Rater.rate = rate_aloud
"""
PRINTED = ("by print", "by descriptor 1", "by descriptor 2", "by child", "by logger")


def test_what_the_host_prints_goes_to_the_log(data, whole, tmp_path):
    done = finished("FAILS = False\n" + NOISE + MAIN, data, tmp_path)
    assert (tmp_path / data.name).read_bytes() == whole
    log = (tmp_path / "output.log").read_text().splitlines()
    assert set(PRINTED) <= set(log) and log.count("by logger, later") == ROWS // 4
    assert "by " not in done.stdout + done.stderr and f"{ROWS}/{ROWS}" in done.stderr, "the progress bar"


def test_a_model_that_cannot_be_loaded_is_one_line_that_names_the_log(data, tmp_path):
    done = finished("FAILS = True\n" + NOISE + MAIN, data, tmp_path, code=2)
    [line] = done.stderr.splitlines()
    assert line.startswith("error: stand/in: ") and f"{tmp_path}/output.log" in line
    log = (tmp_path / "output.log").read_text()
    assert "Traceback" in log and "of two lines" in log and set(PRINTED) <= set(log.splitlines())


# A fault while a block is predicted: raised by a library, or by our own code.
FAULTS = {
    "library": "raise ValueError('Image features and image tokens do not match')",
    "ours": "from storm.scales import IQA, coarse_of\n    coarse_of(IQA, 99)",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_leaves_its_traceback_in_the_log_and_one_line(data, tmp_path, kind):
    fails = f"def fails(self, block):\n    {FAULTS[kind]}\nrater.Rater.rate = fails\n"
    done = finished(fails + MAIN, data, tmp_path, code=2)
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    log = (tmp_path / "output.log").read_text()
    assert "Traceback" in log and "in fails" in log
    assert (str(tmp_path / "output.log") in line) is (kind == "library")
    assert ("tokens do not match" if kind == "library" else "label 99") in line


def test_a_process_waits_for_hours_for_the_others(monkeypatch):
    """gloo alone gives up after 30 minutes, in which another process may still load 7 GB or predict its share."""
    started = []
    torch = SimpleNamespace(
        is_initialized=lambda: bool(started),
        init_process_group=lambda kind, timeout: started.append((kind, timeout)),
        barrier=lambda: started.append("waits"),
    )
    monkeypatch.setitem(sys.modules, "torch.distributed", torch)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(distributed=torch))
    monkeypatch.setenv("WORLD_SIZE", "2")
    _wait_for_all()
    [(kind, timeout), waits] = started
    assert (kind, waits) == ("gloo", "waits") and timeout >= timedelta(days=1)


def test_parts_are_of_one_file(tmp_path):
    for name in ("a.0", "a.11", "a.b.0", "a.jsonl", "[a].0"):
        (tmp_path / f"{name}.part").touch()
    parts = {name: [path.name for path in resume.parts(tmp_path, name)] for name in ("a", "a.b", "[a]")}
    assert parts == {"a": ["a.0.part", "a.11.part"], "a.b": ["a.b.0.part"], "[a]": ["[a].0.part"]}
