"""The report's section on doubt: curve, table, intervals of levels, doubtful labels, raters; none of it for texts."""

import re
from html import unescape

import pytest

from eval.report import main
from eval.report_page.doubt import MOST
from eval.scoring import scores
from storm.files import read_jsonl, write_jsonl
from tests.helpers.two_runs import page_of, write_report


def section(page: str) -> str:
    start = page.index('<section id="doubt"')
    return page[start : page.index("</section>", start)]


def cells(page: str, label: str) -> list[list[str]]:
    """The body's rows of the table in a named region, as text without the intervals."""
    region = page[page.index(f'aria-label="{label}"') :]
    body = region[region.index("<tbody>") : region.index("</tbody>")]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in body.split("<tr")[1:]]
    return [[unescape(re.sub(r"<small>.*?</small>|<[^>]*>", "", cell, flags=re.S)).strip() for cell in r] for r in rows]


def test_each_exact_run_has_its_accuracy_at_each_coverage(reported, predictions):
    part = section(page_of(reported))
    assert part.count('class="figure"') == 3, "a curve for each dataset"
    for name, metric in (("spaq", "acc"), ("utk", "mae")):
        run = next(run for run in predictions if run.dataset == name and run.decode == "exact")
        values = scores.score(run).values
        names = [f"{metric}_at_{percent}" for percent in (50, 80, 90)] + [metric, "aurc"]
        (row,) = cells(part, f"{metric.upper()} by coverage of {name}")
        assert row == ["2", *(f"{values[name]:.3f}" for name in names)]


def test_the_least_likely_labels_are_shown_with_their_images(reported, predictions):
    part = section(page_of(reported))
    rows = cells(part, "Least likely labels")
    assert len(rows) == MOST and part.count("data:image/jpeg") >= MOST - 3
    p = [float(row[6]) for row in rows]
    assert p == sorted(p)
    assert {row[2] for row in rows} == {"2"}, "only the exact run has probabilities"


def test_raters_are_shown_where_there_are_votes(reported):
    (row,) = cells(section(page_of(reported)), "Raters")
    assert row[:2] == ["spaq", "30"] and row[4] == "0.300"  # 2 (.1 .9 + .3 .7 + .7 .3 + .9 .1) / 4


def test_a_report_of_texts_of_one_test_set_has_no_such_section(reported):
    assert 'id="doubt"' not in write_report(reported, "first/hci", out="texts.html")


@pytest.fixture
def calibrated(reported, tmp_path):
    """The exact run's predictions of hci, with 12 subjects, and those of as many validation rows."""
    for part in ("test", "val"):
        rows = [line.row for line in read_jsonl(reported / "data" / "hci_test.jsonl")]
        said = [line.row for line in read_jsonl(reported / "second" / "hci" / "generated_predictions.jsonl")]
        for number, (row, prediction) in enumerate(zip(rows, said)):
            row["id"] = prediction["id"] = f"{part}{number}"
            row["subject"] = f"<b>{part}{number % 12}"
            prediction["dataset"] = "hci"
        write_jsonl(tmp_path / "data" / f"hci_{part}.jsonl", rows)
        write_jsonl(tmp_path / part / f"hci_{part}.jsonl", said)
    return tmp_path


def test_intervals_of_levels_are_shown_where_there_are_validation_rows(calibrated):
    paths = [str(calibrated / name) for name in ("test", "val", "data", "page.html")]
    assert main([paths[0], "--calibrate", paths[1], "--data", paths[2], "--out", paths[3]]) == 0
    (row,) = cells(section(page_of(calibrated, "page.html")), "Intervals of levels")
    assert row[0] == "hci" and row[2:4] == ["30", "12 subjects"] and row[7] == ""
    assert 0.5 < float(row[4]) <= 1 and 1 <= float(row[6]) <= 5
    assert "make sure yourself" in page_of(calibrated, "page.html"), "nothing says what the model was trained on"


def test_names_of_subjects_in_errors_are_escaped(calibrated):
    rows = [line.row | {"subject": "<b>test3"} for line in read_jsonl(calibrated / "data" / "hci_val.jsonl")]
    write_jsonl(calibrated / "data" / "hci_val.jsonl", rows)
    paths = [str(calibrated / name) for name in ("test", "val", "data", "page.html")]
    assert main([paths[0], "--calibrate", paths[1], "--data", paths[2], "--out", paths[3]]) == 2
    page = page_of(calibrated, "page.html")
    assert "&lt;b&gt;test3" in page and "<b>test3" not in page
    assert 'aria-label="Intervals of levels"' not in page
