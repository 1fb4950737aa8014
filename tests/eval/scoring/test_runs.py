"""Any predictions file as arrays: who wrote it, which run it is of, what it joins, and what must not be counted."""

import json
from pathlib import Path

import pytest

from eval.scoring import testsets
from eval.scoring.prediction_files import run_of
from eval.scoring.runs import load
from storm.datasets import SCALES
from storm.files import write_jsonl
from storm.prompts import answer
from storm.rows import Example, to_row
from tests.helpers.predictions import mark_as_ours

LABELS = [0, 3, 2, 2, 4, 1]


def indexed(*paths: Path, errors: tuple[str, ...] = ()) -> testsets.Index:
    """The test files there; errors: a part of each line about one that cannot be used."""
    tests, wrong = testsets.index(paths, SCALES)
    assert len(wrong) == len(errors) and all(part in line for part, line in zip(errors, wrong)), wrong
    return tests


def row_of(label: int, predict: int | str, **more) -> dict:
    text = predict if isinstance(predict, str) else answer(SCALES["spaq"], "cot", predict)
    return {"predict": text, "label": answer(SCALES["spaq"], "cot", label)} | more


def lines(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path) -> testsets.Index:
    """A test file of spaq: six rows of three subjects."""
    examples = [
        Example(f"p{i}", "spaq", f"spaq/{i}.jpg", label, SCALES["spaq"], "cot", f"subject {i // 2}")
        for i, label in enumerate(LABELS)
    ]
    write_jsonl(tmp_path / "data" / "cot" / "spaq_test.jsonl", map(to_row, examples))
    return indexed(tmp_path / "data")


def loaded(path: Path, data: testsets.Index | None = None):
    (run,), errors = load([path], SCALES, data)
    assert errors == []
    return run


def refused(path: Path, data: testsets.Index | None = None) -> str:
    found, (error,) = load([path], SCALES, data)
    assert found == [] and error.startswith(str(path))
    return error


def test_the_authors_files_whose_answers_may_be_lists(tmp_path):
    rows = [{"label": row["label"], "answer": row["predict"]} for row in (row_of(1, 1), row_of(2, 3), row_of(0, "?"))]
    rows[1]["answer"] = [rows[1]["answer"]]
    run = loaded(lines(tmp_path / "out" / "spaq.jsonl", rows))
    assert run.pred.tolist() == [1, 3, -1] and run.label.tolist() == [1, 2, 0]
    two = lines(tmp_path / "spaq.jsonl", [rows[0], {"label": rows[0]["label"], "answer": ["rate1", "rate2"]}])
    found, (error,) = load([two], SCALES)
    assert f"{two}, line 2: " in error and "['rate1', 'rate2']" in error and len(found[0].label) == 1


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
    path = lines(tmp_path / "spaq.jsonl", [row_of(label, 2) for label in LABELS])
    run = loaded(path, data)
    assert run.id == [f"p{i}" for i in range(6)] and run.n_test == 6
    assert run.subject.tolist() == [0, 0, 1, 1, 2, 2]
    first = loaded(lines(tmp_path / "few" / "spaq.jsonl", [row_of(label, 2) for label in LABELS[:4]]), data)
    assert (len(first.label), first.n_test) == (4, 6)
    assert loaded(path).id is None and loaded(path).n_test is None


def test_a_row_without_a_subject_is_of_nobody_else(tmp_path, data):
    rows = [json.loads(line) for line in data["spaq", "cot", "test"].read_text().splitlines()]
    lines(
        data["spaq", "cot", "test"],
        [row | {"subject": None if i in (1, 4) else row["subject"]} for i, row in enumerate(rows)],
    )
    subject = loaded(lines(tmp_path / "spaq.jsonl", [row_of(label, 2) for label in LABELS]), data).subject
    assert len(set(subject)) == 5 and subject[2] == subject[3] and len({*subject[[0, 1, 4, 5]]}) == 4


