"""Any predictions file as arrays: who wrote it, which run it is of, what it joins, and what must not be counted."""

import json
from pathlib import Path

import numpy as np
import pytest

from storm.prompts import answer
from storm.datasets import SCALES
from storm.rows import facts, turns
from storm.files import write_jsonl
from eval.scoring import testsets
from eval.scoring.prediction_files import run_of
from eval.scoring.runs import load, rerun

LABELS = [0, 3, 2, 2, 4, 1]


def indexed(*paths: Path, errors: tuple[str, ...] = ()) -> built.Index:
    """The test files there; errors: what must be said of them."""
    wrong: list[str] = []
    found = built.index(paths, SCALES, wrong)
    assert len(wrong) == len(errors) and all(part in line for part, line in zip(errors, wrong)), wrong
    return found


def said(label: int, predict: int | str, **more) -> dict:
    text = predict if isinstance(predict, str) else answer(SCALES["spaq"], "cot", predict)
    return {"predict": text, "label": answer(SCALES["spaq"], "cot", label)} | more


def lines(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path) -> built.Index:
    """A test file of spaq: six rows of three people."""
    rows = [
        turns(SCALES["spaq"], "cot", label)
        | facts(id=f"p{i}", dataset="spaq", image=f"spaq/{i}.jpg", label=label, subject=f"person {i // 2}")
        for i, label in enumerate(LABELS)
    ]
    write_jsonl(tmp_path / "data" / "cot" / "spaq_test.jsonl", rows)
    return indexed(tmp_path / "data")


def loaded(path: Path, data: built.Index | None = None):
    (answers,), errors = load([path], SCALES, data)
    assert errors == []
    return answers


def refused(path: Path, data: built.Index | None = None) -> str:
    found, (error,) = load([path], SCALES, data)
    assert found == [] and error.startswith(str(path))
    return error


def test_the_authors_files_whose_answers_may_be_lists(tmp_path):
    rows = [{"label": row["label"], "answer": row["predict"]} for row in (said(1, 1), said(2, 3), said(0, "?"))]
    rows[1]["answer"] = [rows[1]["answer"]]
    answers = loaded(lines(tmp_path / "out" / "spaq.jsonl", rows))
    assert answers.said.tolist() == [1, 3, -1] and answers.label.tolist() == [1, 2, 0]
    two = lines(tmp_path / "spaq.jsonl", [rows[0], {"label": rows[0]["label"], "answer": ["rate1", "rate2"]}])
    found, (error,) = load([two], SCALES)
    assert "line 2: key 'predict' is ['rate1', 'rate2'], not a text" in error and len(found[0].label) == 1


@pytest.mark.parametrize(
    ("path", "run"),
    [
        ("saves/predict/storm_lite/spaq/generated_predictions.jsonl", "saves/predict/storm_lite"),
        ("saves/storm_lite_spaq/generated_predictions.jsonl", "saves/storm_lite"),
        ("saves/storm_spaq_lite/generated_predictions.jsonl", "saves/storm_lite"),
        ("saves/exact/spaq_test.jsonl", "saves/exact"),
        ("saves/exact/utk_test_num.jsonl", "saves/exact"),
        ("saves/spaq/generated_predictions.jsonl", "saves"),
        ("saves/demo_predict/generated_predictions.jsonl", "saves/demo_predict"),
        ("out/STORM_spaq.jsonl", "out/STORM"),
        ("out/storm [lr=1e-5]_spaq.jsonl", "out/storm [lr=1e-5]"),
        ("out/vllm.jsonl", "out/vllm"),
        ("spaq.jsonl", "."),
        ("out/spaq/storm_lite.jsonl", "out/storm_lite"),
        ("out/spaq/llava_lite.jsonl", "out/llava_lite"),
        ("out/vote_test.jsonl", "out/vote_test"),
    ],
)
def test_the_files_of_a_run_differ_in_the_dataset_only(path, run):
    assert run_of(Path(path), SCALES) == Path(run)


