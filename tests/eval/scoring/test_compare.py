"""Averages with what is missing named, the paper's tables beside ours, and whether one run differs from another."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_resample import answers
from test_score import line

from storm.datasets import SCALES
from eval.scoring import compare, paper, scores
from eval.scoring.paper_tables import beside
from eval.scoring.interval import p_value
from eval.scoring.metrics import UNPARSED
from eval.score import main


def guess(name: str, right: float, n: int = 300, seed: int = 0, run: str = "a"):
    """A run that is right in a share of the rows, else one off; the same test rows for every seed and share."""
    rng, scale = np.random.default_rng([*name.encode()]), SCALES[name]
    label = rng.integers(scale.lo + 1, scale.hi, n)
    off = np.random.default_rng([seed, *name.encode()]).random(n) >= right
    made = answers(name, label, label + off)
    return replace(made, run=Path(run), id=[f"{name}{i}" for i in range(n)])


def everything(right: float, seed: int = 0, run: str = "a") -> list:
    return [guess(name, right, seed=seed, run=run) for name in SCALES if name in paper.DATASETS]


@pytest.fixture(autouse=True)
def sizes(monkeypatch):
    """Test sets as large as these runs. And statsmodels collects garbage in each call: half a second in all tests."""
    monkeypatch.setattr("gc.collect", lambda *_: 0)
    monkeypatch.setattr(scored, "TEST_ROWS", dict.fromkeys(SCALES, 300))


def means(runs) -> dict[str, dict]:
    return {row["average"]: row for row in scored.averages(*zip(*map(scored.score, runs)))}


def test_the_papers_averages_are_over_eleven_and_fourteen():
    runs = everything(0.6)
    scores = {a.dataset: scored.score(a)[0] for a in runs}
    rows = means(runs)
    assert set(rows) == {*paper.DOMAINS, "paper"}
    levels = paper.LEVELS
    assert len(levels) == 11
    assert rows["paper"]["acc"] == pytest.approx(np.mean([scores[name]["acc"] for name in levels]))
    assert rows["paper"]["mae"] == pytest.approx(np.mean([score["mae"] for score in scores.values()]))
    assert rows["FAE"]["acc"] == scores["adience"]["acc"], "Adience alone"
    assert rows["IQA"]["mae"] == pytest.approx(np.mean([scores[n]["mae"] for n in ("spaq", "challengedb", "koniq")]))
    low, high = rows["paper"]["acc_interval"]
    assert low < rows["paper"]["acc"] < high
    wide = scores["spaq"]["intervals"]["acc"]
    assert high - low < (wide[1] - wide[0]) / 2, "eleven datasets are surer than one"


def test_no_average_over_missing_datasets_but_their_names():
    runs = [a for a in everything(0.6) if a.dataset not in ("koniq", "utk")]
    runs[0] = guess("spaq", 0.6, n=20)
    rows = means(runs)
    assert rows["IQA"]["acc"] is None and rows["IQA"]["acc_missing"] == ["spaq (20 of 300 rows)", "koniq"]
    assert rows["FAE"]["acc"] is not None and rows["FAE"]["mae"] is None and rows["FAE"]["mae_missing"] == ["utk"]
    assert rows["paper"]["mae_missing"] == ["spaq (20 of 300 rows)", "koniq", "utk"]
    assert rows["MDG"]["mae_missing"] == [] and rows["MDG"]["mae"] is not None


def test_runs_are_averaged_apart_and_others_datasets_not_at_all():
    rows = scored.averages(*zip(*map(scored.score, [*everything(0.6), *everything(0.8, run="b")])))
    assert [row["acc"] for row in rows if row["average"] == "paper"] == pytest.approx([0.6, 0.8], abs=0.05)
    assert means([replace(guess("spaq", 0.6), dataset="products")]) == {}


def test_the_papers_lines_stand_above_ours():
    runs = everything(0.6, run="saves/mine")
    scores, resamples = zip(*map(scored.score, runs))
    averages = scored.averages(scores, resamples)
    for table, lines in (("2", "table2"), ("4", "table4"), ("5", "table5")):
        text = beside(table, scores, averages)
        shown = text.split("\n\n")[0].splitlines()
        assert len(shown) == 2 + len(paper.TABLES[lines]) + 1
        assert shown[-1].split()[:4] == ["ours:", "saves/mine", "cot", "text"]
        assert ("adience" in shown[0]) is (table != "5") and ("FAE" in shown[0]) is (table == "5")
    first = beside("3", scores, averages).splitlines()
    assert "8.014" in first[7] and "~" not in first[7] and "~0.43" in first[3], "cells recovered from the average"
    mae = next(row["mae"] for row in averages if row["average"] == "paper")
    assert f"{mae:.3f} (" in first[-1]


@pytest.mark.slow
def test_a_better_run_is_called_better_and_noise_is_not():
    worse = everything(0.5, seed=1)
    rows, errors = compare.compare(everything(0.6, seed=2), worse)
    assert errors == []
    assert [row["dataset"] for row in rows if row["metric"] == "acc"][-1] == "paper's average"
    by_average = {row["metric"]: row for row in rows[-2:]}
    assert by_average["acc"]["better"] == by_average["mae"]["better"] == "better"
    assert by_average["acc"]["difference"] == pytest.approx(0.1, abs=0.03)
    back = compare.compare(worse, everything(0.6, seed=2))[0][-1]
    assert back["better"] == "worse" and back["difference"] == pytest.approx(-rows[-1]["difference"])
    same, _ = compare.compare(everything(0.5, seed=3), worse)
    assert {row["better"] for row in same} == {"cannot tell"}


def test_holm_is_stricter_than_p():
    rows, _ = compare.compare(everything(0.6, seed=2), everything(0.5, seed=1))
    acc = [row for row in rows if row["metric"] == "acc"][:-1]
    ordered = sorted(acc, key=lambda row: row["p"])
    reached = 0
    for i, row in enumerate(ordered):  # Holm (1979), by hand
        reached = max(reached, min(1, row["p"] * (len(ordered) - i)))
        assert row["holm"] == pytest.approx(reached) and row["holm"] >= row["p"]


@pytest.mark.slow
def test_equal_runs_are_called_different_in_one_of_twenty():
    """p below .05 in 5% of comparisons of two runs of the same skill; of 600, 3% to 7%."""
    rng, found = np.random.default_rng(0), 0
    for trial in range(600):
        one, two = (guess("spaq", 0.6, n=200, seed=int(rng.integers(1 << 30))) for _ in range(2))
        one = replace(one, dataset=f"trial{trial}")
        found += compare.difference(one, replace(two, dataset=one.dataset))[0][0]["p"] < 0.05
    assert 18 <= found <= 42, found


@pytest.mark.parametrize("people", [4, 10, 300])
def test_p_and_interval_say_the_same(people):
    """p is below .05 just where the 95% interval leaves 0 out, however few people there are."""
    told = 0
    for seed in range(40):
        base, ours = guess("spaq", 0.55, seed=seed), guess("spaq", 0.65, seed=seed + 100)
        subject = np.arange(300) % people
        acc = compare.difference(replace(ours, subject=subject), replace(base, subject=subject))[0][0]
        low, high = acc["interval"]
        if abs(low) > 1e-3 and abs(high) > 1e-3:
            assert (acc["p"] < 0.05) is bool(low > 0 or high < 0), acc
        told += acc["p"] < 0.05
    assert (told > 20) is (people > 4), "ten percent more of 300 rows are seen, but hardly of four people"


def test_pairing_makes_small_differences_visible():
    """Runs that share their mistakes: 2% more are right, far inside of either run's own interval."""
    base = guess("spaq", 0.6, n=2000)
    said = base.said.copy()
    wrong = np.flatnonzero(said != base.label)[:40]
    said[wrong] = base.label[wrong]
    (acc, _), _ = compare.difference(replace(base, said=said), base)
    assert acc["difference"] == pytest.approx(0.02) and acc["p"] < 0.01
    low, high = scored.score(base)[0]["intervals"]["acc"]
    assert low < acc["ours"] < high


