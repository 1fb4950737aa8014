"""Metrics of resamples against scikit-learn, SciPy and dlordinal, and intervals against the truth."""

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from storm.scales import coarse_of
from storm.datasets import SCALES
from eval.inference import posterior
from eval.scoring import scores
from eval.scoring.interval import interval
from eval.scoring.metrics import UNPARSED, quadratic_weighted_kappa, within
from eval.scoring.bootstrap import applies, cells, metrics, replicates, resampled, units
from eval.scoring.runs import Answers

RNG = np.random.default_rng(0)


def answers(name: str, label, said=None, *, probs=None, subject=None, strategy="cot") -> Answers:
    """A run on a dataset; the coarse thought is the right one for the rating in most rows, or missing."""
    scale = SCALES[name]
    label = np.asarray(label)
    said = np.asarray(probs.argmax(1) + scale.lo if said is None else said)
    rng = np.random.default_rng(zlib.crc32(label.tobytes()))
    group = {value: scale.coarse.index(coarse_of(scale, value)) for value in range(scale.lo, scale.hi + 1)}
    coarse = np.array([UNPARSED if s == UNPARSED or rng.random() < 0.1 else group[s] for s in said])
    coarse = np.where((coarse != UNPARSED) & (rng.random(len(said)) < 0.2), (coarse + 1) % len(scale.coarse), coarse)
    lines, path = np.arange(1, len(label) + 1), Path(f"{name}.jsonl")
    return Answers(Path("."), path, name, scale, strategy, label, said, coarse, lines, probs, subject=subject)


def made(name: str, n: int, unparsed: float = 0.1, **more) -> Answers:
    scale = SCALES[name]
    label = RNG.integers(scale.lo, scale.hi + 1, n)
    near = np.clip(label + RNG.integers(-2, 3, n), scale.lo, scale.hi)
    return answers(name, label, np.where(RNG.random(n) < unparsed, UNPARSED, near), **more)


def exact(name: str, n: int, **more) -> Answers:
    scale = SCALES[name]
    label = RNG.integers(scale.lo, scale.hi + 1, n)
    distance = np.arange(scale.lo, scale.hi + 1) - label[:, None] - RNG.normal(0, 1, (n, 1))
    probs = np.exp(-np.abs(distance) + RNG.normal(0, 0.3, distance.shape))
    return answers(name, label, probs=probs / probs.sum(1, keepdims=True), **more)


@pytest.mark.slow  # dlordinal imports torch
def test_scores_agree_with_scikit_learn_scipy_and_dlordinal():
    """To 1e-9, over all metrics that others have, on random data without unparsed answers."""
    from dlordinal.metrics import accuracy_off1, amae, ranked_probability_score

    for name in ("spaq", "adience", "eyepacs"):
        run = exact(name, 400)
        score, _ = scored.score(run)
        y, said, probs = run.label, run.said, run.probs
        median, mean = posterior.median(probs) + run.scale.lo, probs @ np.arange(run.scale.lo, run.scale.hi + 1)
        theirs = {
            "acc": sk.accuracy_score(y, said),
            "off_by_one": accuracy_off1(y, said, labels=list(range(run.scale.lo, run.scale.hi + 1))),
            "mae": sk.mean_absolute_error(y, median),
            "qwk": sk.cohen_kappa_score(y, said, weights="quadratic"),
            "srcc": stats.spearmanr(y, mean).statistic,
            "plcc": stats.pearsonr(y, mean).statistic,
            "rps": ranked_probability_score(y, probs) / (probs.shape[1] - 1),
        }
        assert {key: score[key] for key in theirs} == pytest.approx(theirs, abs=1e-9)
        by_class = [sk.mean_absolute_error(y[y == k], median[y == k]) for k in np.unique(y)]
        assert np.mean(by_class) == pytest.approx(amae(y, median), abs=1e-9), "dlordinal's MAE is ours, class by class"


