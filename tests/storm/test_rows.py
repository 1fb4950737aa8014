"""Rows and registry as LLaMA-Factory's loader needs them."""

import json
from pathlib import Path

import pytest

from data_prep.registry import dataset_info
from storm.datasets import SCALES
from storm.rows import facts, turns
from storm.files import write_jsonl

ROOT = Path(__file__).resolve().parent.parent


def test_dataset_info_json_is_what_the_code_implies():
    on_disk = (ROOT / "dataset_info.json").read_text(encoding="utf-8")
    assert on_disk == json.dumps(dataset_info(), indent=2) + "\n", "run: python -m data_prep.registry"


def test_a_row_has_one_turn_each_and_one_image():
    row = turns(SCALES["hci"], "num", 2) | facts(id="a", dataset="hci", image="1950s/a.jpg", label=2, score=2.0)
    assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt"]
    assert row["conversations"][0]["value"].count("<image>") == len(row["images"]) == 1
    assert row["conversations"][1]["value"] == "Coarse Classification: phase2, Predicted Phase: phase2"
    assert (row["id"], row["dataset"], row["label"], row["score"]) == ("a", "hci", 2, 2.0)


def test_a_failed_write_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert write_jsonl(path, [{"é": 1}, {"é": 2}]) == 2
    before = path.read_bytes()
    assert before == '{"é": 1}\n{"é": 2}\n'.encode()

    def rows():
        yield {"é": 3}
        raise ValueError("bad row")

    with pytest.raises(ValueError, match="bad row"):
        write_jsonl(path, rows())
    assert path.read_bytes() == before
