"""Runs side by side: the best of a column, what cannot be told from it, seeds of one recipe, and how it is printed."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from eval.score import main
from eval.scoring import many_runs, power, run_table_text, scores
from eval.scoring.metrics import UNPARSED
from eval.scoring.pairing import differences
from eval.scoring.paper import DATASETS
from eval.scoring.predictions import Predictions
from eval.scoring.seeds import entries, p_with_seeds
from storm import provenance
from storm.datasets import SCALES
from tests.helpers.predictions import line, predictions


def guess(run: str, right: float, name: str = "spaq", n: int = 300, seed: int = 0) -> Predictions:
    """A run that is right in a share of the rows, else one off; all runs have the same rows."""
    label = np.arange(n) % 3 + SCALES[name].lo
    wrong = np.random.default_rng([seed, *run.encode(), *name.encode()]).random(n) >= right
    made = predictions(name, label, label + wrong)
    return replace(made, run=Path(run), path=Path(run, f"{name}.jsonl"), id=[f"{name}{at}" for at in range(n)])


def table(*runs: Predictions) -> many_runs.RunTable:
    scored = [scores.score(run) for run in runs]
    return many_runs.run_table(runs, scored, scores.averages(scored))


def ranks(made: many_runs.RunTable, metric: str = "acc") -> list[str]:
    at = [column.metric for column in made.columns].index(metric)
    return [row[at].rank for row in made.cells]


def test_the_best_and_what_cannot_be_told_from_it():
    made = table(guess("low", 0.4), guess("high", 0.72), guess("near", 0.7), guess("far", 0.55))
    assert ranks(made) == ranks(made, "mae") == ["worse", "best", "cannot tell", "worse"]
    assert [(column.name, column.metric) for column in made.columns] == [("spaq", "acc"), ("spaq", "mae")]
    low, high, near, _ = (row[0] for row in made.cells)
    assert high.p is None and low.holm < 0.05 <= near.holm and near.holm >= near.p > low.p
    assert made.notes == []
    text = run_table_text.text(made).splitlines()
    assert text[2].split()[0] == "low" and f"*{high.value:.3f}" in text[3] and f"={near.value:.3f}" in text[4]


def test_p_is_corrected_for_all_pairs_of_runs():
    runs = [guess(f"run{seed}", 0.6, seed=seed) for seed in range(12)]
    column = [row[0] for row in table(*runs).cells]
    others = sorted((cell for cell in column if cell.rank != "best"), key=lambda cell: cell.p)
    assert others[0].holm == pytest.approx(min(1, 66 * others[0].p))
    assert others[1].holm == pytest.approx(min(1, max(66 * others[0].p, 65 * others[1].p)))


def test_of_equal_runs_hardly_any_is_called_worse_than_the_best_of_them():
    """In at most 5% of 100 tables of five runs, though the best was chosen on the same rows (three errors more)."""
    told = 0
    for seed in range(100):
        runs = [guess(f"r{at}", 0.6, n=60, seed=seed) for at in range(5)]
        acc = [{"acc": float((run.pred == run.label).mean()), "mae": None} for run in runs]
        known = {"dataset": "spaq", "n": 60, "unparsed": 0}
        scored = [SimpleNamespace(key=run.key, values=value, **known) for run, value in zip(runs, acc)]
        told += "worse" in ranks(many_runs.run_table(runs, scored, []))
    assert told <= 5 + 6


def test_what_cannot_be_compared_is_said_and_stays_unmarked():
    one, two = guess("one", 0.7), guess("two", 0.5)
    nameless = table(one, replace(two, id=None))
    assert ranks(nameless) == ["best", "not compared"] and "no ids" in nameless.notes[0] and len(nameless.notes) == 1
    strangers = table(one, replace(two, id=[f"x{at}" for at in range(300)]))
    assert ranks(strangers) == ["best", "not compared"] and "no id in common" in strangers.notes[0]
    other = table(one, replace(two, label=(two.label + 1) % 3))
    assert ranks(other) == ["best", "not compared"] and "not the same test data" in other.notes[0]
    silent = table(one, replace(two, pred=np.full(300, UNPARSED)))
    assert ranks(silent) == ["best", "worse"] and ranks(silent, "mae") == ["", ""]
    few = table(one, guess("two", 0.5, n=200))
    assert ranks(few) == ["best", "worse"] and "200 of its 300 rows" in few.notes[0]
    assert ranks(table(one)) == [""]


def test_a_run_that_leaves_out_the_hard_rows_does_not_make_others_worse():
    """One says nothing where the other is wrong, so its MAE is smaller; on the rows of both, the other is perfect."""
    other = guess("other", 1)
    pred = np.where(np.arange(300) % 2, UNPARSED, other.label)
    pred[:60:2] += 1
    other = replace(other, pred=np.where(np.arange(300) % 2, other.label + 1, other.label))
    made = table(replace(other, run=Path("silent"), pred=pred), other)
    assert [row[1].rank for row in made.cells] == ["best", "cannot tell"]
    assert made.cells[1][1].holm < 0.05, "the difference is clear, but in its favor"
    assert any("50.0% of the predictions are unparsed" in note for note in made.notes)


def test_too_few_rows_for_any_verdict_are_said():
    made = table(*(guess(name, right, n=5) for name, right in (("a", 1), ("b", 0), ("c", 0))))
    assert ranks(made) == ["best", "cannot tell", "cannot tell"]
    assert any("too few rows for 3 comparisons; 7 would do" in note for note in made.notes)


def test_of_many_datasets_the_averages_stand(monkeypatch):
    monkeypatch.setattr(scores, "TEST_ROWS", dict.fromkeys(SCALES, 60))
    runs = [guess(run, right, name, 60) for run, right in (("a", 0.7), ("b", 0.5)) for name in DATASETS]
    made = table(*runs)
    acc = [column.name for column in made.columns if column.metric == "acc"]
    assert acc == ["IQA", "FAE", "IAA", "MDG", "HDE", "paper"]
    assert made.cells[0][5].rank == "best" and made.cells[1][5].rank == "worse"
    part = table(*(run for run in runs if run.dataset not in ("koniq", "utk")))
    names = [column.name for column in part.columns if column.metric == "mae"]
    assert names == ["spaq", "challengedb", "adience", "cacd", "morph", "IAA", "MDG", "HDE"], "no dataset is lost"


def test_seeds_are_found_by_name():
    names = ["saves/a_seed1", "saves/a_seed2", "saves/seed3/predict/b", "saves/seed4/predict/b", "saves/a", "seeds/c2"]
    rows, notes = entries([guess(name, 0.5, n=3) for name in names])
    assert [(row.title, row.seeds) for row in rows] == [
        ("saves/a (2 seeds)", (1, 2)),
        ("saves/predict/b (2 seeds)", (3, 4)),
        ("saves/a", ()),
        ("seeds/c2", ()),
    ]
    assert notes == []
    rows, notes = entries([guess(name, 0.5, n=3) for name in ("x/seed1", "x/seed_01", "y_seed7")])
    assert [row.title for row in rows] == ["x/seed1", "x/seed_01", "y_seed7"] and "seed (1)" in notes[0]


def trained(folder: Path, name: str, seed: int, **recipe) -> Predictions:
    """A run whose predictions name their model, which says its recipe and seed."""
    model = folder / "models" / name
    facts = {"data": {"train": "0"}, "versions": {}}
    recipe = {"seed": seed, "output_dir": str(model), "learning_rate": 1} | recipe
    provenance.write(model, facts | {"run": "storm", "seed": seed, "recipe": recipe})
    provenance.write(folder / name, facts | {"decode": "generate", "command": ["--model", str(model)]})
    run = guess(name, 0.6)
    return replace(run, path=folder / name / "spaq.jsonl")


def test_seeds_are_found_by_provenance(tmp_path):
    runs = [trained(tmp_path, f"r{seed}", seed) for seed in (42, 7)]
    rows, notes = entries([*runs, trained(tmp_path, "r9", 9, learning_rate=2)])
    assert [(row.title, row.seeds) for row in rows] == [("storm (2 seeds)", (7, 42)), ("r9", ())] and notes == []


def test_runs_whose_names_and_trainings_disagree_are_not_averaged(tmp_path):
    rows, notes = entries([trained(tmp_path, "a_seed1", 1), trained(tmp_path, "a_seed2", 2, learning_rate=2)])
    assert len(rows) == 2 and "differ in more than the seed" in notes[0]
    rows, notes = entries([trained(tmp_path, "b_seed1", 1), trained(tmp_path, "b_seed2", 1)])
    assert [row.name for row in rows] == ["b_seed1", "b_seed2"] and "says seed 1" in notes[0]


def test_seeds_are_one_row_with_their_spread():
    runs = [guess(f"a_seed{seed}", 0.6) for seed in (1, 2, 3)]
    made = table(*runs, guess("b", 0.3))
    acc = [(run.pred == run.label).mean() for run in runs]
    cell = made.cells[0][0]
    assert (cell.value, cell.sd) == (pytest.approx(np.mean(acc)), pytest.approx(np.std(acc, ddof=1)))
    assert made.rows[0].title == "a (3 seeds)" and ranks(made) == ["best", "worse"]
    assert f"{cell.value:.3f} ± {cell.sd:.3f}" in run_table_text.text(made)


def test_a_seed_without_a_dataset_leaves_no_mean_and_is_named():
    runs = [guess(f"a_seed{seed}", 0.6) for seed in (1, 2)] + [guess("a_seed2", 0.6, "koniq", seed=1)]
    made = table(*runs)
    assert [cell.value is None for cell in made.cells[0]] == [False, True, False, True]
    assert len(made.notes) == 2 and "seed 1 lacks" in made.notes[0] and "koniq" in made.notes[0]


def test_equal_values_are_all_the_best():
    run = guess("a", 0.6)
    assert ranks(table(run, replace(run, run=Path("b")), guess("c", 0.3))) == ["best", "best", "worse"]


def test_p_counts_what_other_seeds_would_change():
    """Two equal recipes whose seeds vary far more than the rows would: p is below .05 in about 5% of 400."""
    rng, below, rows_only = np.random.default_rng(0), 0, 0
    for _ in range(400):
        right = np.clip(rng.normal(0.6, 0.08, 6), 0, 1)
        runs = [guess(f"x{at}", share, seed=int(rng.integers(1 << 30))) for at, share in enumerate(right)]
        part = differences(runs[:3], runs[3:])[0]
        values = [float((run.pred == run.label).mean()) for run in runs]
        below += p_with_seeds([part], values[:3], values[3:]) < 0.05
        rows_only += abs(part.difference) > 1.96 * power.standard_error([part])
    assert below < 32 and rows_only > 100


def test_p_of_seeds_is_students_where_rows_do_not_matter():
    part = replace(differences([guess("a", 1.0)], [guess("b", 0.0)])[0], sums=np.full(300, 1), sizes=np.full(300, 10))
    ours, base = [0.5, 0.6, 0.7], [0.45, 0.5, 0.55]
    ours_p = p_with_seeds([part], ours, base)
    assert ours_p == pytest.approx(stats.ttest_ind(ours, base).pvalue)
    assert p_with_seeds([part], [0.6], [0.5]) == 0, "one seed each: the rows alone decide"


def test_latex_and_markdown_escape_names_and_mark_cells():
    made = table(guess(r"a_b&50%\x", 0.78), guess("near|c*", 0.7), guess("far--off", 0.3))
    best, near, far = (f"{row[0].value:.3f}" for row in made.cells)
    latex = run_table_text.latex(made)
    assert rf"a\_b\&50\%\textbackslash{{}}x & \textbf{{{best}}}" in latex
    assert rf"near\textbar{{}}c* & \underline{{{near}}}" in latex and f"far-{{}}-off & {far}" in latex
    tabular = [row for row in latex.splitlines() if not row.startswith("%")]
    assert tabular[0] == r"\begin{tabular}{lrr}" and tabular[-1] == r"\end{tabular}"
    assert [row.replace(r"\&", "").count("&") for row in tabular if row.endswith(r"\\")] == [2] * 5
    markdown = run_table_text.markdown(made).splitlines()
    assert rf"a\_b\&50\%\\x | **{best}**".replace(r"\%", "%") in " ".join(markdown[2].split())
    assert rf"near\|c\* | <ins>{near}</ins>" in " ".join(markdown[3].split())


def test_a_paper_does_not_name_the_folder_of_all_runs_and_marks_what_was_not_compared():
    made = table(
        guess("saves/predict/a", 0.7), replace(guess("saves/predict/b/c", 0.6), id=None), guess("saves/d", 0.5)
    )
    latex, markdown = run_table_text.latex(made), run_table_text.markdown(made)
    assert "\npredict/a & " in latex and "\npredict/b/c & " in latex and "\nd & " in latex
    assert r"$^\dagger$ & " in latex and "† |" in markdown
    assert "saves/predict/a" in run_table_text.text(made)
    assert run_table_text.latex(table(guess("saves/a", 0.7))).count("\na & ") == 1


@pytest.fixture
def files(tmp_path):
    """Two runs, right in 46 and 31 of 61 rows, and their test file."""
    from storm.files import write_jsonl
    from storm.rows import Example, to_row

    rows = [Example(f"i{i}", "spaq", f"i{i}.jpg", i % 5, SCALES["spaq"], "cot") for i in range(61)]
    write_jsonl(tmp_path / "data/spaq_test.jsonl", map(to_row, rows))
    for run, wrong in (("good", 4), ("bad", 2)):
        path = tmp_path / run / "spaq" / "generated_predictions.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(line("spaq", i % 5, (i + (i % wrong == 0)) % 5) for i in range(61)))
    return [str(tmp_path / "good"), str(tmp_path / "bad"), "--data", str(tmp_path / "data")]


def test_as_a_user(files, tmp_path, capsys):
    out, tidy = tmp_path / "out.json", tmp_path / "out.csv"
    assert main([*files, "--json", str(out), "--csv", str(tidy)]) == 0
    printed = capsys.readouterr().out
    assert "all runs\n" in printed and "best" in printed
    cells = json.loads(out.read_text())["runs"]
    assert [(cell["metric"], cell["rank"]) for cell in cells] == [
        ("acc", "best"), ("mae", "best"), ("acc", "worse"), ("mae", "worse"),
    ]  # fmt: skip
    rows = list(csv.DictReader(tidy.open()))
    acc = {row["run"]: row for row in rows if row["metric"] == "acc"}
    assert float(acc[files[0]]["value"]) == pytest.approx(45 / 61) and acc[files[0]]["n"] == "61"
    assert float(acc[files[1]]["low"]) < float(acc[files[1]]["value"]) == pytest.approx(30 / 61)
    assert {row["seed"] for row in rows} == {""} and {row["dataset"] for row in rows} == {"spaq"}
    assert main([files[0], *files[2:]]) == 0
    assert "all runs" not in capsys.readouterr().out, "one run"


@pytest.mark.parametrize("kind", ["--latex", "--markdown"])
def test_only_the_table_is_printed_for_a_paper(files, kind, capsys):
    assert main([*files, kind]) == 0
    printed = capsys.readouterr().out
    first = {"--latex": "% ", "--markdown": "| run"}[kind]
    assert printed.startswith(first) and "0.738" in printed and "QWK" not in printed and "eval/report.py" not in printed
    for option in (["--baseline", files[1]], ["--table", "2"]):
        with pytest.raises(SystemExit) as ended:
            main([*files, kind, *option])
        assert ended.value.code == 2


def test_a_csv_that_cannot_be_written_is_an_error(files, tmp_path, capsys):
    assert main([*files, "--csv", str(tmp_path / "good" / "spaq" / "generated_predictions.jsonl" / "x.csv")]) == 2
    assert "error: --csv" in capsys.readouterr().err