def test_leaving_out_what_is_hard_is_not_better():
    """Both are right in the first 200 rows; of the last 100 the base is two off, and ours says nothing."""
    run = guess("eyepacs", 1, n=300)
    off = np.where(np.arange(300) < 200, run.label, (run.label + 2) % 5)
    (acc, mae), _ = compare.difference(
        replace(run, said=np.where(np.arange(300) < 200, run.label, UNPARSED)), replace(run, said=off)
    )
    assert (mae["n"], mae["ours"], mae["base"], mae["difference"], mae["p"]) == (200, 0, 0, 0, 1)
    assert (acc["n"], acc["difference"], acc["p"]) == (300, 0, 1)


@pytest.mark.parametrize(("n", "better"), [(200, "better"), (6, "better"), (5, "cannot tell"), (2, "cannot tell")])
def test_all_rows_better_is_better_if_there_are_some(n, better):
    """Six of six by chance: 1 in 32."""
    right = guess("eyepacs", 1, n=n)
    rows, _ = compare.compare([right], [replace(right, said=right.label - 1)])
    assert [row["better"] for row in rows] == [better] * 2
    assert all((row["interval"] is None) is (better == "cannot tell") for row in rows)
    assert all(0 < row["p"] <= 1 and row["holm"] == row["p"] for row in rows)