@pytest.mark.parametrize(
    "run",
    [
        made("spaq", 300),
        made("adience", 200, strategy="direct"),
        made("utk", 300),
        exact("spaq", 250),
        exact("morph", 60),
        made("hci", 150, subject=np.sort(RNG.integers(0, 40, 150))),
        exact("hci", 150, subject=np.unique(RNG.integers(0, 40, 150), return_inverse=True)[1]),
    ],
    ids=["levels", "direct", "years", "exact", "exact years", "people", "exact people"],
)
def test_every_resample_has_the_scores_of_its_rows(run):
    """The vectorised metrics are those of eval/metrics.py (scikit-learn's, SciPy's) on the rows drawn."""
    found, names = cells(run), applies(run)
    everything = metrics(found, np.bincount(found.of_row)[None].astype(float), names)
    score, _ = scored.score(run)
    assert {name: everything[name][0] for name in names} == pytest.approx(
        {name: score[name] for name in names}, abs=1e-9
    )
    rows = RNG.integers(0, len(run.label), len(run.label))
    parts = {name: getattr(run, name)[rows] for name in ("label", "said", "coarse", "line")}
    drawn = replace(run, **parts, probs=None if run.probs is None else run.probs[rows], subject=None)
    counts = np.bincount(found.of_row[rows], minlength=len(found.label))[None].astype(float)
    ours, theirs = metrics(found, counts, names), scored.score(drawn)[0]
    assert {name: ours[name][0] for name in names} == pytest.approx({name: theirs[name] for name in names}, abs=1e-9)


def test_people_are_drawn_with_all_their_rows():
    subject = np.repeat([0, 1, 2], [5, 1, 3])
    for counts in resampled(np.arange(9), subject, 0, 50):
        of_person = [counts[:, subject == person] for person in range(3)]
        assert all((rows == rows[:, :1]).all() for rows in of_person)
        assert (sum(rows[:, 0] for rows in of_person) == 3).all()


@pytest.mark.parametrize("cells_of_rows", [np.zeros(7, int), np.array([0, 0, 1, 1, 2, 2, 2]), np.arange(7)])
def test_a_resample_is_as_large_as_the_sample(cells_of_rows):
    (counts,) = resampled(cells_of_rows, None, 0, 200)
    assert (counts.sum(1) == 7).all()
    assert counts.mean(0) == pytest.approx(np.bincount(cells_of_rows), abs=0.4)


def test_the_same_every_time_and_whatever_else_is_scored():
    run = made("spaq", 100)
    assert scored.score(run)[0]["intervals"] == scored.score(run)[0]["intervals"]
    assert not np.array_equal(replicates(run)["acc"], replicates(replace(run, dataset="koniq"))["acc"])


def test_intervals_agree_with_scipys_bootstrap():
    run = made("spaq", 400, unparsed=0)
    error = np.abs(run.label - run.said)
    theirs = stats.bootstrap((error,), np.mean, n_resamples=20_000, method="percentile", rng=0).confidence_interval
    ours = interval(replicates(run, 20_000)["mae"], units(run), "mae")
    assert ours == pytest.approx(tuple(theirs), abs=0.01)


def test_where_there_is_nothing_to_resample_the_interval_is_not_a_point():
    right = answers("spaq", [0, 1, 2, 3] * 15, [0, 1, 2, 3] * 15)
    low, high = scored.score(right)[0]["intervals"]["acc"]
    assert high == 1 and low == pytest.approx(0.025 ** (1 / 60)), "Clopper and Pearson"
    one = answers("spaq", [1, 2], [1, 1], subject=np.array([0, 0]))
    assert scored.score(one)[0]["intervals"]["acc"] is None, "one person says nothing about others"


