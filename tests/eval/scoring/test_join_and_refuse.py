"""Predictions that say little of their rows, or two things: joined to the right row, or refused with the fix."""

import csv
import json
from pathlib import Path

import pytest

from eval.scoring import testsets
from eval.scoring.inputs import Options
from eval.scoring.runs import load
from storm.datasets import SCALES
from storm.files import write_jsonl
from storm.rows import Example, custom_id, to_row
from tests.helpers.prediction_forms import (
    IDS,
    IMAGES,
    LABEL,
    LABELS,
    PAIR,
    SAID,
    SCALE,
    STRATEGY,
    TABLE,
    TEXT,
    batch,
    chat,
    lines,
    table,
    written,
)


def test_keys_of_no_known_name_are_given(tmp_path):
    path = tmp_path / "spaq.jsonl"
    path.write_text(lines(a=TEXT, b=[{"c": label} for label in LABEL]))
    assert load([path])[0] == []
    (run,), errors = load([path], options=Options(keys={"predict": "a", "label": "b.c"}))
    assert errors == [] and run.pred.tolist() == SAID


def test_two_keys_that_could_be_the_prediction_are_refused(tmp_path):
    path = tmp_path / "spaq.jsonl"
    path.write_text(lines(response=TEXT, pred=SAID, label=LABEL))
    found, (error,) = load([path])
    assert not found and "response, pred" in error and "--keys predict=" in error


def test_without_labels_and_ids_only_the_position_is_left(tmp_path, tests):
    path = tmp_path / "gpt.csv"
    path.write_text("prediction,x\n" + "".join(f"{text},1\n" for text in TEXT))
    found, (error,) = load([path], SCALES, tests)
    assert not found and "--by-position" in error
    (run,), errors = load([path], SCALES, tests, Options(by_position=True))
    assert errors == [] and run.pred.tolist() == SAID and "in its order" in run.notes[0]
    path.write_text("prediction,x\n" + "".join(f"{text},1\n" for text in TEXT[:11]))
    found, (error,) = load([path], SCALES, tests, Options(by_position=True))
    assert not found and "11 rows" in error and "12" in error


def test_a_folder_with_a_file_for_each_answer_is_one_run(tmp_path, tests):
    for n in range(12):
        (tmp_path / f"{n:02}.json").write_text(json.dumps(chat(TEXT[n], image=IMAGES[n])))
    (run,), errors = load([tmp_path], SCALES, tests)
    assert errors == [] and run.pred.tolist() == SAID and run.n_test == 12


def test_ids_of_another_test_file_are_refused(tmp_path, tests):
    path = tmp_path / "spaq.jsonl"
    path.write_text(lines(id=[f"z{n}" for n in range(12)], **PAIR))
    found, (error,) = load([path], SCALES, tests)
    assert not found and "'z0'" in error and "--by-position" in error
    path.write_text(lines(index=range(100, 112), **PAIR))
    (run,), errors = load([path], SCALES, tests)
    assert errors == [] and run.n_test == 12 and "by their position" in run.notes[0]
    path.write_text(lines(image=[*IMAGES[:11], IMAGES[0]], label=[*LABEL[:11], LABEL[0]], predict=TEXT))
    found, (error,) = load([path], SCALES, tests)
    assert not found and IMAGES[0] in error and "lines 1 and 12" in error
    path.write_text(lines(id=[*IDS[1:], IDS[0]], image=IMAGES, predict=TEXT))
    found, errors = load([path], SCALES, tests)
    assert not found and len(errors) == 1


def test_the_parts_that_a_server_wrote_are_one_run(tmp_path, tests):
    """Numbered files, and the file of failed requests: these stay in the denominator."""
    half = custom_id("storm_spaq_test_direct", "")
    ids = [f"{half}{id}" for id in IDS]
    failed = [{"custom_id": id, "response": None, "error": {"code": "expired"}} for id in ids[10:]]
    written(
        tmp_path,
        x_spaq_output__jsonl=batch(TEXT[:10], ids),
        x_spaq_error__jsonl="".join(json.dumps(row) + "\n" for row in failed),
    )
    (run,), errors = load([tmp_path], SCALES, tests)
    assert errors == [] and len(run.label) == 12
    assert run.rule.count("error") == 2 and run.n_test == 12
    other = tmp_path / "parts"
    other.mkdir()
    written(other, **{"storm_spaq-1__jsonl": batch(TEXT[:5], ids), "storm_spaq-2__jsonl": batch(TEXT[5:], ids[5:])})
    for paths in ([other], [other / "storm_spaq-2.jsonl", other / "storm_spaq-1.jsonl"]):
        (run,), errors = load(paths, SCALES, tests)
        assert errors == [] and run.pred.tolist() == SAID and run.id == IDS


