"""Votes: what raters say of the same image, read from the test file, and how well one of them predicts the others."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.score import main
from eval.scoring import scores
from eval.scoring.votes import raters
from storm.datasets import SCALES
from storm.files import write_jsonl
from storm.rows import Example, to_row
from tests.helpers.predictions import exact_predictions, line, predictions

SHARES = [[0, 0, 0.5, 0.5, 0], [1, 0, 0, 0, 0], [0.2, 0.2, 0.2, 0.2, 0.2]]


def test_one_rater_against_the_label_and_all_votes():
    run = predictions("ava", [2, 0, 2], [2, 2, 2])
    found = raters(replace(run, votes=np.array(SHARES)))
    assert found["n"] == 3 and found["acc"] == pytest.approx((0.5 + 1 + 0.2) / 3)
    assert found["mae"] == pytest.approx((0.5 + 0 + 1.2) / 3)
    pairs = [np.mean([abs(a - b) for a in range(5) for b in range(5)]), 0.5, 0]
    assert found["emd"] == pytest.approx(np.mean(pairs) / 4)
    assert raters(run) is None


def test_a_rater_is_as_good_as_raters_drawn_from_the_votes():
    """And the distance to the others is m / (m - 1) times as large, as the docs say."""
    rng, m, n = np.random.default_rng(0), 5, 4000
    opinions = rng.dirichlet(np.ones(5), n)
    drawn = np.array([rng.choice(5, m, p=p) for p in opinions])
    votes = np.array([np.bincount(row, minlength=5) / m for row in drawn])
    run = predictions("ava", votes.argmax(1), votes.argmax(1))
    found = raters(replace(run, votes=votes))
    assert found["acc"] == pytest.approx((drawn == run.label[:, None]).mean())
    others = np.abs(drawn[:, :1] - drawn[:, 1:]).mean() / 4
    assert found["emd"] * m / (m - 1) == pytest.approx(others, rel=0.03)


def test_rows_without_votes_are_left_out():
    run = exact_predictions("ava", 60)
    votes = np.array([SHARES[n % 3] for n in range(60)])
    votes[20:] = np.nan
    some = scores.score(replace(run, votes=votes))
    first = replace(
        run, **{name: getattr(run, name)[:20] for name in ("label", "pred", "coarse_pred", "line", "probs")}
    )
    whole = scores.score(replace(first, votes=votes[:20]))
    assert some.raters == whole.raters and some.raters["n"] == 20
    assert some.values["emd"] == pytest.approx(whole.values["emd"])
    text = scores.score(replace(run, probs=None, votes=votes))
    assert text.values["emd"] is None and text.raters == some.raters, "a text is no distribution; raters need none"


def test_a_distribution_that_is_the_votes_has_no_distance():
    votes = np.array(SHARES * 4)
    run = predictions("ava", votes.argmax(1), probs=votes + 0.0)
    values = scores.score(replace(run, votes=votes)).values
    assert values["emd"] == values["rps_votes"] == 0
    opposite = np.tile([0.0, 0, 0, 0, 1], (12, 1))
    run = predictions("ava", votes.argmax(1), probs=np.tile([1.0, 0, 0, 0, 0], (12, 1)))
    assert scores.score(replace(run, votes=opposite)).values["emd"] == 1, "from end to end of the scale"


def write(votes: list) -> None:
    """A test file in data/ with these votes, and exact predictions of it."""
    labels = [2, 0, 2, 4]
    rows = []
    for n, (label, shares) in enumerate(zip(labels, votes)):
        row = to_row(Example(f"{n}", "ava", f"{n}.jpg", label, SCALES["ava"], "cot"))
        rows.append(row | ({"votes": shares} if shares else {}))
    write_jsonl(Path("data") / "ava_test.jsonl", rows)
    probs = [0.1, 0.2, 0.4, 0.2, 0.1]
    lines = [line("ava", label, 2, id=f"{n}", dataset="ava", probs=probs) for n, label in enumerate(labels)]
    Path("ava_test.jsonl").write_text("".join(lines))


def test_votes_are_read_from_the_test_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write([*SHARES, None])
    assert main(["ava_test.jsonl", "--data", "data", "--json", "scores.json"]) == 0
    (row,) = json.loads(Path("scores.json").read_text())["scores"]
    assert row["raters"]["n"] == 3 and row["raters"]["acc"] == pytest.approx(1.7 / 3)
    cumulative = [np.abs(np.cumsum(np.array([0.1, 0.2, 0.4, 0.2, 0.1]) - shares)).sum() / 4 for shares in SHARES]
    assert row["emd"] == pytest.approx(np.mean(cumulative), abs=1e-6)
    assert "rater ACC" in capsys.readouterr().out


@pytest.mark.parametrize("votes", [[0.5, 0.5], [0.5, 0.5, 0.5, 0, 0], [2, -1, 0, 0, 0], ["1", 0, 0, 0, 0], "0.2"])
def test_votes_that_are_no_shares_are_refused_by_their_row(tmp_path, monkeypatch, capsys, votes):
    monkeypatch.chdir(tmp_path)
    write([*SHARES, votes])
    assert main(["ava_test.jsonl", "--data", "data"]) == 2
    error = capsys.readouterr().err
    assert "ava_test.jsonl, line 4" in error and "5 shares" in error
