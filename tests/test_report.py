"""eval/report.py: what is in the page, that nothing in predictions becomes markup, and the page in a real Chromium."""

import io
import json
import os
import re
import shutil
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix

from data_prep.questions import answer
from data_prep.scales import SCALES
from data_prep.sharegpt import facts, turns, write_jsonl
from eval import built, gallery, paper, report
from eval.figures import age_errors, confusion, distribution, right_of, thoughts
from eval.report import main, of_paper, visible
from eval.runs import Answers, load

ROOT = Path(__file__).resolve().parent.parent
slow = pytest.mark.slow  # starts a browser
SCRIPT = '<script>window.hacked=1</script></script>"><img src=x onerror=window.hacked=2>'
ROWS = 30


def world(folder: Path) -> Path:
    """A run of texts and a better, exact one, of test sets of levels (spaq and hci) and years (utk)."""
    rng = np.random.default_rng(0)
    for dataset in ("spaq", "hci", "utk"):
        scale = SCALES[dataset]
        levels = np.arange(scale.lo, scale.hi + 1)
        right = rng.integers(scale.lo, min(scale.hi, 80) + 1, ROWS).tolist()
        for part, labels in {"test": right, "train": right * 3 + [scale.lo]}.items():
            rows = [
                turns(scale, "cot", label)
                | facts(id=f"{dataset}-{number}", dataset=dataset, image=f"{dataset}{number}.png", label=label)
                for number, label in enumerate(labels)
            ]
            write_jsonl(folder / "data" / f"{dataset}_{part}.jsonl", rows)
        for number in range(ROWS - 1):  # the last is missing
            image = Image.new("RGB", (300, 200), (number * 6, 100, 200))
            image.save(folder / "data" / f"{dataset}{number}.png")
        for run, spread in (("first", 1.0), ("second", 0.6)):
            rows = []
            for number, label in enumerate(right):
                width = spread * (1 if scale.unit == "level" else 6)
                probs = np.exp(-((levels - rng.normal(label, width)) ** 2) / (2 * width**2))
                said = answer(scale, "cot", int(levels[probs.argmax()]))
                row = {"predict": said, "label": answer(scale, "cot", label) + "\n", "prompt": "<image> Rate."}
                if run == "second":
                    row |= {"id": f"{dataset}-{number}", "probs": (probs / probs.sum()).tolist()}
                rows.append(row)
            if run == "first":
                rows[0] |= {"predict": SCRIPT}
            write_jsonl(folder / run / dataset / "generated_predictions.jsonl", rows)
    return folder


def made(folder: Path, *runs: str, out: str = "report.html", code: int = 0) -> str:
    paths = [str(folder / run) for run in runs or ("first", "second")]
    assert main([*paths, "--out", str(folder / out), "--data", str(folder / "data")]) == code
    return (folder / out).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    folder = world(tmp_path_factory.mktemp("world"))
    made(folder)
    return folder


@pytest.fixture(scope="module")
def answered(shared) -> list[Answers]:
    tests = built.index([shared / "data"], SCALES, [])
    found, errors = load([shared / "first", shared / "second"], SCALES, tests)
    assert errors == [] and len(found) == 6
    return found


def page_of(shared: Path) -> str:
    return (shared / "report.html").read_text(encoding="utf-8")


def table(page: str, label: str) -> list[list[str]]:
    """The body's rows of the table in a named region, as text of its cells' first line."""
    region = page[page.index(f'aria-label="{label}"') :]
    body = region[region.index("<tbody>") : region.index("</tbody>")]
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in body.split("<tr")[1:]]
    return [[unescape(re.sub(r"<small>.*?</small>|<[^>]*>", "", cell)).strip() for cell in row] for row in cells]


def test_the_page_has_every_part_and_loads_nothing(shared):
    page = page_of(shared)
    ids = re.findall(r'<h2 id="(\w+)-head"', page)
    assert ids == ["scores", "averages", "differences", "datasets", "gallery", "legend"]
    assert re.findall(r'\b(?:src|href|action)="(?!#|data:image/jpeg;base64,)([^"]*)"', page) == []
    assert not re.search(r"@import|url\((?!#)|<link|<iframe|<object", page)
    assert len(re.findall(r"<script", page)) == 1  # ours


def test_the_policy_allows_our_script_only(shared):
    import base64
    import hashlib

    page = page_of(shared)
    policy = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]*)"', page)[1]
    script = re.search(r"<script>(.*?)</script>", page, re.S)[1]
    hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = dict(rule.split(" ", 1) for rule in re.split(r";\s+", policy))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    assert rules["script-src"] == f"'sha256-{hash}'"


