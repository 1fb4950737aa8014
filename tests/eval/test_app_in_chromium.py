"""The page of eval/app.py in a real Chromium: photographs, scales, bad files, two visitors at once."""

import os
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.request
import zlib
from contextlib import contextmanager
from pathlib import Path

import pytest

from storm.scales import IQA
from storm.datasets import SCALES
from eval import app
from eval.inference.page import ELSEWHERE, OWN

ROOT = Path(__file__).resolve().parent.parent
slow = pytest.mark.slow  # imports torch and LLaMA-Factory, starts a browser
WORDS = "Messy\n  _So_ $x_1$ so \n\nTidy\n`Spotless`\n"
SCRIPT = "<script>alert(1)</script>"


def bomb(path: Path) -> None:
    """A PNG of 60 bytes that says it has 400 megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@pytest.fixture(scope="module")
def world(tmp_path_factory, base) -> Path:
    """A tiny model (base) and photographs, bad ones among them."""
    import numpy as np
    from PIL import Image

    folder = tmp_path_factory.mktemp("world")
    shutil.copytree(base, folder / "base")
    (folder / "examples").mkdir()
    rng = np.random.default_rng(0)
    for name in ("0.png", "1.png", "examples/2.png"):
        Image.fromarray(rng.integers(0, 255, (120, 90, 3), dtype=np.uint8)).save(folder / name)
    (folder / "bad.png").write_text("not an image")
    bomb(folder / "bomb.png")
    return folder


@pytest.fixture(scope="module")
def url(world) -> str:
    """The address of a running app."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "eval/app.py", "--model", world / "base", "--image-max-pixels", "12544"]
    command += ["--port", str(port), "--examples", world / "examples"]
    settings = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    address, temporary = f"http://127.0.0.1:{port}/", world / "tmp"
    temporary.mkdir()
    with (world / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=settings | {"TMPDIR": str(temporary)}, stdout=log, stderr=log)
        try:
            for _ in range(300):
                assert process.poll() is None, (world / "log").read_text()[-2000:]
                try:
                    with urllib.request.urlopen(address, timeout=5) as answered:  # noqa: S310
                        assert not ELSEWHERE.search(answered.read().decode())
                    break
                except OSError:
                    time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=20)
    assert not list(temporary.glob("storm_app_*"))  # uploads go with the program
    log = (world / "log").read_text()
    assert "Traceback" not in log, log[log.index("Traceback") :]


# Gradio 5.50's page asks for the progress of an upload of no name, gets a 404, and says so (its pull request 11969).
KNOWN = ("upload_progress?upload_id=undefined",)


@contextmanager
def visit(browser, url):
    """A page of its own cookies, which must log no error, open no dialog and ask no other server for anything."""
    context = browser.new_context()
    page, wrong = context.new_page(), []

    def logged(message) -> None:
        known = any(part in message.location["url"] for part in KNOWN) or message.text == "Response"
        if message.type == "error" and not known:
            wrong.append(f"console: {message.text}")

    page.on("console", logged)
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on(
        "request",
        lambda request: request.url.startswith((url, "data:", "blob:")) or wrong.append(f"request: {request.url}"),
    )
    page.set_default_timeout(20_000)
    page.goto(url)
    page.get_by_role("button", name="Rate", exact=True).wait_for()
    yield page
    context.close()
    assert wrong == []


def upload(page, photo: Path) -> None:
    if page.get_by_label("Remove Image").count():
        page.get_by_label("Remove Image").click()
    page.locator("input[type=file]").first.set_input_files(photo)
    page.get_by_label("Remove Image").wait_for()


def choose(page, scale: str) -> None:
    page.get_by_label("Scale", exact=True).click()
    page.get_by_role("option", name=scale, exact=True).click()


def press(page) -> None:
    page.get_by_role("button", name="Rate", exact=True).click()


def value(page, name: str) -> str:
    return page.locator(f"#{name} textarea").input_value()


