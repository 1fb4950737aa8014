"""Scores and report of a user's own scale: in the user's words and unit, and without a word about a paper."""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from eval import report, score
from eval.report_page import figures, sections
from eval.report_page.cards import error_sizes
from eval.scoring import testsets
from eval.scoring.inputs import scales_and_test_files
from eval.scoring.metrics import UNPARSED
from eval.scoring.pairing import paired
from eval.scoring.runs import load
from storm.custom_scale import read
from storm.datasets import SCALES
from storm.files import write_jsonl
from storm.levels import OwnScale
from storm.prompts import answer
from storm.rows import Example, to_row

SHINE = """\
name: shine
rates: the shine of a pan
noun: pan
levels: {Dull: [0, 20], Fair: [20, 40], Bright: [40, 100]}
coarse: {Not for sale: [Dull, Fair], For sale: [Bright]}
"""
RATINGS = [5, 30, 38, 41, 100]  # of pans: Dull, Fair, Fair, Bright, Bright
PREDICTED = [0, 0, 1, 2, 1]
VALUES = [10, 30, 70]  # the middles of the ranges
ERRORS = [5, 20, 8, 29, 70]  # of ratings, when each level stands for its middle
MONTHS = "name: baby\nrates: the age of a baby\nunit: months\nrange: [0, 36]\n"
WORDS = "name: tidy\nrates: the tidiness of a desk\nlevels: [Messy, So so, Tidy]\n"


def written(folder: Path, text: str, ratings: list[float], preds: list[int | str | list[float]], **more) -> list[str]:
    """A scale, its test file and predictions, labels, texts or distributions; the arguments of a command that scores
    them."""
    loaded = read(text)
    scale, name = loaded.scale, loaded.scale.name
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "scale.yaml").write_text(text)
    examples = [Example(f"{n}", name, f"{n}.png", loaded.label(r), scale, "cot") for n, r in enumerate(ratings)]
    write_jsonl(
        folder / "data" / f"{name}_test.jsonl",
        [to_row(example, **{"score": rating} | more) for example, rating in zip(examples, ratings)],
    )
    rows = []
    for example, pred in zip(examples, preds):
        row = {"id": example.id, "dataset": name, "scale": name, "strategy": "cot", "label": example.answer}
        if isinstance(pred, list):
            row |= {"probs": pred, "predict": answer(scale, "cot", scale.lo + int(np.argmax(pred)))}
        else:
            row["predict"] = pred if isinstance(pred, str) else answer(scale, "cot", pred)
        rows.append(row)
    write_jsonl(folder / "run" / f"{name}_test.jsonl", rows)
    return [str(folder / "run" / f"{name}_test.jsonl"), "--scale", str(folder / "data" / "scale.yaml")]


def scored(args: list[str], folder: Path, capsys) -> tuple[dict, str]:
    assert score.main([*args, "--json", str(folder / "scores.json")]) == 0
    (row,) = json.loads((folder / "scores.json").read_text())["scores"]
    return row, capsys.readouterr().out


def reported(args: list[str], folder: Path) -> tuple[str, str]:
    """The page, and its words without style, script and pictures."""
    assert report.main([*args, "--out", str(folder / "report.html")]) == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"(?s)<style>.*?</style>|<script>.*?</script>|<pre.*?</pre>|<[^>]+>", " ", page)
    return page, " ".join(unescape(text).split())


def test_the_error_is_in_the_unit_of_the_ratings(tmp_path, capsys):
    row, out = scored(written(tmp_path, SHINE, RATINGS, PREDICTED), tmp_path, capsys)
    assert row["mae_raw"] == pytest.approx(np.mean(ERRORS)) and row["mae"] == pytest.approx(2 / 5)
    low, high = row["intervals"]["mae_raw"]
    assert 0 <= low < row["mae_raw"] < high
    assert "MAE raw" in out.splitlines()[0] and "\nMAE raw: mean absolute error in the unit of your ratings" in out


def test_an_unparsed_prediction_has_no_error_in_ratings(tmp_path, capsys):
    row, _ = scored(written(tmp_path, SHINE, RATINGS, [*PREDICTED[:4], "no idea"]), tmp_path, capsys)
    assert row["unparsed"] == 1 and row["mae_raw"] == pytest.approx(np.mean(ERRORS[:4]))


def test_of_a_distribution_the_expected_rating_counts(tmp_path, capsys):
    probs = [[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.0, 0.4, 0.6], [0.0, 0.0, 1.0], [1 / 3, 1 / 3, 1 / 3]]
    row, _ = scored(written(tmp_path, SHINE, RATINGS, probs), tmp_path, capsys)
    assert row["mae_raw"] == pytest.approx(np.mean(np.abs(np.array(probs) @ VALUES - RATINGS)), abs=1e-6)


