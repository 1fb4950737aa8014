"""Every reading can be audited."""

import csv
from pathlib import Path

import pytest

from eval import score
from storm.files import write_jsonl

TEXTS = {
    "rate3-4(Above Fair), rate3(Good)": ("rate3(Good)", "rate3-4(Above Fair)", "exact"),
    "Final answer: 3": ("rate3(Good)", "", "number"),
    "It is a good photo.": ("", "", "prose"),
}


@pytest.fixture
def file(tmp_path) -> Path:
    rows = [
        {"id": f"{n}", "dataset": "spaq", "strategy": "cot", "label": next(iter(TEXTS)), "predict": text}
        for n, text in enumerate(TEXTS)
    ]
    write_jsonl(tmp_path / "spaq.jsonl", rows)
    return tmp_path / "spaq.jsonl"


def readings(path: Path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_text_has_its_reading_and_rule(file, tmp_path, capsys):
    out = tmp_path / "readings.csv"
    assert score.main([str(file), "--readings", str(out)]) == 0
    rows = readings(out)
    assert [(row["prediction"], row["coarse prediction"], row["rule"]) for row in rows] == list(TEXTS.values())
    assert [row["text"] for row in rows] == list(TEXTS) and {row["label"] for row in rows} == {"rate3(Good)"}
    assert [row["line"] for row in rows] == ["1", "2", "3"]
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["exact", "1"] in printed and ["prose", "1"] in printed
    assert score.main([str(file), "--readings", str(out), "--readings-only", "irregular"]) == 0
    assert [row["rule"] for row in readings(out)] == ["number", "prose"]


def test_only_trained_answers_count_if_wanted(file, tmp_path):
    out = tmp_path / "readings.csv"
    assert score.main([str(file), "--parser", "exact", "--readings", str(out)]) == 0
    assert [bool(row["prediction"]) for row in readings(out)] == [True, False, False]
