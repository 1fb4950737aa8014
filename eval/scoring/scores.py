"""All scores of a run with their 95% intervals: of each dataset, of each domain, and as the paper averages."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from storm.datasets import DATASETS
from storm.scales import Scale
from storm.datasets import SCALES
from eval.scoring import testsets
from eval.scoring.interval import interval
from eval.scoring.metrics import CLOSE, UNPARSED, accuracy, constant_baseline, correlation, mean_absolute_error, quadratic_weighted_kappa, within, worst_mean_absolute_error
from eval.scoring.paper import DATASETS as PAPER
from eval.scoring.paper import DOMAINS, YEARS, average
from eval.inference.posterior import expected_calibration_error, ranked_probability_score, reliability
from eval.scoring.bootstrap import applies, replicates, units
from eval.scoring.runs import Answers, read_file

TEST_ROWS = {dataset.name: dataset.sizes.test for dataset in DATASETS}  # Tables 6 and 7
WHOLE = 0.95  # of the test rows: fewer, and the dataset counts as missing from averages


def score_file(
    path: Path, scales: Mapping[str, Scale] = SCALES, tests: built.Index | None = None
) -> tuple[list[dict], list[str]]:
    """Scores of each dataset in a predictions file, and a line for what had to be left out."""
    errors: list[str] = []
    return [score(answers)[0] for answers in read_file(path, scales, tests or {}, errors)], errors


def score(answers: Answers) -> tuple[dict, dict[str, np.ndarray]]:
    """All scores of a dataset, None for what does not apply, and the resamples of ACC and MAE behind the intervals."""
    found = replicates(answers)
    made = {name: None for name in _POINT} | {name: _POINT[name](answers) for name in applies(answers)}
    constant_acc, constant_mae = constant_baseline(answers.label)
    spread = {name: found["ece_apart" if name == "ece" else name] for name in applies(answers)}
    intervals = {name: interval(values, units(answers, name), name, made[name]) for name, values in spread.items()}
    facts = {
        "file": str(answers.path),
        "run": str(answers.run),
        "dataset": answers.dataset,
        "scale": answers.scale.name,
        "strategy": answers.strategy,
        "decode": answers.decode,
        "unit": answers.scale.unit,
        "n": len(answers.label),
        "of": answers.of,
        "paper_n": TEST_ROWS.get(answers.dataset),
        "people": None if answers.subject is None else units(answers),
        "unparsed": int((answers.said == UNPARSED).sum()),
    }
    made |= {"constant_acc": constant_acc if "acc" in intervals else None, "constant_mae": constant_mae}
    made |= {"temperature": answers.temperature, "intervals": intervals, "first_unparsed": answers.first_unparsed}
    if answers.probs is not None:
        made["reliability"] = reliability(*distributions(answers))
    return facts | made, {name: found[name] for name in ("acc", "mae") if name in found}


def distributions(answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    """(probabilities, columns of the right levels) of the rows that have them."""
    sure = answers.said != UNPARSED
    return answers.probs[sure].astype(float), answers.label[sure] - answers.scale.lo


def _parsed(answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    parsed = answers.said != UNPARSED
    return answers.label[parsed], answers.mean[parsed]


def _consistent(answers: Answers) -> float | None:
    """Of the answers with both parts, the share whose coarse group contains the rating."""
    both = (answers.said != UNPARSED) & (answers.coarse != UNPARSED)
    groups = [answers.scale.coarse[index] for index in answers.coarse[both]]
    inside = [group.lo <= said <= group.hi for group, said in zip(groups, answers.said[both])]
    return float(np.mean(inside)) if inside else None


_POINT = {
    "acc": lambda a: accuracy(a.label, a.said),
    "mae": lambda a: mean_absolute_error(a.label, a.point),
    "mae_worst": lambda a: worst_mean_absolute_error(a.label, a.point, lo=a.scale.lo, hi=a.scale.hi),
    "unparsed_rate": lambda a: float(np.mean(a.said == UNPARSED)),
    "off_by_one": lambda a: within(a.label, a.said, 1),
    "cs5": lambda a: within(a.label, a.point, CLOSE),
    "qwk": lambda a: quadratic_weighted_kappa(a.label, a.said, lo=a.scale.lo, hi=a.scale.hi),
    "srcc": lambda a: correlation(*_parsed(a), ranks=True),
    "plcc": lambda a: correlation(*_parsed(a)),
    "coarse_acc": lambda a: accuracy(a.coarse_right, a.coarse),
    "consistent": _consistent,
    "ece": lambda a: expected_calibration_error(*distributions(a)) if (a.said != UNPARSED).any() else None,
    "rps": lambda a: ranked_probability_score(*distributions(a)) if (a.said != UNPARSED).any() else None,
}


def averages(scores: Sequence[dict], resamples: Sequence[dict[str, np.ndarray]]) -> list[dict]:
    """For each run: ACC and MAE of each domain and over all 14 (ACC: 11) datasets, or what is missing for it.

    A dataset of which the run answered less than 95% is missing. Runs without any of the paper's have no averages.
    """
    made = []
    for key in dict.fromkeys(_run(one) for one in scores):
        own = {s["dataset"]: (s, r) for s, r in zip(scores, resamples) if _run(s) == key and s["dataset"] in PAPER}
        for name, datasets in [*DOMAINS.items(), ("paper", PAPER)] if own else []:
            row = dict(zip(("run", "strategy", "decode", "average"), (*key, name)))
            for metric in ("acc", "mae"):
                row |= _average(metric, [d for d in datasets if metric == "mae" or d not in YEARS], own)
            made.append(row)
    return made


def _run(score: dict) -> tuple[str, str, str]:
    return score["run"], score["strategy"], score["decode"]


def _average(metric: str, datasets: list[str], own: dict[str, tuple[dict, dict]]) -> dict:
    values, missing = {}, []
    for name in datasets:
        one = own[name][0] if name in own else None
        rows = one and (one["of"] or one["paper_n"])
        if one is None or one[metric] is None:
            missing.append(name)
        elif one["n"] < WHOLE * rows:
            missing.append(f"{name} ({one['n']:,} of {rows:,} rows)")
        else:
            values[name] = one[metric]
    if missing:
        return {metric: None, f"{metric}_interval": None, f"{metric}_missing": missing}
    fewest = min(own[name][0]["people"] or own[name][0]["n"] for name in datasets)
    means = np.mean([own[name][1][metric] for name in datasets], axis=0)
    return {metric: average(values, tuple(datasets)), f"{metric}_interval": interval(means, fewest, metric)} | {
        f"{metric}_missing": []
    }
