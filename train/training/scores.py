"""Scores while training: exact ACC, MAE, QWK and RPS of val rows, each so many steps, and the best checkpoint kept."""

import json
import math
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import TrainerCallback

from eval.inference import posterior
from eval.inference.blocks import of_rows
from eval.inference.model import Loaded
from eval.inference.rater import Rater
from eval.inference.settings import Settings
from eval.scoring.metrics import METRICS, value
from eval.scoring.predictions import Predictions
from eval.scoring.weighted_rows import distinct
from storm.rows import Example
from train.launch import LOSSES
from train.training.setting import Setting

if TYPE_CHECKING:
    from transformers import Trainer

SHOWN = ("acc", "mae", "qwk", "rps")  # of METRICS, where they apply
BATCH = {"cuda": 32, "cpu": 8}  # rows at once by device
WORSE = "val_error"  # what the best checkpoint has least of: the mean over datasets of MAE / (levels - 1)


class Scores(TrainerCallback):
    """Scores the model, writes what it finds, and lets the best checkpoint be saved and kept."""

    def __init__(self, trainer: "Trainer", loaded: Loaded, setting: Setting):
        self.trainer, self.setting, self.seconds = trainer, setting, 0.0
        media = Path(setting.recipe.get("media_dir") or setting.recipe["dataset_dir"])
        size = {"image_max_pixels": setting.model_args.image_max_pixels, "cutoff_len": setting.data_args.cutoff_len}
        self.rater = Rater(loaded, Settings(model="", media=media, **size))

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> Any:
        if state.global_step % self.setting.block.evaluate.every and state.global_step < state.max_steps:
            return control
        begin = time.perf_counter()
        scores = self._scored()
        self.seconds += time.perf_counter() - begin
        error = scores[WORSE]
        if math.isfinite(error) and (state.best_metric is None or error < state.best_metric):
            state.best_metric, state.best_global_step = error, state.global_step
            state.best_model_checkpoint = str(Path(args.output_dir) / f"checkpoint-{state.global_step}")
            control.should_save = True
        due = control.should_log
        self.trainer.log(dict(scores))  # for report_to; it also marks the loss of this step as logged
        control.should_log = due
        if state.is_world_process_zero:
            line = {"current_steps": state.global_step, "total_steps": state.max_steps} | scores
            with (Path(args.output_dir) / LOSSES).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        return control

    def _scored(self) -> dict[str, float]:
        """Name -> value, the same in all processes."""
        model = self.rater.loaded.model
        training, scores, errors = model.training, {}, []
        model.eval()
        try:
            for stanza, rows in self.setting.val.items():
                scale = rows[0].scale
                metrics = self._metrics(list(rows))
                scores |= {f"val_{stanza.removeprefix('storm_')}_{name}": number for name, number in metrics.items()}
                errors.append(metrics["mae"] / max(1, scale.hi - scale.lo))
        finally:
            model.train(training)
        return scores | {WORSE: float(np.mean(errors)), "val_seconds": round(self.seconds, 1)}

    def _metrics(self, rows: list[Example]) -> dict[str, float]:
        """Of the rows of a dataset, each process rating every so many-th block of them."""
        from accelerate.utils import gather_object

        args, size = self.trainer.args, BATCH[self.rater.device.type]
        mine = islice(of_rows(rows, size), args.process_index, None, args.world_size)
        with self.trainer.compute_loss_context_manager():
            answers = [answer for block in mine for answer in self.rater.rate(block)]
        labels = {row.id: row.label for row in rows}
        known = {answer["id"]: answer for answer in gather_object(answers) if "error" not in answer}
        if not known:
            return dict.fromkeys(("mae",), math.nan)
        scale, strategy = rows[0].scale, rows[0].strategy
        probs = np.array([answer["probs"] for answer in known.values()])
        pred = posterior.mode(probs) + scale.lo
        label = np.array([labels[name] for name in known])
        place = Path(args.output_dir)
        predictions = Predictions(
            place, place, rows[0].dataset, scale, strategy, label, pred, 0 * pred, 0 * pred, probs
        )
        counted, _ = distinct(predictions)
        shown = [METRICS[name] for name in SHOWN if METRICS[name].applies(predictions)]
        return {metric.name: round(float(value(metric, counted)), 6) for metric in shown}