def test_scores_stand_beside_the_papers(shared):
    rows = table(page_of(shared), "Scores")
    assert [(row[0], row[1].removeprefix("1 ").removeprefix("2 ")) for row in rows[:4]] == [
        ("spaq", str(shared / "first")),
        ("spaq", str(shared / "second")),
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


def test_averages_name_what_is_missing(shared):
    rows = table(page_of(shared), "Averages")
    whole = [row for row in rows if row[0] == "all 14"]
    assert "koniq" in whole[0][4] and "spaq" not in whole[0][4]
    assert [row[2] for row in whole] == ["", "", "0.533", "0.542"]
    assert [row[0] for row in rows if row[4] == "" and "paper" not in row[1]] == ["HDE", "HDE"]


def test_every_column_is_explained(shared):
    page = page_of(shared)
    legend = page[page.index('<dl class="legend">') :]
    for head in report.COLUMNS.values():
        assert f"<dt>{head}</dt>" in legend


def test_the_confusion_is_scikit_learns(shared, answered):
    first = next(a for a in answered if a.dataset == "spaq" and a.decode == "text")
    counts = confusion(first)
    assert counts.shape == (5, 6) and counts.sum() == ROWS and counts[:, 5].sum() == 1  # the script was not parsed
    labels = [0, 1, 2, 3, 4, -1]
    assert (counts == confusion_matrix(first.label, first.said, labels=labels)[:5]).all()
    printed = table(page_of(shared), "Confusion matrix of spaq, run 1")
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


def test_label_distributions_are_those_of_the_files(shared, answered):
    one = next(a for a in answered if a.dataset == "hci")
    train = right_of(shared / "data" / "hci_train.jsonl", one, SCALES)
    assert train.tolist() == sorted(one.label.tolist() * 3 + [0])
    rows = distribution(one.scale, {"train": train, "test": one.label})
    assert [name for name, _ in rows] == ["1930s", "1940s", "1950s", "1960s", "1970s"]
    assert rows[1][1] == {"train": (one.label == 1).sum() * 3 / (3 * ROWS + 1), "test": (one.label == 1).mean()}
    assert f"train, n {3 * ROWS + 1}" in page_of(shared)


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
def test_what_two_runs_share_and_what_changed(shared, answered):
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
    rows = table(page_of(shared), "Differences in scores")
    assert {row[0] for row in rows} == {"spaq", "hci", "utk", "mean of these"}


def test_one_run_has_no_differences(shared):
    page = made(shared, "first/hci", out="one.html")
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


def test_missing_images_are_counted(shared, tmp_path):
    page = page_of(shared)
    assert '<strong id="missing">6 images not found.</strong>' in page  # the last of each dataset and run
    assert page.count("image not found</div>") >= 6
    outside = tmp_path / "outside.png"
    Image.new("RGB", (9, 9)).save(outside)
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "broken.png").write_bytes(b"no image")
    assert gallery.thumbnail("../outside.png", [tmp_path / "media"], None) is None
    assert gallery.thumbnail("broken.png", [tmp_path / "media"], None) is None
    assert gallery.thumbnail("outside.png", [tmp_path / "media", tmp_path], None) is not None


def test_a_bad_file_is_named_and_the_rest_is_reported(shared, capsys):
    bad = shared / "bad" / "hci" / "generated_predictions.jsonl"
    bad.parent.mkdir(parents=True)
    bad.write_text("{oops\n")
    page = made(shared, "bad", "first", "gone", out="bad.html", code=2)
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
def test_the_same_input_gives_the_same_bytes_but_for_the_time(shared):
    times = r"(?s)<time.*?</time>"
    assert re.sub(times, "", page_of(shared)) == re.sub(times, "", made(shared, out="again.html"))
    assert not list(shared.glob("*.part"))


def test_a_page_above_the_limit_shows_fewer_examples(shared, monkeypatch):
    whole = made(shared, "first/hci", out="whole.html")
    monkeypatch.setattr(report, "LIMIT", len(whole.encode()) - 1)
    monkeypatch.setattr(gallery, "MOST", 40)
    page = made(shared, "first/hci", out="small.html")
    assert (whole.count('<li class="card"'), page.count('<li class="card"')) == (ROWS, 20)