def test_rows_without_ids_are_joined_by_position(tmp_path, data):
    path = lines(tmp_path / "spaq.jsonl", [said(label, 2) for label in LABELS])
    answers = loaded(path, data)
    assert answers.id == [f"p{i}" for i in range(6)] and answers.of == 6
    assert answers.subject.tolist() == [0, 0, 1, 1, 2, 2]
    first = loaded(lines(tmp_path / "few" / "spaq.jsonl", [said(label, 2) for label in LABELS[:4]]), data)
    assert (len(first.label), first.of) == (4, 6)
    assert loaded(path).id is None and loaded(path).of is None


def test_somebody_without_a_name_is_nobody_else(tmp_path, data):
    rows = [json.loads(line) for line in data["spaq", "cot"].read_text().splitlines()]
    lines(
        data["spaq", "cot"], [row | {"subject": None if i in (1, 4) else row["subject"]} for i, row in enumerate(rows)]
    )
    subject = loaded(lines(tmp_path / "spaq.jsonl", [said(label, 2) for label in LABELS]), data).subject
    assert len(set(subject)) == 5 and subject[2] == subject[3] and len({*subject[[0, 1, 4, 5]]}) == 4


def test_predictions_of_all_kinds_below_a_folder(tmp_path, data):
    """The authors' files have names of their own; test files, logs and scores are none."""
    out = tmp_path / "out"
    lines(out / "lf" / "spaq" / "generated_predictions.jsonl", [said(1, 1)])
    authors = lines(out / "authors" / "koniq.jsonl", [{"label": said(1, 1)["label"], "answer": "rate1"}] * 2)
    authors.write_text("[damaged\n" + authors.read_text())
    lines(out / "trainer_log.jsonl", [{"loss": 1.0}])
    (out / "spaq_test.jsonl").write_bytes(data["spaq", "cot"].read_bytes())
    found, errors = load([out], SCALES)
    assert [(str(one.run.relative_to(tmp_path)), one.dataset) for one in found] == [
        ("out/authors", "koniq"),
        ("out/lf", "spaq"),
    ]
    assert len(errors) == 1 and "koniq.jsonl, line 1: not JSON" in errors[0]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"a":' * 100_000, "brackets within brackets, too deep to read"),
        (json.dumps(said(1, 1, dataset="\x1b[2J\n")), "key 'dataset' is '\\x1b[2J\\n', not a name"),
        (json.dumps(said(1, 1, dataset="\ud800")), "key 'dataset' is '\\ud800', not a name"),
    ],
)
def test_a_row_that_is_an_attack_is_named_and_left_out(tmp_path, row, reason):
    path = tmp_path / "spaq.jsonl"
    path.write_text(json.dumps(said(2, 2, id=None)) + "\n" + row + "\n" + json.dumps(said(3, 3, id=None)) + "\n")
    (answers,), (error,) = load([path], SCALES)
    assert answers.label.tolist() == [2, 3] and f"line 2: {reason}" in error
    assert answers.id is None, "an id of null is none"


def test_rows_with_ids_are_joined_by_them_in_any_order(tmp_path, data):
    rows = [said(LABELS[i], 1, id=f"p{i}", dataset="spaq") for i in (5, 0, 3)]
    assert loaded(lines(tmp_path / "x.jsonl", rows), data).subject.tolist() == [2, 0, 1]


def test_a_bad_row_does_not_shift_the_others(tmp_path, data):
    rows = [said(label, 2) for label in LABELS]
    path = lines(tmp_path / "spaq.jsonl", [*rows[:2], {"label": rows[2]["label"]}, *rows[3:]])
    (answers,), (error,) = load([path], SCALES, data)
    assert answers.id == ["p0", "p1", "p3", "p4", "p5"] and "line 3: key 'predict' is missing" in error


