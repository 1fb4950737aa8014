"""From the probabilities that trainings give to the tables of bench/objectives.py. Nothing here trains."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from eval.inference import posterior
from eval.scoring.compare import Comparison, comparison
from eval.scoring.interval import holm
from eval.scoring.metrics import METRICS, value
from eval.scoring.pairing import Paired
from eval.scoring.predictions import Predictions
from eval.scoring.scores import score
from eval.scoring.weighted_rows import distinct
from storm.rows import Example
from storm.text import Cell, number

BASE = "sft"  # plain training, which the others are compared with
CHOSEN_BY = "rps"  # of val rows
SHOWN = ("acc", "mae", "qwk", "rps", "ece", "rps_votes")
# Metric -> what its rows' values are multiplied by, as the exact test takes integers.
COMPARED = {"mae": 1, "rps": 10_000, "rps_votes": 10_000}
FEWEST, SEEDS = 12, 5  # tested photographs, and seeds, below which nothing is decided
ERROR = 0.05
HEAD = ("objective", "chosen on val", *(METRICS[name].label for name in SHOWN))
AGAINST = ("objective", "metric", f"difference to {BASE}", "of it", "p", "Holm", "better in", "verdict")
COST = ("objective", "ms a step", "steps", "peak GB")
Rated = tuple[Sequence[Example], Sequence[Sequence[float]]]  # rows, and the probabilities of their levels


def words(keys: Mapping[str, object]) -> str:
    """Settings in a line."""
    return " ".join(f"{key}={value}" for key, value in keys.items())


def predictions(name: str, of_seed: Mapping[int, Rated]) -> Predictions:
    """The rows of all seeds as those of one run, whose photographs are its subjects."""
    rows = [(f"{seed}/{row.id}", row) for seed, (examples, _) in sorted(of_seed.items()) for row in examples]
    probs = np.concatenate([np.asarray(of_seed[seed][1]) for seed in sorted(of_seed)])
    label, scale = np.array([row.label for _, row in rows]), rows[0][1].scale
    pred = posterior.mode(probs) + scale.lo
    subject = np.unique([row.subject for _, row in rows], return_inverse=True)[1]
    columns = (label, pred, 0 * pred, np.arange(1, len(rows) + 1), probs, [id for id, _ in rows], subject)
    votes = np.array([row.votes for _, row in rows])
    return Predictions(Path(name), Path(name), rows[0][1].dataset, scale, rows[0][1].strategy, *columns, votes=votes)


def of_metric(metric: str, run: Predictions) -> float:
    return value(METRICS[metric], distinct(run)[0])


def val_error(trial: Rated) -> float:
    """What the settings with the least of it are chosen by."""
    return of_metric(CHOSEN_BY, predictions("", {0: trial}))


def paired(metric: str, ours: Predictions, base: Predictions) -> Paired:
    """The differences of a mean over rows, photograph by photograph. Raises ValueError for other rows."""
    if ours.id != base.id:
        raise ValueError(f"{ours.run} and {base.run}: not the same rows")
    values = [METRICS[metric].row(distinct(run)[0]) for run in (ours, base)]
    sums = np.rint(np.bincount(ours.subject, values[0] - values[1]) * COMPARED[metric]).astype(int)
    sizes = np.bincount(ours.subject) * COMPARED[metric]
    ends = (float(side.mean()) for side in values)
    return Paired(ours.dataset, metric, len(ours.id), len(sums), *ends, sums, sizes)


def verdict(line: Comparison, corrected: float, seeds: int) -> str:
    """What a comparison tells of an objective. corrected: p by Holm."""
    if line.subjects < FEWEST or seeds < SEEDS:
        return "undecided"
    if corrected >= ERROR:
        return "cannot tell"
    return "better" if (line.difference < 0) == (METRICS[line.metric].better == "lower") else "worse"


def score_row(name: str, settings: str, of_seed: Mapping[int, Rated]) -> tuple[Cell, ...]:
    """A row under HEAD."""
    scored = score(predictions(name, of_seed))
    return name, settings, *(number(scored.values[metric], scored.intervals.get(metric)) for metric in SHOWN)


def against_base(results: Mapping[str, Mapping[int, Rated]]) -> list[tuple[Cell, ...]]:
    """Rows under AGAINST: each objective with BASE in each of COMPARED, on the seeds that both have; p corrected for
    all of these comparisons."""
    lines = []
    for name in results:
        seeds = sorted(results[name].keys() & results.get(BASE, {}).keys())
        if name == BASE or not seeds:
            continue
        sides = [predictions(run, {seed: results[run][seed] for seed in seeds}) for run in (name, BASE)]
        for metric in COMPARED:
            lines.append((name, seeds, comparison([paired(metric, *sides)])))
    rows = []
    for (name, seeds, line), corrected in zip(lines, holm([line.p for *_, line in lines])):
        better = [_difference(line.metric, results, name, seed) < 0 for seed in seeds]
        share = f"{line.difference / line.base:+.1%}" if line.base else None
        cells = METRICS[line.metric].label, number(line.difference, line.interval), share, line.p, corrected
        rows.append((name, *cells, f"{sum(better)} of {len(seeds)} seeds", verdict(line, corrected, len(seeds))))
    return rows


def _difference(metric: str, results: Mapping[str, Mapping[int, Rated]], name: str, seed: int) -> float:
    ours, base = (of_metric(metric, predictions(run, {seed: results[run][seed]})) for run in (name, BASE))
    return ours - base


def cost_row(name: str, rows: Sequence[Mapping[str, float]]) -> tuple[Cell, ...]:
    """A row under COST: medians over trainings, of memory the most."""
    step, steps = (float(np.median([row[key] for row in rows])) for key in ("step_s", "steps"))
    return name, round(step * 1000), round(steps), max(row["peak_gb"] for row in rows)