def test_thumbnails_are_small(shared):
    sizes = [len(jpeg) * 3 / 4 for jpeg in re.findall(r'src="data:image/jpeg;base64,([^"]*)"', page_of(shared))]
    assert sizes and max(sizes) < 10_000


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("no chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextmanager
def visit(browser, path: Path, **settings):
    """The page from its file, which must log nothing and ask for nothing but itself."""
    context = browser.new_context(**settings)
    page, wrong, asked = context.new_page(), [], []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: request.url.startswith("data:") or asked.append(request.url))
    page.set_default_timeout(10_000)
    page.goto(path.as_uri())
    yield page
    context.close()
    assert wrong == [] and asked == [path.as_uri()]


def column(page, place: int) -> list[str]:
    """The values by which the table of scores sorts a column, from the top."""
    return page.locator(f"#table-scores tbody tr > :nth-child({place})").evaluate_all(
        "c => c.map(x => x.dataset.value)"
    )


def head(page, name: str):
    return page.locator("#table-scores thead th", has=page.get_by_role("button", name=name, exact=True))


@slow
def test_scores_sort_by_click_and_by_key(shared, browser):
    with visit(browser, shared / "report.html") as page:
        acc = head(page, "ACC")
        place = acc.evaluate("th => th.cellIndex + 1")
        before = column(page, place)
        numbers = sorted(float(value) for value in before if value)
        assert len(set(numbers)) > 3 and "" in before and before != sorted(before)
        acc.get_by_role("button").click()
        assert acc.get_attribute("aria-sort") == "descending"
        assert [float(value) for value in column(page, place) if value] == numbers[::-1]
        assert column(page, place)[len(numbers) :] == [""] * (len(before) - len(numbers))  # empty ones last
        page.keyboard.press("Enter")
        assert acc.get_attribute("aria-sort") == "ascending"
        assert [float(value) for value in column(page, place) if value] == numbers
        assert column(page, place)[-1] == ""
        page.keyboard.press("Shift+Tab")  # to the head before
        page.keyboard.press("Space")
        assert acc.get_attribute("aria-sort") is None
        assert page.locator("#table-scores th[aria-sort]").count() == 1
        head(page, "dataset").get_by_role("button").click()
        assert column(page, 1) == sorted(column(page, 1))


def cards(page) -> list[dict]:
    """The data of the cards that are seen, in their order."""
    seen = page.locator("#cards > li:not([hidden])")
    return seen.evaluate_all("cards => cards.map(card => ({...card.dataset}))")


def counted(page) -> tuple[int, int]:
    shown, all = re.match(r"(\d+) of (\d+) shown", page.locator("#count").inner_text()).groups()
    return int(shown), int(all)


@slow
def test_the_gallery_filters_and_orders(shared, answered, browser):
    with visit(browser, shared / "report.html") as page:
        whole = cards(page)
        assert counted(page) == (len(whole), len(whole)) == (6 * ROWS,) * 2
        assert whole[0]["error"] == "unparsed"  # worst first
        page.get_by_label("dataset", exact=True).select_option("spaq")
        spaq = cards(page)
        assert {card["dataset"] for card in spaq} == {"0"} and counted(page) == (2 * ROWS, 6 * ROWS)
        sizes = [0 if card["error"] == "unparsed" else 3 - int(card["error"][-1]) for card in spaq]
        assert sizes == sorted(sizes) and set(sizes) >= {0, 2, 3}  # worst first
        page.get_by_label("error", exact=True).select_option("1 level")
        off = [gallery.errors(a) for a in answered if a.dataset == "spaq"]
        assert len(cards(page)) == sum(int((error == 1).sum()) for error in off) > 0
        assert "dataset: spaq · error: 1 level" in page.locator("#count").inner_text()
        page.get_by_label("error", exact=True).select_option("unparsed")
        assert len(cards(page)) == 1
        page.get_by_role("button", name="Reset").click()
        page.wait_for_function("n => document.querySelectorAll('#cards > li:not([hidden])').length === n", arg=6 * ROWS)
        slider = page.get_by_label("confidence")
        slider.focus()
        for _ in range(60):
            page.keyboard.press("ArrowRight")
        sure = np.concatenate([a.probs.max(1) for a in answered if a.decode == "exact"])
        assert len(cards(page)) == (sure >= 0.6).sum() > 0
        assert "confidence at least 0.60" in page.locator("#count").inner_text()
        page.keyboard.press("End")
        assert counted(page)[0] == (sure >= 1).sum() == 0 and page.locator("#none").is_visible()
        page.keyboard.press("Home")
        page.get_by_label("order", exact=True).select_option("best first")
        assert cards(page) == whole[::-1]
        page.get_by_label("order", exact=True).select_option("as in the file")
        places = [int(card["place"]) for card in cards(page)]
        assert places == list(range(6 * ROWS))


