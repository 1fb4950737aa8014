"""Is one run better than another? Paired: both answered the same images, so what both find hard cancels out."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eval.metrics import UNPARSED, accuracy, mean_absolute_error
from eval.paper import DATASETS as PAPER
from eval.resample import RESAMPLES, interval, p_value, resampled, seed, units
from eval.runs import Answers

ERROR = 0.05  # the chance that any of the datasets is called different though none is (Holm 1979)
BETTER = {"acc": 1, "mae": -1}  # the sign of an improvement


def paired(ours: Answers, base: Answers) -> tuple[Answers, Answers]:
    """The rows that both answered, in one order: by id, else by position. Raises ValueError where they part."""
    if ours.id is not None and base.id is not None:
        _, at, where = np.intersect1d(ours.id, base.id, return_indices=True)
        if not len(at):
            raise ValueError(f"{ours.path} and {base.path} have no id in common")
        order = np.argsort(at)
        ours, base = _rows(ours, at[order]), _rows(base, where[order])
    elif len(ours.label) != len(base.label):
        have = f"{ours.path} has {len(ours.label):,} rows, {base.path} {len(base.label):,}"
        raise ValueError(f"{have}: without ids (--data names the test files) they cannot be paired")
    apart = np.flatnonzero(ours.label != base.label)
    if len(apart):
        one, other = (f"{a.path}, line {a.line[apart[0]]}, label {a.label[apart[0]]}" for a in (ours, base))
        raise ValueError(f"{one}; {other}: not the same test data")
    return ours, base


def _rows(answers: Answers, at: np.ndarray) -> Answers:
    """Some rows. People who are in none of them are forgotten."""
    subject = None if answers.subject is None else np.unique(answers.subject[at], return_inverse=True)[1]
    columns = {name: getattr(answers, name)[at] for name in ("label", "said", "coarse", "line")}
    probs = None if answers.probs is None else answers.probs[at]
    return replace(answers, **columns, probs=probs, id=[answers.id[i] for i in at], subject=subject)


def difference(ours: Answers, base: Answers) -> tuple[list[dict], dict[str, np.ndarray]]:
    """ACC and MAE of both runs on the same rows, the difference with its interval and p; and the resamples of it.

    Raises ValueError as paired() does.
    """
    ours, base = paired(ours, base)
    rows, of_row = np.unique(
        np.stack([ours.label, ours.said, ours.point, base.said, base.point], 1), axis=0, return_inverse=True
    )
    label, said, point, base_said, base_point = rows.T
    sums = [said == label, base_said == label, *_errors(label, point), *_errors(label, base_point), np.ones(len(rows))]
    subject = base.subject if ours.subject is None else ours.subject
    of = np.stack(sums, 1).astype(float)
    drawn = [counts @ of for counts in resampled(of_row.ravel(), subject, seed(ours), RESAMPLES)]
    hits, base_hits, error, parsed, base_error, base_parsed, everyone = np.concatenate(drawn).T
    with np.errstate(invalid="ignore"):
        resamples = {"mae": error / parsed - base_error / base_parsed}
    values = {"mae": [mean_absolute_error(a.label, a.point) for a in (ours, base)]}
    if ours.scale.unit == "level":
        resamples = {"acc": (hits - base_hits) / everyone} | resamples
        values = {"acc": [accuracy(a.label, a.said) for a in (ours, base)]} | values
    made, within = [], units(replace(ours, subject=subject))
    for metric, (own, other) in values.items():
        if None not in (own, other):
            row = {"dataset": ours.dataset, "n": len(ours.label), "metric": metric, "ours": own, "base": other}
            made.append(row | _sure(own - other, resamples[metric], within))
    return made, resamples


def _errors(label: np.ndarray, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    parsed = point != UNPARSED
    return np.abs(point - label) * parsed, parsed


def _sure(difference: float, resamples: np.ndarray, within: int) -> dict:
    return {"difference": difference, "interval": interval(resamples, within), "p": p_value(resamples, within)}


def compare(ours: Sequence[Answers], base: Sequence[Answers]) -> tuple[list[dict], list[str]]:
    """Every dataset that both runs answered, then the average over those, and a line for each that cannot be paired.

    "holm": p after Holm's correction over the datasets, each metric for itself; "better": what to conclude.
    """
    from statsmodels.stats.multitest import multipletests  # slow to import

    found, errors, resamples = [], [], {}
    for answers in ours:
        same = [other for other in base if other.dataset == answers.dataset]
        if len(same) != 1:
            errors.append(
                f"{answers.path}: compared with {len(same) or 'no'} predictions of {answers.dataset}, not with one"
            )
            continue
        try:
            rows, of_dataset = difference(answers, same[0])
        except ValueError as error:
            errors.append(str(error))
            continue
        found += rows
        for metric, values in of_dataset.items():
            resamples.setdefault(metric, {})[answers.dataset] = values
    for metric in ("acc", "mae"):
        rows = [row for row in found if row["metric"] == metric]
        if rows:
            holm = multipletests([row["p"] for row in rows], ERROR, "holm")[1]
            for row, p in zip(rows, holm):
                row |= {"holm": float(p), "better": _conclusion(row["difference"], metric, p)}
    for metric in ("acc", "mae"):
        rows = [row for row in found if row["metric"] == metric]
        if len(rows) > 1:
            whole = set(PAPER) <= {row["dataset"] for row in found}
            mean = {key: float(np.mean([row[key] for row in rows])) for key in ("ours", "base", "difference")}
            row = {"dataset": "paper's average" if whole else "mean of these", "n": len(rows), "metric": metric} | mean
            row |= _sure(mean["difference"], np.mean(list(resamples[metric].values()), 0), min(r["n"] for r in rows))
            found.append(row | {"holm": None, "better": _conclusion(mean["difference"], metric, row["p"])})
    return found, errors


def _conclusion(difference: float, metric: str, p: float) -> str:
    return "cannot tell" if p >= ERROR else "better" if difference * BETTER[metric] > 0 else "worse"
