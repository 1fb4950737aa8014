"""Intervals of levels: contiguous, calibrated by subject, tested on other subjects, refused where they would lie."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from eval.score import main
from eval.scoring.conformal import intervals, masses, needed, threshold
from storm import provenance
from storm.datasets import SCALES
from storm.files import read_jsonl, write_jsonl
from storm.rows import Example, to_row
from tests.helpers.predictions import line

LEVELS, PARTS = np.arange(5), ("test", "val")


def test_an_interval_grows_from_the_mode_by_the_likelier_neighbor():
    probs = np.array([[0.1, 0.2, 0.4, 0.25, 0.05], [0, 0, 0, 0.5, 0.5], [0.5, 0.1, 0.1, 0.1, 0.2]])
    assert masses(probs)[0].tolist() == [0.85, 0.65, 0, 0.4, 0.95]
    assert masses(probs)[1].tolist() == [1, 1, 1, 0, 0.5]
    assert masses(probs)[2].tolist() == pytest.approx([0, 0.5, 0.6, 0.7, 0.8]), "not the far level before its neighbors"
    low, high = intervals(probs, 0.65)
    assert list(zip(low.tolist(), high.tolist())) == [(1, 3), (3, 4), (0, 2)]


def test_an_interval_holds_the_mode_and_grows_with_the_threshold():
    probs = np.random.default_rng(0).dirichlet(np.ones(7), 200)
    before = intervals(probs, 0.0)
    assert (before[0] == probs.argmax(1)).all() and (before[1] == probs.argmax(1)).all()
    for least in (0.3, 0.6, 0.9, 1.0):
        low, high = intervals(probs, least)
        assert (low <= before[0]).all() and (high >= before[1]).all()
        before = low, high
        columns = np.arange(7)
        inside = (columns >= low[:, None]) & (columns <= high[:, None])
        assert (inside == (masses(probs) <= least)).all(), "contiguous"


def test_each_subject_weighs_the_same_and_a_new_one_is_beyond_all():
    scores = np.concatenate([np.full(1000, 0.1), np.linspace(0.2, 0.9, 8)])
    subject = np.concatenate([np.zeros(1000, int), np.arange(1, 9)])
    assert threshold(scores, subject) == pytest.approx(0.9), "9 of 10"
    assert threshold(scores, np.arange(1008)) == pytest.approx(0.1), "by row, the first subject outvotes all others"
    assert threshold(np.arange(99) / 100, np.arange(99)) == 0.89, "the 90th of 99: as split conformal prediction"


@pytest.mark.parametrize(("level", "fewest"), [(0.9, 9), (0.8, 4), (0.95, 19), (0.5, 1)])
def test_too_few_subjects_are_told_how_many_would_do(level, fewest):
    assert needed(level) == fewest
    scores = np.linspace(0, 1, 100)
    assert threshold(scores, np.arange(100) % fewest, level) <= 1
    with pytest.raises(ValueError, match=f"{fewest} would do"):
        threshold(scores, np.arange(100) % max(1, fewest - 1) if fewest > 1 else np.array([], int), level)


def rated(rng, subjects: int, effect: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(probabilities, labels, subjects) of 5 to 60 rows of each subject, whom a model rates too high or too low, each
    by its own amount. effect: the standard deviation of that, in levels."""
    rows = rng.integers(5, 61, subjects)
    subject = np.repeat(np.arange(subjects), rows)
    label = rng.integers(0, 5, len(subject))
    center = label + rng.normal(0, effect, subjects)[subject] + rng.normal(0, 0.6, len(subject))
    probs = np.exp(-((LEVELS - center[:, None]) ** 2) / (2 * 0.6**2)) + 1e-6
    return probs / probs.sum(1, keepdims=True), label, subject


def held(probs, label, subject, least: float) -> float:
    """Coverage: the mean over subjects."""
    low, high = intervals(probs, least)
    inside = (low <= label) & (label <= high)
    return float((np.bincount(subject, inside) / np.bincount(subject)).mean())


def of_labels(probs, label) -> np.ndarray:
    return masses(probs)[np.arange(len(label)), label]


def test_intervals_hold_new_subjects_as_often_as_they_say():
    """A model knows the subjects of its training (an effect of 0.2 levels), and others less well (0.8). Validation rows
    drawn at random are of the first: fine for them, far off for a new subject. Validation subjects are as new ones."""
    rng, by_subject, at_random, as_seen = np.random.default_rng(0), [], [], []
    for _ in range(100):
        seen, new = rated(rng, 40, 0.2), rated(rng, 40, 0.8)
        validation = rated(rng, 40, 0.8)
        by_subject.append(held(*new, threshold(of_labels(*validation[:2]), validation[2])))
        rows = rng.permutation(len(seen[1]))
        drawn, rest = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        least = threshold(of_labels(*seen[:2])[drawn], np.arange(len(drawn)))
        at_random.append(held(*new, least))
        low, high = intervals(seen[0][rest], least)
        as_seen.append(np.mean((low <= seen[1][rest]) & (seen[1][rest] <= high)))
    assert 0.87 <= np.mean(by_subject) <= 0.93
    assert np.mean(as_seen) == pytest.approx(0.9, abs=0.02), "rows at random seem to do"
    assert np.mean(at_random) < 0.8, "and do not, for a new subject"


