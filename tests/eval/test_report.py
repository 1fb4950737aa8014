"""eval/report.py: what is in the page, and that nothing in predictions becomes markup."""

import json
import re
from html import unescape

import pytest
from tests.helpers.two_runs import ROWS, SCRIPT, made, page_of
from PIL import Image
from sklearn.metrics import confusion_matrix

from storm.prompts import answer
from storm.datasets import SCALES
from storm.rows import facts, turns
from storm.files import write_jsonl
from eval.report_page import gallery
from eval.scoring import paper
from eval import report
from eval.report_page.figures import age_errors, confusion, distribution, right_of, thoughts
from eval.report import main, of_paper, visible


def table(page: str, label: str) -> list[list[str]]:
    """The body's rows of the table in a named region, as text of its cells' first line."""
    region = page[page.index(f'aria-label="{label}"') :]
    body = region[region.index("<tbody>") : region.index("</tbody>")]
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in body.split("<tr")[1:]]
    return [[unescape(re.sub(r"<small>.*?</small>|<[^>]*>", "", cell)).strip() for cell in row] for row in cells]


def test_the_page_has_every_part_and_loads_nothing(reported):
    page = page_of(reported)
    ids = re.findall(r'<h2 id="(\w+)-head"', page)
    assert ids == ["scores", "averages", "differences", "datasets", "gallery", "legend"]
    assert re.findall(r'\b(?:src|href|action)="(?!#|data:image/jpeg;base64,)([^"]*)"', page) == []
    assert not re.search(r"@import|url\((?!#)|<link|<iframe|<object", page)
    assert len(re.findall(r"<script", page)) == 1  # ours


def test_the_policy_allows_our_script_only(reported):
    import base64
    import hashlib

    page = page_of(reported)
    policy = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]*)"', page)[1]
    script = re.search(r"<script>(.*?)</script>", page, re.S)[1]
    hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = dict(rule.split(" ", 1) for rule in re.split(r";\s+", policy))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    assert rules["script-src"] == f"'sha256-{hash}'"


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
    lite = report.BESIDE[0]
    assert lite.name == "STORM-3B Lite"
    assert of_paper(lite, "challengedb")["acc"] == {
        "value": 0.468,
        "unsure": paper.UNSURE["table2", "STORM-3B Lite", "acc", "challengedb"],
    }
    assert of_paper(lite, "paper") == {"acc": {"value": 0.533}, "mae": {"value": 1.958}}
    assert of_paper(lite, "utk")["acc"]["value"] is None
    assert of_paper(lite, "FAE")["mae"]["value"] == pytest.approx((0.636 + 8.202 + 5.975 + 5.879) / 4)


def test_averages_name_what_is_missing(reported):
    rows = table(page_of(reported), "Averages")
    whole = [row for row in rows if row[0] == "all 14"]
    assert "koniq" in whole[0][4] and "spaq" not in whole[0][4]
    assert [row[2] for row in whole] == ["", "", "0.533", "0.542"]
    assert [row[0] for row in rows if row[4] == "" and "paper" not in row[1]] == ["HDE", "HDE"]


def test_every_column_is_explained(reported):
    page = page_of(reported)
    legend = page[page.index('<dl class="legend">') :]
    for head in report.COLUMNS.values():
        assert f"<dt>{head}</dt>" in legend


def test_the_confusion_is_scikit_learns(reported, answered):
    first = next(a for a in answered if a.dataset == "spaq" and a.decode == "text")
    counts = confusion(first)
    assert counts.shape == (5, 6) and counts.sum() == ROWS and counts[:, 5].sum() == 1  # the script was not parsed
    labels = [0, 1, 2, 3, 4, -1]
    assert (counts == confusion_matrix(first.label, first.said, labels=labels)[:5]).all()
    printed = table(page_of(reported), "Confusion matrix of spaq, run 1")
    assert [[int(cell) for cell in row[1:]] for row in printed] == counts.tolist()


