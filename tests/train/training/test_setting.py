"""The rows that a `storm:` block needs are checked before the training, and are those that the host knows."""

from pathlib import Path

import pytest
from PIL import Image

from storm.files import write_json, write_jsonl
from storm.rows import Example, to_row
from storm.scales import IQA

pytestmark = pytest.mark.slow  # imports torch
VOTES = (0.5, 0.5, 0.0, 0.0, 0.0)


@pytest.fixture
def folder(tmp_path):
    """Rows in two parts, of images with names of their own, and where they are."""
    write_part(tmp_path, "train", ["a.png", "b.png"])
    write_part(tmp_path, "val", ["c.png", "d.png"])
    info = {f"my_{part}": {"file_name": f"my_{part}.jsonl"} for part in ("train", "val")}
    write_json(tmp_path / "dataset_info.json", info)
    return tmp_path


def write_part(folder: Path, part: str, images: list[str], **more) -> None:
    for name in images:
        Image.new("RGB", (56, 56)).save(folder / name)
    rows = [to_row(Example(name, "my", name, 1, IQA, "cot"), **more) for name in images]
    write_jsonl(folder / f"my_{part}.jsonl", rows)


def data_of(folder: Path, block: dict, media: str = ""):
    from train.training.block import read
    from train.training.setting import data_of

    recipe = {"dataset": "my_train", "dataset_dir": str(folder), "media_dir": media or str(folder)}
    return data_of(recipe, read({"storm": block}))


SCORES = {"evaluate": {"every": 5, "rows": 10}}


def test_val_rows_are_scored(folder):
    [(stanza, rows)] = data_of(folder, SCORES).val.items()
    assert (stanza, [row.id for row in rows]) == ("my_val", ["c.png", "d.png"])


def trained_on(folder):
    write_part(folder, "val", ["c.png", "a.png"])


def empty(folder):
    (folder / "my_val.jsonl").write_text("")


def gone(folder):
    (folder / "d.png").unlink()


def not_an_image(folder):
    (folder / "d.png").write_text("no image")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (trained_on, ["my_val.jsonl", "a.png", "my_train.jsonl"]),
        (empty, ["my_val.jsonl"]),
        (gone, ["my_val.jsonl", "d.png", "media_dir="]),
        (not_an_image, ["my_val.jsonl", "d.png", "media_dir="]),
    ],
)
def test_val_rows_that_cannot_be_scored_are_named_before_the_training(folder, harm, words):
    harm(folder)
    with pytest.raises(ValueError, match="data_prep") as raised:
        data_of(folder, SCORES)
    assert all(word in str(raised.value) for word in words) and "\n" not in str(raised.value)


def test_votes_have_the_paths_of_the_host(folder, monkeypatch):
    """LLaMA-Factory joins media_dir and image as texts (data/converter.py)."""
    write_part(folder, "train", ["a.png"], votes=list(VOTES))
    monkeypatch.chdir(folder)
    votes = data_of(folder, {"objective": "soft", "target": "votes"}, "./.").votes
    assert list(votes.values()) == [VOTES]
    assert [path for path, _ in votes] == ["././a.png"]


def test_a_row_of_another_scale_names_the_key_of_the_block(folder):
    text = (folder / "my_train.jsonl").read_text().replace(f'"scale":"{IQA.name}"', '"scale":"other"')
    (folder / "my_train.jsonl").write_text(text)
    with pytest.raises(ValueError, match=r"storm.scale=SCALE.yaml") as raised:
        data_of(folder, {"objective": "soft", "target": "votes"})
    assert "--scale" not in str(raised.value)


def test_rows_of_a_scale_that_is_not_named_are_refused_before_the_model_is_loaded(folder):
    rows = (folder / "my_train.jsonl").read_text().replace('"scale":"iqa"', '"scale":"mine"')
    assert "mine" in rows
    (folder / "my_train.jsonl").write_text(rows)
    with pytest.raises(ValueError, match="storm.scale="):
        data_of(folder, {"objective": "soft", "target": "laplace"})