def wait(page, condition) -> None:
    """Until a condition about the page holds, 20 s at most."""
    for _ in range(200):
        if condition():
            return
        page.wait_for_timeout(100)
    raise AssertionError(page.locator("body").inner_text())


def table(page, name: str) -> list[list[str]]:
    """The cells of a table that are drawn, as text; Gradio's first table of the two only measures widths."""
    rows = page.locator(f"#{name} table").last.locator("tbody tr").all()
    return [[cell.inner_text().strip() for cell in row.locator("td").all()] for row in rows]


@pytest.fixture(scope="module")
def rater(world):
    """What eval/predict.py asks."""
    import torch

    from eval.inference.model import load
    from eval.inference.rater import Rater

    return Rater(load(str(world / "base"), None, 12544, 2048, torch.device("cpu")), "exact", 0, world)


@slow
def test_the_page_says_what_predict_says(world, url, browser, rater):
    with visit(browser, url) as page:
        upload(page, world / "0.png")
        for name, scale in (("Image quality", IQA), ("Age of the face, 1 to 116", SCALES["utk"])):
            choose(page, name)
            press(page)
            right = app.ask(rater, "0.png", scale, "cot")
            assert len({chance for *_, chance in right.levels}) > 1  # else any page would be right
            wait(page, lambda right=right: value(page, "rating") == right.rating)
            assert value(page, "coarse") == right.coarse
            wait(page, lambda right=right: table(page, "decisions") == right.decisions)
            cells = [[name, group, f"{chance:f}".rstrip("0").rstrip(".")] for name, group, chance in right.levels]
            wait(page, lambda cells=cells: table(page, "levels")[:5] == cells[:5])  # of many, the first are drawn
            wait(page, lambda cells=cells: len(cells) > 5 or len(table(page, "levels")) == 5)
            assert page.locator("#bars canvas").is_visible()
        assert page.locator("#problem").count() == 0


@slow
def test_an_example_and_levels_of_ones_own(world, url, browser):
    with visit(browser, url) as page:
        page.locator(".gallery-item").first.click()
        page.get_by_label("Remove Image").wait_for()
        choose(page, OWN)
        page.get_by_label("Levels, one a line").fill(WORDS)
        press(page)
        words = ["level0(Messy)", "level1(_So_ $x_1$ so)", "level2(Tidy)", "level3(`Spotless`)"]
        wait(page, lambda: value(page, "rating") in words)
        wait(page, lambda: [line[0] for line in table(page, "levels")] == words)
        page.get_by_label("Levels, one a line").fill(f"Messy\n{SCRIPT}")
        press(page)
        page.locator("#problem textarea").wait_for()
        assert value(page, "problem").startswith(f"level '{SCRIPT}' must be a word or two")
        assert not page.locator("#rating").is_visible()  # of the levels before


@slow
def test_a_bad_file_is_one_line_and_the_page_goes_on(world, url, browser):
    with visit(browser, url) as page:
        press(page)
        page.locator("#problem textarea").wait_for()
        assert value(page, "problem") == "choose a photograph first"
        for name in ("bad.png", "bomb.png"):
            upload(page, world / name)
            press(page)
            wait(page, lambda name=name: value(page, "problem").startswith(f"{name} cannot be read: "))
        upload(page, world / "0.png")
        press(page)
        page.locator("#rating").wait_for()
        wait(page, lambda: value(page, "rating").startswith("rate"))
        assert page.locator("#problem").count() == 0


@slow
def test_two_visitors_at_once_both_get_their_own_answer(world, url, browser, rater):
    with visit(browser, url) as one, visit(browser, url) as two:
        upload(one, world / "0.png")
        upload(two, world / "1.png")
        choose(one, "Age of the face, 16 to 77")
        choose(two, "Age of the face, 16 to 77")
        press(one)
        press(two)
        rights = [app.ask(rater, photo, SCALES["morph"], "cot").decisions for photo in ("0.png", "1.png")]
        assert rights[0] != rights[1]
        wait(one, lambda: table(one, "decisions") == rights[0])
        wait(two, lambda: table(two, "decisions") == rights[1])
