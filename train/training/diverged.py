"""Ends a training that learns nothing any more, before it saves weights that look like any others."""

from typing import Any

from transformers import TrainerCallback

from train.launch import loss_fault


class Diverged(TrainerCallback):
    """Raises ValueError at a logged loss that is NaN, infinite or exactly 0, in all processes."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict | None = None, **more: Any) -> None:
        if "loss" not in (logs or {}):
            return
        if reason := loss_fault(float(logs["loss"])):
            text = f"{args.output_dir}: step {state.global_step}: {reason}"
            raise ValueError(f"{text}; an earlier checkpoint may be sound; mv {args.output_dir} {args.output_dir}.old")