def test_predictions_of_all_kinds_below_a_folder(tmp_path, data):
    """The authors' files have names of their own; test files, logs and scores are none."""
    out = tmp_path / "out"
    lines(out / "lf" / "spaq" / "generated_predictions.jsonl", [row_of(1, 1)])
    authors = lines(out / "authors" / "koniq.jsonl", [{"label": row_of(1, 1)["label"], "answer": "rate1"}] * 2)
    authors.write_text("[damaged\n" + authors.read_text())
    lines(out / "trainer_log.jsonl", [{"loss": 1.0}])
    (out / "spaq_test.jsonl").write_bytes(data["spaq", "cot", "test"].read_bytes())
    found, errors = load([out], SCALES)
    assert [(str(one.run.relative_to(tmp_path)), one.dataset) for one in found] == [
        ("out/authors", "koniq"),
        ("out/lf", "spaq"),
    ]
    assert len(errors) == 1 and "koniq.jsonl, line 1: not JSON" in errors[0]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"a":' * 100_000, "not JSON"),
        (json.dumps(row_of(1, 1, dataset="\x1b[2J\n")), "key 'dataset' is '\\x1b[2J\\n', not a name"),
        (json.dumps(row_of(1, 1, dataset="\ud800")), "key 'dataset' is '\\ud800', not a name"),
    ],
)
def test_a_row_that_is_an_attack_is_named_and_left_out(tmp_path, row, reason):
    path = tmp_path / "spaq.jsonl"
    path.write_text(json.dumps(row_of(2, 2, id=None)) + "\n" + row + "\n" + json.dumps(row_of(3, 3, id=None)) + "\n")
    (run,), (error,) = load([path], SCALES)
    assert run.label.tolist() == [2, 3] and f"line 2: {reason}" in error
    assert run.id is None, "an id of null is none"


def test_rows_with_ids_are_joined_by_them_in_any_order(tmp_path, data):
    rows = [row_of(LABELS[i], 1, id=f"p{i}", dataset="spaq") for i in (5, 0, 3)]
    assert loaded(lines(tmp_path / "x.jsonl", rows), data).subject.tolist() == [2, 0, 1]


def test_a_bad_row_does_not_shift_the_others(tmp_path, data):
    rows = [row_of(label, 2) for label in LABELS]
    path = lines(tmp_path / "spaq.jsonl", [*rows[:2], {"label": rows[2]["label"]}, *rows[3:]])
    (run,), (error,) = load([path], SCALES, data)
    assert run.id == ["p0", "p1", "p3", "p4", "p5"] and "line 3: key 'predict' is missing" in error


def test_another_data_build_is_refused_where_it_parts(tmp_path, data):
    moved = lines(tmp_path / "spaq.jsonl", [row_of(label, 2) for label in [0, 3, 1, 2, 4, 1]])
    error = refused(moved, data)
    assert "line 3: label 1" in error and f"{data['spaq', 'cot', 'test']}, row 3" in error
    strange = lines(tmp_path / "spaq.jsonl", [row_of(0, 0, id="p0"), row_of(0, 0, id="q7")])
    assert "line 2: " in refused(strange, data) and "'q7'" in refused(strange, data)
    relabelled = lines(tmp_path / "spaq.jsonl", [row_of(4, 0, id="p0")])
    assert "line 1: label 4, but 0 in" in refused(relabelled, data)


def test_an_appended_rerun_is_refused(tmp_path, data):
    more = lines(tmp_path / "spaq.jsonl", [row_of(label, 2) for label in LABELS + LABELS[:1]])
    assert f"line 7: {data['spaq', 'cot', 'test']} " in refused(more, data)
    ids = [f"p{i % 4}" for i in range(5)]
    twice = lines(tmp_path / "spaq.jsonl", [row_of(label, 2, id=id) for label, id in zip([0, 3, 2, 2, 0], ids)])
    error = refused(twice)
    assert "'p0'" in error and "1 and 5" in error


OURS = {"id": "p0", "dataset": "spaq", "scale": "iqa", "strategy": "cot"}


def test_a_row_that_says_its_scale_and_strategy_is_not_guessed(tmp_path):
    """The names of file and folder mean nothing then, and a dataset may be unknown."""
    path = lines(tmp_path / "koniq" / "hci_test.jsonl", [row_of(1, 2, **OURS), row_of(3, 3, **OURS | {"id": "p1"})])
    run = loaded(path)
    assert (run.dataset, run.scale.name, run.strategy, run.pred.tolist()) == ("spaq", "iqa", "cot", [2, 3])
    other = loaded(lines(tmp_path / "x.jsonl", [row_of(1, 2, **OURS | {"dataset": "mine"})]))
    assert (other.dataset, other.scale.name) == ("mine", "iqa")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"scale": "appeal", "dataset": "mine"}, "--scale SCALE.yaml"),
        ({"scale": "iaq", "dataset": "mine"}, "did you mean iqa?"),
        ({"strategy": "dirct"}, "did you mean direct?"),
        ({"scale": "iaa"}, "'iaa'"),
        ({"strategy": "num"}, "is not an answer of scale iqa, strategy num"),
    ],
)
def test_a_row_that_says_what_cannot_be_is_named(tmp_path, more, reason):
    path = lines(tmp_path / "spaq.jsonl", [row_of(1, 1, **OURS), row_of(1, 1, **OURS | more)])
    (run,), (error,) = load([path], SCALES)
    assert len(run.label) == 1 and error.startswith(f"{path}, line 2: ") and reason in error


