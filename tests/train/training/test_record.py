"""provenance.json names what a training was trained on, whatever lay in its folder before."""

from pathlib import Path

import pytest

from storm.files import read_json, write_json
from tests.helpers.checkpoint_layouts import plain
from tests.helpers.paths import ROOT
from train.steps import RECORDED
from train.training.folder import prepare

STORM = {"objective": "soft", "target": "laplace"}


@pytest.fixture
def recipe(tmp_path) -> dict:
    for name in ("my_train", "other_train"):
        (tmp_path / f"{name}.jsonl").write_text(f"{name}\n")
    stanzas = {name: {"file_name": f"{name}.jsonl"} for name in ("my_train", "other_train")}
    write_json(tmp_path / "dataset_info.json", stanzas)
    rows = {"dataset": "my_train", "dataset_dir": str(tmp_path), "output_dir": str(tmp_path / "out")}
    return {"do_train": True, "storm": STORM, "seed": 7, "gradient_accumulation_steps": 4, "max_steps": 9} | rows


@pytest.fixture
def interrupted(recipe, tmp_path) -> Path:
    """A training that was recorded and left a checkpoint; its provenance.json."""
    prepare(recipe, "mine", [])
    plain(tmp_path / "out" / "checkpoint-8")
    return tmp_path / "out" / "provenance.json"


def test_a_new_training_is_recorded_with_its_block(recipe, tmp_path):
    prepare(recipe, "mine", ["seed=7"])
    facts = read_json(tmp_path / "out" / "provenance.json")
    assert (facts["run"], facts["settings"], facts["seed"], facts["recipe"]["storm"]) == ("mine", ["seed=7"], 7, STORM)
    assert list(facts["data"]) == ["my_train"] and facts["versions"]["llamafactory"]
    assert "gradient_accumulation_steps" not in facts["recipe"], "the recipe is the same on another number of GPUs"


def test_what_died_before_its_first_checkpoint_leaves_no_record(recipe, tmp_path):
    prepare(recipe, "mine", [])
    prepare(recipe | {"seed": 8, "dataset": "other_train", "max_grad_norm": 0.5}, "mine", ["seed=8"])
    facts = read_json(tmp_path / "out" / "provenance.json")
    assert (facts["seed"], facts["settings"], list(facts["data"])) == (8, ["seed=8"], ["other_train"])
    assert facts["recipe"]["max_grad_norm"] == 0.5
    with pytest.raises(ValueError, match=f"mv {tmp_path / 'out'} {tmp_path / 'out'}.old$"):
        prepare(recipe | {"dataset": "hub_rows"}, "mine", [])


def test_the_same_training_goes_on_with_its_record(recipe, interrupted, capsys):
    """The sweep adds the last two."""
    before = interrupted.read_bytes()
    prepare(recipe | {"dataset": "my_train,my_train", "logging_nan_inf_filter": False}, "mine", [])
    scored = {"storm": STORM | {"evaluate": {"every": 5}}}  # which changes no step
    prepare(recipe | {"save_steps": 5, **scored, "gradient_accumulation_steps": 2}, "mine", [])
    assert capsys.readouterr().err == "" and interrupted.read_bytes() == before
    prepare(recipe | {"max_grad_norm": 0.5}, "mine", [])
    assert "max_grad_norm" in capsys.readouterr().err, "of another number of GPUs, or another training"


@pytest.mark.parametrize(
    "changed",
    [{"seed": 8}, {"storm": STORM | {"target": "normal"}}, {"dataset": "other_train"}, {"max_steps": 8}],
    ids=str,
)
def test_another_training_does_not_go_on(recipe, interrupted, changed):
    before, out = interrupted.read_bytes(), interrupted.parent
    from_here = {"resume_from_checkpoint": str(out / "checkpoint-8")}
    over_it = {"overwrite_output_dir": True}  # a start without this key would go on from the old checkpoint
    for more in ({}, {"resume_from_checkpoint": True}, from_here, over_it):
        with pytest.raises(ValueError, match=f"mv {out} {out}.old$"):
            prepare(recipe | changed | more, "mine", [])
    assert interrupted.read_bytes() == before


def test_rows_that_changed_are_refused(recipe, interrupted, tmp_path):
    (tmp_path / "my_train.jsonl").write_text("other rows\n")
    with pytest.raises(ValueError, match=f"my_train.*mv {tmp_path / 'out'} "):
        prepare(recipe, "mine", [])


@pytest.mark.parametrize("longer", [{"max_steps": 20}, {"num_train_epochs": 8}], ids=str)
def test_a_longer_training_is_recorded(recipe, interrupted, longer):
    prepare(recipe | longer, "mine", ["longer"])
    facts = read_json(interrupted)
    assert facts["recipe"] == {k: v for k, v in recipe.items() if k != "gradient_accumulation_steps"} | longer
    assert facts["settings"] == ["longer"]


def test_a_training_that_goes_on_elsewhere_is_recorded_there(recipe, interrupted, tmp_path):
    new = {"output_dir": str(tmp_path / "new"), "resume_from_checkpoint": str(interrupted.parent / "checkpoint-8")}
    prepare(recipe | new, "mine", [])
    assert read_json(tmp_path / "new" / "provenance.json")["data"] == read_json(interrupted)["data"]


def test_the_record_of_a_sweep_stays_as_the_sweep_wrote_it(recipe, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "provenance.json").write_text("the sweep's")
    monkeypatch.setenv(RECORDED, "1")
    prepare(recipe, "mine", [])
    assert (tmp_path / "out" / "provenance.json").read_text() == "the sweep's"


def test_rows_that_only_llamafactory_has_are_trained_on_without_a_record(recipe, tmp_path, capsys):
    prepare(recipe | {"dataset": "hub_rows"}, "mine", [])
    assert not (tmp_path / "out").exists() and "provenance.json" in capsys.readouterr().err


def test_the_recipes_of_the_repository_are_recorded_as_the_sweep_does(tmp_path, monkeypatch):
    """Only the first start writes provenance.json; a sweep that finds ours takes the training for its own."""
    from storm import provenance
    from train.plan import plan

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(provenance, "file_hash", lambda path: path.name)
    run = plan("demo_soft", [], [], tmp_path)
    prepare(run.recipe | {"output_dir": str(tmp_path / "demo_soft")}, "demo_soft", [])
    ours, theirs = provenance.read(run.saved), run.provenance_of(run.train)
    ours["recipe"]["output_dir"] = theirs["recipe"]["output_dir"]
    assert ours == theirs