def test_what_hardly_any_resample_knows_is_not_told():
    """A baseline of which one row in 300 could be parsed: most resamples have no MAE, or one of one row."""
    ours = guess("eyepacs", 0.5)
    said = np.full(300, UNPARSED)
    said[7] = ours.label[7] - 2
    rows, _ = compare.compare([ours], [replace(ours, said=said)])
    mae = rows[-1]
    assert (mae["metric"], mae["n"], mae["interval"], mae["p"], mae["better"]) == ("mae", 1, None, 1, "cannot tell")
    json.dumps(rows, allow_nan=False)
    rows, _ = compare.compare([ours], [replace(ours, said=np.full(300, UNPARSED))])
    assert [row["metric"] for row in rows] == ["acc"], "no MAE to compare"


def test_a_mean_is_as_sure_as_the_fewest_people():
    people = [replace(guess(name, 0.65, seed=2), subject=np.arange(300) % 4) for name in ("spaq", "koniq")]
    base = [guess(name, 0.6, seed=1) for name in ("spaq", "koniq")]
    mean = compare.compare(people, base)[0][-2]
    both = [compare.difference(ours, other)[1]["acc"] for ours, other in zip(people, base)]
    assert (mean["metric"], mean["p"]) == ("acc", p_value(np.mean(both, 0), 4))


def test_prompts_and_decodings_are_compared_apart(tmp_path, capsys):
    for strategy in ("cot", "num"):
        rows = "".join(line("spaq", i % 5, (i + (i % 3 == 0)) % 5, strategy) for i in range(61))
        for run in ("new", "old"):
            path = tmp_path / run / f"spaq_test{'_num' * (strategy == 'num')}.jsonl"
            path.parent.mkdir(exist_ok=True)
            path.write_text(rows)
    out = tmp_path / "out.json"
    for run in ("new", "old"):
        (tmp_path / run / "run.json").write_text("{}")
    assert main([str(tmp_path / "new"), "--baseline", str(tmp_path / "old"), "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "new cot text against" in printed and "new num text against" in printed and "mean of these" not in printed
    assert {(row["strategy"], row["better"]) for row in json.loads(out.read_text())["comparisons"]} == {
        ("cot", "cannot tell"),
        ("num", "cannot tell"),
    }


def test_rows_are_paired_by_id_or_position_or_not_at_all():
    base, ours = guess("spaq", 0.5, seed=1), guess("spaq", 0.6, seed=2)
    order = np.random.default_rng(0).permutation(300)[:200]
    parts = {name: getattr(ours, name)[order] for name in ("label", "said", "coarse", "line")}
    shuffled = replace(ours, **parts, id=[ours.id[i] for i in order])
    one, two = compare.paired(shuffled, base)
    assert one.id == two.id == shuffled.id and (one.label == two.label).all()
    nameless = replace(base, id=None)
    assert compare.paired(ours, nameless) == (ours, nameless)
    with pytest.raises(ValueError, match="200 rows, spaq.jsonl 300: without ids"):
        compare.paired(replace(shuffled, id=None), base)
    moved = replace(nameless, label=np.roll(nameless.label, 1))
    with pytest.raises(ValueError, match=r"line \d+, label \d; spaq.jsonl, line \d+, label \d: not the same test data"):
        compare.paired(ours, moved)
    with pytest.raises(ValueError, match="no id in common"):
        compare.paired(ours, replace(base, id=[f"x{i}" for i in range(300)]))


def write(path: Path, name: str, said: list[int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line(name, i % 5, (i + off) % 5) for i, off in enumerate(said)), encoding="utf-8")
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
    assert "compared with no predictions of koniq" in printed.err
    assert "no ACC of IQA: spaq (61 of 300 rows), challengedb, koniq (61 of 300 rows) missing" in printed.out
    assert "so the run is" in printed.out and "better" in printed.out and "Table 4, MAE" in printed.out
    made = json.loads(out.read_text())
    assert [row["better"] for row in made["comparisons"]] == ["better", "better"]
    assert len(made["scores"]) == 2 and made["errors"] and made["averages"][0]["average"] == "IQA"


def test_people_in_the_test_file_widen_the_interval():
    run = guess("spaq", 0.6)
    shared = replace(
        run, subject=np.arange(300) // 10, said=np.where(np.arange(300) // 10 % 2, run.label, run.label + 1)
    )
    alone = replace(shared, subject=None)
    (low, high), (low2, high2) = (scored.score(one)[0]["intervals"]["acc"] for one in (shared, alone))
    assert high - low > 2 * (high2 - low2)
    assert scored.score(shared)[0]["people"] == 30
