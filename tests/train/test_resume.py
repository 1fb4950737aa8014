"""A training that was killed, or whose disk was full, goes on from its last whole checkpoint as if never interrupted.

Unbroken and interrupted trainings are compared at every step. One process and one thread on the CPU: the weights that
they end with are the same bit for bit.
"""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from storm.files import read_jsonl
from tests.helpers.training import history, make_inputs, settings, train
from train.checkpoints import discard_broken, fault

pytestmark = pytest.mark.slow
STEPS, EVERY, KILLED = 12, 4, 10  # 40 rows in batches of 4: the second epoch begins with step 11


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    return make_inputs(tmp_path_factory.mktemp("inputs"), tmp_path_factory.getbasetemp() / "datasets")


def recipe(inputs: Path, out: Path, *more: str) -> dict:
    return settings(inputs, out, "deepspeed=null", f"max_steps={STEPS}", f"save_steps={EVERY}", *more)


@pytest.fixture(scope="module")
def unbroken(inputs) -> Path:
    code, printed = train(recipe(inputs, inputs / "unbroken"))
    assert code == 0, printed[-3000:]
    return inputs / "unbroken"


@pytest.fixture(scope="module")
def killed(inputs) -> Path:
    code, printed = train(recipe(inputs, inputs / "killed"), killed_after=KILLED)
    assert code == -9, printed[-3000:]
    return inputs / "killed"


@pytest.fixture
def out(killed, tmp_path) -> Path:
    return shutil.copytree(killed, tmp_path / "out")


def checkpoints(out: Path) -> set[str]:
    return {path.name for path in out.glob("*checkpoint-*")}


def resumed(printed: str) -> str:
    return re.search(r"Resuming training from \S*/(checkpoint-\d+)\.", printed).group(1)


def finish(inputs: Path, out: Path, unbroken: Path, *more: str) -> str:
    """Start the training again; it must end as the unbroken one did. Returns the checkpoint that it went on from."""
    code, printed = train(recipe(inputs, out, *more))
    assert code == 0, printed[-3000:]
    ours, theirs = history(out), history(unbroken)
    assert [step["step"] for step in ours] == list(range(1, STEPS + 1))
    for step, expected in zip(ours, theirs, strict=True):
        assert step == pytest.approx(expected, abs=1e-4)
    losses = {step["step"]: step["loss"] for step in theirs}
    for _, logged, _ in read_jsonl(out / "trainer_log.jsonl"):  # those of steps that were done twice, too
        if "loss" in logged:
            assert logged["loss"] == pytest.approx(losses[logged["current_steps"]], abs=1e-4)
    ours, theirs = load_file(out / "model.safetensors"), load_file(unbroken / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not np.array_equal(ours[name], theirs[name])] == []
    return resumed(printed)


def test_a_killed_training_goes_on(inputs, unbroken, out):
    assert not (out / "trainer_state.json").exists()
    assert checkpoints(out) == {"checkpoint-4", "checkpoint-8"}
    assert discard_broken(out) == []
    assert finish(inputs, out, unbroken) == "checkpoint-8"


def test_without_renamed_tensors_the_language_model_is_forgotten(inputs, unbroken, out):
    """If this fails, transformers has repaired huggingface/transformers#43701: then discard_broken need not rename."""
    code, printed = train(recipe(inputs, out))
    assert (code, resumed(printed)) == (0, "checkpoint-8")
    assert "There were missing keys in the checkpoint model loaded: ['model." in printed
    first = {line["step"]: line["loss"] for line in history(unbroken)}
    again = {line["step"]: line["loss"] for line in history(out)}
    assert again[8] == first[8]
    assert again[9] > first[9] + 1


@pytest.mark.parametrize("name", ["model.safetensors", "trainer_state.json"])
def test_a_broken_checkpoint_is_put_aside(name, inputs, unbroken, out):
    """LLaMA-Factory alone dies on it, at every start."""
    path = out / "checkpoint-8" / name
    if name == "model.safetensors":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.unlink()
    code, printed = train(recipe(inputs, out))
    assert code == 1
    assert ("file not fully covered" if name == "model.safetensors" else "No such file or directory") in printed

    [(broken, reason, _)] = discard_broken(out)
    assert (broken, reason.split()[0]) == (out / "checkpoint-8", name)
    assert finish(inputs, out, unbroken) == "checkpoint-4"
    assert checkpoints(out) == {"broken-checkpoint-8", "checkpoint-8", "checkpoint-12"}


def test_a_full_disk_leaves_the_checkpoint_before(inputs, unbroken, out):
    """The only one that is kept is deleted after the next one was written, not before.

    No file may grow over 6 MB (RLIMIT_FSIZE, which needs no root, as a small tmpfs would): enough for the weights, not
    for the optimizer. A write then fails as on a full disk, with another number.
    """
    shutil.rmtree(out / "checkpoint-8")
    assert discard_broken(out) == []
    code, printed = train(recipe(inputs, out, "save_total_limit=1"), largest_file=6_000_000)
    assert code == 1
    assert "unexpected pos" in printed, "torch.save"
    assert checkpoints(out) == {"checkpoint-4", "checkpoint-8"}
    assert (out / "checkpoint-8" / "model.safetensors").exists()
    assert fault(out / "checkpoint-4") is None

    [(broken, _, _)] = discard_broken(out)
    assert broken == out / "checkpoint-8"
    assert finish(inputs, out, unbroken, "save_total_limit=1") == "checkpoint-4"
    assert checkpoints(out) == {"broken-checkpoint-8", "checkpoint-12"}


def test_llamafactory_refuses_a_finished_model_without_checkpoints(inputs, unbroken, tmp_path):
    """So `discard_broken` raises."""
    out = tmp_path / "out"
    out.mkdir()
    shutil.copy(unbroken / "model.safetensors", out)
    code, printed = train(recipe(inputs, out))
    assert code == 1
    assert "Output directory already exists and is not empty" in printed