@slow
def test_a_hostile_prediction_is_text(shared, tmp_path, browser):
    with visit(browser, shared / "report.html") as page:
        assert page.evaluate("window.hacked") is None
        assert page.locator("pre.said").first.text_content() == SCRIPT
        assert page.locator("img:not([src^='data:image/jpeg;base64,'])").count() == 0
    scale, name = SCALES["hci"], '"><img src=x onerror=window.hacked=4>.png'
    known = facts(id="<svg onload=window.hacked=5>", dataset="hci", image=name, label=1)
    write_jsonl(tmp_path / "data" / "hci_test.jsonl", [turns(scale, "cot", 1) | known])
    Image.new("RGB", (20, 20)).save(tmp_path / "data" / name)
    said = {"predict": "</pre><script>window.hacked=6</script>", "label": answer(scale, "cot", 1)}
    write_jsonl(tmp_path / "'><b>" / "hci" / "generated_predictions.jsonl", [said])
    made(tmp_path, "'><b>")
    with visit(browser, tmp_path / "report.html") as page:
        assert page.evaluate("window.hacked") is None
        assert page.locator("#cards img").get_attribute("alt") == name
        assert "<svg onload=window.hacked=5>" in page.locator("#cards").text_content()
        assert str(tmp_path / "'><b>") in page.locator(".runs").inner_text()


@slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_and_the_dark(shared, browser, scheme):
    with visit(browser, shared / "report.html", viewport={"width": 390, "height": 844}, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        backgrounds = set()
        # Every text, against the next background that is painted below it.
        script = """() => {
          const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
          const paint = (colours) => {
            canvas.clearRect(0, 0, 1, 1);
            for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
            return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
          };
          const found = {};
          for (const node of document.querySelectorAll("body, main *")) {
            if (![...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim())) continue;
            if (node.closest("svg, option, pre") || !node.checkVisibility()) continue;
            const under = [];
            for (let at = node; at; at = at.parentElement) under.unshift(getComputedStyle(at).backgroundColor);
            const pair = [paint([...under, getComputedStyle(node).color]), paint(under)];
            found[JSON.stringify(pair)] = node.tagName + "." + node.className;
          }
          return found;
        }"""
        for pair, where in page.evaluate(script).items():
            text, below = (np.array(colour) / 255 for colour in json.loads(pair))
            backgrounds.add(tuple(below))
            light = [
                np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
                for c in (text, below)
            ]
            assert (max(light) + 0.05) / (min(light) + 0.05) >= 4.5, (where, pair)
        assert len(backgrounds) > 5
        body = max(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"))
        assert (body < 60) == (scheme == "dark")


@slow
def test_every_head_of_a_figure_has_a_table_beside_it(shared, browser):
    with visit(browser, shared / "report.html") as page:
        assert page.locator("figure:has(svg)").count() == 4  # reliability of three, ages of one
        assert page.locator("figure").count() == page.locator("figure:has(table)").count()
        assert page.locator("th:not([scope])").count() == 0
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"


@slow
def test_a_picture_for_the_readme(shared, tmp_path, browser, monkeypatch):
    """STORM_SCREENSHOT=demo/report.png keeps it and takes it of the demo, after `make demo` and README's exact run."""
    path, keep = shared / "report.html", os.environ.get("STORM_SCREENSHOT")
    if keep:
        monkeypatch.chdir(ROOT)
        path = tmp_path / "report.html"
        assert main(["saves/demo_predict", "saves/demo_exact", "--out", str(path)]) == 0
    parts = []
    with visit(browser, path, viewport={"width": 1280, "height": 900}) as page:
        for anchor in ("dataset-0", "gallery"):
            page.evaluate("id => document.getElementById(id).scrollIntoView({behavior: 'instant'})", anchor)
            page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            parts.append(Image.open(io.BytesIO(page.screenshot())))
    picture = Image.new("RGB", (1280, 1800))
    for number, part in enumerate(parts):
        assert len(part.getcolors(1 << 20)) > 500, "not a blank page"
        picture.paste(part, (0, 900 * number))
    if keep:
        picture.quantize(256).save(keep, optimize=True)
