"""eval/score.py on files as LLaMA-Factory writes them, good and bad."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from eval.score import main
from eval.scoring.metrics import METRICS
from eval.scoring.scores import score_file
from storm.datasets import SCALES
from storm.files import write_jsonl
from storm.rows import Example, to_row
from tests.helpers.paths import ROOT
from tests.helpers.predictions import line, mark_as_ours


@pytest.fixture
def write(tmp_path):
    def write(folder: str, *lines: str) -> Path:
        path = tmp_path / folder / "generated_predictions.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines), encoding="utf-8")
        return path

    return write


def scored(path: Path) -> tuple[list[dict], list[str]]:
    """The scores in a file as --json has them, and the errors."""
    scores, errors = score_file(path)
    return [score.to_json() for score in scores], errors


def run(*paths, json_to: Path | None = None) -> int:
    return main([str(path) for path in paths] + (["--json", str(json_to)] if json_to else []))


def test_scores_of_a_level_dataset(write):
    path = write(
        "spaq",
        line("spaq", 3, 3),
        line("spaq", 3, 4),
        line("spaq", 0, "rate3-4(Above Fair), rate1(Poor)"),
        line("spaq", 1, "no idea"),
    )
    (score,), errors = scored(path)
    assert errors == []
    assert {key: score[key] for key in ("dataset", "scale", "strategy", "unit", "n", "unparsed")} == {
        "dataset": "spaq",
        "scale": "iqa",
        "strategy": "cot",
        "unit": "level",
        "n": 4,
        "unparsed": 1,
    }
    assert score["acc"] == 1 / 4
    assert score["mae"] == pytest.approx(2 / 3)
    assert score["mae_worst"] == (0 + 1 + 1 + 3) / 4
    assert score["coarse_acc"] == 2 / 4  # 3 and 4 are both Above Fair; the other two are wrong or unparsed
    assert score["consistent"] == pytest.approx(2 / 3)
    assert (score["constant_acc"], score["constant_mae"]) == (2 / 4, 5 / 4)
    assert score["first_unparsed"] == {"line": 4, "predict": "no idea"}


def test_a_years_dataset_has_no_accuracy(write):
    path = write("storm_lite_morph", line("morph", 30, 25), line("morph", 50, "99 years old"))
    (score,), _ = scored(path)
    assert (score["dataset"], score["unit"], score["acc"]) == ("morph", "years", None)
    assert (score["mae"], score["mae_worst"]) == (5, (5 + 34) / 2)


def test_direct_answers_have_no_coarse_part(write):
    (score,), _ = scored(write("hci", line("hci", 2, 2, "direct"), line("hci", 2, 1, "direct")))
    assert (score["strategy"], score["acc"], score["coarse_acc"], score["consistent"]) == ("direct", 0.5, None, None)


def test_the_scale_of_an_unknown_dataset_comes_from_its_labels(write):
    (score,), errors = scored(write("my_photos", line("ava", 2, 2, "text")))
    assert (score["dataset"], score["scale"], score["strategy"], errors) == ("my_photos", "iaa", "text", [])


def test_rows_that_name_their_dataset_are_scored_apart(write):
    path = write("all", line("spaq", 1, 1, dataset="spaq"), line("koniq", 1, 2, dataset="koniq"))
    scores, _ = scored(path)
    assert [(s["dataset"], s["acc"]) for s in scores] == [("spaq", 1), ("koniq", 0)]


def test_a_folder_is_searched_and_every_file_scored(write, tmp_path, capsys):
    write("run/spaq", line("spaq", 1, 1))
    write("run/hci", line("hci", 1, 1))
    out = tmp_path / "scores.json"
    assert run(tmp_path / "run", json_to=out) == 0
    printed = capsys.readouterr().out
    saved = json.loads(out.read_text())
    assert [s["dataset"] for s in saved["scores"]] == ["spaq", "hci"], "in the paper's order"
    assert "spaq" in printed and "hci" in printed and "1.000" in printed
    assert not list(tmp_path.glob("*.part"))


BAD_ROWS = {
    "not json": ("{oops\n", "not JSON"),
    "not an object": ("[1, 2]\n", "not an object with keys but '[1, 2]'"),
    "no predict": (json.dumps({"label": "rate1-0, rate1"}) + "\n", "key 'predict' is missing (keys: label)"),
    "no label": (json.dumps({"predict": "rate1"}) + "\n", "no label, and no test file (--data)"),
    "not a text": (json.dumps({"predict": True, "label": "x"}) + "\n", "the prediction is True, not a text"),
    "unknown label": (json.dumps({"predict": "x", "label": "superb"}) + "\n", "label 'superb' is not an answer"),
    "other scale": (line("hci", 1, 1), "is not an answer of the scale of spaq"),
    "not utf-8": ("\udcff\n", "not UTF-8"),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_a_bad_row_is_named_and_the_rest_scored(kind, write, tmp_path, capsys):
    text, reason = BAD_ROWS[kind]
    path = write("bad/spaq")
    good = line("spaq", 1, 1)
    path.write_bytes((good + text + good).encode("utf-8", "surrogateescape"))
    other = write("good/koniq", line("koniq", 2, 2))
    out = tmp_path / "scores.json"
    assert run(path, other, json_to=out) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith(f"error: {path}, line 2: ") and reason in captured.err
    saved = json.loads(out.read_text())
    assert [(s["dataset"], s["n"]) for s in saved["scores"]] == [("spaq", 2), ("koniq", 1)]
    assert len(saved["errors"]) == 1


def test_a_truncated_last_line_is_named_as_such(write, capsys):
    path = write("spaq", line("spaq", 1, 1), line("spaq", 1, 1)[:40])
    assert run(path) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {path}, line 2: ") and "cut off" in captured.err
    assert re.match(r"spaq +cot +text +1 +2,225 +0 +1.000 ", captured.out.splitlines()[2]), "scored up to there"
    assert run(write("spaq", line("spaq", 1, 1), line("spaq", 1, 1)[:40] + "\n", line("spaq", 1, 1))) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}, line 2: ") and "cut off" not in error, "only a last line can be"


def test_many_bad_rows_make_one_line(write, capsys):
    assert run(write("spaq", line("spaq", 1, 1), *["{}\n"] * 1000)) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "line 2: key 'predict' is missing" in captured.err
    assert "and 999 more" in captured.err


def test_ages_of_no_known_dataset_are_scored_as_ages(write, capsys):
    path = write("predictions", line("cacd", 30, 31), line("utk", 40, 40))
    (score,), errors = scored(path)
    assert (score["dataset"], score["mae"], score["acc"], errors) == ("ages", 0.5, None, [])
    assert run(path) == 0 and "cacd or morph or utk" in capsys.readouterr().out
    path = write("level_words", json.dumps({"predict": "Excellent", "label": "Excellent"}) + "\n")
    assert run(path) == 2 and ": name the file or its folder after the dataset" in capsys.readouterr().err


def test_missing_file_empty_folder_and_empty_file(write, tmp_path, capsys):
    (tmp_path / "nothing").mkdir()
    empty = write("empty/spaq")
    good = write("good/spaq", line("spaq", 1, 1))
    assert run(tmp_path / "absent.jsonl", tmp_path / "nothing", empty, good) == 2
    captured = capsys.readouterr()
    errors = captured.err.splitlines()
    assert [error.split(": ")[1] for error in errors] == [f"{tmp_path}/absent.jsonl", f"{tmp_path}/nothing", str(empty)]
    assert "python eval/predict.py" in errors[1] and "Errno" not in captured.err
    assert "spaq" in captured.out


def test_an_unwritable_json_path_does_not_cost_the_table(write, tmp_path, capsys):
    path = write("spaq", line("spaq", 1, 1))
    assert run(path, json_to=path / "scores.json") == 2  # a file is no folder
    captured = capsys.readouterr()
    assert "1.000" in captured.out and captured.err.startswith(f"error: --json {path}")


@pytest.mark.slow
def test_no_folder_name_acts_on_the_terminal(write, capsys):
    paths = [write(name, line("spaq", 1, 1)) for name in ("spaq_a\x1b[2Jb\nc", "spaq_plain")]
    assert run(*paths) == 0
    out = capsys.readouterr().out
    assert "a\\x1b[2Jb\\nc" in out and "\x1b" not in out
    assert run(write("spaq_a\x1b[2J", line("spaq", 1, 1), "{oops\n")) == 2
    assert "a\\x1b[2J" in (err := capsys.readouterr().err) and "\x1b" not in err


@pytest.mark.slow
def test_it_runs_as_a_script(write):
    path = write("spaq", line("spaq", 1, 1), "{oops\n")
    done = subprocess.run([sys.executable, "eval/score.py", path], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and "line 2" in done.stderr and "1.000" in done.stdout


def test_scoring_does_not_load_what_it_does_not_need(write):
    """Scoring texts needs NumPy; help, not even that."""
    slow = "{'torch', 'sklearn', 'scipy.stats', 'pandas', 'statsmodels', 'matplotlib'}"
    path = write("spaq", line("spaq", 1, 1))
    code = f"from eval.score import main; main([{str(path)!r}]); import sys; sys.exit(bool({slow} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0
    code = "import eval.score, sys; eval.score.arguments(); sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (["x", "--tabel", "2"], "did you mean --table?"),
        (["x", "--table", "6"], "choose from 2, 3, 4, 5"),
        ([], "FILE_OR_FOLDER"),
    ],
)
def test_what_is_not_an_option_or_a_table_is_named(words, fix, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2 and fix in capsys.readouterr().err.splitlines()[-1]


def test_legend_and_columns_are_of_the_metrics_that_apply(write, capsys):
    assert run(write("morph", line("morph", 30, 25, "direct"), line("morph", 50, 50, "direct"))) == 0
    printed = capsys.readouterr().out
    for metric in METRICS.values():
        not_of_ages = ("acc", "off_by_one", "coarse_acc", "consistent", "ece", "rps", "constant_acc", "mae_raw")
        shown = metric.name not in not_of_ages and not metric.when.startswith("exact")
        assert (f"\n{metric.label}: {metric.legend.split()[0]} " in printed) is shown, metric.name
    assert run(write("spaq", line("spaq", 1, 1))) == 0
    printed = capsys.readouterr().out
    assert "coarse ACC: " in printed and "ECE: " not in printed and "CS@5: " not in printed


def test_one_dataset_has_no_averages(write, capsys):
    assert run(write("one/spaq", line("spaq", 1, 1))) == 0
    assert "average" not in capsys.readouterr().out
    assert run(write("two/spaq", line("spaq", 1, 1)).parent, write("two/hci", line("hci", 1, 1)).parent) == 0
    assert "no ACC of IQA: " in capsys.readouterr().out


def test_rows_without_a_test_file_are_scored_with_a_note(write, tmp_path, capsys):
    path = write("spaq", line("spaq", 1, 1))
    assert run(path) == 0
    captured = capsys.readouterr()
    assert f"\nnote: {path}: " in captured.out and captured.err == ""
    data = tmp_path / "data" / "spaq_test.jsonl"
    write_jsonl(data, [to_row(Example("1", "spaq", "x.jpg", 1, SCALES["spaq"], "cot"))])
    assert run(write("named/spaq", line("spaq", 1, 1, id="1")), "--data", data) == 0
    assert "note: " not in capsys.readouterr().out


def exact(label: int, probs: list[float], id: str | None = None, **more) -> str:
    best = max(range(5), key=probs.__getitem__)
    return line("spaq", label, best, id=id or f"{label}{probs}", dataset="spaq", probs=probs, **more)


def test_each_metric_has_its_decision_from_the_distribution(tmp_path):
    labels = [0, 4, 2]
    probs = [[0.4, 0.0, 0.3, 0.3, 0.0], [0.0, 0.0, 0.0, 0.1, 0.9], [0.1, 0.1, 0.7, 0.1, 0.0]]
    (tmp_path / "spaq_test.jsonl").write_text("".join(map(exact, labels, probs)))
    mark_as_ours(tmp_path)
    path = tmp_path / "scores.json"
    assert run(tmp_path, json_to=path) == 0
    (score,) = json.loads(path.read_text())["scores"]
    assert score["decode"] == "exact" and score["acc"] == 1.0, "by the mode"
    assert score["mae"] == pytest.approx(2 / 3) == score["mae_worst"], "by the median, which is 2, 4, 2"
    sums = np.array(probs).cumsum(1), np.arange(5) >= np.array(labels)[:, None]
    assert score["rps"] == pytest.approx(((sums[0] - sums[1]) ** 2).sum(1).mean() / 4)
    assert score["ece"] == pytest.approx(((1 - 0.4) + (1 - 0.9) + (1 - 0.7)) / 3), "all hit, each in a bin of its own"
    assert score["srcc"] == pytest.approx(spearmanr(labels, [1.5, 3.9, 1.8]).statistic), "by the mean"


def test_an_unreadable_image_counts_as_unparsed_beside_distributions(write):
    path = write("spaq", exact(3, [0, 0, 0, 1.0, 0]), line("spaq", 0, "", error="x.png: no such image"))
    (score,), (error,) = scored(path)
    assert (score["unparsed"], score["acc"], score["mae"], score["mae_worst"]) == (1, 0.5, 0.0, 2.0)
    assert error.startswith(f"{path}: 1 rows have an error") and "(line 2: x.png: no such" in error


@pytest.mark.parametrize("probs", [[0.5, 0.4, 0, 0, 0], [1.0], [2, -1, 0, 0, 0], ["x"] * 5])
def test_what_is_no_distribution_is_named(write, capsys, probs):
    assert run(write("spaq", line("spaq", 1, 1), line("spaq", 1, 1, probs=probs))) == 2
    captured = capsys.readouterr()
    assert "line 2: key 'probs'" in captured.err and "spaq" in captured.out


def test_the_temperature_is_fitted_to_other_rows(tmp_path, capsys):
    sure = [0.0, 0.01, 0.98, 0.01, 0.0]  # right in six of ten rows only
    test, held, text, direct, out = (tmp_path / name for name in ("t.jsonl", "h.jsonl", "x.jsonl", "d.jsonl", "s.json"))
    for path, name in ((test, "t"), (held, "h")):
        path.write_text("".join(exact(label, sure, f"{name}{i}") for i, label in enumerate([2] * 6 + [1, 1, 3, 3])))
    assert main([str(test), "--calibrate", str(held), "--json", str(out)]) == 0
    (score,) = json.loads(out.read_text())["scores"]
    (before,), _ = scored(test)
    assert score["temperature"] > 2 and score["ece"] < before["ece"] / 2 and score["rps"] < before["rps"]
    assert (score["acc"], score["mae"]) == (before["acc"], before["mae"])
    text.write_text(line("spaq", 1, 1))
    direct.write_text(line("spaq", 1, 1, "direct", id="9", dataset="spaq", probs=sure))
    for other, reason in (
        (text, "no row with probs"),
        (direct, "no validation row of spaq, strategy cot"),
        (test, "10 rows of spaq are scored, too ('t0')"),
        (tmp_path / "gone", "gone: no such file or folder"),
    ):
        assert main([str(test), "--calibrate", str(other), "--json", str(out)]) == 2
        assert reason in capsys.readouterr().err
        (score,) = json.loads(out.read_text())["scores"]
        assert score["temperature"] is None and score["ece"] == before["ece"], (
            "scored all the same, as it was predicted"
        )
