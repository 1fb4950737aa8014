"""The page of eval/app.py in a real Chromium: photographs, scales, bad files, batches, two visitors at once."""

import csv
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
import zlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from eval import app
from eval.app_page.choices import TYPED
from storm.custom_scale import load
from storm.datasets import SCALES
from storm.scales import IQA
from tests.helpers.paths import ROOT

slow = pytest.mark.slow  # imports torch and LLaMA-Factory, starts a browser
WORDS = "Messy\n  _So_ $x_1$ so \n\nTidy\n`Spotless`\n"
SCRIPT = "<script>alert(1)</script>"
IMG = "<img src=x onerror=alert(1)>"  # runs where a name becomes a tag, even without its file
APPEAL = ROOT / "examples/product_photos/scale.yaml"


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
    command += ["--port", str(port), "--examples", world / "examples", "--scale", APPEAL]
    settings = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    address, temporary = f"http://127.0.0.1:{port}/", world / "tmp"
    temporary.mkdir()
    with (world / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=settings | {"TMPDIR": str(temporary)}, stdout=log, stderr=log)
        try:
            for _ in range(300):
                assert process.poll() is None, (world / "log").read_text()[-2000:]
                try:
                    urllib.request.urlopen(address, timeout=5).close()  # noqa: S310
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
    assert "%|" not in log and "Loading" not in log, log  # the libraries' bars


# Gradio 5.50's page asks for the progress of an upload of no name, gets a 404, and says so (its pull request 11969).
KNOWN = ("upload_progress?upload_id=undefined",)
# Gradio's page names a script of another server. The policy stops it, which is logged: the one thing that is.
BLOCKED = "https://cdnjs.cloudflare.com/ajax/libs/iframe-resizer/"


@contextmanager
def visit(browser, url):
    """A page of its own cookies, which must log no error, open no dialog and ask no other server for anything."""
    context = browser.new_context()
    page, wrong = context.new_page(), []

    def logged(message) -> None:
        expected = any(part in message.location["url"] for part in KNOWN) or message.text == "Response"
        expected |= message.text.startswith(f"Loading the script '{BLOCKED}") and "violates" in message.text
        if message.type == "error" and not expected:
            wrong.append(f"console: {message.text}")

    page.on("console", logged)
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    elsewhere, blocked = [], []
    page.on("request", lambda request: request.url.startswith((url, "data:", "blob:")) or elsewhere.append(request.url))
    page.on("requestfailed", lambda request: blocked.append(request.url) if request.failure == "csp" else None)
    page.set_default_timeout(20_000)
    page.goto(url)
    page.get_by_role("button", name="Rate", exact=True).wait_for()
    yield page
    context.close()
    assert wrong == [] and elsewhere == blocked
    assert [url for url in blocked if not url.startswith(BLOCKED)] == []


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
    from eval.inference.settings import Settings

    settings = Settings(str(world / "base"), image_max_pixels=12544, media=world)
    return Rater(load(settings, torch.device("cpu")), settings)


@slow
def test_the_page_says_what_predict_says(world, url, browser, rater):
    with visit(browser, url) as page:
        upload(page, world / "0.png")
        for scale in (IQA, SCALES["utk"]):
            choose(page, scale.title)
            press(page)
            shown = app.rate(rater, "0.png", scale, "cot")
            assert len({chance for *_, chance in shown.levels}) > 1  # else any page would be right
            wait(page, lambda shown=shown: value(page, "rating") == shown.rating)
            assert value(page, "coarse") == shown.coarse
            wait(page, lambda shown=shown: table(page, "decisions") == shown.decisions)
            cells = [[name, group, f"{chance:f}".rstrip("0").rstrip(".")] for name, group, chance in shown.levels]
            wait(page, lambda cells=cells: table(page, "levels")[:5] == cells[:5])  # of many, the first are drawn
            wait(page, lambda cells=cells: len(cells) > 5 or len(table(page, "levels")) == 5)
            page.locator("#bars canvas").wait_for(state="visible")
        assert page.locator("#problem").count() == 0


@slow
def test_an_example_and_levels_of_ones_own(world, url, browser):
    with visit(browser, url) as page:
        page.locator(".gallery-item").first.click()
        page.get_by_label("Remove Image").wait_for()
        choose(page, TYPED)
        page.get_by_label("Levels, one per line").fill(WORDS)
        press(page)
        words = ["level0(Messy)", "level1(_So_ $x_1$ so)", "level2(Tidy)", "level3(`Spotless`)"]
        wait(page, lambda: value(page, "rating") in words)
        wait(page, lambda: [line[0] for line in table(page, "levels")] == words)
        page.get_by_label("Levels, one per line").fill(f"Messy\n{SCRIPT}")
        press(page)
        page.locator("#problem textarea").wait_for()
        assert f"'{SCRIPT}'" in value(page, "problem")
        assert not page.locator("#rating").is_visible()  # of the levels before


