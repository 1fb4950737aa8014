"""A sweep makes the folder of a training ready while nobody else does, and tells train/run.py what it did."""

import pytest

from storm import provenance
from storm.files import Locked, locked
from tests.helpers.checkpoint_layouts import plain
from tests.helpers.paths import ROOT
from train import steps
from train.plan import Options, plan


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(provenance, "file_hash", lambda path: path.name)
    return plan("demo", [], [], tmp_path)


def test_a_folder_that_another_process_trains_in_is_left_alone(run, monkeypatch):
    monkeypatch.setattr(steps, "launch", lambda *_: pytest.fail("it started"))
    (plain(run.saved / "checkpoint-8") / "optimizer.pt").unlink()
    with locked(run.saved), pytest.raises(Locked, match=str(run.saved)):
        steps.train(run, Options(gpus=0, by_hand=True))
    assert (run.saved / "checkpoint-8").is_dir() and not provenance.exists(run.saved)


def test_the_training_keeps_the_record_of_the_sweep(run, monkeypatch):
    given = {}

    def launch(command, folder, watch, env):
        given.update(env)
        (folder / steps.DONE).write_text("{}")

    monkeypatch.setattr(steps, "launch", launch)
    assert steps.train(run, Options(gpus=0)) == "trained"
    assert given[steps.RECORDED] == "1" and provenance.read(run.saved)["run"] == "demo"