def test_files_beside_the_provenance_of_predictions_are_ours(tmp_path):
    """Of a training, the same file says nothing of predictions: its logs are not scored."""
    mark_as_ours(tmp_path / "exact")
    path = lines(tmp_path / "exact" / "vote_test.jsonl", [{"damaged": 1}] * 9 + [row_of(1, 1, **OURS)])
    (run,), _ = load([tmp_path / "exact"], SCALES)
    assert (run.path, run.run) == (path, tmp_path / "exact")
    (tmp_path / "exact" / "provenance.json").rename(tmp_path / "exact" / "run.json")
    (run,), _ = load([tmp_path / "exact"], SCALES)
    assert run.run == tmp_path / "exact", "what earlier versions wrote"
    (tmp_path / "exact" / "run.json").write_text('{"data": {}, "versions": {}, "run": "storm_lite"}')
    found, (error,) = load([tmp_path / "exact"], SCALES)
    assert found == [] and error.startswith(f"{tmp_path / 'exact'}: ")


def test_two_files_of_one_run_and_dataset(tmp_path, data):
    rows = [row_of(label, 2) for label in LABELS]
    a, b = (lines(tmp_path / name, rows) for name in ("spaq.jsonl", "spaq_test.jsonl"))
    found, errors = load([a, b, a], SCALES, data)
    assert [one.path for one in found] == [a]
    assert errors == [f"{b}: spaq of the same run is in {a}, too; left out"], "a named twice is read once"


def test_test_files_that_cannot_be_used(tmp_path, data):
    assert indexed(tmp_path / "nothing", tmp_path / "data", errors=("nothing: no such file or folder",)) == data
    copy = tmp_path / "data" / "copy_test.jsonl"
    copy.write_bytes(data["spaq", "cot", "test"].read_bytes())
    assert indexed(tmp_path / "data", errors=("two files of spaq cot test",)) == {}
    row = json.loads(copy.read_text().splitlines()[0])
    for damage in ("{}", "\udcff", "[" * 100_000, json.dumps(row | {"conversations": [{"value": []}, {"value": ""}]})):
        copy.write_bytes(damage.encode(errors="surrogateescape") + b"\n")
        assert indexed(tmp_path / "data", errors=("copy_test.jsonl, line 1: ",)) == data, "the other one is used"
    late = data["spaq", "cot", "test"].read_bytes().splitlines(keepends=True)
    data["spaq", "cot", "test"].write_bytes(late[0] + b"\xff\n")
    path = lines(tmp_path / "spaq.jsonl", [row_of(label, 2) for label in LABELS])
    assert f"{data['spaq', 'cot', 'test']}, line 2: " in refused(path, data)


def test_predictions_of_validation_rows_are_joined_to_those(tmp_path, data):
    """Not to the test rows, which have other ids; and by their order, if they have none."""
    examples = [Example(f"v{i}", "spaq", "x.jpg", label, SCALES["spaq"], "cot", "me") for i, label in enumerate(LABELS)]
    write_jsonl(tmp_path / "data" / "cot" / "spaq_val.jsonl", map(to_row, examples))
    both = indexed(tmp_path / "data")
    rows = [row_of(label, label, id=f"v{i}", dataset="spaq") for i, label in enumerate(LABELS)]
    run = loaded(lines(tmp_path / "saves" / "spaq_val.jsonl", rows), both)
    assert run.data.name == "spaq_val.jsonl" and run.n_test == 6
    assert "no row with the id 'v0'" in refused(lines(tmp_path / "saves" / "spaq_test.jsonl", rows), both)
    alone = indexed(tmp_path / "data" / "cot" / "spaq_val.jsonl")
    unnamed = [row_of(label, label) for label in LABELS]
    assert loaded(lines(tmp_path / "run" / "spaq" / "generated_predictions.jsonl", unnamed), alone).id == [
        row.id for row in examples
    ]
    assert loaded(lines(tmp_path / "saves" / "spaq_val.jsonl", rows), data).data is None, "no file of val is known"
