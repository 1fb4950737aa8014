"""What bench/objectives.py trains on, how it chooses, and when it names a winner."""

import numpy as np
import pytest

from bench.objective_scores import FEWEST, SEEDS, against_base, predictions, score_row
from bench.objective_training import Training
from bench.objectives import TRIALS, Runs, chosen
from bench.rated_crops import FEWEST as FEWEST_RATERS
from bench.rated_crops import MOST, PAIR, distort, label, raters, rows_file, split, votes
from storm.files import write_jsonl
from storm.rows import Example, to_row
from storm.scales import IQA

FLAT, LOW, HIGH = [0.2] * 5, [0.8, 0.2, 0, 0, 0], [0, 0, 0, 0.2, 0.8]


def rated(photographs: int, probs: dict[int, list[float]]) -> tuple[list[Example], list[list[float]]]:
    """Two crops of each photograph, labels 0 and 4; probs: what a model gives them, by label."""
    rows = [
        Example(
            f"{photo}_{level}",
            "demo",
            "x.png",
            level,
            IQA,
            "cot",
            f"photo{photo}",
            votes=tuple(np.eye(5)[level].tolist()),
        )
        for photo in range(photographs)
        for level in (0, 4)
    ]
    return rows, [probs[row.label] for row in rows]


def results(photographs: int, seeds: int) -> dict:
    """Of SFT, which is sometimes wrong, and an objective that is right everywhere."""
    of_seed = range(1, seeds + 1)
    wrong, right = {0: HIGH, 4: HIGH}, {0: LOW, 4: HIGH}
    return {
        name: {seed: rated(photographs, probs) for seed in of_seed} for name, probs in (("sft", wrong), ("emd", right))
    }


def test_no_photograph_is_in_two_parts_and_twelve_are_tested():
    tested = set()
    for seed in range(6):
        parts = split(seed)
        assert [len(parts[part]) for part in ("train", "val", "test")] == [11, 4, 12]
        assert len(set().union(*parts.values())) == 27 and set(PAIR) <= set(parts["train"])
        assert parts["val"] == split(0)["val"], "settings are chosen on photographs that are never tested"
        tested |= set(parts["test"])
    assert len(tested) == 21 and split(1) == split(1) != split(2)


@pytest.mark.parametrize("kind", ["noise", "grain", "stripes", "blocks", "specks"])
def test_a_lower_level_is_farther_from_the_photograph(kind):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (112, 112, 3), np.uint8)
    off = [np.abs(distort(pixels, kind, level, rng).astype(int) - pixels).mean() for level in range(5)]
    assert off == sorted(off, reverse=True) and off[4] == 0 and len(set(off)) == 5


def test_raters_disagree_around_the_level_and_the_label_is_their_mean():
    panel, rng = raters(), np.random.default_rng(0)
    counts = np.array([votes(2, panel, rng) for _ in range(2000)])
    assert set(counts.sum(1)) == set(range(FEWEST_RATERS, MOST + 1))
    assert (counts @ np.arange(5)).sum() / counts.sum() == pytest.approx(2 + panel[:, 0].mean(), abs=0.05)
    assert 0.3 < (counts[:, 2] / counts.sum(1)).mean() < 0.7, "raters would agree, or see nothing"
    assert votes(0, np.array([[-9.0, 0.1]] * MOST), rng)[0] >= FEWEST_RATERS, "votes stay on the scale"
    assert [label(np.array(row)) for row in ([5, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 1, 1, 1, 3])] == [0, 1, 3]


def test_every_objective_has_as_many_trials():
    assert {len({str(keys) for keys in trials}) for trials in TRIALS.values()} == {4}
    assert list(TRIALS) == ["sft", "soft", "expected", "emd"]


def test_the_settings_with_the_least_rps_on_val_are_chosen(tmp_path, capsys):
    rows, _ = rated(4, {0: FLAT, 4: FLAT})
    rows_file(tmp_path, "split0", "val").parent.mkdir()
    write_jsonl(rows_file(tmp_path, "split0", "val"), [to_row(row, votes=list(row.votes)) for row in rows])
    runs = Runs(tmp_path, 1, 0, 0.0, None, {})
    for number, probs in enumerate(({0: FLAT, 4: FLAT}, {0: LOW, 4: HIGH}, {0: HIGH, 4: LOW})):
        training = Training("emd", 0, "val", {"weight": number})
        runs.results[training.name] = {"probs": rated(4, probs)[1]}
    trainings = [Training("emd", 0, "val", {"weight": number}) for number in range(4)]
    trials = {number: (training, runs.start(training)) for number, training in enumerate(trainings)}
    assert chosen(runs, "emd", {number: trials[number] for number in range(3)}) == {"weight": 1}
    # FLAT for label 0 and 4: (.8^2 + .6^2 + .4^2 + .2^2) / 4.
    assert "rps 0.3000 on val: emd weight=0" in capsys.readouterr().out
    # The fourth is not there, and the time is over: nothing is chosen, and what is missing has a name.
    assert chosen(runs, "emd", trials) is None and {trainings[3].name, "emd, all seeds"} <= set(runs.missing)


@pytest.mark.parametrize(
    ("photographs", "seeds", "verdict"),
    [
        (FEWEST, SEEDS, "better"),
        (FEWEST - 1, SEEDS, "undecided"),
        (FEWEST, SEEDS - 1, "undecided"),
    ],
)
def test_a_winner_needs_photographs_and_seeds(photographs, seeds, verdict):
    rows = against_base(results(photographs, seeds))
    assert [row[:2] for row in rows] == [("emd", "MAE"), ("emd", "RPS"), ("emd", "RPS votes")]
    assert {row[-1] for row in rows} == {verdict}
    # All photographs differ in one direction: p is 2 ** (1 - photographs), times three by Holm.
    assert [row[4] for row in rows] == [2.0 ** (1 - photographs)] * 3
    assert [row[5] for row in rows] == [3 * 2.0 ** (1 - photographs)] * 3
    # MAE from 2 (4 for label 0, 0 for label 4) to 0. RPS of HIGH is (3 + .8 ** 2) / 4 for label 0, of all others .01.
    assert rows[0][2].startswith("-2.000") and rows[0][3] == "-100.0%"
    assert rows[1][2].startswith("-0.450") and rows[1][3] == f"{-0.45 / 0.46:+.1%}"


def test_one_that_loses_is_worse_and_equal_ones_cannot_be_told_apart():
    both = results(FEWEST, SEEDS)
    assert {row[-1] for row in against_base({"sft": both["emd"], "emd": both["sft"]})} == {"worse"}
    assert {row[-1] for row in against_base({"sft": both["emd"], "emd": both["emd"]})} == {"cannot tell"}


def test_rows_of_all_seeds_are_scored_together():
    of_seed = {seed: rated(FEWEST, probs) for seed, probs in ((1, {0: LOW, 4: HIGH}), (2, {0: HIGH, 4: HIGH}))}
    run = predictions("emd", of_seed)
    assert len(run.label) == 4 * FEWEST and run.subject.max() + 1 == FEWEST
    assert score_row("emd", "weight=10", of_seed)[2].startswith("0.750 ("), "ACC with its interval"
