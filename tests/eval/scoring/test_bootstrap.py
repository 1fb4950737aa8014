"""Resamples have the scores of their rows, and intervals hold the truth as often as they say."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from eval.inference import posterior
from eval.scoring import scores
from eval.scoring.bootstrap import n_drawn, replicates, resampled
from eval.scoring.interval import interval
from eval.scoring.metrics import METRICS, UNPARSED, applying
from eval.scoring.weighted_rows import compute, distinct
from storm.scales import coarse_of
from tests.helpers.predictions import RNG, exact_predictions, predictions, text_predictions


def equally_sure(run):
    probs = run.probs.round(1) + 0.01
    return replace(run, probs=probs / probs.sum(1, keepdims=True), pred=probs.argmax(1))


@pytest.mark.parametrize(
    "run",
    [
        text_predictions("spaq", 300),
        text_predictions("adience", 200, strategy="direct"),
        text_predictions("utk", 300),
        exact_predictions("spaq", 250),
        exact_predictions("morph", 60),
        equally_sure(exact_predictions("koniq", 90)),
        text_predictions("hci", 150, subject=np.sort(RNG.integers(0, 40, 150))),
        exact_predictions("hci", 150, subject=np.unique(RNG.integers(0, 40, 150), return_inverse=True)[1]),
    ],
    ids=["levels", "direct", "years", "exact", "exact years", "equally sure", "subjects", "exact subjects"],
)
def test_every_resample_has_the_scores_of_its_rows(run):
    """A metric of drawn counts is the value of a run of just these rows, each as often as it was drawn."""
    rows, index = distinct(run)
    drawn = RNG.integers(0, len(run.label), len(run.label))
    parts = {name: getattr(run, name)[drawn] for name in ("label", "pred", "coarse_pred", "line")}
    alone = scores.score(replace(run, **parts, probs=None if run.probs is None else run.probs[drawn], subject=None))
    counts = np.bincount(index[drawn], minlength=len(rows.label))[None].astype(float)
    for metric in applying(run):
        (value,) = compute(metric.function, replace(rows, counts=counts))
        assert value == pytest.approx(alone.values[metric.name], abs=1e-9), metric.name


def test_subjects_are_drawn_with_all_their_rows():
    subject = np.repeat([0, 1, 2], [5, 1, 3])
    for counts in resampled(np.arange(9), subject, "spaq", 50):
        of_subject = [counts[:, subject == number] for number in range(3)]
        assert all((rows == rows[:, :1]).all() for rows in of_subject)
        assert (sum(rows[:, 0] for rows in of_subject) == 3).all()


@pytest.mark.parametrize("index", [np.zeros(7, int), np.array([0, 0, 1, 1, 2, 2, 2]), np.arange(7)])
def test_a_resample_is_as_large_as_the_sample(index):
    (counts,) = resampled(index, None, "spaq", 200)
    assert (counts.sum(1) == 7).all()
    assert counts.mean(0) == pytest.approx(np.bincount(index), abs=0.4)


def test_the_same_every_time_and_whatever_else_is_scored():
    run = text_predictions("spaq", 100)
    assert scores.score(run).intervals == scores.score(run).intervals
    assert not np.array_equal(replicates(run)["acc"], replicates(replace(run, dataset="koniq"))["acc"])


def test_intervals_agree_with_scipys_bootstrap():
    run = text_predictions("spaq", 400, unparsed=0)
    error = np.abs(run.label - run.pred)
    theirs = stats.bootstrap((error,), np.mean, n_resamples=20_000, method="percentile", rng=0).confidence_interval
    ours = interval(replicates(run, 20_000)["mae"], n_drawn(run), METRICS["mae"])
    assert ours == pytest.approx(tuple(theirs), abs=0.01)


def test_where_there_is_nothing_to_resample_the_interval_is_not_a_point():
    right = predictions("spaq", [0, 1, 2, 3] * 15, [0, 1, 2, 3] * 15)
    low, high = scores.score(right).intervals["acc"]
    assert high == 1 and low == pytest.approx(0.025 ** (1 / 60)), "Clopper and Pearson"
    one = predictions("spaq", [1, 2], [1, 1], subject=np.array([0, 0]))
    assert scores.score(one).intervals["acc"] is None, "one person says nothing about others"


def patients(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(label, pred, subject) of n rows of about n/3 subjects, some of whom are harder to rate than others."""
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
@pytest.mark.parametrize("drawn", [strangers, patients])
@pytest.mark.parametrize("n", [132, 1000])
def test_intervals_cover_the_truth_as_often_as_they_say(drawn, n):
    """95% of intervals must hold the truth; of 1,000, 93% to 97% (the simulation's own error is 0.7%)."""
    rng = np.random.default_rng(n)
    held = {"acc": 0, "mae": 0}
    for _ in range(1000):
        label, pred, subject = drawn(rng, n)
        run = predictions("spaq", label, pred, subject=subject, strategy="direct")
        run.dataset = f"{rng.integers(1 << 30)}"  # it seeds the resampling
        found = replicates(run)
        for metric, truth in (("acc", 0.6), ("mae", 0.4)):
            low, high = interval(found[metric], n_drawn(run), METRICS[metric])
            held[metric] += low <= truth <= high
    assert 930 <= held["acc"] <= 970 and 930 <= held["mae"] <= 970, held


@pytest.mark.slow
@pytest.mark.parametrize("too_sure", [1.0, 1.3], ids=["calibrated", "too sure"])
@pytest.mark.parametrize("n", [132, 500])
def test_intervals_of_calibration_cover_the_truth(too_sure, n):
    """ECE is biased: of a calibrated model it is .03 at n = 500 and 0 in truth. At least 93% hold it, of 200."""

    def drawn(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        logits = rng.normal(0, 1.5, (n, 5))
        probs, stated = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (logits, too_sure * logits))
        return probs, stated

    probs, stated = drawn(np.random.default_rng(0), 400_000)
    right = probs[np.arange(len(probs)), stated.argmax(1)]
    bin = np.minimum((stated.max(1) * posterior.BINS).astype(int), posterior.BINS - 1)
    truth = np.abs(np.bincount(bin, stated.max(1) - right)).sum() / len(probs) if too_sure > 1 else 0
    rng, held = np.random.default_rng(n), 0
    for _ in range(200):
        probs, stated = drawn(rng, n)
        label = (probs.cumsum(1) > rng.random((n, 1))).argmax(1)
        run = predictions("spaq", label, probs=stated, strategy="direct")
        run.dataset = f"{rng.integers(1 << 30)}"
        low, high = scores.score(run).intervals["ece"]
        held += low <= truth <= high
    assert held >= 186 and (truth > 0.05 or too_sure == 1), held


def test_an_interval_is_of_the_rows_that_a_share_is_of():
    """Of 200 answers, five have a coarse prediction: that all five agree with the rating says little."""
    run = predictions("spaq", [1, 2, 3, 0] * 50, [1, 2, 3, 0] * 50)
    group = [run.scale.coarse.index(coarse_of(run.scale, label)) for label in run.label[:5]]
    few = replace(run, coarse_pred=np.array([*group, *[UNPARSED] * 195]))
    low, high = scores.score(few).intervals["consistent"]
    assert (low, high) == (pytest.approx(0.025 ** (1 / 5)), 1)
    patients = replace(few, subject=np.array([0, 0, 1, 2, 3, *range(4, 199)]))
    assert scores.score(patients).intervals["consistent"][0] == pytest.approx(0.025 ** (1 / 4))
