"""eval/report.py: what is in the page, and that nothing in predictions becomes markup."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html import unescape

import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix

from eval import report
from eval.report import main
from eval.report_page import figures, sampling, sections, tables
from eval.report_page.cards import thumbnail
from eval.report_page.page import visible
from eval.report_page.tables import Cell
from eval.scoring import metrics, paper
from eval.scoring.weighted_rows import coarse_index
from storm.datasets import SCALES
from storm.files import write_jsonl
from storm.prompts import answer
from storm.rows import Example, to_row
from tests.helpers.two_runs import ROWS, SCRIPT, page_of, write_report


def table(page: str, label: str) -> list[list[str]]:
    """The body's rows of the table in a named region, as text of its cells' first line."""
    region = page[page.index(f'aria-label="{label}"') :]
    body = region[region.index("<tbody>") : region.index("</tbody>")]
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in body.split("<tr")[1:]]
    return [[unescape(re.sub(r"<small>.*?</small>|<[^>]*>", "", cell)).strip() for cell in row] for row in cells]


def test_the_page_has_every_part_and_loads_nothing(reported):
    page = page_of(reported)
    ids = re.findall(r'<h2 id="(\w+)-head"', page)
    assert ids == ["scores", "averages", "differences", "datasets", "doubt", "readings", "gallery", "legend"]
    data = r"(?!#|data:image/(?:jpeg|svg\+xml);base64,)"
    assert re.findall(rf'\b(?:src|srcset|href|action)="{data}([^"]*)"', page) == []
    assert not re.search(r"@import|url\((?!#)|<link|<iframe|<object|<svg", page)
    assert len(re.findall(r"<script", page)) == 1  # ours


def test_the_policy_allows_our_script_only(reported):
    page = page_of(reported)
    policy = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]*)"', page)[1]
    script = re.search(r"<script>(.*?)</script>", page, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = dict(rule.split(" ", 1) for rule in re.split(r";\s+", policy))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    assert rules["script-src"] == f"'sha256-{digest}'"


def test_scores_stand_beside_the_papers(reported):
    rows = table(page_of(reported), "Scores")
    assert [(row[0], row[1].removeprefix("1 ").removeprefix("2 ")) for row in rows[:4]] == [
        ("spaq", str(reported / "first")),
        ("spaq", str(reported / "second")),
        ("spaq", "STORM-3B Lite (paper)"),
        ("spaq", "STORM-3B Full (paper)"),
    ]
    assert "0.583" in rows[2] and "0.442" in rows[2]
    assert len(rows) == 3 * 4
    years = [row for row in rows if row[0] == "utk" and "paper" in row[1]]
    assert "5.879" in years[0] and "0.3" not in "".join(years[0])  # no ACC


def test_unsure_numbers_of_the_paper_say_so():
    lite = tables.PAPER[0]
    assert lite.name == "STORM-3B Lite"
    reason = paper.UNSURE["table2", "STORM-3B Lite", "acc", "challengedb"]
    assert tables.paper_cells(lite, "challengedb")["acc"] == Cell(0.468, unsure=reason)
    assert tables.paper_cells(lite, "paper") == {"acc": Cell(0.533), "mae": Cell(1.958)}
    assert tables.paper_cells(lite, "utk")["acc"].value is None
    assert tables.paper_cells(lite, "FAE")["mae"].value == pytest.approx((0.636 + 8.202 + 5.975 + 5.879) / 4)


def test_averages_name_what_is_missing(reported):
    rows = table(page_of(reported), "Averages")
    whole = [row for row in rows if row[0] == "all 14"]
    assert "koniq" in whole[0][4] and "spaq" not in whole[0][4]
    assert [row[2] for row in whole] == ["", "", "0.533", "0.542"]
    assert [row[0] for row in rows if row[4] == "" and "paper" not in row[1]] == ["HDE", "HDE"]


def heads(page: str) -> dict[str, str]:
    """The heads of the table of scores after its first four, and which order their first click gives."""
    region = page[page.index('id="table-scores"') : page.index("</thead>", page.index('id="table-scores"'))]
    pairs = re.findall(r'data-first="(\w+)">\s*<button type="button">(.*?)</button>', region)
    return {unescape(head): first for first, head in pairs[4:]}


def test_every_column_is_explained_and_sorts_its_best_first(reported):
    page = page_of(reported)
    shown = heads(page)
    legend = page[page.index('<dl class="legend">') :]
    assert "MAE raw" not in shown and "<dt>MAE raw" not in legend, "the paper's datasets have labels only"
    for metric in (metric for metric in metrics.METRICS.values() if metric.when != "own ratings"):
        assert shown[metric.label] == {"lower": "ascending", "higher": "descending"}[metric.better]
        assert f"<dt>{metric.label}</dt>" in legend and metric.explained(["level", "years"])[1:] in unescape(legend)
    assert list(shown)[0] == "n" and {"n_test", "n_paper"} & set(shown) == {"n_paper"}  # all test rows are predicted


def test_a_new_metric_is_a_new_row_only(reported, monkeypatch):
    new = replace(metrics.METRICS["mae"], name="double", label="twice <MAE>", legend="what nobody needs.")
    monkeypatch.setitem(metrics.METRICS, "double", new)
    page = write_report(reported, "first/hci", out="metric.html")
    assert heads(page)["twice <MAE>"] == "ascending"
    place = list(heads(page)).index
    row = table(page, "Scores")[0][4:]
    assert row[place("twice <MAE>")] == row[place("MAE")] != ""
    assert "<dt>twice &lt;MAE&gt;</dt><dd>What nobody needs.</dd>" in page


def test_the_confusion_is_scikit_learns(reported, predictions):
    first = next(run for run in predictions if run.dataset == "spaq" and run.decode == "text")
    counts = sections.confusion(first)
    assert counts.shape == (5, 6) and counts.sum() == ROWS and counts[:, 5].sum() == 1  # the script was not parsed
    labels = [0, 1, 2, 3, 4, -1]
    assert (counts == confusion_matrix(first.label, first.pred, labels=labels)[:5]).all()
    printed = table(page_of(reported), "Confusion matrix of spaq, run 1")
    assert [[int(cell) for cell in row[1:]] for row in printed] == counts.tolist()


def test_errors_by_age_are_means_of_five_years(predictions):
    run = next(run for run in predictions if run.dataset == "utk" and run.run.name == "first")
    rows = sections.group_errors(run)
    assert len(rows) == 24  # 1-4, 5-9, ..., 115-116
    group = (run.label // 5 == 6) & (run.pred != -1)
    error = run.pred[group] - run.label[group]
    assert rows[6] == (group.sum(), pytest.approx(abs(error).mean()), pytest.approx(error.mean()))
    assert sum(row.n for row in rows if row) == ROWS - 1


def test_coarse_and_fine_predictions_add_up(predictions):
    run = next(run for run in predictions if run.dataset == "spaq" and run.decode == "text")
    both, only_coarse, only_fine, neither, missing = sections.hits_of_parts(run)
    assert (both, only_fine, missing) == ((run.pred == run.label).sum(), 0, 1)
    assert both + only_coarse == (run.coarse_pred == coarse_index(run.scale, run.label)).sum()
    assert both + only_coarse + neither + missing == ROWS
    assert sections.hits_of_parts(replace(run, strategy="direct")) is None


def test_label_distributions_are_those_of_the_files(reported, predictions):
    run = next(run for run in predictions if run.dataset == "hci")
    file = reported / "data" / "hci_train.jsonl"
    train = sections.labels_in(file, run.scale, SCALES)
    assert train.tolist() == run.label.tolist() * 3 + [0]
    rows = sections.distribution(run.scale, {"train": train, "test": run.label})
    assert [name for name, _ in rows] == ["1930s", "1940s", "1950s", "1960s", "1970s"]
    assert rows[1][1] == {"train": (run.label == 1).sum() * 3 / (3 * ROWS + 1), "test": (run.label == 1).mean()}
    assert f"train, n {3 * ROWS + 1}" in page_of(reported)
    with pytest.raises(ValueError, match=f"^{re.escape(str(file))}, id 'hci-0': "):
        sections.labels_in(file, SCALES["spaq"], SCALES)


def test_the_gallery_takes_the_worst_and_spreads_the_rest(predictions):
    run = next(run for run in predictions if run.decode == "exact" and run.dataset == "spaq")
    error, sure = sections.distances(run), sampling.confidence(run)
    rows = sampling.sample(run, 11)
    worst, rest = rows[:6], rows[6:]
    assert len(set(rows)) == 11
    assert worst == sorted(range(ROWS), key=lambda i: (-error[i], -sure[i], i))[:6]
    assert rest == sorted(rest) and rest[0] < 10 and rest[-1] > 20
    text = next(run for run in predictions if run.decode == "text")
    assert sampling.sample(text, 2)[0] == 0  # unparsed
    assert sorted(sampling.sample(run, 1000)) == list(range(ROWS))
    chosen = sampling.picks(predictions, 20)
    assert len(chosen) == 20 and {id(run) for run, _ in chosen} == {id(run) for run in predictions}
    assert sampling.picks(predictions, 0) == []


@pytest.mark.slow
def test_what_two_runs_share_and_what_changed(reported, predictions):
    first, second = ({p.dataset: p for p in predictions if p.run.name == name} for name in ("first", "second"))
    difference, errors = sampling.difference(1, second, first)
    assert errors == []
    base, ours = (run["spaq"].pred == run["spaq"].label for run in (first, second))
    counts = [(ours & base).sum(), (base & ~ours).sum(), (ours & ~base).sum(), (~ours & ~base).sum()]
    assert dict(difference.hits)["spaq"] == counts
    changes = [abs(by) for by, *_ in difference.changes]
    assert len(changes) == 12 and changes == sorted(changes, reverse=True) and changes[-1] > 0
    assert {row[0] for row in table(page_of(reported), "Differences in scores")} == {
        "spaq",
        "hci",
        "utk",
        "mean of these",
    }
    assert sampling.difference(1, second, {"ava": first["spaq"]}) == (None, [])


def test_one_run_has_no_differences(reported):
    page = write_report(reported, "first/hci", out="one.html")
    assert 'id="differences"' not in page and 'id="gallery"' in page


def test_nothing_in_predictions_or_names_becomes_markup(tmp_path):
    scale, name = SCALES["spaq"], "<script>window.hacked=3</script> \"'&.png"
    example = Example("\u202e<b>id</b>", "spaq", name, 1, scale, "cot")
    write_jsonl(tmp_path / "data" / "spaq_test.jsonl", [to_row(example)])
    text = SCRIPT + " javascript:alert(1) \u202e\x00\x1b[31m $x^2$ {{ 7 * 7 }}"
    path = tmp_path / "<i onclick=x>" / "spaq" / "generated_predictions.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"predict": text, "label": answer(scale, "cot", 1), "prompt": SCRIPT}) + "\n")
    page = write_report(tmp_path, "<i onclick=x>")
    assert not re.search(r"<script>window|<img src=x|<i onclick|<b>id", page)
    assert page.count("&lt;script&gt;window.hacked=1") == 2  # prediction and prompt
    assert r"\u202e\u0000\u001b[31m $x^2$ {{ 7 * 7 }}" in page
    assert "\u202e" not in page and "\x1b" not in page


def test_long_texts_are_cut_and_nothing_parsed_is_no_error(tmp_path):
    scale = SCALES["utk"]
    row = {"predict": "n" * 5000, "label": answer(scale, "cot", 30), "prompt": "<|image_pad|>" * 735 + " Age?"}
    write_jsonl(tmp_path / "run" / "utk" / "generated_predictions.jsonl", [row])
    (tmp_path / "data").mkdir()
    page = write_report(tmp_path, "run")
    assert max(map(len, re.findall("n+", page))) == 300
    assert "&lt;|image_pad|&gt; … Age?</pre>" in page and page.count("image_pad") == 1
    assert table(page, "Scores")[0][:6] == ["utk", f"1 {tmp_path / 'run'}", "cot", "text", "1", "2,410"]


def test_a_scale_of_ones_own(tmp_path):
    scale = tmp_path / "scale.yaml"
    scale.write_text("name: tidy\nrates: the tidiness of a desk\nlevels: [Messy, So $x_1$ & so, Tidy]\n")
    rows = [{"predict": text, "label": "level1(So $x_1$ & so)"} for text in ("level1(So $x_1$ & so)", "level2(Tidy)")]
    write_jsonl(tmp_path / "run" / "tidy" / "generated_predictions.jsonl", rows)
    assert main([str(tmp_path / "run"), "--out", str(tmp_path / "report.html"), "--scale", str(scale)]) == 0
    matrix = table(page_of(tmp_path), "Confusion matrix of tidy, run 1")
    assert matrix == [["Messy", "0", "0", "0"], ["So $x_1$ & so", "0", "1", "1"], ["Tidy", "0", "0", "0"]]


def test_visible_leaves_other_scripts_alone():
    assert visible("Größe שלום 写真\n") == "Größe שלום 写真\n"
    assert visible("a\u2066b\u2028c\r\ud800") == "a\\u2066b\\u2028c\\u000d\\ud800"


def test_images_that_cannot_be_shown_are_counted_by_reason(reported, tmp_path):
    page = page_of(reported)
    missing = re.search(r'<p id="missing">(.*?)</p>', page, re.S)[1]
    assert "6 rows" in missing and "no such image (6)" in missing  # the last of each dataset and run
    assert len(re.findall('<span title="no such image">no image</span>', page)) >= 6
    outside, media = tmp_path / "outside.png", tmp_path / "media"
    Image.new("RGB", (9, 9)).save(outside)
    media.mkdir()
    (media / "broken.png").write_bytes(b"not an image")
    (media / "drawing.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    for name, start in {
        "../outside.png": "leads out",
        "broken.png": "starts with",
        "drawing.jpg": "starts with",
    }.items():
        small = thumbnail(name, [media], None)
        assert small.jpeg == "" and small.fault.startswith(start)
    assert thumbnail("outside.png", [media, tmp_path], None).jpeg
    assert thumbnail(None, [media], None).fault != ""


def test_a_bad_file_is_named_and_the_rest_is_reported(reported, capsys):
    bad = reported / "bad" / "hci" / "generated_predictions.jsonl"
    bad.parent.mkdir(parents=True)
    bad.write_text("{oops\n")
    page = write_report(reported, "bad", "first", "gone", out="bad.html", code=2)
    captured = capsys.readouterr()
    errors = captured.err.strip().splitlines()
    assert len([line for line in errors if line.startswith("error: ")]) == 2
    assert f"{bad}, line 1" in captured.err and str(reported / "gone") in captured.err
    assert str(reported / "bad.html") in captured.out and f"{3 * ROWS} rows" in captured.out
    assert page.index('<div class="errors"') < page.index('id="scores"')
    assert len(re.findall(f"<li>{re.escape(str(bad))}, line 1|<li>{re.escape(str(reported / 'gone'))}", page)) == 2
    assert len(table(page, "Scores")) == 9


def test_nothing_at_all_is_a_line_each_and_no_file(tmp_path, capsys):
    assert main([str(tmp_path / "gone"), "--out", str(tmp_path / "r.html"), "--data", str(tmp_path / "none")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and str(tmp_path / "none") in lines[0] and str(tmp_path / "gone") in lines[1]
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_written_is_one_line(reported, capsys):
    (reported / "file").touch()
    out = reported / "file" / "report.html"
    assert main([str(reported / "first/hci"), "--out", str(out), "--data", str(reported / "data")]) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: --out ")]
    assert str(out.parent) in line and "Errno" not in line


def test_a_picture_is_drawn_for_both_themes_with_the_same_bytes():
    bins = [{"n": 3, "confidence": 0.5, "accuracy": 0.4}, {"n": 5, "confidence": 0.9, "accuracy": 0.8}]
    pictures = [figures.draw_reliability({0: bins, 9: bins}) for _ in range(2)]
    assert pictures[0] == pictures[1]
    for theme, other, uri in ((figures.LIGHT, figures.DARK, 0), (figures.DARK, figures.LIGHT, 1)):
        svg = base64.b64decode(pictures[0][uri].removeprefix("data:image/svg+xml;base64,")).decode()
        assert all(color in svg for color in (theme.ink, theme.line, theme.runs[0], theme.runs[1]))
        assert not any(color in svg for color in (other.ink, other.line, *other.runs))


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes_but_for_the_time(reported):
    times = r"(?s)<time.*?</time>"
    assert re.sub(times, "", page_of(reported)) == re.sub(times, "", write_report(reported, out="again.html"))
    assert not list(reported.glob("*.part"))


def test_a_page_above_the_limit_shows_fewer_examples(reported, monkeypatch):
    whole = write_report(reported, "first/hci", out="whole.html")
    monkeypatch.setattr(report, "LIMIT", len(whole.encode()) - 1)
    monkeypatch.setattr(report, "MOST", 40)
    page = write_report(reported, "first/hci", out="small.html")
    assert (whole.count('<li class="card"'), page.count('<li class="card"')) == (ROWS, 20)


def test_thumbnails_are_small(reported):
    sizes = [len(jpeg) * 3 / 4 for jpeg in re.findall(r'src="data:image/jpeg;base64,([^"]*)"', page_of(reported))]
    assert sizes and max(sizes) < 10_000


def test_how_texts_were_read_is_shown_and_can_be_filtered(reported, capsys):
    rows = [("rate3(Good)", "rate3(Good)")] * 30 + [("Good", "rate3(Good)"), ("I cannot say.", "rate3(Good)")]
    path = reported / "gpt" / "answers.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps({"answer": text, "label": label}) + "\n" for text, label in rows))
    page = write_report(reported, "gpt", out="read.html")
    section = page.partition('id="readings"')[2].partition("</section>")[0]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", section)
    assert cells[:4] == ["the authors&#39; test scripts", "exact", "30", "0.938"] and "word" in cells
    assert {"exact", "word"} < set(re.findall(r'data-rule="([^"]*)"', page))
    assert '<select id="f-rule"' in page and "<dt>read as</dt><dd>word</dd>" in page