def test_errors_by_age_are_means_of_five_years(answered):
    one = next(a for a in answered if a.dataset == "utk" and a.run.name == "first")
    rows = age_errors(one)
    assert len(rows) == 24  # 1-4, 5-9, ..., 115-116
    here = (one.label // 5 == 6) & (one.said != -1)
    error = one.said[here] - one.label[here]
    assert rows[6] == {"n": here.sum(), "mae": pytest.approx(abs(error).mean()), "signed": pytest.approx(error.mean())}
    assert sum(row["n"] for row in rows if row) == ROWS - 1


def test_thoughts_and_ratings_add_up(answered):
    one = next(a for a in answered if a.dataset == "spaq" and a.decode == "text")
    both, only_thought, only_rating, neither, missing = thoughts(one)
    assert (both, only_rating, missing) == ((one.said == one.label).sum(), 0, 1)
    assert both + only_thought == (one.coarse == one.coarse_right).sum()
    assert both + only_thought + neither + missing == ROWS


def test_label_distributions_are_those_of_the_files(reported, answered):
    one = next(a for a in answered if a.dataset == "hci")
    train = right_of(reported / "data" / "hci_train.jsonl", one, SCALES)
    assert train.tolist() == sorted(one.label.tolist() * 3 + [0])
    rows = distribution(one.scale, {"train": train, "test": one.label})
    assert [name for name, _ in rows] == ["1930s", "1940s", "1950s", "1960s", "1970s"]
    assert rows[1][1] == {"train": (one.label == 1).sum() * 3 / (3 * ROWS + 1), "test": (one.label == 1).mean()}
    assert f"train, n {3 * ROWS + 1}" in page_of(reported)


def test_the_gallery_takes_the_worst_and_spreads_the_rest(answered):
    one = next(a for a in answered if a.decode == "exact" and a.dataset == "spaq")
    error, sure = gallery.errors(one), gallery.confidence(one)
    rows = gallery.sample(one, 11)
    worst, rest = rows[:6], rows[6:]
    assert len(set(rows)) == 11
    assert worst == sorted(range(ROWS), key=lambda i: (-error[i], -sure[i], i))[:6]
    assert rest == sorted(rest) and rest[0] < 10 and rest[-1] > 20
    text = next(a for a in answered if a.decode == "text")
    assert gallery.sample(text, 2)[0] == 0  # unparsed
    assert sorted(gallery.sample(one, 1000)) == list(range(ROWS))
    chosen = gallery.picks(answered, 20)
    assert len(chosen) == 20 and {id(a) for a, _ in chosen} == {id(a) for a in answered}
    assert gallery.picks(answered, 0) == []


@pytest.mark.slow
def test_what_two_runs_share_and_what_changed(reported, answered):
    both = [{a.dataset: a for a in answered if a.run.name == name} for name in ("first", "second")]
    (found,) = gallery.differences(both, errors := [])
    assert errors == []
    spaq = next(row for row in found["agreement"] if row["dataset"] == "spaq")
    hits = [run["spaq"].said == run["spaq"].label for run in both]
    assert spaq["counts"] == [
        (hits[0] & hits[1]).sum(),
        (hits[0] & ~hits[1]).sum(),
        (~hits[0] & hits[1]).sum(),
        (~hits[0] & ~hits[1]).sum(),
    ]
    changes = [abs(change) for change, *_ in found["changed"]]
    assert len(changes) == 12 and changes == sorted(changes, reverse=True) and changes[-1] > 0
    rows = table(page_of(reported), "Differences in scores")
    assert {row[0] for row in rows} == {"spaq", "hci", "utk", "mean of these"}


def test_one_run_has_no_differences(reported):
    page = made(reported, "first/hci", out="one.html")
    assert 'id="differences"' not in page and 'id="gallery"' in page


def test_nothing_in_predictions_or_names_becomes_markup(tmp_path):
    scale, name = SCALES["spaq"], "<script>window.hacked=3</script> \"'&.png"
    rows = [turns(scale, "cot", 1) | facts(id="\u202e<b>id</b>", dataset="spaq", image=name, label=1)]
    write_jsonl(tmp_path / "data" / "spaq_test.jsonl", rows)
    said = SCRIPT + " javascript:alert(1) \u202e\x00\x1b[31m $x^2$ {{ 7 * 7 }} \ud800"
    path = tmp_path / "<i onclick=x>" / "spaq" / "generated_predictions.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"predict": said, "label": answer(scale, "cot", 1), "prompt": SCRIPT}) + "\n")
    page = made(tmp_path, "<i onclick=x>")
    assert not re.search(r"<script>window|<img src=x|<i onclick|<b>id", page)
    assert page.count("&lt;script&gt;window.hacked=1") == 2  # said and prompt
    assert "&lt;script&gt;window.hacked=3&lt;/script&gt; &#34;&#39;&amp;.png" in page
    assert r"\u202e\u0000\u001b[31m $x^2$ {{ 7 * 7 }} \ud800" in page
    assert "\u202e" not in page and "\x1b" not in page


def test_long_texts_are_cut_and_nothing_parsed_is_no_error(tmp_path):
    scale = SCALES["utk"]
    row = {"predict": "n" * 5000, "label": answer(scale, "cot", 30), "prompt": "<|image_pad|>" * 735 + " Age?"}
    write_jsonl(tmp_path / "run" / "utk" / "generated_predictions.jsonl", [row])
    (tmp_path / "data").mkdir()
    page = made(tmp_path, "run")
    assert max(map(len, re.findall("n+", page))) == 300
    assert "&lt;|image_pad|&gt; … Age?</pre>" in page and page.count("image_pad") == 1
    assert table(page, "Scores")[0][:6] == ["utk", f"1 {tmp_path / 'run'}", "cot", "text", "1", "2,410"]


def test_a_scale_of_ones_own(tmp_path):
    scale = tmp_path / "scale.yaml"
    scale.write_text("name: tidy\nrates: the tidiness of a desk\nlevels: [Messy, So $x_1$ & so, Tidy]\n")
    rows = [{"predict": said, "label": "level1(So $x_1$ & so)"} for said in ("level1(So $x_1$ & so)", "level2(Tidy)")]
    write_jsonl(tmp_path / "run" / "tidy" / "generated_predictions.jsonl", rows)
    assert main([str(tmp_path / "run"), "--out", str(tmp_path / "report.html"), "--scale", str(scale)]) == 0
    matrix = table(page_of(tmp_path), "Confusion matrix of tidy, run 1")
    assert matrix == [["Messy", "0", "0", "0"], ["So $x_1$ & so", "0", "1", "1"], ["Tidy", "0", "0", "0"]]


def test_visible_leaves_other_scripts_alone():
    assert visible("Größe שלום 写真\n") == "Größe שלום 写真\n"
    assert visible("a\u2066b\u2028c\r") == "a\\u2066b\\u2028c\\u000d"


def test_missing_images_are_counted(reported, tmp_path):
    page = page_of(reported)
    assert '<strong id="missing">6 images not found.</strong>' in page  # the last of each dataset and run
    assert page.count("image not found</div>") >= 6
    outside = tmp_path / "outside.png"
    Image.new("RGB", (9, 9)).save(outside)
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "broken.png").write_bytes(b"no image")
    assert gallery.thumbnail("../outside.png", [tmp_path / "media"], None) is None
    assert gallery.thumbnail("broken.png", [tmp_path / "media"], None) is None
    assert gallery.thumbnail("outside.png", [tmp_path / "media", tmp_path], None) is not None


