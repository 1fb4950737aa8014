"""Rows that say little: which dataset, scale and strategy they are of, and what is scored as a whole."""

import json
import os

import pytest

from eval.scoring import testsets
from eval.scoring.runs import load
from storm.datasets import SCALES
from storm.files import write_jsonl
from storm.prompts import answer, question
from storm.rows import Example, to_row
from tests.helpers.predictions import mark_as_ours


def pooled(path, rows):
    """The authors' file; rows: (dataset, strategy, label, prediction)."""
    path.write_text(
        "".join(
            json.dumps({"label": answer(SCALES[name], how, label), "answer": [answer(SCALES[name], how, said)]}) + "\n"
            for name, how, label, said in rows
        )
    )
    return path


POOLED = [("spaq", "direct", 1, 1), ("koniq", "direct", 2, 3), ("tad66k", "cot", 4, 4), ("cacd", "cot", 30, 32)]


def test_a_pooled_file_is_scored_by_scale_and_says_so(tmp_path):
    runs, errors = load([pooled(tmp_path / "ORD_answer.jsonl", POOLED)])
    assert errors == []
    assert [(run.dataset, len(run.label), run.strategy) for run in runs] == [
        ("iqa", 2, "direct"),
        ("iaa", 1, "cot"),
        ("ages", 1, "cot"),
    ]
    assert [run.pred.tolist() for run in runs] == [[1, 3], [4], [32]]
    notes = [note for run in runs for note in run.notes]
    assert len(notes) == 3 and "spaq or challengedb or koniq" in notes[0] and "cacd or morph or utk" in notes[2]


def test_the_coarse_step_of_pooled_ages_is_kept(tmp_path):
    """Teenager is the first group of CACD and the second of UTK."""
    rows = [("cacd", "cot", 20, 21), ("utk", "cot", 5, 20), ("morph", "cot", 40, 20)]
    (run,), errors = load([pooled(tmp_path / "ORD_answer.jsonl", rows)])
    assert errors == [] and run.dataset == "ages"
    assert [run.scale.coarse[at].word for at in run.coarse_pred] == ["Teenager"] * 3


def test_a_pooled_file_is_split_by_the_release_it_was_made_of(tmp_path):
    release = [("spaq", 1), ("koniq", 2), ("spaq", 4), ("tad66k", 3)]
    for name in ("spaq", "koniq", "tad66k"):
        examples = [
            Example(
                f"{name}{n}", name, f"{name}/{n}.jpg", label, SCALES[name], "cot", release=f"ORD_test.jsonl:{n + 1}"
            )
            for n, (of, label) in enumerate(release)
            if of == name
        ]
        rows = [to_row(example, release=example.release) for example in examples]
        write_jsonl(tmp_path / f"data/cot/{name}_test.jsonl", rows)
    tests, errors = testsets.index([tmp_path / "data"], SCALES)
    path = pooled(tmp_path / "ORD_answer.jsonl", [(name, "cot", label, 2) for name, label in release])
    runs, errors = load([path], SCALES, tests)
    assert errors == [] and {run.dataset: run.id for run in runs} == {
        "spaq": ["spaq0", "spaq2"],
        "koniq": ["koniq1"],
        "tad66k": ["tad66k3"],
    }
    other = pooled(tmp_path / "ORD_answer.jsonl", [(name, "cot", (label + 1) % 5, 2) for name, label in release])
    runs, errors = load([other], SCALES, tests)
    assert [run.dataset for run in runs] == ["iqa", "iaa"], "another order: not the rows of the release"


@pytest.mark.parametrize(
    ("name", "dataset"), [("Aesthetic", "aesthetics"), ("DR", "aptos"), ("ChallengeDB", "challengedb")]
)
def test_the_authors_names(name, dataset, tmp_path):
    path = pooled(tmp_path / f"{name}_answer.jsonl", [(dataset, "cot", 1, 1)])
    (run,), errors = load([path])
    assert errors == [] and run.dataset == dataset and run.run == tmp_path / "answer"