def test_two_models_that_answered_the_same_rows_are_two_runs(tmp_path, tests):
    written(tmp_path, **{"gpt-4_spaq__jsonl": batch(TEXT), "gpt-5_spaq__jsonl": batch(LABEL)})
    written(tmp_path, **{"gpt-4__jsonl": batch(TEXT), "gpt-5__jsonl": batch(LABEL)})
    for names in (("gpt-4_spaq.jsonl", "gpt-5_spaq.jsonl"), ("gpt-4.jsonl", "gpt-5.jsonl")):
        runs, errors = load([tmp_path / name for name in names], SCALES, tests)
        assert errors == [] and [run.pred.tolist() for run in runs] == [SAID, LABELS]


def test_keys_are_of_rows_that_have_them(tmp_path, tests):
    from eval.score import main

    ours = [
        {"id": id, "dataset": "spaq", "scale": SCALE.name, "strategy": STRATEGY, "label": label, "predict": text}
        for id, label, text in zip(IDS, LABEL, TEXT)
    ]
    written(tmp_path, ours__jsonl="".join(json.dumps(row) + "\n" for row in ours))
    written(tmp_path, spaq__jsonl=lines(out=TEXT, gt=LABEL, qid=IDS))
    keys = Options(keys={"predict": "out", "label": "gt", "id": "qid"})
    (run, other), errors = load([tmp_path / "ours.jsonl", tmp_path / "spaq.jsonl"], SCALES, tests, keys)
    assert errors == [] and run.pred.tolist() == other.pred.tolist() == SAID
    _, (error,) = load([tmp_path / "spaq.jsonl"], SCALES, tests, Options(keys={"predict": "out", "label": "gtt"}))
    assert "no key 'gtt'" in error
    assert main([str(tmp_path / "ours.jsonl"), "--keys", "predict=otu"]) == 2


def test_an_image_goes_before_a_number_and_contradicts_an_id(tmp_path):
    examples = [
        Example(id, "spaq", f"spaq/{id}.jpg", label, SCALE, STRATEGY) for id, label in (("1", 0), ("7", 4), ("3", 2))
    ]
    write_jsonl(tmp_path / "data/direct/spaq_test.jsonl", map(to_row, examples))
    tests, _ = testsets.index([tmp_path / "data"], SCALES)
    path = tmp_path / "spaq.jsonl"
    images = [f"spaq/{id}.jpg" for id in ("7", "1", "3")]
    path.write_text(lines(index=[1, 2, 3], image=[f"/x/{image}" for image in images], pred=["Good"] * 3))
    (run,), errors = load([path], SCALES, tests)
    assert errors == [] and run.label.tolist() == [4, 0, 2] and run.id == ["7", "1", "3"]
    path.write_text(lines(id=["a", "b", "c"], image=images, pred=["Good"] * 3))
    (run,), errors = load([path], SCALES, tests)
    assert errors == [] and run.label.tolist() == [4, 0, 2]


@pytest.mark.parametrize("key", ["idx", "id"])
def test_numbers_that_count_the_rows_are_no_ids(tmp_path, key):
    examples = [
        Example(id, "spaq", f"spaq/{id}.jpg", label, SCALE, STRATEGY)
        for id, label in zip(("5", "3", "1", "4", "2"), (0, 1, 2, 3, 4))
    ]
    write_jsonl(tmp_path / "data/direct/spaq_test.jsonl", map(to_row, examples))
    tests, _ = testsets.index([tmp_path / "data"], SCALES)
    path = tmp_path / "spaq.jsonl"
    path.write_text(lines(**{key: [1, 2, 3, 4, 5], "pred": ["Good"] * 5}))
    found, (error,) = load([path], SCALES, tests)
    assert not found and "--by-position" in error and "count the rows" in error
    (run,), errors = load([path], SCALES, tests, Options(by_position=True))
    assert errors == [] and run.label.tolist() == [0, 1, 2, 3, 4]
    path.write_text(lines(**{key: [5, 3, 1, 4, 2], "pred": ["Good"] * 5}))
    (run,), errors = load([path], SCALES, tests)
    assert errors == [] and run.label.tolist() == [0, 1, 2, 3, 4]


