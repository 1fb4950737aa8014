"""A training that learns nothing any more ends, and does not save what looks like a model."""

from types import SimpleNamespace

import pytest

from train.training.diverged import Diverged

ARGS, STATE = SimpleNamespace(output_dir="saves/x"), SimpleNamespace(global_step=30)


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), 0.0])
def test_a_loss_that_means_a_fault_ends_it_with_the_step(loss):
    with pytest.raises(ValueError, match=r"saves/x: step 30: .*mv saves/x saves/x\.old"):
        Diverged().on_log(ARGS, STATE, None, logs={"loss": loss})


@pytest.mark.parametrize("logs", [{"loss": 1e-4}, {"val_error": float("nan")}, None])
def test_other_logs_do_not(logs):
    Diverged().on_log(ARGS, STATE, None, logs=logs)
