"""Decisions from a posterior are the best for their metric, and calibration is measured as defined."""

import numpy as np
import pytest

from eval.inference import posterior
from eval.scoring.metrics import METRICS, value
from eval.scoring.weighted_rows import distinct
from storm.datasets import SCALES
from tests.helpers.predictions import predictions

RNG = np.random.default_rng(0)
PROBS = RNG.dirichlet(np.full(7, 0.7), 300)
COLUMNS = np.arange(7)


def metric(name: str, probs: np.ndarray, labels: np.ndarray) -> float:
    """A metric of distributions over the columns 0 .. K-1, of which the labels are numbers."""
    levels = SCALES["spaq"]
    padded = np.pad(probs, ((0, 0), (0, levels.hi + 1 - probs.shape[1])))
    score = value(METRICS[name], distinct(predictions("spaq", labels, probs=padded))[0])
    return score * levels.hi / (probs.shape[1] - 1) if name == "rps" else score  # RPS is over K - 1


def test_normalized_answers_sum_to_one_and_the_mass_is_kept():
    logp = np.log(PROBS) - 3.0
    probs, mass = posterior.normalize(logp)
    assert np.allclose(probs, PROBS) and np.allclose(mass, -3.0)


def test_the_median_has_the_smallest_expected_absolute_error():
    expected = np.abs(COLUMNS[:, None] - COLUMNS) @ PROBS.T  # (choice, row)
    chosen = expected[posterior.median(PROBS), np.arange(len(PROBS))]
    assert np.allclose(chosen, expected.min(0))
    assert (expected[posterior.mode(PROBS), np.arange(len(PROBS))] > chosen + 1e-9).any(), "the mode is not"


def test_the_mean_has_the_smallest_expected_squared_error():
    at = posterior.mean(PROBS)
    error = ((COLUMNS - at[:, None]) ** 2 * PROBS).sum(1)
    for step in (-0.1, 0.1):
        assert (((COLUMNS - at[:, None] - step) ** 2 * PROBS).sum(1) > error).all()


def test_a_tie_at_one_half_is_the_lower_level():
    assert posterior.median(np.array([[0.5, 0.5], [0.1 + 0.2 + 0.2, 0.5]])).tolist() == [0, 0]


def test_entropy_runs_from_certain_to_no_idea():
    assert posterior.entropy(np.array([[0, 1.0, 0], [1 / 3] * 3])) == pytest.approx([0, np.log(3)])
    assert str(posterior.entropy(np.array([[1.0, 0]]))[0]) == "0.0", "a table does not say -0.0"


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_temperature_that_spoiled_a_posterior_is_found(temperature):
    probs = RNG.dirichlet(np.full(5, 0.8), 20_000)
    labels = (probs.cumsum(1) > RNG.random((len(probs), 1))).argmax(1)
    spoiled = posterior.temper(probs, 1 / temperature)
    fitted = posterior.fit_temperature(spoiled, labels)
    assert fitted == pytest.approx(temperature, rel=0.05)
    better, worse = (metric("ece", p, labels) for p in (posterior.temper(spoiled, fitted), spoiled))
    assert better < 0.02 < worse
    assert (posterior.mode(spoiled) == posterior.mode(posterior.temper(spoiled, fitted))).all()


def test_calibration_error_of_hand_made_rows():
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    labels = np.array([0, 1, 0, 0])  # sure: half are correct; unsure: all are
    assert metric("ece", probs, labels) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)
    assert [bin["n"] for bin in posterior.reliability(probs, labels)] == [2, 2]


def test_ranked_probability_score_by_hand_and_at_its_ends():
    probs = np.array([[0.2, 0.5, 0.3]])
    assert metric("rps", probs, np.array([1])) == pytest.approx((0.2**2 + 0.3**2) / 2)
    sure = np.array([[0.0, 0.0, 1.0]])
    assert metric("rps", sure, np.array([2])) == 0
    assert metric("rps", sure, np.array([0])) == 1


def test_the_reliability_diagram_shows_what_should_be_and_what_is():
    drawn = posterior.diagram(
        [{"n": 4, "confidence": 0.9, "accuracy": 0.5}, {"n": 2, "confidence": 0.2, "accuracy": 0.4}], 10
    )
    assert drawn.splitlines() == [
        "  confidence 0.90, accuracy 0.50  #####    |  n 4",
        "  confidence 0.20, accuracy 0.40  ##|#        n 2",
    ]


def test_what_is_no_probability_is_no_answer():
    from eval.inference.output_rows import predictions
    from storm.scales import IQA

    logp = np.log(np.array([[0.1, 0.2, 0.3, 0.2, 0.2], [np.nan, 0.2, 0.3, 0.2, 0.2], [3.0, 1, 1, 1, 1]]))
    good, nan, large = predictions(logp, IQA, "cot")
    assert good["mass"] == 1 and good["predict"]
    for row in (nan, large, *predictions(logp[1:], IQA, "cot"), *predictions(np.full((1, 5), -np.inf), IQA, "cot")):
        assert row.keys() == {"predict", "error"} and row["predict"] == ""