def people(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(label, said, subject) of n rows of about n/3 people, some of whom are harder to rate than others."""
    subject = np.unique(rng.integers(0, n // 3, n), return_inverse=True)[1]
    hard = rng.beta(1, 1.5, subject.max() + 1)[subject]
    return _rated(rng, hard) + (subject,)


def strangers(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, None]:
    return _rated(rng, np.full(n, 0.4)) + (None,)


def _rated(rng: np.random.Generator, hard: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels 1 .. 3 and answers that are one level off with probability `hard`: ACC .6, MAE .4."""
    label = rng.integers(1, 4, len(hard))
    return label, label + (rng.random(len(hard)) < hard) * rng.choice([-1, 1], len(hard))


@pytest.mark.slow
@pytest.mark.parametrize("drawn", [strangers, people])
@pytest.mark.parametrize("n", [132, 2000])
def test_intervals_cover_the_truth_as_often_as_they_say(drawn, n):
    """95% of intervals must hold the truth; of 1,000, 93% to 97% (the simulation's own error is 0.7%)."""
    rng = np.random.default_rng(n)
    held = {"acc": 0, "mae": 0}
    for _ in range(1000):
        label, said, subject = drawn(rng, n)
        run = answers("spaq", label, said, subject=subject, strategy="direct")
        run.dataset = f"{rng.integers(1 << 30)}"  # it seeds the resampling
        found = replicates(run)
        for metric, truth in (("acc", 0.6), ("mae", 0.4)):
            low, high = interval(found[metric], units(run), metric)
            held[metric] += low <= truth <= high
    assert 930 <= held["acc"] <= 970 and 930 <= held["mae"] <= 970, held


@pytest.mark.slow
@pytest.mark.parametrize("too_sure", [1.0, 1.3], ids=["calibrated", "too sure"])
@pytest.mark.parametrize("n", [132, 500])
def test_intervals_of_calibration_cover_the_truth(too_sure, n):
    """ECE is biased: of a calibrated model it is .03 at n = 500 and 0 in truth. At least 93% hold it, of 200."""

    def drawn(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        logits = rng.normal(0, 1.5, (n, 5))
        probs, said = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (logits, too_sure * logits))
        return probs, said

    probs, said = drawn(np.random.default_rng(0), 400_000)
    right = probs[np.arange(len(probs)), said.argmax(1)]
    bin = np.minimum((said.max(1) * posterior.BINS).astype(int), posterior.BINS - 1)
    truth = np.abs(np.bincount(bin, said.max(1) - right)).sum() / len(probs) if too_sure > 1 else 0
    rng, held = np.random.default_rng(n), 0
    for _ in range(200):
        probs, said = drawn(rng, n)
        label = (probs.cumsum(1) > rng.random((n, 1))).argmax(1)
        run = answers("spaq", label, probs=said, strategy="direct")
        run.dataset = f"{rng.integers(1 << 30)}"
        low, high = scored.score(run)[0]["intervals"]["ece"]
        held += low <= truth <= high
    assert held >= 186 and (truth > 0.05 or too_sure == 1), held


def test_an_interval_is_of_the_rows_that_a_metric_is_about():
    """Of 200 answers, five have a coarse thought: that all five agree with the rating says little."""
    run = answers("spaq", [1, 2, 3, 0] * 50, [1, 2, 3, 0] * 50)
    group = [run.scale.coarse.index(coarse_of(run.scale, label)) for label in run.label[:5]]
    few = replace(run, coarse=np.array([*group, *[UNPARSED] * 195]))
    low, high = scored.score(few)[0]["intervals"]["consistent"]
    assert (low, high) == (pytest.approx(0.025 ** (1 / 5)), 1)
    people = replace(few, subject=np.array([0, 0, 1, 2, 3, *range(4, 199)]))
    assert scored.score(people)[0]["intervals"]["consistent"][0] == pytest.approx(0.025 ** (1 / 4))


def test_off_by_one_and_kappa_leave_unparsed_out_or_wrong():
    label, said = np.array([0, 1, 2, 3]), np.array([1, 1, UNPARSED, 0])
    assert within(label, said, 1) == 2 / 4
    ours = quadratic_weighted_kappa(label, said, lo=0, hi=3)
    assert ours == sk.cohen_kappa_score([0, 1, 3], [1, 1, 0], labels=[0, 1, 2, 3], weights="quadratic")
    assert quadratic_weighted_kappa(np.array([2, 2]), np.array([2, 2]), lo=0, hi=3) is None, "no spread"


def test_a_level_that_nobody_has_is_a_distance_all_the_same():
    """Of 0, 1, 9 on a scale of ten, scikit-learn alone takes 9 for the neighbour of 1."""
    label, said = np.array([0, 1, 9, 9, 1]), np.array([0, 9, 9, 1, 1])
    o, e = ((label - said) ** 2).sum(), ((label[:, None] - said) ** 2).sum() / 5
    assert quadratic_weighted_kappa(label, said, lo=0, hi=9) == pytest.approx(1 - o / e)
