"""Scores while training: exact ACC, MAE, QWK and RPS of val rows, each so many steps, and the best checkpoint kept."""

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import TrainerCallback

from eval.inference import posterior
from eval.inference.blocks import ROWS, TOKENS, of_tokens, prompt_tokens
from eval.inference.model import Loaded
from eval.inference.rater import Rater
from eval.inference.settings import Settings
from eval.scoring.metrics import METRICS, value
from eval.scoring.predictions import Predictions
from eval.scoring.weighted_rows import distinct
from storm.prompts import strategy_of
from storm.rows import Example, dataset_and_part
from train.launch import LOSSES
from train.training.setting import Setting, media_of

if TYPE_CHECKING:
    from transformers import Trainer

SHOWN = ("acc", "mae", "qwk", "rps")  # of METRICS, where they apply
WORSE = "val_error"  # what the best checkpoint has least of: the mean over datasets of MAE / (levels - 1)


class Scores(TrainerCallback):
    """Scores the model, writes what it finds, and lets the best checkpoint be saved and kept."""

    def __init__(self, trainer: "Trainer", loaded: Loaded, setting: Setting):
        self.trainer, self.setting, self.seconds, self.warned = trainer, setting, 0.0, False
        media = Path(media_of(setting.recipe))
        size = {"image_max_pixels": setting.model_args.image_max_pixels, "cutoff_len": setting.data_args.cutoff_len}
        self.rater = Rater(loaded, Settings(model="", media=media, **size))
        # Beside a training there is memory for as many tokens as a batch of it has.
        device, batch = trainer.args.device.type, trainer.args.per_device_train_batch_size * size["cutoff_len"]
        most, tokens = min(TOKENS.get(device, TOKENS["cpu"]), batch), prompt_tokens(self.rater)
        self.blocks = {
            stanza: list(of_tokens(rows, tokens, most, ROWS.get(device, ROWS["cpu"])))
            for stanza, rows in setting.val.items()
        }

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> Any:
        if state.global_step % self.setting.block.evaluate.every and state.global_step < state.max_steps:
            return control
        scores = self._scored()
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
        begin, model = time.perf_counter(), self.rater.loaded.model
        training, scores, errors, count = model.training, {}, [], {"val_rows": 0, "val_errors": 0}
        model.eval()
        try:
            for stanza, rows in self.setting.val.items():
                scale, name = rows[0].scale, f"{dataset_and_part(stanza)[0]}{strategy_of(stanza).suffix}"
                answers = self._answers(stanza)
                metrics = self._metrics(rows, answers)
                count["val_rows"] += len(answers)
                count["val_errors"] += len(rows) - len(answers)
                scores |= {f"val_{name}_{metric}": number for metric, number in metrics.items()}
                errors.append(metrics["mae"] / max(1, scale.hi - scale.lo))
        finally:
            model.train(training)
        self.seconds += time.perf_counter() - begin
        return scores | {WORSE: float(np.mean(errors)), "val_seconds": round(self.seconds, 3)} | count

    def _answers(self, stanza: str) -> dict[str, dict]:
        """Id -> answer of the rows of a dataset that have one, each process rating every so many-th block of them."""
        from accelerate.utils import gather_object

        args = self.trainer.args
        with self.trainer.compute_loss_context_manager():
            mine = self.blocks[stanza][args.process_index :: args.world_size]
            answers = [answer for block in mine for answer in self.rater.rate(block)]
        answers = gather_object(answers)
        faults = sorted(answer["error"] for answer in answers if "error" in answer)
        if faults and not self.warned and args.process_index == 0:
            self.warned = True
            rest = f" (and {len(faults) - 1} more rows)" if len(faults) > 1 else ""
            print(f"warning: {stanza} is scored without {faults[0]}{rest}; see val_errors", file=sys.stderr)
        return {answer["id"]: answer for answer in answers if "error" not in answer}

    def _metrics(self, rows: Sequence[Example], answers: Mapping[str, dict]) -> dict[str, float]:
        """Of the rows of a dataset that have an answer."""
        if not answers:
            return {"mae": math.nan}
        labels = {row.id: row.label for row in rows}
        scale, strategy = rows[0].scale, rows[0].strategy
        probs = np.array([answer["probs"] for answer in answers.values()])
        pred = posterior.mode(probs) + scale.lo
        label = np.array([labels[name] for name in answers])
        place = Path(self.trainer.args.output_dir)
        predictions = Predictions(
            place, place, rows[0].dataset, scale, strategy, label, pred, 0 * pred, 0 * pred, probs
        )
        counted, _ = distinct(predictions)
        shown = [METRICS[name] for name in SHOWN if METRICS[name].applies(predictions)]
        return {metric.name: round(float(value(metric, counted)), 6) for metric in shown}
