"""Averages with what is missing named, the paper's tables beside ours, and whether one run differs from another."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.score import main
from eval.scoring import compare, paper, scores
from eval.scoring.interval import holm
from eval.scoring.metrics import UNPARSED
from eval.scoring.pairing import paired
from eval.scoring.printout import side_by_side
from storm.datasets import SCALES
from tests.helpers.predictions import line, mark_as_ours, predictions


def guess(name: str, right: float, n: int = 300, seed: int = 0, run: str = "a"):
    """A run that is right in a share of the rows, else one off; the same test rows for every seed and share."""
    rng, scale = np.random.default_rng([*name.encode()]), SCALES[name]
    label = rng.integers(scale.lo + 1, scale.hi, n)
    off = np.random.default_rng([seed, *name.encode()]).random(n) >= right
    run_of_dataset = predictions(name, label, label + off)
    return replace(run_of_dataset, run=Path(run), id=[f"{name}{i}" for i in range(n)])


def everything(right: float, seed: int = 0, run: str = "a") -> list:
    return [guess(name, right, seed=seed, run=run) for name in SCALES if name in paper.DATASETS]


@pytest.fixture(autouse=True)
def sizes(monkeypatch):
    """Test sets as large as these runs. And statsmodels collects garbage in each call: half a second in all tests."""
    monkeypatch.setattr("gc.collect", lambda *_: 0)
    monkeypatch.setattr(scores, "TEST_ROWS", dict.fromkeys(SCALES, 300))


def means(runs) -> dict[str, scores.Average]:
    return {row.name: row for row in scores.averages([*map(scores.score, runs)])}


def test_the_papers_averages_are_over_eleven_and_fourteen():
    runs = everything(0.6)
    by_dataset = {run.dataset: scores.score(run) for run in runs}
    rows = means(runs)
    assert set(rows) == {*paper.DOMAINS, "paper"}
    levels = paper.LEVELS
    assert len(levels) == 11
    acc, mae = ({name: score.values[metric] for name, score in by_dataset.items()} for metric in ("acc", "mae"))
    assert rows["paper"].values["acc"] == pytest.approx(np.mean([acc[name] for name in levels]))
    assert rows["paper"].values["mae"] == pytest.approx(np.mean(list(mae.values())))
    assert rows["FAE"].values["acc"] == acc["adience"], "Adience alone"
    assert rows["IQA"].values["mae"] == pytest.approx(np.mean([mae[n] for n in ("spaq", "challengedb", "koniq")]))
    low, high = rows["paper"].intervals["acc"]
    assert low < rows["paper"].values["acc"] < high
    wide = by_dataset["spaq"].intervals["acc"]
    assert high - low < (wide[1] - wide[0]) / 2, "eleven datasets are surer than one"


def test_no_average_over_missing_datasets_but_their_names():
    runs = [run for run in everything(0.6) if run.dataset not in ("koniq", "utk")]
    runs[0] = guess("spaq", 0.6, n=20)
    rows = means(runs)
    partial = "spaq (20 of 300 rows)"
    assert rows["IQA"].values["acc"] is None and rows["IQA"].missing["acc"] == [partial, "koniq"]
    fae = rows["FAE"]
    assert fae.values["acc"] is not None and fae.values["mae"] is None and fae.missing["mae"] == ["utk"]
    assert rows["paper"].missing["mae"] == [partial, "koniq", "utk"]
    assert rows["MDG"].missing["mae"] == [] and rows["MDG"].values["mae"] is not None


def test_runs_are_averaged_apart_and_others_datasets_not_at_all():
    rows = scores.averages([scores.score(run) for run in [*everything(0.6), *everything(0.8, run="b")]])
    assert [row.values["acc"] for row in rows if row.name == "paper"] == pytest.approx([0.6, 0.8], abs=0.05)
    assert means([replace(guess("spaq", 0.6), dataset="products")]) == {}


def test_the_papers_lines_stand_above_ours():
    scored = [scores.score(run) for run in everything(0.6, run="saves/mine")]
    averages = scores.averages(scored)
    for table, lines in (("2", "table2"), ("4", "table4"), ("5", "table5"), ("8", "table8")):
        text = side_by_side(table, scored, averages)
        shown = text.split("\n\n")[0].splitlines()
        assert len(shown) == 2 + len(paper.TABLES[lines]) + 1
        assert shown[-1].split()[:4] == ["ours:", "saves/mine", "cot", "text"]
        assert ("adience" in shown[0]) is (table != "5") and ("FAE" in shown[0]) is (table == "5")
    first = side_by_side("3", scored, averages).splitlines()
    assert "8.014" in first[7] and "~" not in first[7] and "~0.43" in first[3], "cells recovered from the average"
    mae = next(average.values["mae"] for average in averages if average.name == "paper")
    assert f"{mae:.3f} (" in first[-1]


@pytest.mark.slow
def test_a_better_run_is_called_better_and_noise_is_not():
    worse = everything(0.5, seed=1)
    rows, errors = compare.compare(everything(0.6, seed=2), worse)
    assert errors == []
    assert [row.dataset for row in rows if row.metric == "acc"][-1] == "paper's average"
    by_average = {row.metric: row for row in rows[-2:]}
    assert by_average["acc"].better == by_average["mae"].better == "better"
    assert by_average["acc"].difference == pytest.approx(0.1, abs=0.03)
    back = compare.compare(worse, everything(0.6, seed=2))[0][-1]
    assert back.better == "worse" and back.difference == pytest.approx(-rows[-1].difference)
    same, _ = compare.compare(everything(0.5, seed=3), worse)
    assert {row.better for row in same} == {"cannot tell"}


def test_holm_agrees_with_statsmodels():
    from statsmodels.stats.multitest import multipletests

    for n in (1, 2, 11):
        p = np.random.default_rng(n).random(n) ** 3
        assert holm(list(p)) == pytest.approx(multipletests(p, 0.05, "holm")[1])


def test_holm_is_stricter_than_p():
    rows, _ = compare.compare(everything(0.6, seed=2), everything(0.5, seed=1))
    acc = [row for row in rows if row.metric == "acc"][:-1]
    ordered = sorted(acc, key=lambda row: row.p)
    reached = 0
    for i, row in enumerate(ordered):  # Holm (1979), by hand
        reached = max(reached, min(1, row.p * (len(ordered) - i)))
        assert row.holm == pytest.approx(reached) and row.holm >= row.p


def test_pairing_makes_small_differences_visible():
    """Runs that share their mistakes: 2% more are right, far inside of either run's own interval."""
    base = guess("spaq", 0.6, n=2000)
    pred = base.pred.copy()
    wrong = np.flatnonzero(pred != base.label)[:40]
    pred[wrong] = base.label[wrong]
    (acc, _), _ = compare.compare([replace(base, pred=pred)], [base])
    assert acc.difference == pytest.approx(0.02) and acc.p < 0.01
    low, high = scores.score(base).intervals["acc"]
    assert low < acc.ours < high


