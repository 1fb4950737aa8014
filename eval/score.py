"""Score predictions: python eval/score.py FILE_OR_FOLDER... [--scale SCALE.yaml] [--json OUT]

Reads LLaMA-Factory's generated_predictions.jsonl and what eval/predict.py writes, one row at a time, and prints a line
for each dataset. --calibrate: predictions of rows that were not trained on, to which the temperature is fitted.
Exit code 0, or 2 if anything could not be read (what could be is still scored and printed).
"""

import argparse
import json
import sys
from array import array
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np

from data_prep.options import aligned
from data_prep.own_scale import load
from data_prep.parse import parse
from data_prep.questions import Scale, coarse_of
from data_prep.scales import SCALES
from data_prep.together import together
from eval.metrics import (
    UNPARSED,
    accuracy,
    constant_baseline,
    correlation,
    mean_absolute_error,
    worst_mean_absolute_error,
)
from eval.posterior import diagram, distribution_scores, fit_temperature
from eval.predictions import BadRow, Row, find, read

COLUMNS = {
    "dataset": "dataset",
    "strategy": "prompt",
    "decode": "decode",
    "n": "n",
    "acc": "ACC",
    "mae": "MAE",
    "mae_worst": "MAE worst",
    "unparsed": "unparsed",
    "coarse_acc": "coarse ACC",
    "consistent": "consistent",
    "constant_acc": "same ACC",
    "constant_mae": "same MAE",
    "srcc": "SRCC",
    "plcc": "PLCC",
    "temperature": "temperature",
    "ece": "ECE",
    "rps": "RPS",
}
ONLY_EXACT = ("temperature", "ece", "rps")  # columns that stand there only if something is in them
LEGEND = """\
MAE: parsed answers only. MAE worst: an unparsed answer counts as the largest possible error. In levels, or years for
an age dataset, which has no ACC. coarse ACC: right coarse group. consistent: of the answers with both parts, those
whose coarse group contains the rating. same: the best answer that is always the same. SRCC, PLCC: rank and linear
correlation with the right rating (no logistic fit)."""
LEGEND_EXACT = """\
exact: not the paper's protocol. Each metric has the best decision for it, from one distribution: ACC its mode, MAE its
median, SRCC and PLCC its mean; consistent by construction. ECE: calibration error of the mode's probability in 15 bins,
RPS: ranked probability score; 0 is best for both."""


def score_file(
    path: Path, scales: dict[str, Scale] = SCALES, temperatures: dict[tuple[Scale, str], float] | None = None
) -> tuple[list[dict], list[str]]:
    """Scores of each dataset in a predictions file, and a line if rows had to be left out.

    Memory does not grow with the rows, but for their distributions (4 bytes a level). temperatures: of a scale and
    strategy, by which distributions are flattened first.
    """
    counts: dict[tuple[str, Scale, str], Counter] = {}
    distributions: dict[tuple[str, Scale, str], tuple[array, array]] = {}
    unparsed: dict[tuple[str, Scale, str], Row] = {}
    first_bad, bad = None, 0
    read_rating = lru_cache(maxsize=100_000)(parse)
    for row in read(path, scales):
        if isinstance(row, BadRow):
            first_bad, bad = first_bad or row, bad + 1
            continue
        key = (row.dataset, row.scale, row.strategy)
        rating = read_rating(row.scale, row.strategy, row.predict)
        counts.setdefault(key, Counter())[row.label, *(rating or (UNPARSED, None))] += 1
        if row.probs:
            labels, probs = distributions.setdefault(key, (array("i"), array("f")))
            labels.append(row.label - row.scale.lo)
            probs.extend(row.probs)
        if rating is None:
            unparsed.setdefault(key, row)
    errors = []
    if first_bad:
        others = f" and {bad - 1} more" if bad > 1 else ""
        errors.append(f"{path}, line {first_bad.line}: {first_bad.reason}; this row{others} left out")
    elif not counts:
        errors.append(f"{path}: the file is empty")
    scores = []
    for key, count in counts.items():
        row = unparsed.get(key)
        example = {"line": row.line, "predict": row.predict[:200]} if row else None
        score = {"file": str(path), **_scores(*key, count)}
        if key in distributions:
            temperature = (temperatures or {}).get(key[1:])
            score |= _with_distribution(score, *_arrays(key[1], *distributions[key]), temperature)
        scores.append(score | {"first_unparsed": example})
    return scores, errors


def _with_distribution(score: dict, labels: np.ndarray, probs: np.ndarray, temperature: float | None) -> dict:
    """The distributions' scores; an unreadable image, which has none, still counts as the largest possible error."""
    found, n, parsed = distribution_scores(labels, probs, temperature), score["n"], score["n"] - score["unparsed"]
    worst = (score["mae_worst"] * n + (found["mae"] - (score["mae"] or 0)) * parsed) / n
    return found | {"mae_worst": worst}