@slow
def test_a_bad_file_is_one_line_and_the_page_goes_on(world, url, browser):
    with visit(browser, url) as page:
        press(page)
        page.locator("#problem textarea").wait_for()
        assert "photograph" in value(page, "problem")
        for name in ("bad.png", "bomb.png"):
            upload(page, world / name)
            press(page)
            wait(page, lambda name=name: value(page, "problem").startswith(f"{name}: "))
        upload(page, world / "0.png")
        press(page)
        page.locator("#rating").wait_for()
        wait(page, lambda: value(page, "rating").startswith("appeal"))
        assert page.locator("#problem").count() == 0


@slow
def test_a_zip_of_two_images_gives_a_csv_on_the_trained_scale(world, url, browser, rater, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(world / "0.png", "../../0.png")
        archive.write(world / "1.png", f"1 {IMG}.png")
        archive.write(world / "bad.png", "=bad.png")
    (tmp_path / "not.zip").write_text("not a zip")
    scale = load(APPEAL).scale
    with visit(browser, url) as page:
        assert page.get_by_label("Scale", exact=True).input_value() == scale.title  # chosen without a click
        page.get_by_role("tab", name="Many photographs").click()
        files = page.locator("#files input[type=file]")
        files.set_input_files(tmp_path / "not.zip")
        page.locator("#files .file-preview").wait_for()
        page.get_by_role("button", name="Rate all").click()
        wait(page, lambda: page.locator("#problem").count() and value(page, "problem").startswith("not.zip: "))
        page.locator("#files").get_by_label("Clear").click()
        files.set_input_files(tmp_path / "photos.zip")
        page.locator("#files .file-preview").wait_for()
        page.get_by_role("button", name="Rate all").click()
        wait(page, lambda: value(page, "summary").startswith("2 of 3 photographs rated"))
        assert page.locator("#problem").count() == 0
        wait(page, lambda: [line[0] for line in table(page, "rows")] == ["../../0.png", f"1 {IMG}.png", "=bad.png"])
        with page.expect_download() as download:
            page.locator("#csv").click()
        download.value.save_as(tmp_path / "saved.csv")
    assert download.value.suggested_filename == "appeal_predictions.csv"
    lines = list(csv.DictReader((tmp_path / "saved.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert [line["image"] for line in lines] == ["../../0.png", f"1 {IMG}.png", "'=bad.png"]
    for line, photo in zip(lines, ("0.png", "1.png")):
        result = app.rate(rater, photo, scale, "cot")
        assert (f"{float(line['value']):.3f}", line["error"]) == (result.value, "")
        assert [float(line[f"p_{level.word}"]) for level in scale.fine] == [chance for *_, chance in result.levels]
    assert lines[2]["error"] and not lines[2]["value"]


@slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Gradio 6
def test_one_photograph_and_many_wait_in_one_queue():
    """Two threads in one model would fail, or take twice its memory."""
    from eval.app_page.page import page

    blocks = page(lambda *_: None, lambda *_: None, lambda *_: None, {"x": IQA}, [])
    buttons = [fn for fn in blocks.fns.values() if fn.queue]
    assert len(buttons) == 2
    assert {(fn.concurrency_id, fn.concurrency_limit) for fn in buttons} == {(buttons[0].concurrency_id, 1)}


@slow
def test_two_visitors_at_once_both_get_their_own_answer(world, url, browser, rater):
    with visit(browser, url) as one, visit(browser, url) as two:
        upload(one, world / "0.png")
        upload(two, world / "1.png")
        choose(one, SCALES["morph"].title)
        choose(two, SCALES["morph"].title)
        press(one)
        press(two)
        shown = [app.rate(rater, photo, SCALES["morph"], "cot").decisions for photo in ("0.png", "1.png")]
        assert shown[0] != shown[1]
        wait(one, lambda: table(one, "decisions") == shown[0])
        wait(two, lambda: table(two, "decisions") == shown[1])


class Preconnecting(BaseHTTPRequestHandler):
    """A page that names Google's font server as Gradio's does, without our headers."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b'<!doctype html><link rel="preconnect" href="https://fonts.googleapis.com"><p>page</p>')

    def log_message(self, *_):
        pass


def connections(url: str, folder: Path) -> int:
    """How often Chromium connects to Google's font servers or to Gradio's script while it shows a page for 6 s.

    Not under Playwright, whose options turn preconnecting off.
    """
    count = 0
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0.2)
        hosts = ("fonts.googleapis.com", "fonts.gstatic.com", "cdnjs.cloudflare.com")
        rules = [f"MAP {host} 127.0.0.1:{server.getsockname()[1]}" for host in hosts]
        rules += ["MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1"]
        options = ["--headless=new", "--no-sandbox", "--no-first-run", "--remote-debugging-port=0"]
        options += [f"--user-data-dir={folder}", f"--host-resolver-rules={', '.join(rules)}", url]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process, end = subprocess.Popen(["chromium", *options], **quiet), time.monotonic() + 6
        try:
            while time.monotonic() < end:
                try:
                    server.accept()[0].close()
                    count += 1
                except TimeoutError:
                    continue
        finally:
            process.terminate()
            process.wait(timeout=20)
    return count


@slow
def test_chromium_connects_to_no_other_server(url, browser, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Preconnecting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert connections(f"http://127.0.0.1:{server.server_address[1]}/", tmp_path / "control") > 0
    finally:
        server.shutdown()
        server.server_close()
    assert connections(url, tmp_path / "app") == 0