def test_leaving_out_what_is_hard_is_not_better():
    """Both are right in the first 200 rows; of the last 100 the base is two off, and ours says nothing."""
    run = guess("eyepacs", 1, n=300)
    off = np.where(np.arange(300) < 200, run.label, (run.label + 2) % 5)
    (acc, mae), _ = compare.compare(
        [replace(run, pred=np.where(np.arange(300) < 200, run.label, UNPARSED))], [replace(run, pred=off)]
    )
    assert (mae.n, mae.ours, mae.base, mae.difference, mae.p) == (200, 0, 0, 0, 1)
    assert (acc.n, acc.difference, acc.p) == (300, 0, 1)


@pytest.mark.parametrize(("n", "better"), [(200, "better"), (6, "better"), (5, "too few rows"), (2, "too few rows")])
def test_all_rows_better_is_better_if_there_are_some(n, better):
    """Six of six by chance: 1 in 32."""
    right = guess("eyepacs", 1, n=n)
    rows, _ = compare.compare([right], [replace(right, pred=right.label - 1)])
    assert [row.better for row in rows] == [better] * 2
    assert [row.interval is None for row in rows] == [better != "better"] * 2
    assert all(0 < row.p <= 1 and row.holm == row.p for row in rows)


def test_what_hardly_any_resample_knows_is_not_concluded():
    """A baseline of which one row in 300 could be parsed: most resamples have no MAE, or one of one row."""
    ours = guess("eyepacs", 0.5)
    pred = np.full(300, UNPARSED)
    pred[7] = ours.label[7] - 2
    rows, _ = compare.compare([ours], [replace(ours, pred=pred)])
    mae = rows[-1]
    assert (mae.metric, mae.n, mae.interval, mae.p, mae.better) == ("mae", 1, None, 1, "too few rows")
    json.dumps([*map(vars, rows)], allow_nan=False)
    rows, _ = compare.compare([ours], [replace(ours, pred=np.full(300, UNPARSED))])
    assert [row.metric for row in rows] == ["acc"], "no MAE to compare"


