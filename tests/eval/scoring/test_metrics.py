"""Every metric is complete, and is what plain arithmetic, scikit-learn, SciPy or dlordinal say."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from eval.scoring.interval import interval
from eval.scoring.metrics import CLOSE, METRICS, UNPARSED, Metric, value
from eval.scoring.weighted_rows import distinct
from storm.custom_scale import read
from storm.datasets import SCALES
from storm.scales import coarse_of
from tests.helpers.predictions import exact_predictions, predictions, text_predictions

LABEL = [0, 1, 2, 3, 4, 4]
PRED = [0, 2, UNPARSED, 0, 4, UNPARSED]


def of(run, name: str) -> float | None:
    return value(METRICS[name], distinct(run)[0])


def _qwk(run, y, pred, median, mean):
    return sk.cohen_kappa_score(y, pred, labels=list(range(run.scale.lo, run.scale.hi + 1)), weights="quadratic")


def _worst(run, y, pred, median, mean):
    far = np.where(run.label - run.scale.lo > run.scale.hi - run.label, run.scale.lo, run.scale.hi)
    return sk.mean_absolute_error(run.label, np.where(run.pred == UNPARSED, far, run.median))


def _consistent(run, y, pred, median, mean):
    both = (run.pred != UNPARSED) & (run.coarse_pred != UNPARSED)
    groups = [run.scale.coarse[i] for i in run.coarse_pred[both]]
    return np.mean([group.lo <= p <= group.hi for group, p in zip(groups, run.pred[both])])


def _calibration_error(run, y, pred, median, mean):
    sure = run.probs[run.has_probs].max(1).astype(float)
    bins = [(sure >= i / 15) & (sure < (i + 1) / 15 if i < 14 else True) for i in range(15)]
    return sum(abs((sure[rows] - (pred == y)[rows]).sum()) for rows in bins) / len(y)


def _coarse_label(run):
    return np.array([run.scale.coarse.index(coarse_of(run.scale, label)) for label in run.label])


def _ranked_probability(run, y, pred, median, mean):
    probs, levels = run.probs[run.has_probs], np.arange(run.probs.shape[1])
    return np.mean([np.sum((np.cumsum(p) - (levels >= label)) ** 2) for p, label in zip(probs, y - run.scale.lo)]) / (
        len(levels) - 1
    )


def _raw(run, y, pred, *more):
    parsed, values = run.pred != UNPARSED, np.array(run.scale.values)
    rating = [values[p] for p in pred] if run.probs is None else (run.probs * values).sum(1)[parsed]
    return sk.mean_absolute_error(run.score[parsed], rating)


def _sure_first(run):
    """(confidence, loss) of the rows that are taken, the surest first."""
    rows = []
    for p, label, pred in zip(run.probs.astype(float), run.label, run.median if run.scale.counted else run.pred):
        if np.isnan(p[0]):
            rows += [] if run.scale.counted else [(-np.inf, 1.0)]
        elif run.scale.counted:
            far = sum(q * abs(level - pred) for q, level in zip(p, range(run.scale.lo, run.scale.hi + 1)))
            rows.append((-round(far, 6), float(abs(pred - label))))
        else:
            rows.append((round(max(p), 6), float(pred != label)))
    return sorted(rows, key=lambda row: -row[0])


def _at_coverage(percent):
    """The loss of the surest rows, the last one counted in part; a row among equals stands for their mean."""

    def reference(run, *parsed):
        rows = _sure_first(run)
        mean = {sure: np.mean([loss for other, loss in rows if other == sure]) for sure, _ in rows}
        wanted = left = percent / 100 * len(rows)
        total = 0.0
        for sure, _ in rows:
            total, left = total + min(1.0, left) * mean[sure], left - min(1.0, left)
        return total / wanted if run.scale.counted else 1 - total / wanted

    return reference


def _area(run, *parsed):
    rows = _sure_first(run)
    mean = {sure: np.mean([loss for other, loss in rows if other == sure]) for sure, _ in rows}
    return np.mean([np.mean([mean[sure] for sure, _ in rows[: n + 1]]) for n in range(len(rows))])


def _emd(run, *parsed):
    rows = [(p, v) for p, v in zip(run.probs.astype(float), run.votes) if not np.isnan(p[0] + v[0])]
    levels = np.arange(run.probs.shape[1])
    return np.mean([stats.wasserstein_distance(levels, levels, p, v) for p, v in rows]) / (len(levels) - 1)


def _rps_votes(run, *parsed):
    rows = [(p, v) for p, v in zip(run.probs.astype(float), run.votes) if not np.isnan(p[0] + v[0])]
    return np.mean([np.sum((np.cumsum(p) - np.cumsum(v)) ** 2) / (len(p) - 1) for p, v in rows])


# Metric -> its value by others: (predictions, label, prediction, median and mean of the parsed rows).
REFERENCE = {
    "acc": lambda run, *parsed: sk.accuracy_score(run.label, run.pred),
    "mae": lambda run, y, pred, median, mean: sk.mean_absolute_error(y, median),
    "mae_raw": _raw,
    "mae_worst": _worst,
    "unparsed_rate": lambda run, y, *parsed: 1 - len(y) / len(run.label),
    "off_by_one": lambda run, y, pred, *more: np.sum(np.abs(y - pred) <= 1) / len(run.label),
    "cs5": lambda run, y, pred, median, mean: np.sum(np.abs(y - median) <= CLOSE) / len(run.label),
    "qwk": _qwk,
    "srcc": lambda run, y, pred, median, mean: stats.spearmanr(y, mean).statistic,
    "plcc": lambda run, y, pred, median, mean: stats.pearsonr(y, mean).statistic,
    "coarse_acc": lambda run, *parsed: sk.accuracy_score(_coarse_label(run), run.coarse_pred),
    "consistent": _consistent,
    "ece": _calibration_error,
    "rps": _ranked_probability,
    "aurc": _area,
    "acc_at_50": _at_coverage(50),
    "acc_at_80": _at_coverage(80),
    "acc_at_90": _at_coverage(90),
    "mae_at_50": _at_coverage(50),
    "mae_at_80": _at_coverage(80),
    "mae_at_90": _at_coverage(90),
    "emd": _emd,
    "rps_votes": _rps_votes,
    "constant_acc": lambda run, *parsed: max(np.mean(run.label == c) for c in run.label),
    "constant_mae": lambda run, *parsed: min(np.mean(np.abs(run.label - c)) for c in run.label),
}


def lacks(metric: Metric) -> list[str]:
    """What a half-done row lacks."""
    missing = [name for name in ("name", "label", "legend") if not getattr(metric, name)]
    if metric.better not in ("higher", "lower"):
        missing.append("better: higher or lower")
    if metric.bounds == (None, None) or len(metric.bounds) != 2:
        missing.append("bounds")
    if metric.name not in REFERENCE:
        missing.append("its reference in tests/eval/scoring/test_metrics.py")
    return missing


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_metric_is_complete(metric):
    assert lacks(metric) == []
    assert len(metric.legend.split()) >= 4 and metric.legend.endswith("."), "a legend is a sentence"


def test_a_half_done_metric_is_told_what_it_lacks():
    half = Metric("kendall", "", "up", (None, None), lambda rows: rows.n, legend="")
    reference = "its reference in tests/eval/scoring/test_metrics.py"
    assert lacks(half) == ["label", "legend", "better: higher or lower", "bounds", reference]
    assert not set(REFERENCE) - set(METRICS), "a reference of no metric"
    assert len({metric.label for metric in METRICS.values()}) == len(METRICS)


RUNS = {
    "levels": text_predictions("spaq", 300),
    "direct": text_predictions("adience", 200, strategy="direct"),
    "years": text_predictions("utk", 300),
    "exact": exact_predictions("eyepacs", 250),
    "exact years": exact_predictions("morph", 60),
    "unreadable images": exact_predictions("hci", 60),
}
unreadable = RUNS["unreadable images"]
unreadable.probs[::7] = np.nan
unreadable.pred[::7] = UNPARSED
votes = np.random.default_rng(2).dirichlet(np.ones(5), 250)
votes[::3] = np.nan
RUNS["votes"] = replace(RUNS["exact"], votes=votes)
RUNS["equally sure"] = replace(RUNS["exact"], probs=RUNS["exact"].probs.round(1) + 1e-3)
RUNS["equally sure"].probs /= RUNS["equally sure"].probs.sum(1, keepdims=True)
RUNS["equally sure"].pred = RUNS["equally sure"].probs.argmax(1)
OWN = read("{name: dust, rates: a shelf, levels: {A: [0, 10], B: [10, 30], C: [30, 40], D: 40, E: [50, 90]}}")
for kind in ("levels", "unreadable images"):
    lowest = np.array([lo for lo, _ in OWN.ranges])[RUNS[kind].label]
    score = lowest + np.random.default_rng(1).random(len(lowest))
    RUNS[f"own ratings, {kind}"] = replace(RUNS[kind], scale=OWN.scale, score=score)


@pytest.mark.parametrize("kind", RUNS)
def test_a_value_is_that_of_the_reference(kind):
    """To 1e-9, of every metric that applies, on random data."""
    run = RUNS[kind]
    parsed = run.pred != UNPARSED
    columns = [column[parsed] for column in (run.label, run.pred, run.median, run.mean)]
    for name, metric in METRICS.items():
        if metric.applies(run):
            assert of(run, name) == pytest.approx(REFERENCE[name](run, *columns), abs=1e-9), name
    applied = {name for name, metric in METRICS.items() for run in RUNS.values() if metric.applies(run)}
    assert applied == set(METRICS), "a metric that is not tested"


@pytest.mark.slow  # dlordinal imports torch
def test_values_agree_with_dlordinal():
    from dlordinal.metrics import accuracy_off1, amae, ranked_probability_score

    for name in ("spaq", "adience", "eyepacs"):
        run = exact_predictions(name, 400)
        y, levels = run.label, list(range(run.scale.lo, run.scale.hi + 1))
        assert of(run, "off_by_one") == pytest.approx(accuracy_off1(y, run.pred, labels=levels), abs=1e-9)
        assert of(run, "rps") == pytest.approx(
            ranked_probability_score(y, run.probs) / (run.probs.shape[1] - 1), abs=1e-9
        )
        parts = [replace(run, label=y[y == k], pred=run.pred[y == k], probs=run.probs[y == k]) for k in np.unique(y)]
        parts = [replace(part, coarse_pred=part.label, line=part.label) for part in parts]
        by_class = [of(part, "mae") for part in parts]
        assert np.mean(by_class) == pytest.approx(amae(y, run.median), abs=1e-9), "class by class"


def test_accuracy_counts_unparsed_as_wrong():
    assert of(predictions("spaq", LABEL, PRED), "acc") == 2 / 6


def test_mae_leaves_unparsed_out():
    assert of(predictions("spaq", LABEL, PRED), "mae") == (0 + 1 + 3 + 0) / 4


def test_worst_mae_gives_unparsed_the_farthest_end():
    assert of(predictions("spaq", LABEL, PRED), "mae_worst") == (0 + 1 + 2 + 3 + 0 + 4) / 6
    assert of(predictions("morph", [20, 70], [UNPARSED] * 2), "mae_worst") == (57 + 54) / 2


def test_nothing_parsed_has_no_mae_and_no_correlation():
    run = predictions("spaq", LABEL, [UNPARSED] * 6)
    undefined = ("mae", "qwk", "srcc", "plcc", "consistent")
    assert [of(run, name) for name in undefined] == [None] * len(undefined)
    assert (of(run, "acc"), of(run, "unparsed_rate")) == (0, 1)


@pytest.mark.parametrize(("label", "pred"), [([2, 2, 2], [1, 2, 3]), ([1, 2, 3], [2, 2, 2]), ([2], [2])])
def test_a_constant_side_has_no_correlation(label, pred):
    run = predictions("spaq", label, pred)
    assert of(run, "srcc") is None and of(run, "plcc") is None


def test_constant_baseline_is_the_best_constant():
    rng = np.random.default_rng(0)
    for _ in range(50):
        label = rng.integers(0, 5, rng.integers(1, 12))
        run = predictions("spaq", label, label)
        assert of(run, "constant_acc") == pytest.approx(max(np.mean(label == c) for c in range(5)))
        assert of(run, "constant_mae") == pytest.approx(min(np.mean(np.abs(label - c)) for c in range(5)))


def test_off_by_one_and_kappa_leave_unparsed_out_or_wrong():
    run = predictions("spaq", [0, 1, 2, 3], [1, 1, UNPARSED, 0])
    assert of(run, "off_by_one") == 2 / 4
    assert of(run, "qwk") == pytest.approx(
        sk.cohen_kappa_score([0, 1, 3], [1, 1, 0], labels=[0, 1, 2, 3, 4], weights="quadratic")
    )
    assert of(predictions("spaq", [2, 2], [2, 2]), "qwk") is None, "no spread"


def test_a_level_that_nobody_has_is_a_distance_all_the_same():
    """Of 1, 2 and 62 on a scale of years, scikit-learn alone takes 62 for the neighbor of 2."""
    label, pred = np.array([14, 15, 62, 62, 15]), np.array([14, 62, 62, 15, 15])
    observed, expected = ((label - pred) ** 2).sum(), ((label[:, None] - pred) ** 2).sum() / 5
    assert of(predictions("cacd", label, pred), "qwk") == pytest.approx(1 - observed / expected)


def test_correlations_of_many_equal_ages_keep_their_digits():
    """One of 200,000 rows differs: its correlation is 1, not "constant"."""
    label = np.full(200_000, 100)
    label[7] = 101
    run = predictions("utk", label, label)
    assert of(run, "plcc") == pytest.approx(1, abs=1e-9) and of(run, "srcc") == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("metric", [m for m in METRICS.values() if m.interval and not m.interval_function])
def test_an_interval_of_few_stays_within_the_bounds(metric):
    """Student's interval of four units reaches beyond what is possible, unless the row says what is."""
    low, high = metric.bounds
    ends = [low if low is not None else 0, high if high is not None else 1]
    lowest, highest = interval(np.random.default_rng(0).choice(ends, 1000).astype(float), 4, metric)
    assert (low is None or lowest >= low) and (high is None or highest <= high) and lowest < highest
    assert lowest in metric.bounds or highest in metric.bounds, "it would reach beyond"


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_value_is_within_the_bounds(metric):
    low, high = metric.bounds
    numbers = [of(run, metric.name) for run in RUNS.values() if metric.applies(run)]
    assert numbers and all((low is None or number >= low) and (high is None or number <= high) for number in numbers)


def test_scales_of_one_level_more_or_less_count_the_coarse_group_right():
    for name, scale in SCALES.items():
        labels = np.arange(scale.lo, scale.hi + 1)
        run = predictions(name, labels, labels)
        run.coarse_pred = _coarse_label(run)
        assert of(run, "coarse_acc") == of(run, "consistent") == 1