def test_another_data_build_is_refused_where_it_parts(tmp_path, data):
    moved = lines(tmp_path / "spaq.jsonl", [said(label, 2) for label in [0, 3, 1, 2, 4, 1]])
    assert f"line 3: label 1, but 2 in {data['spaq', 'cot']}, line 3; spaq left out" in refused(moved, data)
    strange = lines(tmp_path / "spaq.jsonl", [said(0, 0, id="p0"), said(0, 0, id="q7")])
    assert "line 2: " in refused(strange, data) and "no row with the id 'q7'" in refused(strange, data)
    relabelled = lines(tmp_path / "spaq.jsonl", [said(4, 0, id="p0")])
    assert "line 1: label 4, but 0 in" in refused(relabelled, data)


def test_an_appended_rerun_is_refused(tmp_path, data):
    more = lines(tmp_path / "spaq.jsonl", [said(label, 2) for label in LABELS + LABELS[:1]])
    assert f"line 7: {data['spaq', 'cot']} has only 6 rows: an appended rerun?" in refused(more, data)
    twice = lines(tmp_path / "spaq.jsonl", [said(label, 2, id=f"p{i % 4}") for i, label in enumerate([0, 3, 2, 2, 0])])
    assert "id 'p0' is in lines 1 and 5: an appended rerun" in refused(twice)
    rng = np.random.default_rng(0)
    rows = [said(int(label), int(guess)) for label, guess in rng.integers(0, 5, (120, 2))]
    other = [row | {"predict": "?"} if i % 5 == 0 else row for i, row in enumerate(rows[:70])]
    for more in (rows[:70], other):
        again = lines(tmp_path / "spaq.jsonl", rows + more)
        assert "from line 121 on it repeats itself from line 1 on: an appended rerun" in refused(again)
    assert len(loaded(lines(tmp_path / "spaq.jsonl", rows + rows[:20])).label) == 140, "20 may agree by chance"


def test_what_goes_round_is_not_a_rerun():
    """The demo's labels go 0, 1, 2, 3, 4, 0, 1 ...; a model that is always right, or always says the same, is none."""
    fives, ones, hundred = [i % 5 for i in range(240)], [0] * 500, [*range(100)]
    assert rerun(fives, fives) is None and rerun(ones, ones) is None and rerun([], []) is None
    assert rerun(hundred * 2, hundred * 2) == 100
    assert rerun(hundred * 2, hundred + [0] * 100) is None, "a second photograph of each, say: other answers"
    odd = [*hundred, *hundred[:80], 7]
    assert rerun(odd, odd) is None


def test_two_files_of_one_run_and_dataset(tmp_path, data):
    rows = [said(label, 2) for label in LABELS]
    a, b = (lines(tmp_path / name, rows) for name in ("spaq.jsonl", "spaq_test.jsonl"))
    found, errors = load([a, b, a], SCALES, data)
    assert [one.path for one in found] == [a]
    assert errors == [f"{file}: spaq of the same run is in {a}, too; left out" for file in (b, a)]


def test_test_files_that_cannot_be_used(tmp_path, data):
    assert indexed(tmp_path / "nothing", tmp_path / "data", errors=("nothing: no such file or folder",)) == data
    copy = tmp_path / "data" / "copy_test.jsonl"
    copy.write_bytes(data["spaq", "cot"].read_bytes())
    assert indexed(tmp_path / "data", errors=("two test files of spaq cot",)) == {}
    row = json.loads(copy.read_text().splitlines()[0])
    for damage in ("{}", "\udcff", "[" * 100_000, json.dumps(row | {"conversations": [{"value": []}, {"value": ""}]})):
        copy.write_bytes(damage.encode(errors="surrogateescape") + b"\n")
        assert indexed(tmp_path / "data", errors=("copy_test.jsonl, line 1: ",)) == data, "the other one is used"
    late = data["spaq", "cot"].read_bytes().splitlines(keepends=True)
    data["spaq", "cot"].write_bytes(late[0] + b"\xff\n")
    path = lines(tmp_path / "spaq.jsonl", [said(label, 2) for label in LABELS])
    assert f"{data['spaq', 'cot']}, line 2: " in refused(path, data)
