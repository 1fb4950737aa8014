"""The sign-flip test agrees with counting all signs, and its p, intervals and power hold what they promise."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from eval.scoring import compare, power, sign_flip
from eval.scoring.comparison_table import power_lines
from eval.scoring.pairing import differences
from eval.scoring.paper import DATASETS
from storm.datasets import SCALES
from tests.helpers.predictions import exact_predictions, predictions

RNG = np.random.default_rng(1)
SUBJECTS = np.arange(250) % 25


@pytest.mark.parametrize("n", [1, 2, 5, 9, 12])
def test_p_is_the_share_of_all_signs(n):
    signs = np.array(list(itertools.product((1, -1), repeat=n)))
    for unit in (1, 1, 3):
        sums = RNG.integers(-6, 9, n) * unit
        totals = np.abs(signs @ sums)
        assert sign_flip.p_value(sums) == pytest.approx((totals >= abs(sums.sum())).mean() if sums.any() else 1)


@pytest.mark.parametrize(("better", "of"), [(170, 300), (700, 1000), (21_800, 43_000), (16, 16)])
def test_for_right_and_wrong_it_is_mcnemars_exact_test(better, of):
    sums = np.repeat([1, -1, 0], [better, of - better, 200])
    theirs = stats.binomtest(better, of).pvalue
    assert sign_flip.p_value(sums) == pytest.approx(max(theirs, sign_flip.LEAST), rel=1e-6)


def test_p_and_drawn_p_agree_with_scipys_permutation_test():
    sums = RNG.integers(-9, 13, 25)
    theirs = stats.permutation_test(
        (sums,), np.sum, permutation_type="samples", n_resamples=40_000, rng=np.random.default_rng(0)
    ).pvalue
    assert sign_flip.p_value(sums) == pytest.approx(theirs, abs=0.01)
    drawn = sign_flip.draws(sums, np.ones(25, int), "spaq")[0]
    assert sign_flip.drawn_p(sums.sum(), drawn) == pytest.approx(theirs, abs=0.02)


def test_thousands_of_subjects_of_many_sizes_are_counted_and_rounding_does_not_show():
    sums = RNG.integers(-90, 92, 16_000)
    z = sums.sum() / np.sqrt((sums.astype(float) ** 2).sum())
    assert sign_flip.p_value(sums) == pytest.approx(2 * stats.norm.sf(abs(z)), abs=1e-3)
    assert sign_flip.p_value(np.full(16_000, 7)) == sign_flip.LEAST


def test_random_signs_have_the_moments_of_signs():
    sums, rows = RNG.integers(-9, 13, 40), np.repeat([2, 3], 20)
    sums[5:12] = 4  # a few that are drawn together
    flipped, sizes = sign_flip.draws(sums, rows, "spaq", 20_000)
    assert flipped.std() == pytest.approx(np.sqrt(sums @ sums), rel=0.02)
    assert sizes.std() == pytest.approx(np.sqrt(rows @ rows), rel=0.02)
    assert np.mean(flipped * sizes) == pytest.approx(sums @ rows, rel=0.2)
    assert set(flipped % 2) == {sums.sum() % 2}


def test_the_interval_is_what_the_test_does_not_reject():
    """A difference is in the interval just where p of what is left without it is .05 or more."""
    sums, rows = RNG.integers(-4, 9, 30), np.full(30, 10)
    low, high = sign_flip.interval(sums.sum(), rows.sum(), sign_flip.draws(sums, rows, "spaq", 40_000))
    for end, outside in ((low, -1), (high, 1)):
        for moved, held in ((0.02 * outside, False), (-0.02 * outside, True)):
            rest = 1000 * sums - np.rint(1000 * (end + moved)).astype(int) * rows
            assert (sign_flip.p_value(rest) >= 0.05) is held


def guess(seed: int, right: float, spread: float = 0.2, subjects: np.ndarray = SUBJECTS, name: str = "spaq"):
    """A run that is right in a share of the rows, which differs between subjects; all runs have the same rows."""
    rng = np.random.default_rng(seed)
    of_subject = np.clip(right + rng.uniform(-spread, spread, subjects.max() + 1), 0, 1)
    label = np.arange(len(subjects)) % 3 + SCALES[name].lo + 1
    run = predictions(name, label, label + (rng.random(len(label)) >= of_subject[subjects]), subject=subjects)
    return replace(run, id=[f"{at}" for at in range(len(label))])


@pytest.fixture(scope="module")
def equal() -> list[compare.Comparison]:
    """ACC of 400 pairs of runs of equal skill, on 25 subjects."""
    pairs = [(guess(seed, 0.6), guess(seed + 10_000, 0.6)) for seed in range(400)]
    return [compare.comparison([differences([one], [two])[0]]) for one, two in pairs]


def test_p_of_equal_runs_is_uniform(equal):
    p = np.array([line.p for line in equal])
    for level in (0.05, 0.1, 0.25, 0.5):  # three standard errors of 400; above, p is 1 if as many are right
        assert (p <= level).mean() == pytest.approx(level, abs=3 * np.sqrt(level * (1 - level) / len(p)))
    assert p.min() < 0.01


def test_intervals_hold_the_truth(equal):
    held = np.mean([line.interval[0] <= 0 <= line.interval[1] for line in equal])
    assert 0.92 < held < 0.975


@pytest.mark.parametrize("subjects", [6, 10, 25])
def test_p_and_interval_say_the_same(subjects):
    different = set()
    for seed in range(60):
        ours, base = (
            guess(seed + more, right, 0.2, np.arange(150) % subjects) for more, right in ((0, 0.7), (900, 0.55))
        )
        for part in differences([ours], [base]):
            line = compare.comparison([part])
            low, high = line.interval
            different.add(line.p < 0.05)
            assert low >= 0 or high <= 0 if line.p < 0.05 else low <= 0 <= high, line
    assert different == {True, False}


def fourteen(right: float, subjects: np.ndarray, seed: int) -> list:
    return [guess(seed + at, right, 0.1, subjects, name) for at, name in enumerate(DATASETS)]


def test_a_large_effect_is_seen_on_each_of_14_datasets_with_25_subjects():
    lines, errors = compare.compare(fourteen(0.9, SUBJECTS, 0), fourteen(0.4, SUBJECTS, 100))
    assert not errors and len(lines) == 11 + 14 + 2
    assert {line.better for line in lines} == {"better"}
    assert all(line.p * line.tests < 0.01 for line in lines)


def test_too_few_subjects_for_so_many_comparisons():
    """Nine of 9 by chance is 1 in 256, and 14 times that is .055."""
    lines, _ = compare.compare(fourteen(0.65, np.arange(90) % 9, 0), fourteen(0.6, np.arange(90) % 9, 100))
    mae = [line for line in lines if line.metric == "mae" and line.holm is not None]
    assert len(mae) == 14 and {(line.better, line.tests, line.detectable) for line in mae} == {
        ("too few subjects", 14, None)
    }
    assert mae[0].least_p == 2**-8 and mae[0].verdict.endswith("10 would do")
    assert lines[-1].better != "too few subjects", "the mean over 14 datasets has 126"
    enough, _ = compare.compare(fourteen(0.6, np.arange(100) % 10, 0), fourteen(0.6, np.arange(100) % 10, 100))
    assert {line.better for line in enough} == {"cannot tell"}
    text = power_lines(enough)
    ends = sorted(line.detectable for line in enough if line.metric == "acc" and line.holm is not None)
    assert len(text) == 2 and f"{ends[0]:.3f}" in text[0] and f"{ends[-1]:.3f}" in text[0]


@pytest.mark.parametrize(("tests", "subjects"), [(1, 6), (2, 7), (11, 9), (14, 10)])
def test_how_many_subjects_would_do(tests, subjects):
    assert power.needed(tests, 0.05) == subjects
    assert 2.0 ** (1 - subjects) * tests <= 0.05 < 2.0 ** (2 - subjects) * tests


def test_a_detectable_difference_is_found_four_times_in_five():
    """25 subjects of 40 rows, whose differences vary; in 14 tests, .05 / 14 is the level."""
    rng, sizes = np.random.default_rng(2), np.full(25, 40)
    reached, found = [], 0
    size = 4.9 / 40  # about what is detectable
    for _ in range(400):
        sums = np.rint(rng.normal(size * 40, 6, 25)).astype(int)
        part = differences([guess(0, 0.6)], [guess(1, 0.6)])[0]
        part = replace(part, sums=sums, sizes=sizes)
        reached.append(power.detectable([part], 0.05 / 14))
        found += sign_flip.p_value(sums) < 0.05 / 14
    assert np.mean(reached) == pytest.approx(size, rel=0.05)
    assert 0.74 < found / 400 < 0.86


def test_the_same_predictions_are_no_difference_and_no_nonsense():
    run = guess(0, 0.6)
    lines, errors = compare.compare([run], [run])
    assert not errors
    for line in lines:
        assert (line.difference, line.interval, line.p, line.holm, line.detectable) == (0, None, 1, 1, None)
        assert line.better == "no subject differs"
    assert power_lines(lines) == []


def test_exact_runs_have_the_difference_of_their_scores():
    """ACC of the mode, MAE of the median."""
    one, two = (exact_predictions("utk", 200) for _ in range(2))
    two = replace(two, label=one.label)
    (line,), _ = compare.compare([one], [two])
    error = [np.abs(run.median - run.label).mean() for run in (one, two)]
    assert (line.metric, line.ours, line.base) == ("mae", pytest.approx(error[0]), pytest.approx(error[1]))
    assert line.difference == pytest.approx(error[0] - error[1])


def test_seeds_are_averaged_row_by_row():
    ours, base = [guess(seed, 0.7) for seed in (1, 2, 3)], [guess(seed, 0.6) for seed in (4, 5)]
    acc, mae = differences(ours, base)
    assert acc.ours == pytest.approx(np.mean([run.pred == run.label for run in ours]))
    assert acc.difference == pytest.approx(acc.ours - acc.base) and mae.difference == pytest.approx(mae.ours - mae.base)
    assert acc.sizes.sum() == 250 * 6, "whole numbers, in sixths"