def _arrays(scale: Scale, labels: array, probs: array) -> tuple[np.ndarray, np.ndarray]:
    """(columns of the right levels, probabilities (n, levels) that sum to 1 whatever digits the file has)."""
    table = np.array(probs, dtype=np.float64).reshape(-1, scale.hi - scale.lo + 1)
    return np.array(labels), table / table.sum(1, keepdims=True)


def temperatures_of(paths: list[Path], scales: dict[str, Scale]) -> dict[tuple[Scale, str], float]:
    """Scale and strategy -> the temperature that fits these predictions best. Raises ValueError if none has probs."""
    found: dict[tuple[Scale, str], tuple[array, array]] = {}
    for row in (row for path in paths for row in read(path, scales) if isinstance(row, Row) and row.probs):
        labels, probs = found.setdefault((row.scale, row.strategy), (array("i"), array("f")))
        labels.append(row.label - row.scale.lo)
        probs.extend(row.probs)
    if not found:
        raise ValueError(f"--calibrate {paths[0]}: no row with probs (eval/predict.py --decode exact writes them)")
    return {key: fit_temperature(*reversed(_arrays(key[0], *rows))) for key, rows in found.items()}


def _scores(dataset: str, scale: Scale, strategy: str, counts: Counter) -> dict:
    """All metrics of one dataset from counts of (label, predicted label or UNPARSED, coarse index or None)."""
    y_true, y_pred, weight = (np.array(column) for column in zip(*((t, p, n) for (t, p, _), n in counts.items())))
    constant_acc, constant_mae = constant_baseline(y_true, weight)
    levels = scale.unit == "level"
    coarse_true = np.array([scale.coarse.index(coarse_of(scale, label)) for label in y_true])
    coarse_pred = np.array([UNPARSED if coarse is None else coarse for _, _, coarse in counts])
    both = (coarse_pred != UNPARSED) & (y_pred != UNPARSED)
    inside = np.array([b and coarse_of(scale, p) is scale.coarse[c] for b, p, c in zip(both, y_pred, coarse_pred)])
    stepwise = strategy != "direct"
    parsed = y_pred != UNPARSED
    points = [np.repeat(column[parsed], weight[parsed]) for column in (y_true, y_pred)]
    return {
        "dataset": dataset,
        "scale": scale.name,
        "strategy": strategy,
        "decode": "text",
        "unit": scale.unit,
        "n": int(weight.sum()),
        "acc": accuracy(y_true, y_pred, weight) if levels else None,
        "mae": mean_absolute_error(y_true, y_pred, weight),
        "mae_worst": worst_mean_absolute_error(y_true, y_pred, weight, lo=scale.lo, hi=scale.hi),
        "unparsed": int(weight[y_pred == UNPARSED].sum()),
        "coarse_acc": accuracy(coarse_true, coarse_pred, weight) if stepwise else None,
        "consistent": float(weight[inside].sum() / weight[both].sum()) if stepwise and both.any() else None,
        "constant_acc": constant_acc if levels else None,
        "constant_mae": constant_mae,
        "srcc": correlation(*points, ranks=True),
        "plcc": correlation(*points),
        "temperature": None,
        "ece": None,
        "rps": None,
    }


def table(scores: list[dict]) -> str:
    """The scores as aligned text, one line a dataset; a metric that does not apply is left empty."""
    keys = [key for key in COLUMNS if key not in ONLY_EXACT or any(score[key] is not None for score in scores)]
    return aligned([[COLUMNS[key] for key in keys]] + [[score[key] for key in keys] for score in scores])


def write_json(path: Path, scores: list[dict], errors: list[str]) -> None:
    """Scores and errors as JSON, all or nothing."""
    with together() as open_:
        open_(path).write(json.dumps({"scores": scores, "errors": errors}, indent=2) + "\n")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Score predictions.")
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER", help="predictions, or a folder of them"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the scores there too")
    parser.add_argument("--calibrate", type=Path, metavar="PREDICTIONS", help="fit the temperature to these")
    parser.add_argument(
        "--scale", type=Path, metavar="SCALE.yaml", help="a scale of your own (python -m data_prep csv)"
    )
    args = parser.parse_args(argv)
    scores, errors, scales = [], [], SCALES
    try:
        if args.scale:
            own = load(args.scale).scale
            scales = SCALES | {own.name: own}
        temperatures = temperatures_of(find(args.calibrate), scales) if args.calibrate else None
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path in args.paths:
        try:
            for file in find(path):
                found, wrong = score_file(file, scales, temperatures)
                scores += found
                errors += wrong
        except OSError as error:
            errors.append(str(error))
    if scores:
        print(table(scores))
        print("\n" + LEGEND)
        if any(score["decode"] == "exact" for score in scores):
            print(LEGEND_EXACT)
    for score in scores:
        if score["decode"] == "exact":
            print(f"\nreliability, {score['dataset']} ({score['file']})\n{diagram(score['reliability'])}")
    for score in scores:
        if example := score["first_unparsed"]:
            print(f"first unparsed answer: {score['file']}, line {example['line']}: {example['predict']!r}")
    if args.json:
        try:
            write_json(args.json, scores, errors)
        except OSError as error:
            errors.append(f"--json: {error}")
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    return 2 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
