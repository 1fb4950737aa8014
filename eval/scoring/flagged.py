"""Labels to look at again: the rows whose label the model finds least likely, for a csv file.

A model that has learned a task finds most mistakes of the labels unlikely (Northcutt, Jiang & Chuang 2021, Confident
Learning). It also finds its own mistakes unlikely, so a row here is worth a second look, not an error by itself.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eval.inference import posterior
from eval.scoring.conformal import Coverage
from eval.scoring.forms import texts_of
from eval.scoring.metrics import UNPARSED
from eval.scoring.predictions import Predictions
from storm.datasets import SCALES
from storm.files import write_text
from storm.prompts import shown
from storm.rows import read_examples
from storm.text import harmless

HEAD = ("run", "dataset", "line", "id", "image", "label", "prediction", "p of label", "p at or beyond", "expected")
HEAD += ("label - expected", "lowest", "highest")  # the last two of the interval, with --calibrate
DIGITS = 6  # of numbers: as many as predictions have
NEEDS = "--flag-labels: no row with probs (eval/predict.py --decode exact writes them)"


class Doubt(NamedTuple):
    """How likely the labels of a run are, (n,) each; nan without a distribution."""

    p: np.ndarray  # probability of the label
    beyond: np.ndarray  # that the rating is the label, or further off on the same side
    expected: np.ndarray  # the mean of the distribution

    def sorted_by(self, counted: bool) -> np.ndarray:
        """Levels: p. Of many whole numbers, each is unlikely, so counted scales take `beyond` (our choice)."""
        return self.beyond if counted else self.p


def doubt(run: Predictions) -> Doubt:
    """Raises TypeError for a run of texts."""
    rows, column, probs = np.arange(len(run.label)), run.label - run.scale.lo, run.probs.astype(float)
    p, reached = probs[rows, column], probs.cumsum(1)[rows, column]
    beyond = np.minimum(reached, 1 - reached + p)
    return Doubt(*(np.round(part, DIGITS) for part in (p, beyond, posterior.mean(probs) + run.scale.lo)))


def least_likely(runs: Sequence[Predictions], most: int | None = None) -> list[tuple[Predictions, int, Doubt]]:
    """The rows with a distribution, the least likely label first: at most `most` of them. Of equal ones, the label
    furthest from the expected value, as a share of the scale, then the order of the runs and files."""
    ranked = []
    for number, run in enumerate(runs):
        if run.probs is not None:
            known, doubts = run.has_probs, doubt(run)
            key, off = doubts.sorted_by(run.scale.counted), np.abs(run.label - doubts.expected)
            off = off / max(1, run.scale.hi - run.scale.lo)
            ranked += [(key[at], -off[at], number, at, run, doubts) for at in np.flatnonzero(known).tolist()]
    ranked.sort(key=lambda row: row[:4])
    return [(run, at, doubts) for *_, at, run, doubts in ranked[:most]]


def write(path: Path, runs: Sequence[Predictions], coverages: Sequence[Coverage] = ()) -> list[str]:
    """Write a row for each exact prediction, the least likely label first. Returns a line for runs without: they are
    left out, and nothing is written if no run is exact. Raises OSError."""
    texts = [run for run in runs if run.probs is None]
    if len(texts) == len(runs):
        return [NEEDS]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(HEAD)
    writer.writerows([*map(harmless, row)] for row in _rows(runs, coverages))
    write_text(path, file.getvalue())
    more = f" and {len(texts) - 1:,} more" if len(texts) > 1 else ""
    return [f"{NEEDS}: {texts[0].path}{more} left out"] if texts else []


def _rows(runs: Sequence[Predictions], coverages: Sequence[Coverage]) -> Iterator[list]:
    """The rows of the csv file."""
    bounds = {(row.run, row.strategy, row.decode, row.dataset): row.bounds for row in coverages}
    images = {id(run): images_of(run) for run in runs if run.probs is not None}
    names = {id(run): [shown(level, run.strategy) for level in run.scale.fine] for run in runs}
    for run, at, doubts in least_likely(runs):
        line, label, pred = int(run.line[at]), int(run.label[at]), int(run.pred[at])
        words, ends = names[id(run)], bounds.get((*run.key, run.dataset))
        yield [
            *(run.run, run.dataset, line, run.id[at] if run.id else "", images[id(run)].get(line, "")),
            *(words[label - run.scale.lo], "" if pred == UNPARSED else words[pred - run.scale.lo]),
            *(doubts.p[at], doubts.beyond[at], doubts.expected[at], round(label - doubts.expected[at], DIGITS)),
            *(["", ""] if ends is None else [words[end - run.scale.lo] for end in ends[at]]),
        ]


def images_of(run: Predictions) -> dict[int, str]:
    """Line of the predictions file -> the name of the image, as the test file says, else the prediction itself."""
    if run.data:
        scales = {**SCALES, run.scale.name: run.scale}
        image = {example.id: example.image for example in read_examples(run.data, scales)}
        return {int(line): image[name] for line, name in zip(run.line, run.id)}
    rows = texts_of(run, set(run.line.tolist()))
    return {line: row.image for line, row in rows.items() if row.image}
