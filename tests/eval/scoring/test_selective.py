"""Risk and coverage: what is taken first, ties, and what the sense of doubt of a model is worth."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from eval.scoring import scores
from eval.scoring.bootstrap import replicates
from eval.scoring.interval import interval
from eval.scoring.metrics import METRICS, UNPARSED, value
from eval.scoring.selective import confidence, curve, losses, surest
from eval.scoring.weighted_rows import distinct
from tests.helpers.predictions import exact_predictions, predictions


def of(run, name: str) -> float | None:
    return value(METRICS[name], distinct(run)[0])


def levels(sure: list[float], label: list[int]):
    """Rows that predict level 2, with these probabilities."""
    probs = np.array([[(1 - p) / 4] * 2 + [p] + [(1 - p) / 4] * 2 for p in sure])
    return predictions("spaq", label, probs=probs)


def test_the_surest_rows_come_first():
    run = levels([0.5, 0.9, 0.7, 0.8], [0, 2, 0, 2])
    assert [of(run, f"acc_at_{percent}") for percent in (50, 80, 90)] == pytest.approx([1, 2 / 3.2, 2 / 3.6])
    assert of(run, "aurc") == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)
    assert surest(run, 50).tolist() == [False, True, False, True]


def test_equal_rows_count_as_the_mean_of_all_their_orders():
    sure, label = [0.6, 0.8, 0.6, 0.6], [2, 2, 0, 1]
    areas = []
    for order in permutations([0, 2, 3]):
        loss = np.array([0, *(label[at] != 2 for at in order)])
        areas.append(np.mean(np.cumsum(loss) / np.arange(1, 5)))
    run = levels(sure, label)
    assert of(run, "aurc") == pytest.approx(np.mean(areas))
    assert of(levels(sure[::-1], label[::-1]), "aurc") == pytest.approx(np.mean(areas)), "whatever the file's order"
    assert of(run, "acc_at_50") == pytest.approx((1 + 1 / 3) / 2)
    assert surest(run, 50).all(), "each of the equal rows counts in part"


def test_a_model_without_doubt_has_the_risk_of_all_rows():
    run = levels([0.7] * 10, [2] * 6 + [1] * 4)
    assert [of(run, name) for name in ("aurc", "acc_at_50", "acc_at_90")] == pytest.approx([0.4, 0.6, 0.6])


def test_ages_are_taken_by_their_expected_error():
    """One that is spread over two far ages has a likelier mode than a narrow peak, and is less sure."""
    probs = np.zeros((2, 62 - 14 + 1))
    probs[0, [0, 40]] = 0.6, 0.4
    probs[1, 20:23] = 0.3, 0.4, 0.3
    run = predictions("cacd", [54, 35], probs=probs)
    assert confidence(run).tolist() == pytest.approx([-16, -0.6])
    assert losses(run).tolist() == [40, 0]
    assert (of(run, "mae_at_50"), of(run, "aurc")) == (0, 10)
    assert of(run, "acc_at_50") is None or not METRICS["acc_at_50"].applies(run)


def test_unreadable_images_come_last_and_are_wrong_or_left_out():
    for name, full in (("spaq", "acc"), ("morph", "mae")):
        run = exact_predictions(name, 40)
        run.probs[:10] = np.nan
        run.pred[:10] = UNPARSED
        (*_, last) = curve(distinct(run)[0])
        assert last["coverage"] == 1
        assert last["risk"] == pytest.approx(of(run, "mae") if full == "mae" else 1 - of(run, "acc"))
        assert not surest(run, 50)[:10].any()
    run.probs[:] = np.nan
    assert of(run, "aurc") is None and curve(distinct(run)[0]) == [] and not surest(run, 50).any()


def test_the_curve_is_in_the_scores_of_exact_runs_only():
    run = exact_predictions("spaq", 200)
    points = scores.score(run).to_json()["risk_coverage"]
    assert [point["coverage"] for point in points] == [n / 50 for n in range(1, 51)]
    assert points[24]["risk"] == pytest.approx(1 - of(run, "acc_at_50"))
    assert "risk_coverage" not in scores.score(replace(run, probs=None)).to_json()


def test_where_nothing_is_wrong_the_interval_is_not_a_point():
    """Clopper and Pearson's, of the rows that are taken."""
    run = levels(np.linspace(0.5, 0.9, 60).tolist(), [0] * 10 + [2] * 50)
    assert scores.score(run).intervals["acc_at_50"] == (pytest.approx(0.025 ** (1 / 30)), 1)


def test_intervals_hold_the_truth():
    """Of a population in which a row of confidence c is right with probability c, uniform in .2 .. 1: of the surest
    80%, c is .68 on average, and the risk at coverage u is .4 u. (Of 500 runs: 94% of the intervals of AURC.)"""
    rng, n, runs = np.random.default_rng(5), 300, 60
    truth, hits = {"acc_at_80": 0.68, "aurc": 0.2}, {"acc_at_80": 0, "aurc": 0}
    for number in range(runs):
        sure = rng.uniform(0.2, 1, n)
        label = np.where(rng.random(n) < sure, 2, 0)
        run = replace(levels(sure.tolist(), label.tolist()), dataset=f"simulated {number}")
        drawn = replicates(run, 500)
        for metric, middle in truth.items():
            low, high = interval(drawn[metric], n, METRICS[metric])
            hits[metric] += low <= middle <= high
    assert all(count / runs >= 0.88 for count in hits.values()), hits
