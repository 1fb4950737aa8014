"""Flattens distributions that are too sure (or not sure enough), by a temperature fitted to rows held out."""

from collections.abc import Iterable, Sequence

import numpy as np

from eval.inference.posterior import fit_temperature, temper
from eval.scoring.runs import Answers
from eval.scoring.scores import distributions


def calibrated(runs: Sequence[Answers], held_out: Iterable[Answers]) -> list[str]:
    """Flatten the runs' distributions by the temperature that fits the held-out ones best, scale by scale.

    Returns a line for each run that is left as it is, because no held-out row fits, or because they are its own rows.
    """
    rows, errors = {}, []
    for answers in held_out:
        if answers.probs is not None:
            rows.setdefault((answers.scale, answers.strategy), []).append(answers)
    if not rows:
        return ["--calibrate: no row with probs (eval/predict.py --decode exact writes them)"]
    for answers in runs:
        if answers.probs is None:
            continue
        fit = rows.get((answers.scale, answers.strategy), [])
        if problem := _unfit(answers, fit):
            errors.append(f"--calibrate: {problem}; {answers.path} is scored as it was predicted")
            continue
        probs, labels = (np.concatenate(parts) for parts in zip(*map(distributions, fit)))
        answers.temperature = fit_temperature(probs, labels)
        answers.probs = temper(answers.probs.astype(float), answers.temperature)
    return errors


def _unfit(answers: Answers, fit: Sequence[Answers]) -> str:
    """Why no temperature for a run can be fitted to these; "" if it can."""
    if not fit:
        return f"no row of the scale and prompt {answers.scale.name} {answers.strategy}"
    used = {(one.dataset, id) for one in fit for id in one.id or ()}
    own = used.intersection((answers.dataset, id) for id in answers.id or ())
    if own:
        least = min(id for _, id in own)
        return f"{len(own):,} rows are scored, too ({least!r}), but it needs others (eval/predict.py --except)"
    return ""
