"""Flattens distributions that are too sure (or not sure enough), by a temperature fitted to rows held out."""

from collections.abc import Iterable, Sequence

import numpy as np

from eval.inference.posterior import fit_temperature, temper
from eval.scoring.runs import Predictions
from eval.scoring.scores import distributions


def calibrated(runs: Sequence[Predictions], held_out: Iterable[Predictions]) -> list[str]:
    """Flatten the runs' distributions by the temperature that fits the held-out ones best, scale by scale.

    Returns a line for each run that is left as it is, because no held-out row fits, or because they are its rows.
    """
    rows, errors = {}, []
    for predictions in held_out:
        if predictions.probs is not None:
            rows.setdefault((predictions.scale, predictions.strategy), []).append(predictions)
    if not rows:
        return ["--calibrate: no row with probs (eval/predict.py --decode exact writes them)"]
    for predictions in runs:
        if predictions.probs is None:
            continue
        fit = rows.get((predictions.scale, predictions.strategy), [])
        if problem := _unfit(predictions, fit):
            errors.append(f"--calibrate: {problem}; {predictions.path} is scored as it was predicted")
            continue
        probs, labels = (np.concatenate(parts) for parts in zip(*map(distributions, fit)))
        predictions.temperature = fit_temperature(probs, labels)
        predictions.probs = temper(predictions.probs.astype(float), predictions.temperature)
    return errors


def _unfit(predictions: Predictions, fit: Sequence[Predictions]) -> str:
    """Why no temperature for a run can be fitted to these; "" if it can."""
    if not fit:
        return f"no row of scale {predictions.scale.name}, strategy {predictions.strategy}"
    used = {(other.dataset, id) for other in fit for id in other.id or ()}
    shared = used.intersection((predictions.dataset, id) for id in predictions.id or ())
    if shared:
        least = min(id for _, id in shared)
        return f"{len(shared):,} rows are scored, too ({least!r}), but it needs others (eval/predict.py --except)"
    return ""
