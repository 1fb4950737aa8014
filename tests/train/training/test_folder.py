"""What an earlier training left in output_dir is made ready, or refused, and the run is recorded."""

from pathlib import Path

import pytest
from safetensors import safe_open

from storm.files import read_json, write_json
from tests.helpers.checkpoint_layouts import plain, weights
from tests.helpers.paths import ROOT
from train.training.folder import check, prepare

STORM = {"objective": "soft", "target": "laplace"}


@pytest.fixture
def recipe(tmp_path) -> dict:
    (tmp_path / "my_train.jsonl").write_text("{}\n")
    write_json(tmp_path / "dataset_info.json", {"my_train": {"file_name": "my_train.jsonl"}})
    rows = {"dataset": "my_train", "dataset_dir": str(tmp_path), "output_dir": str(tmp_path / "out")}
    return {"do_train": True, "storm": STORM, "seed": 7, "gradient_accumulation_steps": 4} | rows


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """An interrupted training, whose tensors have the names that transformers 5 saves."""
    folder = plain(tmp_path / "out" / "checkpoint-8")
    weights(folder / "model.safetensors", "visual.a", "model.b")
    return folder


def tensor_names(checkpoint: Path) -> list[str]:
    with safe_open(checkpoint / "model.safetensors", framework="numpy") as file:
        return sorted(file.keys())


def test_a_new_training_is_recorded_with_its_block(recipe, tmp_path):
    prepare(recipe, "mine", ["seed=7"])
    facts = read_json(tmp_path / "out" / "provenance.json")
    assert (facts["run"], facts["settings"], facts["seed"], facts["recipe"]["storm"]) == ("mine", ["seed=7"], 7, STORM)
    assert list(facts["data"]) == ["my_train"] and facts["versions"]["llamafactory"]
    assert "gradient_accumulation_steps" not in facts["recipe"], "another number of GPUs is no other recipe"


def test_provenance_that_is_there_stays_and_other_settings_are_named(recipe, tmp_path, capsys):
    prepare(recipe, "mine", [])
    before = (tmp_path / "out" / "provenance.json").read_bytes()
    prepare(recipe | {"dataset": "my_train,my_train", "logging_nan_inf_filter": False}, "mine", [])
    assert capsys.readouterr().err == "", "the sweep adds these"
    prepare(recipe | {"seed": 8}, "mine", [])
    assert "seed" in capsys.readouterr().err
    assert (tmp_path / "out" / "provenance.json").read_bytes() == before


def test_rows_that_only_llamafactory_has_are_trained_on_without_a_record(recipe, tmp_path, capsys):
    prepare(recipe | {"dataset": "hub_rows"}, "mine", [])
    assert not (tmp_path / "out").exists() and "provenance.json" in capsys.readouterr().err


def test_an_interrupted_training_gets_names_by_which_it_goes_on(recipe, checkpoint, tmp_path):
    with pytest.raises(ValueError, match=rf"python -m train.checkpoints {tmp_path / 'out'}$"):
        check(recipe)
    prepare(recipe, "mine", [])
    check(recipe)
    assert tensor_names(checkpoint) == ["model.language_model.b", "model.visual.a"]
    assert not (tmp_path / "out" / "provenance.json").exists(), "who knows how it began"


def test_a_checkpoint_that_the_recipe_names_gets_them_too(recipe, checkpoint, tmp_path):
    prepare(recipe | {"output_dir": str(tmp_path / "new"), "resume_from_checkpoint": str(checkpoint)}, "mine", [])
    assert tensor_names(checkpoint) == ["model.language_model.b", "model.visual.a"]


def test_a_broken_checkpoint_is_put_aside(recipe, checkpoint, tmp_path, capsys):
    plain(tmp_path / "out" / "checkpoint-9").joinpath("optimizer.pt").unlink()
    prepare(recipe, "mine", [])
    assert (tmp_path / "out" / "broken-checkpoint-9").is_dir() and "optimizer.pt" in capsys.readouterr().err


def test_a_finished_training_is_not_done_again(recipe, checkpoint, tmp_path):
    """With save_total_limit=1 an earlier, better checkpoint is the last one: going on from it would end elsewhere."""
    done = tmp_path / "out" / "train_results.json"
    done.write_text("{}")
    for refuses in (lambda: check(recipe), lambda: prepare(recipe, "mine", [])):
        with pytest.raises(ValueError, match=rf"mv {tmp_path / 'out'} .*rm {done}$"):
            refuses()
    assert tensor_names(checkpoint) == ["model.b", "visual.a"], "nothing was changed"
    prepare(recipe | {"overwrite_output_dir": True}, "mine", [])
    prepare(recipe | {"do_train": False}, "mine", [])


def test_another_machine_than_the_first_changes_nothing(recipe, checkpoint, monkeypatch):
    monkeypatch.setenv("NODE_RANK", "1")
    prepare(recipe, "mine", [])
    assert tensor_names(checkpoint) == ["model.b", "visual.a"]


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
