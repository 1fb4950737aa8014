"""A row as it is written is what is read back; what a row cannot be is refused by file, line and value."""

import json

import pytest

from storm.datasets import DATASETS, SCALES
from storm.files import write_jsonl
from storm.prompts import STRATEGIES
from storm.rows import Example, read_examples, to_row

ROW = Example("a", "hci", "1950s/a.jpg", 2, SCALES["hci"], "num", "somebody")


def write(tmp_path, **changes):
    row = {key: value for key, value in (to_row(ROW) | changes).items() if value is not ...}
    write_jsonl(tmp_path / "hci_test.jsonl", [to_row(ROW._replace(id="first")), row])
    return tmp_path / "hci_test.jsonl"


def test_a_row_has_one_turn_each_and_one_image():
    row = to_row(ROW, score=2.0)
    assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt"]
    assert row["conversations"][0]["value"].count("<image>") == len(row["images"]) == 1
    assert row["conversations"][1]["value"] == "Coarse Classification: phase2, Predicted Phase: phase2"
    assert [row[key] for key in ("id", "dataset", "scale", "strategy", "label", "score", "subject")] == [
        "a", "hci", "hde", "num", 2, 2.0, "somebody"
    ]  # fmt: skip


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_written_is_read_back_for_every_dataset_and_label(tmp_path, strategy):
    rows = [
        Example(f"{name} {label}", name, f"{label}.jpg", label, facts.scale, strategy)
        for name, facts in DATASETS.items()
        for label in range(facts.scale.lo, facts.scale.hi + 1)
    ]
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, map(to_row, rows))
    assert list(read_examples(path)) == [row._replace(file=path) for row in rows]


@pytest.mark.parametrize(("score", "kept"), [(2.5, 2.5), (7, 7), (None, None), ("7", None), (True, None), (..., None)])
def test_a_raw_rating_is_a_number_or_unknown(tmp_path, score, kept):
    assert list(read_examples(write(tmp_path, score=score)))[1].score == kept


def test_files_built_before_rows_said_their_scale_are_recognized_by_their_question(tmp_path):
    assert list(read_examples(write(tmp_path, scale=..., strategy=..., label=...)))[1]._replace(file=None) == ROW


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"scale": "appeal"}, "'appeal'"),
        ({"strategy": "cot"}, "strategy cot"),
        ({"label": 3}, "label 3"),
        ({"conversations": [{"value": "<image> Rate it."}, {"value": "phase2"}], "scale": ...}, "--scale SCALE.yaml"),
        ({"conversations": ...}, "conversations"),
        ({"images": ["a", "b"]}, "images"),
        ({"images": [1]}, "not text"),
        ({"id": "first"}, "'first'"),
    ],
)
def test_a_row_that_cannot_be_meant_is_refused_with_file_line_and_value(tmp_path, changes, value):
    path = write(tmp_path, **changes)
    with pytest.raises(ValueError) as error:
        list(read_examples(path))
    text = str(error.value)
    assert text.startswith(f"{path}, line 2: ") and value in text and "\n" not in text


def test_an_answer_of_another_strategy_is_refused(tmp_path):
    row = to_row(ROW)
    row["conversations"][1]["value"] = "phase2(1950s)"
    (tmp_path / "x.jsonl").write_text(json.dumps(row))
    with pytest.raises(ValueError, match="line 1: 'phase2.1950s.' is not an answer of scale hde, strategy num"):
        list(read_examples(tmp_path / "x.jsonl"))
