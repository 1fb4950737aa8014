"""Which rows a temperature may be fitted to: never rows that are scored, or that the model was trained on."""

import json
from pathlib import Path

import pytest

from eval.score import main
from storm import provenance
from tests.helpers.predictions import line

SURE = [0.0, 0.01, 0.98, 0.01, 0.0]  # right in six of ten rows only


def predictions(folder: Path, name: str, dataset: str, ids: list[str], trained_on: dict | None = None) -> Path:
    """Exact predictions of a dataset, and where they come from."""
    folder.mkdir(exist_ok=True)
    labels = [(2, 2, 2, 1, 3)[number % 5] for number in range(len(ids))]
    rows = [line(dataset, label, 2, id=id, dataset=dataset, probs=SURE) for label, id in zip(labels, ids)]
    (folder / f"{name}.jsonl").write_text("".join(rows))
    provenance.write(folder, {"data": {name: "0"}, "trained_on": trained_on, "versions": {}})
    return folder / f"{name}.jsonl"


def ids(letter: str, count: int = 10) -> list[str]:
    return [f"{letter}{number}" for number in range(count)]


@pytest.fixture
def calibrate(tmp_path, monkeypatch, capsys):
    """Score koniq's test rows with these validation rows: (exit code, temperature, the error lines)."""
    monkeypatch.chdir(tmp_path)
    test = predictions(tmp_path / "test", "koniq_test", "koniq", ids("t"))

    def score(validation: Path) -> tuple[int, float | None, str]:
        code = main([str(test), "--calibrate", str(validation), "--json", "scores.json"])
        (row,) = json.loads(Path("scores.json").read_text())["scores"]
        return code, row["temperature"], capsys.readouterr().err

    return score


@pytest.mark.parametrize(
    "trained_on",
    [None, {}, {"storm_spaq_train": "1"}],
    ids=["unknown", "nothing", "other"],
)
def test_rows_that_were_not_trained_on_are_taken(calibrate, tmp_path, trained_on):
    code, temperature, _ = calibrate(predictions(tmp_path / "val", "koniq_val", "koniq", ids("v"), trained_on))
    assert code == 0 and temperature > 2


def test_validation_rows_of_another_dataset_do_not_do(calibrate, tmp_path):
    code, temperature, error = calibrate(predictions(tmp_path / "val", "spaq_val", "spaq", ids("v")))
    assert code == 2 and temperature is None and "koniq_val.jsonl" in error and "data_prep koniq" in error


def test_where_lite_is_all_of_train_the_way_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    test = predictions(tmp_path / "test", "spaq_test", "spaq", ids("t"))
    other = predictions(tmp_path / "val", "koniq_val", "koniq", ids("v"))
    assert main([str(test), "--calibrate", str(other)]) == 2
    assert "python -m data_prep spaq --val 0.1" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["storm_koniq_lite", "koniq_train.jsonl", "cot/koniq_train.jsonl"])
def test_a_train_file_that_is_gone_or_was_built_again_cannot_say(calibrate, tmp_path, name):
    """Such as lite, all of train then, before a build with --val took rows out of it."""
    (tmp_path / "koniq_train.jsonl").write_text('{"id": "a"}\n')
    validation = predictions(tmp_path / "val", "koniq_val", "koniq", ids("v"), {name: "1"})
    code, temperature, error = calibrate(validation)
    assert code == 2 and temperature is None and "koniq" in error and name in error and "--val" in error


@pytest.mark.parametrize(("trained", "fits"), [(ids("a"), True), (ids("a") + ["v3"], False)])
def test_the_train_file_decides_if_it_is_there(calibrate, tmp_path, trained, fits):
    (tmp_path / "koniq_train.jsonl").write_text("".join(json.dumps({"id": id}) + "\n" for id in trained))
    digest = provenance.file_hash(tmp_path / "koniq_train.jsonl")
    validation = predictions(tmp_path / "val", "koniq_val", "koniq", ids("v"), {"koniq_train.jsonl": digest})
    code, temperature, error = calibrate(validation)
    assert (code == 0, temperature is not None) == (fits, fits)
    assert fits or ("'v3'" in error and "--val" in error)


def test_a_train_file_of_several_datasets_is_looked_into(calibrate, tmp_path):
    rows = [{"id": "v3", "dataset": "spaq"}, {"id": "v4", "dataset": "koniq"}]
    (tmp_path / "mix_train.jsonl").write_text("not JSON\n" + "".join(json.dumps(row) + "\n" for row in rows))
    digest = provenance.file_hash(tmp_path / "mix_train.jsonl")
    validation = predictions(tmp_path / "val", "koniq_val", "koniq", ids("v"), {"mix_train.jsonl": digest})
    code, temperature, error = calibrate(validation)
    assert code == 2 and temperature is None and "1 of these rows" in error and "'v4'" in error


def test_of_a_model_that_nothing_is_known_of_a_note_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    test = predictions(tmp_path / "test", "koniq_test", "koniq", ids("t"))
    validation = predictions(tmp_path / "val", "koniq_val", "koniq", ids("v"))
    hub = {"model": "Qwen/Qwen2.5-VL-3B-Instruct"}
    for model, known in (
        ({"model": "0123456789abcdef", "trained_on": None}, False),
        (hub | {"trained_on": None}, False),  # such as the authors' checkpoint, which has seen all of train
        (hub | {"adapter": "saves/custom", "trained_on": None}, False),
        (hub | {"trained_on": {}}, True),
    ):
        for folder in (test.parent, validation.parent):
            provenance.write(folder, {"data": {}, "versions": {}} | model)
        assert main([str(test), "--calibrate", str(validation)]) == 0
        assert (f"note: --calibrate {validation.parent}: " in capsys.readouterr().out) is not known


def test_rows_that_are_scored_do_not_do(calibrate, tmp_path):
    code, temperature, error = calibrate(predictions(tmp_path / "val", "koniq_val", "koniq", [*ids("v"), "t4"]))
    assert code == 2 and temperature is None and "'t4'" in error and "koniq_val" in error


def test_test_rows_and_predictions_of_another_model_do_not_do(calibrate, tmp_path):
    code, temperature, error = calibrate(predictions(tmp_path / "more", "koniq_test", "koniq", ids("v")))
    assert code == 2 and temperature is None and "test rows of koniq" in error
    code, temperature, error = calibrate(predictions(tmp_path / "train", "koniq_train", "koniq", ids("v")))
    assert code == 2 and temperature is None and "train rows of koniq" in error
    other = predictions(tmp_path / "val", "koniq_val", "koniq", ids("v"))
    provenance.write(other.parent, {"data": {}, "versions": {}, "model": "other"})
    code, temperature, error = calibrate(other)
    assert code == 2 and temperature is None and "another model" in error
    (other.parent / provenance.FILE).write_text("{oops")
    code, temperature, error = calibrate(other)
    assert code == 2 and temperature is None and "damaged" in error
