"""kill -9 of a server or of eval/predict.py while rows are asked for: nothing is lost, nothing is asked for twice, and
the same command gives the same file."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from eval import predict
from eval.servers import connection
from storm.files import read_jsonl, write_jsonl
from storm.rows import Example, to_row
from storm.scales import IQA
from tests.helpers.paths import ROOT
from tests.helpers.stub_server import MODEL, by_pixel, doomed, image_of, pixel, serving

NAMES, ROWS = ("a_test", "b_test"), 30  # test files, rows of each


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Photographs of one color each, whose first value is the number in their name, and two test files."""
    folder = tmp_path_factory.mktemp("world")
    for place, name in enumerate(NAMES):
        these = range(place * ROWS, (place + 1) * ROWS)
        rows = [Example(f"{n}", "own", f"{n}.png", n % 5, IQA, "direct") for n in these]
        write_jsonl(folder / f"{name}.jsonl", map(to_row, rows))
        for row in rows:
            Image.new("RGB", (64, 48), (int(row.id), 0, 0)).save(folder / row.image)
    return folder


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory) -> list[bytes]:
    """The files of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole")
    with serving(by_pixel) as stub:
        assert predict.main(arguments(world, out, stub.url)) == 0
    return files(out)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(connection, "RETRIES", 1)


def arguments(world: Path, out: Path, *urls: str, concurrency: int = 4) -> list[str]:
    words = [
        "--server",
        ",".join(urls),
        "--served-model",
        MODEL,
        "--decode",
        "generate",
        "--out",
        out,
        "--family",
        "none",
    ]
    words += ["--media", world, "--concurrency", concurrency, "--data", *(world / f"{name}.jsonl" for name in NAMES)]
    return list(map(str, words))


def files(out: Path) -> list[bytes]:
    return [(out / f"{name}.jsonl").read_bytes() for name in NAMES]


def ids(out: Path) -> list[str]:
    """The rows that are in the files."""
    paths = [path for name in NAMES if (path := out / f"{name}.jsonl").exists()]
    return [line.row["id"] for path in paths for line in read_jsonl(path) if line.row]


def numbers(bodies: list[dict]) -> list[str]:
    """The rows that a server was asked for."""
    return sorted((str(pixel(image_of(body))[0]) for body in bodies), key=int)


def left(done: list[str]) -> list[str]:
    return [str(number) for number in range(2 * ROWS) if str(number) not in done]


def test_of_two_servers_the_other_takes_the_rows_of_the_one_that_is_killed(world, whole, tmp_path, capfd):
    def slow(body, stub):
        time.sleep(0.02)
        return by_pixel(body)

    with doomed(last=9) as dying, serving(slow) as other:
        assert predict.main(arguments(world, tmp_path, dying, other.url)) == 0
    assert files(tmp_path) == whole
    assert f"left out: {dying.removeprefix('http://')}: no server answers" in capfd.readouterr().err
    assert len(numbers(other.bodies)) == len(set(numbers(other.bodies))) == 2 * ROWS - 9


def test_the_same_command_goes_on_when_the_only_server_is_back(world, whole, tmp_path, capfd):
    with doomed(last=41) as url:
        words = arguments(world, tmp_path, url)
        assert predict.main(words) == 2
    said, done = capfd.readouterr().err, ids(tmp_path)
    assert said.startswith(f"error: {url.removeprefix('http://')}: no server answers") and said.count("\n") == 1
    assert len(done) == len(set(done)) == 41, "every answer is kept"
    with serving(by_pixel, port=int(url.rpartition(":")[2])) as back:
        assert predict.main(words) == 0
    assert numbers(back.bodies) == left(done) and files(tmp_path) == whole


@pytest.mark.slow
def test_the_same_command_goes_on_after_the_client_is_killed(world, whole, tmp_path):
    def slow(body, stub):
        time.sleep(0.02)
        return by_pixel(body)

    with serving(slow) as stub:
        words = arguments(world, tmp_path, stub.url)
        process = subprocess.Popen([sys.executable, str(ROOT / "eval/predict.py"), *words], stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while len(ids(tmp_path)) < ROWS + 5:
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = ids(tmp_path)
        time.sleep(0.5)  # for what was on its way
        stub.bodies.clear()
        assert predict.main(words) == 0
        assert numbers(stub.bodies) == left(done) and files(tmp_path) == whole
