"""Metrics against plain arithmetic, row by row."""

import numpy as np
import pytest

from eval.scoring.metrics import UNPARSED, accuracy, constant_baseline, mean_absolute_error, worst_mean_absolute_error

Y_TRUE = np.array([0, 1, 2, 3, 4, 4])
Y_PRED = np.array([0, 2, UNPARSED, 0, 4, UNPARSED])


def test_accuracy_counts_unparsed_as_wrong():
    assert accuracy(Y_TRUE, Y_PRED) == 2 / 6


def test_mae_leaves_unparsed_out():
    assert mean_absolute_error(Y_TRUE, Y_PRED) == (0 + 1 + 3 + 0) / 4


def test_worst_mae_gives_unparsed_the_farthest_end():
    assert worst_mean_absolute_error(Y_TRUE, Y_PRED, lo=0, hi=4) == (0 + 1 + 2 + 3 + 0 + 4) / 6
    years = worst_mean_absolute_error(np.array([20, 70]), np.array([UNPARSED] * 2), lo=16, hi=77)
    assert years == (57 + 54) / 2


def test_nothing_parsed_has_no_mae():
    assert mean_absolute_error(Y_TRUE, np.full(6, UNPARSED)) is None


def test_constant_baseline_is_the_best_constant():
    rng = np.random.default_rng(0)
    for _ in range(50):
        y = rng.integers(0, 5, rng.integers(1, 12))
        best_acc = max(np.mean(y == c) for c in range(5))
        best_mae = min(np.mean(np.abs(y - c)) for c in range(5))
        assert constant_baseline(y) == pytest.approx((best_acc, best_mae))
