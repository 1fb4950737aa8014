"""What an earlier training left in output_dir is made ready, or refused, and the run is recorded."""

from pathlib import Path

import pytest
from safetensors import safe_open

from storm.files import Locked, locked, write_json
from tests.helpers.checkpoint_layouts import plain, weights
from train import run
from train.launch import HELD
from train.training.folder import check, held, prepare


@pytest.fixture
def recipe(tmp_path) -> dict:
    (tmp_path / "my_train.jsonl").write_text("{}\n")
    write_json(tmp_path / "dataset_info.json", {"my_train": {"file_name": "my_train.jsonl"}})
    rows = {"dataset": "my_train", "dataset_dir": str(tmp_path), "output_dir": str(tmp_path / "out")}
    return {"do_train": True} | rows


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """An interrupted training, whose tensors have the names that transformers 5 saves."""
    folder = plain(tmp_path / "out" / "checkpoint-8")
    weights(folder / "model.safetensors", "visual.a", "model.b")
    return folder


def tensor_names(checkpoint: Path) -> list[str]:
    with safe_open(checkpoint / "model.safetensors", framework="numpy") as file:
        return sorted(file.keys())


def test_an_interrupted_training_gets_names_by_which_it_goes_on(recipe, checkpoint, tmp_path):
    with pytest.raises(ValueError, match=rf"python -m train.checkpoints {tmp_path / 'out'}$"):
        check(recipe)
    prepare(recipe, "mine", [])
    check(recipe)
    assert tensor_names(checkpoint) == ["model.language_model.b", "model.visual.a"]
    assert not (tmp_path / "out" / "provenance.json").exists(), "who knows how it began"


def test_resume_true_is_the_last_checkpoint_of_output_dir(recipe, checkpoint, tmp_path):
    """So transformers reads it, with or without overwrite_output_dir."""
    prepare(recipe | {"resume_from_checkpoint": True, "overwrite_output_dir": True}, "mine", [])
    assert tensor_names(checkpoint) == ["model.language_model.b", "model.visual.a"]
    (tmp_path / "out" / "train_results.json").write_text("{}")
    with pytest.raises(ValueError, match=f"rm {tmp_path / 'out' / 'train_results.json'}$"):
        check(recipe | {"resume_from_checkpoint": True})
    with pytest.raises(ValueError, match="no checkpoint"):
        check(recipe | {"resume_from_checkpoint": True, "output_dir": str(tmp_path / "new")})


def test_resume_false_begins_from_step_0(recipe, checkpoint, tmp_path):
    prepare(recipe | {"resume_from_checkpoint": False}, "mine", [])
    assert tensor_names(checkpoint) == ["model.b", "visual.a"] and (tmp_path / "out" / "provenance.json").exists()


def test_a_broken_checkpoint_that_the_recipe_names_is_named(recipe, checkpoint, tmp_path):
    given = recipe | {"output_dir": str(tmp_path / "new"), "resume_from_checkpoint": str(checkpoint)}
    (checkpoint / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{checkpoint}: model.safetensors \(0 bytes\)"):
        prepare(given, "mine", [])
    with pytest.raises(ValueError, match="resume_from_checkpoint=nowhere"):
        prepare(given | {"resume_from_checkpoint": "nowhere"}, "mine", [])


def test_a_checkpoint_that_the_recipe_names_gets_them_too(recipe, checkpoint, tmp_path):
    prepare(recipe | {"output_dir": str(tmp_path / "new"), "resume_from_checkpoint": str(checkpoint)}, "mine", [])
    assert tensor_names(checkpoint) == ["model.language_model.b", "model.visual.a"]


def test_a_broken_checkpoint_is_put_aside(recipe, checkpoint, tmp_path, capsys):
    plain(tmp_path / "out" / "checkpoint-9").joinpath("optimizer.pt").unlink()
    prepare(recipe, "mine", [])
    renamed, start = capsys.readouterr().err.splitlines()[:2]
    assert (tmp_path / "out" / "broken-checkpoint-9").is_dir() and "optimizer.pt" in renamed
    assert renamed.endswith("broken-checkpoint-9") and start.endswith("checkpoint-8")


def test_a_training_that_begins_anew_after_a_broken_checkpoint_is_recorded(recipe, checkpoint, tmp_path, capsys):
    (checkpoint / "optimizer.pt").unlink()
    prepare(recipe, "mine", [])
    assert "step 0" in capsys.readouterr().err and (tmp_path / "out" / "provenance.json").exists()


def test_a_folder_that_another_process_trains_in_is_left_alone(recipe, checkpoint, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with held(recipe) as locks:
        assert len(locks) == 1, "for torchrun"
        with pytest.raises(Locked, match=str(out)), held(recipe):
            pass
        monkeypatch.setenv(HELD, str(out))
        with held(recipe) as locks:
            assert locks == (), "the sweep holds it"
        monkeypatch.setenv(HELD, str(tmp_path))
        with pytest.raises(Locked), held(recipe):
            pass
        monkeypatch.setenv("NODE_RANK", "1")
        with held(recipe) as locks:
            assert locks == ()


def test_the_command_says_so_in_one_line(recipe, checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("train.training.host.launch", lambda *_: pytest.fail("it started"))
    plain(tmp_path / "out" / "checkpoint-9").joinpath("optimizer.pt").unlink()
    write_json(tmp_path / "mine.yaml", recipe)
    with locked(tmp_path / "out"):
        assert run.main([str(tmp_path / "mine.yaml")]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "out") in error and error.count("\n") == 1
    assert (tmp_path / "out" / "checkpoint-9").is_dir() and tensor_names(checkpoint) == ["model.b", "visual.a"]


def test_what_a_kill_left_of_a_copy_of_the_weights_goes(recipe, checkpoint):
    part = checkpoint / ".123-0123456789ab.part"
    part.write_bytes(b"half")
    with held(recipe):
        assert not part.exists()


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
