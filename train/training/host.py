"""Runs LLaMA-Factory's training with our parts in place of some of its own, in this process only."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

from train.training.block import Block


def launch(file: str, run: Callable[[], None], words: Sequence[str]) -> None:
    """What llamafactory-cli train does: on several GPUs, torchrun with `file`; else run().

    The host's launcher names its own file to torchrun; told that it is ours, it starts ours. Raises ValueError if the
    training fails under torchrun, whose processes have printed why.
    """
    from llamafactory import launcher
    from llamafactory.train import tuner

    here, argv = [], ["llamafactory-cli", "train", *words]
    with (
        mock.patch.object(launcher, "__file__", file),
        mock.patch.object(tuner, "run_exp", lambda: here.append(True)),
        mock.patch.object(sys, "argv", argv),
    ):
        try:
            launcher.launch()
        except subprocess.CalledProcessError as error:
            raise ValueError(f"the training ended with exit code {error.returncode}; see above") from None
        except SystemExit as end:  # of torchrun that ended well
            if end.code:
                raise
    if here:
        run()


def train(recipe: dict[str, Any], block: Block | None, callbacks: Sequence = ()) -> None:
    """Train a recipe without its block. Raises ValueError for rows that the block needs and that are not there.

    callbacks: more of transformers' Trainer.
    """
    from llamafactory.train import tuner

    from train.training.lengths import quick_lengths

    with quick_lengths(str(recipe.get("model_name_or_path"))):
        if block is None:
            tuner.run_exp(recipe, [*callbacks])
            return
        if recipe.get("deepspeed") and block.evaluate:
            _refuse_zero_3(recipe)
        with mock.patch.object(tuner, "run_sft", _with_block(tuner.run_sft, recipe, block)):
            tuner.run_exp(recipe, [*callbacks])


def _refuse_zero_3(recipe: dict[str, Any]) -> None:
    from train.recipe import read_zero

    if read_zero(recipe).stage == 3:
        text = "ZeRO-3 gathers weights in all processes at once, and these score rows of their own"
        raise ValueError(f"storm.evaluate: {text}; use another DeepSpeed stage, or leave it out")


def _with_block(run_sft: Callable, recipe: dict[str, Any], block: Block) -> Callable:
    def run(model_args: Any, data_args: Any, *more: Any) -> None:
        from llamafactory.train.sft import workflow

        from train.training.setting import setting_of
        from train.training.trainer import OrdinalTrainer

        setting = setting_of(recipe, block, model_args, data_args)
        trainer = type("OrdinalTrainer", (OrdinalTrainer,), {"setting": setting})
        with mock.patch.object(workflow, "CustomSeq2SeqTrainer", trainer):
            run_sft(model_args, data_args, *more)

    return run
