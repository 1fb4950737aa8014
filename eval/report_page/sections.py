"""What the report shows of each dataset, as numbers: confusion, both parts of a prediction, errors by
group of labels, label distributions."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eval.report_page.figures import GroupError, Picture, draw_errors, draw_reliability
from eval.scoring.metrics import CLOSE, UNPARSED
from eval.scoring.predictions import Predictions
from eval.scoring.scores import Score
from eval.scoring.weighted_rows import both_parts, coarse_index
from storm.options import describe
from storm.prompts import STRATEGIES
from storm.rows import read_examples
from storm.scales import Scale

GROUP = 5  # labels of a group, where each whole number is one: years, months ... Our choice.


class RunPart(NamedTuple):
    run: int
    score: Score
    levels: list[str]
    confusion: list[list[int]] | None  # None: each whole number is a level, there are too many
    hits: list[int] | None  # see hits_of_parts()


class Section(NamedTuple):
    """All that is shown of one dataset. Dictionaries are by the runs' numbers."""

    name: str
    scale: Scale
    runs: list[RunPart]
    groups: list[str]  # the levels, or groups of labels
    errors: dict[int, list[GroupError | None]]  # by group, None without parsed rows; empty: of levels
    errors_picture: Picture | None
    bins: dict[int, list[dict]]  # of the reliability diagram
    bins_picture: Picture | None
    sizes: dict[str, int]  # of each set of labels
    shares: list[tuple[str, dict[str, float]]]  # of each level or group, in every set of labels

    @property
    def highest(self) -> float:
        return max(share for _, shares in self.shares for share in shares.values())


def section(runs: Mapping[int, Predictions], scores: Mapping[int, Score], sets: Mapping[str, np.ndarray]) -> Section:
    """The section of a dataset. runs, scores: by the runs' numbers; sets: labels as label_sets() gives them."""
    first, parts = next(iter(runs.values())), []
    for number, run in runs.items():
        matrix = confusion(run).tolist() if not run.scale.counted else None
        words = [level.word for level in run.scale.fine]
        parts.append(RunPart(number, scores[number], words, matrix, hits_of_parts(run)))
    groups, _ = label_groups(first.scale)
    errors = {n: group_errors(run) for n, run in runs.items() if run.scale == first.scale and run.scale.counted}
    bins = {number: score.reliability for number, score in scores.items() if score.reliability}
    drawn = draw_errors(groups, errors, first.scale.unit) if errors else None
    sizes = {name: len(labels) for name, labels in sets.items()}
    panels = parts, groups, errors, drawn, bins, draw_reliability(bins) if bins else None
    return Section(first.dataset, first.scale, *panels, sizes, distribution(first.scale, sets))


def confusion(run: Predictions) -> np.ndarray:
    """Counts of (label, prediction): (levels, levels), rows labels; a last column, if any, unparsed."""
    from sklearn.metrics import confusion_matrix

    levels = list(range(run.scale.lo, run.scale.hi + 1))
    columns = [*levels, UNPARSED] if (run.pred == UNPARSED).any() else levels
    return confusion_matrix(run.label, run.pred, labels=columns)[: len(levels)]


def distances(run: Predictions) -> np.ndarray:
    """How far each prediction is from its label, (n,), in the scale's unit; inf where it is unparsed."""
    return np.where(run.pred == UNPARSED, np.inf, np.abs(run.pred - run.label))


def hits(run: Predictions) -> np.ndarray:
    """Rows that the run predicts correctly, (n,): the level itself, or at most 5 years off."""
    return distances(run) <= (CLOSE if run.scale.unit == "years" else 0)


def hits_of_parts(run: Predictions) -> list[int] | None:
    """How many rows have both parts correct, only the coarse one, only the fine one, neither; and lack a part.

    None where the strategy asks for no coarse prediction.
    """
    if not STRATEGIES[run.strategy].coarse:
        return None
    both = both_parts(run)
    coarse, fine = run.coarse_pred == coarse_index(run.scale, run.label), hits(run)
    pairs = (coarse & fine, coarse & ~fine, ~coarse & fine, ~coarse & ~fine)
    return [int((pair & both).sum()) for pair in pairs] + [int((~both).sum())]


def label_groups(scale: Scale) -> tuple[list[str], np.ndarray]:
    """(names, group of each label, lowest first): groups of five, or the levels themselves."""
    if not scale.counted:
        return [level.word for level in scale.fine], np.arange(len(scale.fine))
    labels = np.arange(scale.lo, scale.hi + 1)
    starts = np.unique(labels // GROUP * GROUP)
    ends = [(max(start, scale.lo), min(start + GROUP - 1, scale.hi)) for start in starts]
    names = [f"{lo}–{hi}" if lo < hi else str(lo) for lo, hi in ends]
    return names, (labels // GROUP) - starts[0] // GROUP


def group_errors(run: Predictions) -> list[GroupError | None]:
    """The errors of each group of labels; None without parsed rows."""
    (names, group), median = label_groups(run.scale), run.median
    error, row_group = (median - run.label).astype(float), group[run.label - run.scale.lo]
    rows = [error[(median != UNPARSED) & (row_group == number)] for number in range(len(names))]
    return [GroupError(len(row), abs(row).mean(), row.mean()) if len(row) else None for row in rows]


def distribution(scale: Scale, sets: Mapping[str, np.ndarray]) -> list[tuple[str, dict[str, float]]]:
    """Of each level or group, its share of every set of labels (n,), n > 0. Groups that no set has are left out."""
    names, group = label_groups(scale)
    counts = {key: np.bincount(group[labels - scale.lo], minlength=len(names)) for key, labels in sets.items()}
    rows = [
        (name, {key: float(count[i] / len(sets[key])) for key, count in counts.items()}) for i, name in enumerate(names)
    ]
    return rows if not scale.counted else [row for row in rows if any(row[1].values())]


def label_sets(runs: Collection[Predictions], scales: Mapping[str, Scale]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The labels of a dataset's train and test rows, or of the predicted rows if no run has a test file.

    Also returns a line for each file that cannot be read.
    """
    joined = next((run for run in runs if run.data), None)
    if joined is None:
        return {"rows predicted": next(iter(runs)).label}, []
    test = joined.data
    train = test.with_name("_train".join(test.name.rsplit("_test", 1)))
    sets, errors = {}, []
    for name, file in {"train": train, "test": test}.items():
        try:
            if name == "test" and len(joined.label) == joined.n_test:
                sets[name] = joined.label
            elif name == "test" or (train != test and train.is_file()):
                sets[name] = labels_in(file, joined.scale, scales)
        except (OSError, ValueError) as error:
            errors.append(describe(error))
    return sets, errors


def labels_in(file: Path, scale: Scale, scales: Mapping[str, Scale]) -> np.ndarray:
    """The labels of a built file, in its order. Raises ValueError naming a row of another scale."""
    labels = []
    for example in read_examples(file, scales):
        if example.scale != scale:
            raise ValueError(f"{file}, id {example.id!r}: scale {example.scale.name}, not {scale.name}; left out")
        labels.append(example.label)
    if not labels:
        raise ValueError(f"{file}: the file is empty; left out")
    return np.array(labels)
