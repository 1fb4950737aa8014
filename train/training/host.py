"""Runs LLaMA-Factory's training with our parts in place of some of its own, in this process only."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from unittest import mock

from train.machines import installed
from train.training.block import Block, refusing

PLACE = "FILE"  # stands for our file and its arguments in the host's command, which it splits at spaces


def launch(file: str, run: Callable[[], None], words: Sequence[str], locks: Sequence[int] = ()) -> int:
    """What llamafactory-cli train does: on several GPUs, torchrun with `file`; else run(). Returns the exit code.

    locks: descriptors that torchrun inherits, so that it keeps them after a kill of this process.

    The host's launcher names its own file to torchrun; its command is started with ours, and with the torchrun of this
    Python, whatever PATH says. If it fails, its processes have printed why.
    """
    from llamafactory import launcher
    from llamafactory.train import tuner

    single = []

    def started(command: Sequence[str], env: Mapping[str, str], **more: Any) -> subprocess.CompletedProcess:
        return subprocess.run(installed([*command[: command.index(PLACE)], file, *words]), env=env, pass_fds=locks)

    with (
        mock.patch.object(launcher, "__file__", PLACE),
        mock.patch.object(launcher, "subprocess", SimpleNamespace(run=started)),
        mock.patch.object(tuner, "run_exp", lambda: single.append(True)),
        mock.patch.object(sys, "argv", ["llamafactory-cli", "train"]),
    ):
        try:
            launcher.launch()
        except SystemExit as end:  # of torchrun
            code = int(end.code or 0)
    if single:  # the host started no torchrun
        run()
        return 0
    if code:  # not "error: ", for which train/launch.py looks: the cause stands above
        killed = " (killed; often for lack of memory)" if code in (-9, 137) else ""
        print(f"the training ended with exit code {code}{killed}; see above", file=sys.stderr)
    return code if code >= 0 else 128 - code  # a signal, as a shell counts


def train(recipe: dict[str, Any], block: Block | None, callbacks: Sequence = ()) -> None:
    """Train a recipe without its block. Raises Refused for what the block needs and is not there.

    callbacks: more of transformers' Trainer.
    """
    from llamafactory.extras.misc import use_ray
    from llamafactory.train import tuner

    from train.training.diverged import Diverged
    from train.training.lengths import quick_lengths

    callbacks = [*callbacks, Diverged()]
    if use_ray():
        print("Ray: LLaMA-Factory counts the tokens itself, as its processes are not ours", file=sys.stderr)
    with nullcontext() if use_ray() else quick_lengths(str(recipe.get("model_name_or_path"))):
        if block is None:
            tuner.run_exp(recipe, callbacks)
            return
        with mock.patch.object(tuner, "run_sft", _with_block(tuner.run_sft, recipe, block)):
            tuner.run_exp(recipe, callbacks)


def _with_block(run_sft: Callable, recipe: dict[str, Any], block: Block) -> Callable:
    def run(model_args: Any, data_args: Any, *more: Any) -> None:
        from llamafactory.train.sft import workflow

        from train.training.setting import check, setting_of
        from train.training.trainer import OrdinalTrainer

        with refusing():
            check(recipe, block)
            setting = setting_of(recipe, block, model_args, data_args)
        trainer = type("OrdinalTrainer", (OrdinalTrainer,), {"setting": setting})
        with mock.patch.object(workflow, "CustomSeq2SeqTrainer", trainer):
            run_sft(model_args, data_args, *more)

    return run
