"""Predictions of a run for one test set, as arrays that scores, intervals and the report share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from eval.inference import posterior
from eval.scoring.weighted_rows import UNPARSED
from storm.scales import Scale


@dataclass
class Predictions:
    """What a run predicts for one dataset. Arrays have a row each prediction, (n,), in the file's order."""

    run: Path
    path: Path
    dataset: str
    scale: Scale
    strategy: str
    label: np.ndarray
    pred: np.ndarray  # label that the text states, UNPARSED if none; of a distribution the mode
    coarse_pred: np.ndarray  # index of the coarse group that the text states, UNPARSED if none
    line: np.ndarray  # in the file, from 1
    probs: np.ndarray | None = None  # (n, levels) float32, rows of nan for unreadable images; None: only text
    id: list[str] | None = None  # None: the predictions have none and no test file is known
    subject: np.ndarray | None = None  # numbers of subjects, from 0; None: the test file names none
    score: np.ndarray | None = None  # raw ratings on a user's own scale; None: unknown, or there are only labels
    data: Path | None = None  # the test file joined
    n_test: int | None = None  # how many rows that has
    temperature: float | None = None  # by which probs were flattened
    first_unparsed: dict | None = None  # "line" and "predict" of it
    votes: np.ndarray | None = None  # (n, levels) share of the raters who chose each, nan: none; None: no row has any
    rule: list[str] | None = None  # by which each text was read, or why not (storm/parse.py)
    form: str = ""  # of the file: the tool that writes such rows (forms.py)
    keys: Mapping[str, str] | None = None  # of --keys, our name -> the file's
    parts: tuple[Path, ...] = ()  # more files of the same predictions, whose lines count on
    notes: list[str] = field(default_factory=list)  # which of several readings of the file was taken

    @property
    def key(self) -> tuple[str, str, str]:
        """What a run is to a reader: its path, strategy and decoding."""
        return str(self.run), self.strategy, self.decode

    @property
    def decode(self) -> str:
        return "text" if self.probs is None else "exact"

    @property
    def median(self) -> np.ndarray:
        """The label that the mean absolute error is of: the median of a distribution, else the prediction."""
        if self.probs is None:
            return self.pred
        labels = np.full(len(self.label), UNPARSED)
        labels[self.has_probs] = posterior.median(self.probs[self.has_probs].astype(float)) + self.scale.lo
        return labels

    @property
    def mean(self) -> np.ndarray:
        """The rating that correlations are of: the mean of a distribution, else the prediction; nan where none."""
        if self.probs is None:
            return np.where(self.pred == UNPARSED, np.nan, self.pred).astype(float)
        return posterior.mean(self.probs.astype(float)) + self.scale.lo

    @property
    def raw_error(self) -> np.ndarray | None:
        """How far a prediction is from the raw rating, (n,), in the user's unit, 0 where unparsed; None without those.

        A level stands for its value on the scale; a distribution for the expected value.
        """
        if self.score is None:
            return None
        parsed, values = self.pred != UNPARSED, np.array(self.scale.values, float)
        expected = values[np.where(parsed, self.pred - self.scale.lo, 0)] if self.probs is None else self.probs @ values
        return np.where(parsed, np.abs(expected - self.score), 0.0)

    @property
    def has_probs(self) -> np.ndarray:
        """Rows that have a distribution. TypeError for a run of texts."""
        return ~np.isnan(self.probs[:, 0])
