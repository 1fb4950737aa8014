"""What an earlier version of the sweep made is taken if it fits, so that nobody trains or predicts again.

It kept its facts in origin.json, and LLaMA-Factory predicted each test set into a folder, in rows without ids.
"""

import json
from pathlib import Path

import pytest

from eval import score
from storm import provenance
from storm.files import read_json, read_jsonl, write_json, write_jsonl
from storm.rows import read_examples
from tests.helpers.fake_host import calls, forget
from train import sweep
from train.plan import plan
from train.predictions import recipe_of

pytestmark = pytest.mark.slow  # starts programs

RESULT, PREDICTIONS = Path("results/demo.json"), Path("saves/predict/demo/demo_test.jsonl")
EARLIER = Path("saves/predict/demo/demo/generated_predictions.jsonl")
OLD = EARLIER.with_name("generated_predictions.jsonl.old")
TEST, TRAIN = Path("data/demo/demo_test.jsonl"), Path("data/demo/demo_train.jsonl")


def demo(*more: str) -> int:
    forget()
    return sweep.main(["demo", "--only", "demo", *more])


@pytest.fixture
def earlier(tree) -> None:
    """A training and predictions as the version before wrote them, from data that it built; label n is answered 4 - n.

    The recipe of the predictions is spelled out, so that a change of what we compare shows.
    """
    assert sweep.main(["demo", "--only", "demo"]) == 0
    RESULT.unlink()
    PREDICTIONS.unlink()
    PREDICTIONS.with_name("provenance.json").unlink()
    Path("calls.jsonl").unlink()
    trained = Path("saves/demo/provenance.json")
    facts = json.loads(trained.read_text()) | {"data": {"demo_train": provenance.earlier_hash(TRAIN)}}
    trained.unlink()
    write_json(trained.with_name("origin.json"), facts)
    recipe = {
        "model_name_or_path": "saves/demo",
        "image_max_pixels": 12544,
        "stage": "sft",
        "do_predict": True,
        "predict_with_generate": True,
        "finetuning_type": "full",
        "freeze_vision_tower": False,
        "freeze_multi_modal_projector": False,
        "freeze_language_model": False,
        "eval_dataset": "demo_test",
        "dataset_dir": ".",
        "media_dir": "data/demo",
        "template": "qwen2_vl",
        "cutoff_len": 512,
        "output_dir": "saves/predict/demo/demo",
        "report_to": "none",
        "do_sample": False,
        "max_new_tokens": 24,
    }
    facts |= {"recipe": recipe, "data": {"demo_test": provenance.earlier_hash(TEST)}}
    names = ("origin.json", "train_results.json")
    facts |= {"training": {name: provenance.file_hash(Path("saves/demo") / name) for name in names}}
    write_json(EARLIER.with_name("origin.json"), facts)
    answers = [example.answer for example in read_examples(TEST)]
    rows = [{"prompt": "", "predict": answers[4 - n % 5], "label": answer + "\n"} for n, answer in enumerate(answers)]
    write_jsonl(EARLIER, rows)


def change(path: Path, **facts) -> None:
    write_json(path, json.loads(path.read_text()) | facts)


def test_predictions_and_training_of_an_earlier_sweep_are_taken_and_nothing_is_started(earlier, capsys):
    assert demo() == 0
    assert calls() == [] and str(EARLIER) in capsys.readouterr().err
    assert not EARLIER.exists() and OLD.exists() and EARLIER.with_name("origin.json").exists()
    rows = [line.row for line in read_jsonl(PREDICTIONS)]
    examples = list(read_examples(TEST))
    assert [(row["id"], row["label"]) for row in rows] == [(example.id, example.answer) for example in examples]
    assert [row["predict"] for row in rows] == [examples[4 - n % 5].answer for n in range(10)]
    (score,) = json.loads(RESULT.read_text())["scores"]
    assert (score["n"], score["acc"], score["mae"]) == (10, 0.2, 2.4)
    assert Path("saves/demo/origin.json").exists(), "the training is as it was"
    RESULT.unlink()
    assert demo() == 0
    assert calls() == [] and "takes" not in capsys.readouterr().err, "once"


def test_eval_predict_goes_on_in_a_folder_with_converted_predictions(earlier):
    """Their provenance is the one that it would write."""
    assert demo() == 0
    RESULT.unlink()
    PREDICTIONS.write_text("".join(PREDICTIONS.read_text().splitlines(keepends=True)[:6]))
    assert demo() == 0 and len(calls("predict")) == 1
    assert [line.row["id"] for line in read_jsonl(PREDICTIONS)] == [str(n) for n in range(10)]
    assert json.loads(RESULT.read_text())["scores"][0]["acc"] == 0.5, "6 rows of the earlier sweep, 4 new ones"