def test_files_of_rows_are_sorted_by_number_and_damaged_ones_are_named(tmp_path, tests):
    for n in range(12):
        (tmp_path / f"{n}.json").write_text(json.dumps(chat(TEXT[n])))
    (run,), errors = load([tmp_path], SCALES, tests, Options(by_position=True))
    assert errors == [] and run.pred.tolist() == SAID
    (tmp_path / "7.json").write_text(json.dumps(chat(TEXT[7]))[:-9])
    _, errors = load([tmp_path], SCALES, tests, Options(by_position=True))
    assert any("7.json" in error for error in errors)


def test_rows_behind_a_damaged_value_are_not_lost_in_silence(tmp_path):
    path = tmp_path / "spaq.json"
    values = [json.dumps(row, indent=1) for row in TABLE.to_dict("records")]
    path.write_text("\n".join([*values[:3], values[3][:-9], *values[4:]]))
    (run,), (error,) = load([path])
    assert len(run.label) == 3 and "nothing behind it is read" in error
    path.write_text(json.dumps({"results": TABLE.to_dict("records"), "failed": [{"predict": None, "label": LABEL[0]}]}))
    (run,), (error,) = load([path])
    assert len(run.label) == 12 and "'failed' holds more rows" in error
    utf16 = "".join(json.dumps(row) + "\n" for row in TABLE.to_dict("records")).split("\n")
    utf16[3] = utf16[3][:-5]
    path.with_suffix(".jsonl").write_bytes("\n".join(utf16).encode("utf-16"))
    (run,), (error,) = load([path.with_suffix(".jsonl")])
    assert len(run.label) == 11 and "line 4" in error


def test_labels_that_count_from_one_are_refused(tmp_path):
    path = tmp_path / "spaq.csv"
    path.write_text(table(label=[n + 1 for n in LABELS if n], pred=[1] * sum(map(bool, LABELS))))
    found, (error,) = load([path])
    assert not found and "count from 0" in error
    path.write_text(table(label=LABELS, pred=SAID))
    (run,), errors = load([path])
    assert errors == [] and "0 is Bad, 4 is Excellent" in run.notes[0]


def test_rows_of_several_models_are_refused(tmp_path):
    path = tmp_path / "spaq.csv"
    path.write_text(table(model=["a", "b"] * 6, label=LABEL, pred=TEXT))
    found, (error,) = load([path])
    assert not found and "'a', 'b'" in error


def test_a_file_called_after_a_dataset_is_never_left_out_in_silence(tmp_path):
    good = tmp_path / "koniq.jsonl"
    good.write_text(lines(**PAIR))
    (tmp_path / "spaq.csv").write_text(table(label=LABEL, prediction=TEXT, output=TEXT))
    (tmp_path / "ava.json").write_text("[" * 50_000)
    (tmp_path / "tad66k.jsonl").write_text('{"label": "x", "score": 1}\n')
    (tmp_path / "all_results.json").write_text('{"accuracy": 1}')
    (run,), errors = load([tmp_path])
    assert run.path == good and [Path(error.split(":")[0]).name for error in sorted(errors)] == [
        "ava.json",
        "spaq.csv",
        "tad66k.jsonl",
    ]


def test_outputs_never_replace_what_is_read(tmp_path, capsys):
    from eval.score import main

    path = tmp_path / "spaq.jsonl"
    path.write_text(lines(**PAIR))
    before = path.read_bytes()
    for option in ("--readings", "--csv", "--json", "--flag-labels"):
        with pytest.raises(SystemExit):
            main([str(path), option, str(path)])
    assert path.read_bytes() == before and capsys.readouterr().err.count("would be lost") == 4


def test_cells_that_a_spreadsheet_would_run(tmp_path):

    from eval.score import main

    path = tmp_path / "spaq.jsonl"
    path.write_text(lines(label=LABEL[:2], predict=['=HYPERLINK("http://x","y")', "one\rtwo"]))
    main([str(path), "--readings", str(tmp_path / "r.csv")])
    with (tmp_path / "r.csv").open(newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    assert texts == ['\'=HYPERLINK("http://x","y")', "one\rtwo"]