def test_one_subject_with_most_of_the_rows_does_not_decide():
    """Of 20 subjects, the best known has 3,000 rows. By row, intervals are too narrow for the others."""
    rng, by_subject, by_row = np.random.default_rng(1), [], []
    for _ in range(40):
        new, few, many = rated(rng, 60, 0.8), rated(rng, 19, 0.8), rated(rng, 92, 0.0)
        scores = np.concatenate([of_labels(*few[:2]), of_labels(*many[:2])])
        subject = np.concatenate([few[2], np.full(len(many[1]), 19)])
        by_subject.append(held(*new, threshold(scores, subject)))
        by_row.append(held(*new, threshold(scores, np.arange(len(scores)))))
    assert np.mean(by_subject) >= 0.87 and np.mean(by_row) < np.mean(by_subject) - 0.05


@pytest.fixture
def scored(tmp_path, monkeypatch, capsys):
    """Score 12 test subjects of koniq, calibrated on other ones: (exit code, the first of "conformal", out, err)."""
    monkeypatch.chdir(tmp_path)
    rng, scale = np.random.default_rng(0), SCALES["koniq"]

    def write(part: str, names: list[str]) -> None:
        probs, label, subject = rated(rng, len(names), 0.5)
        ids = [f"{part}{number}" for number in range(len(label))]
        pairs = zip(ids, label.tolist(), (names[number] for number in subject))
        examples = [Example(id, "koniq", f"{id}.jpg", level, scale, "cot", name) for id, level, name in pairs]
        write_jsonl(Path("data") / f"koniq_{part}.jsonl", map(to_row, examples))
        rows = [
            line("koniq", level, int(row.argmax()), id=id, dataset="koniq", probs=row.round(6).tolist())
            for id, level, row in zip(ids, label.tolist(), probs)
        ]
        Path(part).mkdir()
        (Path(part) / f"koniq_{part}.jsonl").write_text("".join(rows))
        provenance.write(Path(part), {"data": {}, "trained_on": {}, "versions": {}})

    def score(validation: list[str], data: str = "data", test: int = 12) -> tuple[int, dict | None, str, str]:
        write("test", [f"t{number}" if test else "" for number in range(test or 30)])
        write("val", validation)
        code = main(
            ["test", "--calibrate", "val", "--data", data, "--json", "scores.json", "--flag-labels", "labels.csv"]
        )
        rows = json.loads(Path("scores.json").read_text())["conformal"]
        return code, rows[0] if rows else None, *capsys.readouterr()

    return score


def test_coverage_and_width_are_of_the_test_rows(scored):
    code, row, out, _ = scored([f"v{number}" for number in range(30)])
    assert code == 0 and (row["units"], row["calibrated_on"], row["unit"]) == (12, 30, "subject")
    assert 0.6 < row["coverage"] <= 1 and 1 <= row["width"] <= 5 and row["problem"] == ""
    low, high = row["coverage_interval"]
    assert low <= row["coverage"] <= high <= 1
    test, val = (np.array([line.row["probs"] for line in read_jsonl(Path(f"{p}/koniq_{p}.jsonl"))]) for p in PARTS)
    rows = {p: [line.row for line in read_jsonl(Path(f"data/koniq_{p}.jsonl"))] for p in PARTS}
    label = {p: np.array([row["label"] for row in rows[p]]) for p in PARTS}
    subject = {p: np.unique([row["subject"] for row in rows[p]], return_inverse=True)[1] for p in PARTS}
    least = threshold(of_labels(val, label["val"]), subject["val"])
    assert row["threshold"] == pytest.approx(least, abs=1e-5)
    assert row["coverage"] == pytest.approx(held(test, label["test"], subject["test"], row["threshold"]))
    assert f"{row['width']:.3f}" in out, "and the table says so"
    assert "--calibrate val --out" in out.splitlines()[-1], "the next command is the report of the same"
    with Path("labels.csv").open(newline="") as file:  # "rate3(Good)" is level 3
        ends = [[int(cells[name][4]) for name in ("lowest", "label", "highest")] for cells in csv.DictReader(file)]
    assert np.mean([low <= label <= high for low, label, high in ends]) == pytest.approx(row["coverage_rows"])
    assert np.mean([high - low + 1 for low, _, high in ends]) == pytest.approx(row["width"])


def test_of_few_subjects_the_number_that_would_do_is_said(scored):
    code, row, out, _ = scored(["a", "b", "c", "d"])
    assert code == 0 and row["coverage"] is row["threshold"] is row["width"] is None
    assert "4 validation subjects" in row["problem"] and "9 would do" in row["problem"] and row["problem"] in out


def test_subjects_that_are_scored_do_not_do(scored):
    code, row, _, error = scored([*(f"v{number}" for number in range(20)), "t3"])
    assert code == 2 and row is None and "'t3'" in error and "--split subject" in error


def test_without_the_built_files_nothing_says_the_subjects(scored, tmp_path):
    (tmp_path / "empty").mkdir()
    code, row, _, _ = scored([f"v{number}" for number in range(20)], data="empty")
    assert code == 0 and row["coverage"] is None and "--data" in row["problem"]


def test_subjects_in_one_of_the_built_files_only_do_not_do(scored):
    code, row, _, _ = scored([""] * 20)
    assert code == 0 and row["coverage"] is None and "names subjects" in row["problem"]


def test_where_no_row_has_a_subject_each_is_its_own(scored):
    code, row, _, _ = scored([""] * 20, test=0)
    assert code == 0 and row["unit"] == "row" and row["units"] == row["n"] > 100 and row["calibrated_on"] > 100
    assert row["coverage"] == pytest.approx(row["coverage_rows"])