def test_falling_ratings_stand_for_their_levels(tmp_path, capsys):
    grades = "name: grade\nrates: an essay\nlevels: {Poor: 5, Fair: 3, Good: 1}\norder: descending\n"
    row, _ = scored(written(tmp_path, grades, [5, 3, 1, 1], [0, 1, 1, 0]), tmp_path, capsys)
    assert row["mae_raw"] == pytest.approx((0 + 0 + 2 + 4) / 4) and row["mae"] == pytest.approx((0 + 0 + 1 + 2) / 4)


@pytest.mark.parametrize("raw", [{"score": None}, {"score": "high"}, {"score": True}])
def test_without_raw_ratings_in_the_test_file_there_is_no_such_column(tmp_path, capsys, raw):
    row, out = scored(written(tmp_path, SHINE, RATINGS, PREDICTED, **raw), tmp_path, capsys)
    assert row["mae_raw"] is None and "MAE raw" not in out


@pytest.mark.parametrize(("text", "ratings"), [(WORDS, [0, 1, 2]), (MONTHS, [0, 12, 36])])
def test_where_labels_are_the_ratings_mae_says_it_all(tmp_path, capsys, text, ratings):
    row, out = scored(written(tmp_path, text, ratings, ratings[::-1]), tmp_path, capsys)
    assert row["mae_raw"] is None and row["mae"] > 0 and "MAE raw" not in out


def test_the_papers_raw_scores_are_not_a_users_unit(tmp_path):
    example = Example("a", "spaq", "a.png", 1, SCALES["spaq"], "cot")
    write_jsonl(tmp_path / "spaq_test.jsonl", [to_row(example, score=33.0)])
    tests, _ = testsets.index([tmp_path / "spaq_test.jsonl"], SCALES)
    write_jsonl(tmp_path / "run.jsonl", [{"id": "a", "dataset": "spaq", "label": example.answer, "predict": "x"}])
    (run,), errors = load([tmp_path / "run.jsonl"], SCALES, tests)
    assert errors == [] and run.data and run.score is None and run.raw_error is None


def test_ratings_stay_with_their_rows_where_runs_are_paired(tmp_path):
    path, _, scale = written(tmp_path, SHINE, RATINGS, PREDICTED)
    scales, tests, _ = scales_and_test_files(Path(scale), None)
    (run,), _ = load([Path(path)], scales, tests)
    part = replace(run, **{name: getattr(run, name)[1:4] for name in ("label", "pred", "coarse_pred", "line", "score")})
    ours, base = paired(run, replace(part, id=run.id[1:4]))
    assert ours.score.tolist() == base.score.tolist() == RATINGS[1:4] and ours.raw_error.tolist() == ERRORS[1:4]


PAPER = re.compile(r"\bpaper\b|\blite\b|n_paper|off by|Tables? \d|STORM-\d", re.IGNORECASE)


@pytest.mark.parametrize("decode", ["text", "exact"])
def test_nothing_is_said_of_a_paper(tmp_path, capsys, decode):
    preds = PREDICTED if decode == "text" else [[0.2, 0.3, 0.5]] * 5
    args = written(tmp_path, SHINE, RATINGS, preds)
    _, out = scored(args, tmp_path, capsys)
    assert decode in out and not PAPER.search(out) and "average" not in out
    page, text = reported(args, tmp_path)
    assert not PAPER.search(text) and "years" not in text and 'class="paper' not in page and 'id="averages"' not in page
    scale = SCALES["spaq"]
    row = {"id": "1", "dataset": "spaq", "label": answer(scale, "cot", 1), "predict": answer(scale, "cot", 1)}
    write_jsonl(tmp_path / "spaq.jsonl", [row | ({"probs": [0, 1, 0, 0, 0]} if decode == "exact" else {})])
    assert score.main([str(tmp_path / "spaq.jsonl"), *args]) == 0
    out = capsys.readouterr().out
    assert "n_paper: rows of the paper's test set." in out, "with one of its datasets, it is"
    assert ("not the paper's protocol" in out) is (decode == "exact")
    assert "aper’s protocol" in reported([str(tmp_path / "spaq.jsonl"), *args], tmp_path)[1]


