"""One image never ends a prediction, nor holds it up: its row says which file and why; the next run tries it again."""

import time

import pytest
from PIL import Image

from storm.datasets import SCALES
from storm.files import read_jsonl
from tests.helpers.hostile_images import HOSTILE, write_hostile
from tests.helpers.inference import MAIN, WITH_IMAGES, built, finished


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An image root with hostile files and a sound image, a secret beside it, and a test file with a row for each."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "raw").mkdir()
    write_hostile(folder / "raw")
    for name in ("raw/good.png", "secret.png"):
        Image.new("RGB", (40, 30)).save(folder / name)
    leaving = ["../secret.png", str(folder / "secret.png"), "..", "x/" * 3000 + "long.png"]
    built(folder / "spaq_test.jsonl", ["good.png", *leaving, *HOSTILE])
    return folder


def test_hostile_images_are_rows_with_a_reason(world, tmp_path):
    start = time.perf_counter()
    finished(WITH_IMAGES + MAIN, world / "spaq_test.jsonl", tmp_path, "--media", str(world / "raw"), code=2)
    assert time.perf_counter() - start < 60
    rows = {line.row["id"]: line.row for line in read_jsonl(tmp_path / "spaq_test.jsonl")}
    assert len(rows) == 5 + len(HOSTILE)
    assert "error" not in rows["good.png"] and rows["good.png"]["predict"] == rows["good.png"]["label"]
    faults = {id: row for id, row in rows.items() if "error" in row}
    # Damage to a byte that the format does not notice is not a fault.
    assert all(id == "good.png" or id.startswith("changed_") for id in rows.keys() - faults.keys())
    for id, row in faults.items():
        path, reason = row["error"].split(f"{id}: ")
        assert row["predict"] == "" and "probs" not in row
        assert path in (f"{world / 'raw'}/", "") and reason and "\n" not in reason
    assert all("image root" in rows[id]["error"] for id in ("../secret.png", str(world / "secret.png"), ".."))


@pytest.mark.slow
def test_the_next_run_tries_them_again(world, tmp_path):
    media = tmp_path / "raw"
    media.mkdir()
    data = built(tmp_path / "spaq_test.jsonl", ["good.png", "late.png"])
    for name, code in (("good.png", 2), ("late.png", 0)):
        Image.new("RGB", (40, 30)).save(media / name)
        finished(WITH_IMAGES + MAIN, data, tmp_path / "out", "--media", str(media), code=code)
    rows = [line.row for line in read_jsonl(tmp_path / "out" / "spaq_test.jsonl")]
    assert [(row["id"], row["predict"] == row["label"]) for row in rows] == [("good.png", True), ("late.png", True)]


def test_a_row_says_what_it_is_of(world, tmp_path):
    data = built(tmp_path / "spaq_test.jsonl", ["good.png"])
    finished(WITH_IMAGES + MAIN, data, tmp_path / "out", "--media", str(world / "raw"))
    [line] = read_jsonl(tmp_path / "out" / "spaq_test.jsonl")
    assert [line.row[key] for key in ("dataset", "scale", "strategy", "image")] == ["spaq", "iqa", "cot", "good.png"]
    assert list(line.row)[:7] == ["id", "dataset", "scale", "strategy", "image", "label", "predict"]


COUNT = """
def load(*_):
    with open(sys.argv[-1] + "/loads", "a") as file:
        file.write("x")

sys.modules["eval.inference.model"].load = load
"""


def test_all_test_files_of_a_run_share_one_load_of_the_model(tmp_path):
    files = [built(tmp_path / f"{name}_test.jsonl", ["a.png", "b.png"]) for name in SCALES]
    finished(COUNT + MAIN, files[0], tmp_path / "out", "--data", *map(str, files), "--media", str(tmp_path))
    assert len(files) == len(list((tmp_path / "out").glob("*_test.jsonl"))) == 14
    assert (tmp_path / "loads").read_text() == "x"