def test_the_question_tells_the_scale_and_the_strategy(tmp_path):
    rows = [
        {"prompt": f"<|im_start|>user\n{question(SCALES[name], how)}<|im_end|>", "predict": text, "label": label}
        for name, how, label, text in (("morph", "direct", "30", "31"), ("morph", "direct", "40", "39"))
    ]
    (tmp_path / "gpt.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run,), errors = load([tmp_path / "gpt.jsonl"])
    assert errors == [] and (run.scale, run.strategy) == (SCALES["morph"], "direct")
    assert run.label.tolist() == [30, 40] and run.pred.tolist() == [31, 39]


def test_the_other_rows_tell_the_scale_of_a_word_that_several_have(tmp_path):
    rows = [{"label": label, "pred": label} for label in ("Excellent", "Poor", "Bad")]
    (tmp_path / "gpt.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run,), errors = load([tmp_path / "gpt.jsonl"])
    assert errors == [] and run.scale == SCALES["spaq"] and run.label.tolist() == [4, 1, 0]


def test_rows_with_and_without_probabilities_are_scored_apart(tmp_path):
    scale, rows = SCALES["spaq"], []
    for n in range(10):
        row = {
            "id": f"a{n}",
            "dataset": "spaq",
            "scale": scale.name,
            "strategy": "cot",
            "label": answer(scale, "cot", 3),
        }
        row |= {"predict": answer(scale, "cot", 3)}
        rows.append(row | ({"probs": [0, 0, 0, 1, 0]} if n == 0 else {}))
    (tmp_path / "spaq.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    runs, errors = load([tmp_path / "spaq.jsonl"])
    assert errors == [] and [(run.decode, run.pred.tolist()) for run in runs] == [("exact", [3]), ("text", [3] * 9)]
    assert "scored apart" in runs[0].notes[0]


def test_an_entry_that_cannot_be_read_is_named_and_the_rest_is_scored(tmp_path):
    good = pooled(tmp_path / "spaq.jsonl", [("spaq", "cot", 1, 1)])
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nothing")
    (tmp_path / "folder.jsonl").mkdir()
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "latest.jsonl").symlink_to(good)
    (tmp_path / "trainer_log.jsonl").write_text('{"loss": 1}\n')
    (run,), errors = load([tmp_path])
    assert run.path == good and len(errors) == 3
    assert [part in line for part, line in zip(("folder.jsonl", "gone.jsonl", "pipe.jsonl"), errors)] == [True] * 3


def test_our_lists_of_readings_are_no_predictions(tmp_path):
    from eval.score import main

    mark_as_ours(tmp_path)
    path = pooled(tmp_path / "spaq.jsonl", [("spaq", "cot", 1, 1)])
    assert main([str(path), "--readings", str(tmp_path / "readings.csv")]) == 0
    (run,), errors = load([tmp_path])
    assert errors == [] and run.path == path


def test_an_age_beyond_the_scale_of_its_label_is_read(tmp_path):
    """60 is an age of CACD, Morph and UTKFace; 64 is none of CACD."""
    rows = [{"label": f"{age} years old", "response": f"{age + 2} years old"} for age in (60, 61, 62, 15, 16, 70)]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run,), errors = load([path])
    assert errors == [] and (run.pred - run.label).tolist() == [2] * 6


def test_texts_that_are_not_the_likeliest_level_are_counted(tmp_path):
    scale = SCALES["spaq"]
    row = {"dataset": "spaq", "scale": scale.name, "strategy": "cot", "label": answer(scale, "cot", 3)}
    rows = [row | {"id": f"a{n}", "predict": answer(scale, "cot", n), "probs": [0, 0, 0, 1, 0]} for n in range(5)]
    (tmp_path / "spaq.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run,), errors = load([tmp_path / "spaq.jsonl"])
    assert errors == [] and run.pred.tolist() == [3] * 5 and "4 texts are another level" in run.notes[0]


def test_an_image_of_another_dataset_than_the_name_of_the_file(tmp_path):
    row = {"label": answer(SCALES["spaq"], "cot", 3), "pred": "Good", "image": "spaq/TestImage/1.jpg"}
    (tmp_path / "koniq.jsonl").write_text(json.dumps(row) + "\n")
    found, (error,) = load([tmp_path / "koniq.jsonl"])
    assert not found and "is of spaq" in error
    (tmp_path / "spaq_after_koniq.jsonl").write_text(json.dumps(row) + "\n")
    (run,), errors = load([tmp_path / "spaq_after_koniq.jsonl"])
    assert errors == [] and run.dataset == "spaq"
