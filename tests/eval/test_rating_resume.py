"""eval/predict.py --images: it goes on where it was stopped, and no image is rated twice."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
from PIL import Image

from eval.inference.settings import trained_upright
from storm.files import write_json
from storm.images import load_rgb
from tests.helpers.paths import ROOT
from tests.helpers.rating import NO_MODEL, PRODUCT, asked, cells, command, error_of, photograph, rate

starts_programs = pytest.mark.slow


@starts_programs
def test_killed_it_goes_on_and_ends_as_an_unbroken_run(photos, tmp_path):
    rate(whole := tmp_path / "whole.csv", photos)
    out = tmp_path / "r.csv"
    words = command(out, photos, driver="PAUSE = 0.4\n")
    process = subprocess.Popen(words, cwd=ROOT, env={"ASKED": f"{out}.asked"}, stderr=subprocess.DEVNULL)
    rows = Path(f"{out}.rows/rows.jsonl")
    end = time.time() + 60
    while not (rows.exists() and rows.read_bytes()) and process.poll() is None:
        assert time.time() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists() and 0 < len(begun := rows.read_text().splitlines()) < 5
    Path(f"{out}.asked").unlink()
    done = rate(out, photos)
    assert len(asked(out)) == 5 - len(begun) and out.read_bytes() == whole.read_bytes()
    assert done.stdout.splitlines()[2].split()[:3] == ["5", str(len(begun)), str(5 - len(begun))]


@starts_programs
def test_what_is_finished_loads_no_model_and_may_be_sorted_anew(photos, tmp_path):
    out = tmp_path / "r.csv"
    rate(out, photos, "--limit", "4")
    assert [row["image"] for row in cells(out)] == ["0.png", "1.png", "2.jpg", "4.png"]
    done = rate(out, photos, "--limit", "4", "--sort", "value", driver=NO_MODEL)
    assert "the model was not loaded" in done.stdout
    assert [row["image"] for row in cells(out)] == ["4.png", "2.jpg", "1.png", "0.png"]
    rate(out, photos, driver=NO_MODEL, code=2)


@starts_programs
def test_only_images_that_were_added_are_rated(photos, tmp_path):
    out = tmp_path / "r.csv"
    rate(out, photos)
    Path(f"{out}.asked").unlink()
    photograph(photos / "1_new.png"), photograph(photos / "sub/2_new.png")
    (photos / "0.png").unlink()
    done = rate(out, photos)
    assert asked(out) == ["1_new.png", "sub/2_new.png"]
    assert [row["image"] for row in cells(out)] == [
        "1.png", "1_new.png", "2.jpg", "4.png", "sub/2_new.png", "sub/3.png"
    ]  # fmt: skip
    assert done.stdout.splitlines()[2].split()[:3] == ["6", "4", "2"]
    assert "no longer there, left out of the table: 1" in done.stdout


@starts_programs
def test_an_image_that_was_replaced_is_rated_again(photos, tmp_path):
    rate(tmp_path / "r.csv", photos)
    (photos / "1.png").write_bytes((photos / "0.png").read_bytes() + b" ")
    rate(tmp_path / "r.csv", photos)
    assert asked(tmp_path / "r.csv")[5:] == ["1.png"] and len(cells(tmp_path / "r.csv")) == 5


def test_new_photographs_are_turned_as_the_training_rows_were(tmp_path):
    """Phones store photographs on their side; the copies of --resize are upright."""
    image, exif = Image.new("RGB", (40, 20)), Image.Exif()
    exif[274] = 6  # orientation: turned by 90 degrees
    image.save(tmp_path / "phone.jpg", exif=exif)
    assert load_rgb(tmp_path / "phone.jpg").size == (40, 20)
    assert load_rgb(tmp_path / "phone.jpg", upright=True).size == (20, 40)
    scale = tmp_path / "scale.yaml"
    assert not trained_upright(str(scale)) and not trained_upright("spaq")
    for resize in (None, 1000):
        write_json(tmp_path / "summary.json", {"mine": {"settings": {"resize": resize}}})
        assert trained_upright(str(scale)) == bool(resize)


@starts_programs
@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (("--scale", "spaq"), ("another scale", "appeal", "iqa")),
        (("--strategy", "num"), ("another strategy", "cot", "num")),
        (("--model", "other/model"), ("another model", "stand/in", "other/model")),
        (("--image-max-pixels", "99"), ("image_max_pixels", "99")),
        (("--images", "photos/*.png"), ("another source", "photos/*.png")),
    ],
    ids=lambda change: change[0],
)
def test_another_question_model_or_source_is_refused(photos, tmp_path, change, differs):
    out = tmp_path / "r.csv"
    rate(out, photos)
    before = out.read_bytes()
    change = [str(tmp_path / word) if "*" in word else word for word in change]
    error = error_of(rate(out, photos, *change, driver=NO_MODEL, code=2))
    assert all(word in error for word in differs) and "another --out" in error and f"{out}.rows" in error
    assert out.read_bytes() == before


@starts_programs
def test_levels_with_other_ratings_give_other_values_without_the_model(photos, tmp_path):
    """The question is the same: what the model said stays true."""
    (tmp_path / "scale.yaml").write_text(PRODUCT.read_text())
    rate(out := tmp_path / "r.csv", photos, "--scale", tmp_path / "scale.yaml")
    (tmp_path / "scale.yaml").write_text(PRODUCT.read_text().replace("[4.2, 5]", "[4.2, 7]"))
    rate(out, photos, "--scale", tmp_path / "scale.yaml", driver=NO_MODEL)
    assert next(row["value"] for row in cells(out) if row["image"] == "4.png") == "5.06"  # 0.7 x 5.6 + 0.3 x 3.8


@starts_programs
def test_an_unreadable_image_has_an_error_and_is_tried_again(photos, tmp_path):
    (photos / "3_bad.png").write_bytes(b"not an image")
    outside = photograph(tmp_path / "5_outside.png")
    (photos / "list.csv").write_text("image\n0.png\n3_bad.png\n../5_outside.png\n")
    out = tmp_path / "r.csv"
    done = rate(out, photos / "list.csv", code=2)
    rows = cells(out)
    assert [row["image"] for row in rows] == ["0.png", "3_bad.png", "../5_outside.png"]
    assert "not JPEG" in rows[1]["error"] and "leads out of the image root" in rows[2]["error"]
    assert all(set(list(row.values())[1:-1]) == {""} for row in rows[1:]) and rows[0]["error"] == ""
    assert any(line.split()[:2] == ["unreadable", "2"] for line in done.stdout.splitlines())
    photograph(photos / "3_bad.png"), outside.unlink()
    rate(out, photos / "list.csv", code=2)
    assert [row["word"] for row in cells(out)] == ["Repelling", "Attractive", ""]
    assert asked(out) == ["0.png", "3_bad.png"]