def another_recipe():
    facts = json.loads(EARLIER.with_name("origin.json").read_text())
    change(EARLIER.with_name("origin.json"), recipe=facts["recipe"] | {"image_max_pixels": 50176})


def another_training():
    Path("saves/demo/train_results.json").write_text('{"train_runtime": 1}')


def another_label():
    rows = [line.row for line in read_jsonl(EARLIER)]
    rows[2]["label"], rows[3]["label"] = rows[3]["label"], rows[2]["label"]
    write_jsonl(EARLIER, rows)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (another_recipe, "image_max_pixels"),
        (another_training, "training"),
        (another_label, "line 3"),
        (lambda: change(EARLIER.with_name("origin.json"), data={"demo_test": "0123456789abcdef"}), "demo_test"),
        (lambda: change(EARLIER.with_name("origin.json"), commit="0123456789ab"), "0123456789ab"),
        (lambda: EARLIER.with_name("origin.json").write_text("{"), "origin.json"),
        (lambda: EARLIER.with_name("origin.json").unlink(), "provenance.json"),
        (lambda: EARLIER.write_text(EARLIER.read_text()[:200]), "rows"),
    ],
    ids=["settings", "training", "label", "data", "commit", "damaged", "unknown", "cut"],
)
def test_predictions_that_do_not_fit_are_made_again(earlier, capsys, harm, reason):
    harm()
    before = EARLIER.read_bytes()
    assert demo() == 0
    error = [line for line in capsys.readouterr().err.splitlines() if str(EARLIER) in line]
    assert len(error) == 1 and reason in error[0].split(str(EARLIER))[1]
    assert len(calls("predict")) == 1 and calls("train") == []
    assert json.loads(RESULT.read_text())["scores"][0]["acc"] == 1.0
    assert not EARLIER.exists() and OLD.read_bytes() == before, "nothing is deleted"


@pytest.mark.parametrize(("harm", "acc"), [(lambda: None, 0.2), (another_training, 1.0)], ids=["taken", "refused"])
def test_scores_of_the_folder_are_those_of_the_new_predictions(earlier, capsys, harm, acc):
    harm()
    assert demo() == 0
    assert score.main(["saves/predict/demo", "--json", "scores.json"]) == 0, capsys.readouterr().err
    (row,) = read_json(Path("scores.json"))["scores"]
    assert (row["n"], row["acc"]) == (10, acc)


def test_a_leftover_beside_new_predictions_is_put_aside_and_no_old_file_is_written_over(earlier, capsys):
    assert demo() == 0
    RESULT.unlink()
    OLD.rename(EARLIER)
    OLD.write_text("older")
    assert demo() == 0 and calls() == [], capsys.readouterr().err
    assert OLD.read_text() == "older" and OLD.with_name(f"{OLD.name}2").exists() and not EARLIER.exists()


def test_any_commit_takes_them_and_says_so(earlier):
    change(EARLIER.with_name("origin.json"), commit="0123456789ab")
    assert demo("--any-commit") == 0 and calls() == []
    assert json.loads(PREDICTIONS.with_name("provenance.json").read_text())["commit"] == "0123456789ab"
    assert json.loads(RESULT.read_text())["predicted_with"]["demo"]["commit"] == "0123456789ab"


def test_results_of_an_earlier_version_count(earlier, capsys):
    assert demo() == 0
    result = json.loads(RESULT.read_text())
    result["data"] = {"demo_train": provenance.earlier_hash(TRAIN), "demo_test": provenance.earlier_hash(TEST)}
    result["scores"] = [score | {"of": score.pop("n_test")} for score in result["scores"]]
    write_json(RESULT, result)
    assert demo() == 0 and calls() == []
    out = capsys.readouterr().out
    assert "was finished" in out and "0.200" in out


def test_zero_shot_predictions_of_an_earlier_sweep_are_taken(tree):
    argv = ["zero_qwen", "--datasets", "koniq"]
    run = plan("zero_qwen", [], ["koniq"])
    folder, file = Path("saves/predict/zero_qwen/koniq"), Path("data/storm/direct/koniq_test.jsonl")
    recipe = recipe_of(run) | {"eval_dataset": "storm_koniq_test_direct", "output_dir": str(folder)}
    recipe = {key: value for key, value in recipe.items() if key not in provenance.GPU_KEYS}
    data = {"storm_koniq_test_direct": provenance.earlier_hash(file)}
    write_json(folder / "origin.json", {"recipe": recipe, "data": data, "training": None} | provenance.tools())
    write_jsonl(folder / EARLIER.name, [{"predict": e.answer, "label": e.answer} for e in read_examples(file)])
    assert sweep.main(argv) == 0 and calls() == []
    assert json.loads(Path("results/zero_qwen.json").read_text())["scores"][0]["dataset"] == "koniq"