def test_strategies_and_decodings_are_compared_apart(tmp_path, capsys):
    for strategy in ("cot", "num"):
        rows = "".join(line("spaq", i % 5, (i + (i % 3 == 0)) % 5, strategy) for i in range(61))
        for run in ("new", "old"):
            path = tmp_path / run / f"spaq_test{'_num' * (strategy == 'num')}.jsonl"
            path.parent.mkdir(exist_ok=True)
            path.write_text(rows)
    out = tmp_path / "out.json"
    for run in ("new", "old"):
        mark_as_ours(tmp_path / run)
    assert main([str(tmp_path / "new"), "--baseline", str(tmp_path / "old"), "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "new cot text against" in printed and "new num text against" in printed and "mean of these" not in printed
    assert {(row["strategy"], row["better"]) for row in json.loads(out.read_text())["comparisons"]} == {
        ("cot", "no row differs"),
        ("num", "no row differs"),
    }


def test_rows_are_paired_by_id_or_position_or_not_at_all():
    base, ours = guess("spaq", 0.5, seed=1), guess("spaq", 0.6, seed=2)
    order = np.random.default_rng(0).permutation(300)[:200]
    parts = {name: getattr(ours, name)[order] for name in ("label", "pred", "coarse_pred", "line")}
    shuffled = replace(ours, **parts, id=[ours.id[i] for i in order])
    one, two = paired(shuffled, base)
    assert one.id == two.id == shuffled.id and (one.label == two.label).all()
    nameless = replace(base, id=None)
    assert paired(ours, nameless) == (ours, nameless)
    with pytest.raises(ValueError, match=r"spaq.jsonl has 200 rows, .*300.*--data"):
        paired(replace(shuffled, id=None), base)
    moved = replace(nameless, label=np.roll(nameless.label, 1))
    with pytest.raises(ValueError, match=r"spaq.jsonl, line (\d+), label \d; spaq.jsonl, line \1, label \d: "):
        paired(ours, moved)
    with pytest.raises(ValueError, match="no id in common"):
        paired(ours, replace(base, id=[f"x{i}" for i in range(300)]))


def write(path: Path, name: str, pred: list[int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line(name, i % 5, (i + off) % 5) for i, off in enumerate(pred)), encoding="utf-8")
    return path


def test_as_a_user(tmp_path, capsys):
    """score.py RUN --baseline OTHER --table 4 --json OUT, with a dataset that the baseline lacks."""
    for name in ("spaq", "koniq"):
        write(tmp_path / "new" / name / "generated_predictions.jsonl", name, [0] * 57 + [1] * 4)
    write(tmp_path / "old" / "spaq" / "generated_predictions.jsonl", "spaq", [0] * 31 + [1] * 30)
    out = tmp_path / "out.json"
    paths = [str(tmp_path / "new"), "--baseline", str(tmp_path / "old")]
    assert main([*paths, "--table", "4", "--json", str(out)]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {tmp_path / 'new/koniq/generated_predictions.jsonl'}: ")
    assert "no ACC of IQA: spaq (61 of 300 rows), challengedb, koniq (61 of 300 rows) missing" in printed.out
    assert "verdict" in printed.out and "better" in printed.out and "Table 4, MAE" in printed.out
    saved = json.loads(out.read_text())
    assert [row["better"] for row in saved["comparisons"]] == ["better", "better"]
    assert len(saved["scores"]) == 2 and saved["errors"] and saved["averages"][0]["average"] == "IQA"


def test_subjects_in_the_test_file_widen_the_interval():
    run = guess("spaq", 0.6)
    shared = replace(
        run, subject=np.arange(300) // 10, pred=np.where(np.arange(300) // 10 % 2, run.label, run.label + 1)
    )
    alone = replace(shared, subject=None)
    (low, high), (low2, high2) = (scores.score(one).intervals["acc"] for one in (shared, alone))
    assert high - low > 2 * (high2 - low2)
    assert scores.score(shared).subjects == 30
