"""The demo's task: unseen photographs in the test set, the same bytes every time."""

import json

import numpy as np
import pytest

from demo import photographs
from demo.photographs import CROPS, PARTS, SIGMA, SIZE, TEST, crop, distort, examples, load, recolor
from storm.parse import parse
from storm.prompts import STRATEGIES
from storm.scales import IQA

ALL = [photo for photos in PARTS.values() for photo in photos]


def test_no_photograph_is_in_two_parts_and_no_scene():
    assert len(set(ALL)) == len(ALL) and [len(photos) for photos in PARTS.values()] == [19, 4, 4]
    scenes = {part: {name.split("/")[-1][:7] for _, name in photos} for part, photos in PARTS.items()}
    assert not scenes["train"] & scenes["test"] and not scenes["val"] & (scenes["train"] | scenes["test"])


@pytest.mark.parametrize(("package", "name"), ALL)
def test_the_installed_packages_ship_every_photograph_large_enough(package, name):
    photo = load(package, name)
    assert photo.mode == "RGB" and min(photo.size) > 1.5 * SIZE


def test_noise_grows_as_the_level_falls():
    gray = np.full((SIZE, SIZE, 3), 128, dtype=np.uint8)
    spread = [distort(gray, level, np.random.default_rng(0)).std() for level in range(len(SIGMA))]
    assert spread == sorted(spread, reverse=True) and spread[-1] == 0 and len(spread) == 5


def test_crops_and_recolored_crops_have_the_models_size():
    rng = np.random.default_rng(0)
    for _ in range(20):
        pixels = crop(load(*TEST[0]), rng)
        assert pixels.shape == (SIZE, SIZE, 3) and pixels.dtype == np.uint8
        recolored = recolor(pixels, rng)
        assert recolored.shape == pixels.shape and 0 <= recolored.min() <= recolored.max() <= 255


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_same_files_are_written_every_time(split, tmp_path, monkeypatch):
    monkeypatch.setitem(PARTS, split, PARTS[split][-2:])
    monkeypatch.setitem(CROPS, split, 2)
    written = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        (folder / "images" / split).mkdir(parents=True)
        lines = list(examples(split, folder))
        images = {path.name: path.read_bytes() for path in (folder / "images" / split).iterdir()}
        written.append((lines, images))
    assert written[0] == written[1]
    lines, images = written[0]
    assert len(lines) == len(images) == 2 * 2 * 5
    assert all((tmp_path / "a" / example.image).is_file() for example in lines)


@pytest.mark.slow
def test_main_writes_all_parts(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(photographs, "OUT", tmp_path)
    for part in PARTS:
        monkeypatch.setitem(CROPS, part, 1)
    photographs.main([])
    for split, count in (("train", 19 * 5), ("val", 4 * 5), ("test", 4 * 5)):
        for strategy in STRATEGIES:
            written = (tmp_path / f"demo_{split}{STRATEGIES[strategy].suffix}.jsonl").read_text().splitlines()
            assert len(written) == count
            for row in map(json.loads, written):
                assert parse(IQA, strategy, row["conversations"][1]["value"]).label == row["label"]
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["train", "95", "19", str(tmp_path / "demo_train.jsonl")] in lines