def test_a_bad_file_is_named_and_the_rest_is_reported(reported, capsys):
    bad = reported / "bad" / "hci" / "generated_predictions.jsonl"
    bad.parent.mkdir(parents=True)
    bad.write_text("{oops\n")
    page = made(reported, "bad", "first", "gone", out="bad.html", code=2)
    captured = capsys.readouterr()
    assert captured.err.count("error: ") == 2 and "gone: no such file or folder" in captured.err
    assert f"{bad}, line 1: not JSON" in captured.err and f"{3 * ROWS} rows" in captured.out
    assert page.index("Left out") < page.index('id="scores"')
    assert len(re.findall("line 1: not JSON|gone: no such file", page)) == 2
    assert len(table(page, "Scores")) == 9


def test_nothing_at_all_is_one_line_and_no_file(tmp_path, capsys):
    assert main([str(tmp_path / "gone"), "--out", str(tmp_path / "r.html"), "--data", str(tmp_path / "none")]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "gone: no such file or folder (and 1 more)" in captured.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes_but_for_the_time(reported):
    times = r"(?s)<time.*?</time>"
    assert re.sub(times, "", page_of(reported)) == re.sub(times, "", made(reported, out="again.html"))
    assert not list(reported.glob("*.part"))


def test_a_page_above_the_limit_shows_fewer_examples(reported, monkeypatch):
    whole = made(reported, "first/hci", out="whole.html")
    monkeypatch.setattr(report, "LIMIT", len(whole.encode()) - 1)
    monkeypatch.setattr(gallery, "MOST", 40)
    page = made(reported, "first/hci", out="small.html")
    assert (whole.count('<li class="card"'), page.count('<li class="card"')) == (ROWS, 20)


def test_thumbnails_are_small(reported):
    sizes = [len(jpeg) * 3 / 4 for jpeg in re.findall(r'src="data:image/jpeg;base64,([^"]*)"', page_of(reported))]
    assert sizes and max(sizes) < 10_000
