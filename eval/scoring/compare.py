"""Is one run better than another? Paired: both answered the same images, so what both find hard cancels out."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eval.scoring.interval import interval, p_value
from eval.scoring.metrics import UNPARSED, accuracy, mean_absolute_error
from eval.scoring.paper import DATASETS as PAPER
from eval.scoring.bootstrap import RESAMPLES, resampled, seed, units
from eval.scoring.runs import Answers

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
    id = answers.id and [answers.id[i] for i in at]
    return replace(answers, **columns, probs=probs, id=id, subject=subject)


def difference(ours: Answers, base: Answers) -> tuple[list[dict], dict[str, np.ndarray]]:
    """ACC and MAE of both runs on the same rows, the difference with its interval and p; and the resamples of it.

    MAE is over the rows that both parsed: a run must not win by leaving the hard ones out. Raises ValueError as
    paired() does.
    """
    ours, base = paired(ours, base)
    rows, of_row = np.unique(
        np.stack([ours.label, ours.said, ours.point, base.said, base.point], 1), axis=0, return_inverse=True
    )
    label, said, point, base_said, base_point = rows.T
    both = (point != UNPARSED) & (base_point != UNPARSED)
    further = (np.abs(point - label) - np.abs(base_point - label)) * both
    better = (said == label) * 1 - (base_said == label)
    subject = base.subject if ours.subject is None else ours.subject
    of = np.stack([better, further, both, np.ones(len(rows))], 1).astype(float)
    drawn = [counts @ of for counts in resampled(of_row.ravel(), subject, seed(ours), RESAMPLES)]
    better, further, parsed, everyone = np.concatenate(drawn).T
    with np.errstate(invalid="ignore"):
        resamples = {"acc": better / everyone, "mae": further / parsed}
    both = both[of_row.ravel()]
    made, pair = [], (replace(ours, subject=subject), replace(base, subject=subject))
    if ours.scale.unit == "level":
        made.append(_row(pair, "acc", [accuracy(a.label, a.said) for a in pair], resamples))
    if both.any():
        pair = [_rows(answers, np.flatnonzero(both)) for answers in pair]
        made.append(_row(pair, "mae", [mean_absolute_error(a.label, a.point) for a in pair], resamples))
    return made, {row["metric"]: resamples[row["metric"]] for row in made}


def _row(pair: Sequence[Answers], metric: str, values: Sequence[float], resamples: dict[str, np.ndarray]) -> dict:
    """A line of the comparison: the metric of both runs on the rows of `pair`, and how sure their difference is."""
    ours, (own, other), within = pair[0], values, units(pair[0])
    row = {"dataset": ours.dataset, "n": len(ours.label), "people": None if ours.subject is None else within}
    return row | {"metric": metric, "ours": own, "base": other} | _sure(own - other, resamples[metric], within)


def _sure(difference: float, resamples: np.ndarray, within: int) -> dict:
    return {"difference": difference, "interval": interval(resamples, within), "p": p_value(resamples, within)}


def compare(ours: Sequence[Answers], base: Sequence[Answers]) -> tuple[list[dict], list[str]]:
    """Every dataset that both runs answered, then the average over those, and a line for each that cannot be paired.

    ours: of one prompt and decoding; of a baseline with several, its predictions with the same ones are taken.
    "holm": p after Holm's correction over the datasets, each metric for itself; "better": what to conclude.
    """
    from statsmodels.stats.multitest import multipletests  # slow to import

    found, errors, resamples = [], [], {}
    for answers in ours:
        same = _alike(answers, base)
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
            fewest = min(r["people"] or r["n"] for r in rows)
            row |= {"people": None} | _sure(mean["difference"], np.mean(list(resamples[metric].values()), 0), fewest)
            found.append(row | {"holm": None, "better": _conclusion(mean["difference"], metric, row["p"])})
    return found, errors


def _alike(answers: Answers, base: Sequence[Answers]) -> list[Answers]:
    """The baseline's predictions of a dataset; of several, those with the same prompt, then with the same decoding."""
    found = [other for other in base if other.dataset == answers.dataset]
    for same in (lambda other: other.strategy == answers.strategy, lambda other: other.decode == answers.decode):
        found = [other for other in found if len(found) == 1 or same(other)]
    return found


def _conclusion(difference: float, metric: str, p: float) -> str:
    return "cannot tell" if p >= ERROR else "better" if difference * BETTER[metric] > 0 else "worse"