def test_the_page_speaks_the_users_words(tmp_path):
    page, text = reported(written(tmp_path, SHINE, RATINGS, [*PREDICTED[:4], "no idea"]), tmp_path)
    assert re.search(
        r'<h3 id="dataset-head-0"><bdi>The shine of a pan</bdi> <span class="soft">shine</span></h3>', page
    )
    facts = re.findall(r"<dt>(label|prediction|coarse)</dt><dd><bdi>(.*?)</bdi>", page)
    assert ("label", "Fair") in facts and ("prediction", "Dull") in facts and ("coarse", "For sale") in facts
    assert "pan0" not in text and "pan1" not in text, "codes stand in prompts and answers only"
    errors = re.findall(r'class="verdict \w+">(.*?)</span>', page)
    assert sorted(errors) == ["0", "0", "0", "1 level", "unparsed"]
    rated = re.findall(r"<dt>your rating</dt><dd>(.*?)</dd>", page)
    assert sorted(rated) == ["100", "30, error 20", "38, error 8", "41, error 29", "5, error 5"]
    matrix = page[page.index('class="matrix"') :]
    assert re.findall(r"<bdi>(\w+)</bdi>", matrix[: matrix.index("</table>")]) == ["Dull", "Fair", "Bright"] * 2
    assert "Mean absolute error of the parsed predictions, in levels." in text


def test_a_papers_page_keeps_the_papers_codes(tmp_path):
    scale = SCALES["spaq"]
    row = {"label": answer(scale, "cot", 1), "predict": answer(scale, "cot", 2)}
    write_jsonl(tmp_path / "run" / "spaq" / "generated_predictions.jsonl", [row])
    page, _ = reported([str(tmp_path / "run")], tmp_path)
    assert "<bdi>rate1(Poor)</bdi>" in page and "<bdi>rate2(Fair)</bdi>" in page and ">1 level</span>" in page
    assert "your rating" not in page
    assert '<h3 id="dataset-head-0"><bdi>spaq</bdi></h3>' in page


def test_a_unit_that_is_counted_stands_for_years(tmp_path, capsys):
    ratings, preds = [0, 3, 12, 36, 20], [1, 3, 17, 30, "no idea"]
    args = written(tmp_path, MONTHS, ratings, preds)
    row, out = scored(args, tmp_path, capsys)
    assert (row["unit"], row["mae"], row["acc"], row["cs5"]) == ("months", 12 / 4, None, None)
    assert "\nMAE: mean absolute error of the parsed predictions, in months.\n" in out
    page, text = reported(args, tmp_path)
    assert "Error by label, in months In groups of five months by label" in text and "in groups of five months." in text
    assert "year" not in text and "Confusion" not in text and "level" not in text
    errors = re.findall(r'class="verdict \w+">(.*?)</span>', page)
    assert sorted(errors) == sorted(["1 month", "0", "5 months", "6 months", "unparsed"])
    facts = re.findall(r"<dt>(label|coarse)</dt><dd><bdi>(.*?)</bdi>", page)
    assert ("label", "12 months") in facts and ("coarse", "Middle(12-23 months)") in facts
    assert re.findall(r'<option value="months-\d">(.*?)</option>', page) == ["none", "1 month", "2 months or more"]


def test_own_years_keep_the_five_years_of_the_age_papers(tmp_path, capsys):
    text = "name: house\nrates: the age of a house\nunit: years\nrange: [0, 60]\n"
    args = written(tmp_path, text, [10, 20, 30], [15, 26, 30])
    row, out = scored(args, tmp_path, capsys)
    assert row["cs5"] == pytest.approx(2 / 3) and "in years." in out
    assert "at most five years off" in reported(args, tmp_path)[1]


def test_groups_of_five_are_of_every_scale_that_counts(tmp_path):
    loaded: OwnScale = read(MONTHS)
    names, group = sections.label_groups(loaded.scale)
    assert names == ["0–4", "5–9", "10–14", "15–19", "20–24", "25–29", "30–34", "35–36"]
    assert group.tolist() == [n // 5 for n in range(37)]
    assert sections.label_groups(read(SHINE).scale)[0] == ["Dull", "Fair", "Bright"]
    picture = figures.draw_errors(names, {0: [sections.GroupError(1, 2.0, 1.0)] * 8}, "months")
    assert picture != figures.draw_errors(names, {0: [sections.GroupError(1, 2.0, 1.0)] * 8}, "years")


@pytest.mark.parametrize(
    ("unit", "names"),
    [
        ("level", ["none", "1 level", "2 levels or more"]),
        ("years", ["none", "1–5 years", "6 years or more"]),
        ("cm", ["none", "1 cm", "2 cm or more"]),
    ],
)
def test_the_error_filter_names_the_unit(unit, names):
    assert [name for *_, name in error_sizes(unit)] == names


def test_own_and_rated_are_facts_of_the_scale():
    scales = {text: read(text).scale for text in (SHINE, MONTHS, WORDS)}
    assert [(scale.own, scale.rated) for scale in scales.values()] == [(True, True), (True, False), (True, False)]
    assert not any(scale.own or scale.rated for scale in SCALES.values())
    assert scales[SHINE].values == (10, 30, 70) == read(SHINE).values and UNPARSED < 0
