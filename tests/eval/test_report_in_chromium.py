"""The report in a real Chromium: sorted, filtered, on a phone, in the dark, with hostile predictions."""

import io
import json
import os
import re
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.report import main
from eval.report_page import sections
from storm.datasets import SCALES
from storm.files import write_jsonl
from storm.prompts import answer
from storm.rows import Example, to_row
from tests.helpers.paths import ROOT
from tests.helpers.two_runs import ROWS, SCRIPT, write_report

slow = pytest.mark.slow  # starts a browser


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
def test_scores_sort_by_click_and_by_key(reported, browser):
    with visit(browser, reported / "report.html") as page:
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
def test_the_gallery_filters_and_orders(reported, predictions, browser):
    with visit(browser, reported / "report.html") as page:
        whole = cards(page)
        assert counted(page) == (len(whole), len(whole)) == (6 * ROWS,) * 2
        assert whole[0]["error"] == "unparsed"  # worst first
        page.get_by_label("dataset", exact=True).select_option("spaq")
        spaq = cards(page)
        assert {card["dataset"] for card in spaq} == {"0"} and counted(page) == (2 * ROWS, 6 * ROWS)
        sizes = [0 if card["error"] == "unparsed" else 3 - int(card["error"][-1]) for card in spaq]
        assert sizes == sorted(sizes) and set(sizes) >= {0, 2, 3}  # worst first
        page.get_by_label("error", exact=True).select_option("1 level")
        off = [sections.distances(run) for run in predictions if run.dataset == "spaq"]
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
        sure = np.concatenate([run.probs.max(1) for run in predictions if run.decode == "exact"])
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
def test_a_hostile_prediction_is_text(reported, tmp_path, browser):
    with visit(browser, reported / "report.html") as page:
        assert page.evaluate("window.hacked") is None
        assert page.locator("pre.pred").first.text_content() == SCRIPT
        assert page.locator("img:not([src^='data:image/'])").count() == 0
    scale, name = SCALES["hci"], '"><img src=x onerror=window.hacked=4>.png'
    example = Example("<svg onload=window.hacked=5>", "hci", name, 1, scale, "cot")
    write_jsonl(tmp_path / "data" / "hci_test.jsonl", [to_row(example)])
    Image.new("RGB", (20, 20)).save(tmp_path / "data" / name)
    row = {"predict": "</pre><script>window.hacked=6</script>", "label": answer(scale, "cot", 1)}
    write_jsonl(tmp_path / "'><b>" / "hci" / "generated_predictions.jsonl", [row])
    write_report(tmp_path, "'><b>")
    with visit(browser, tmp_path / "report.html") as page:
        assert page.evaluate("window.hacked") is None
        assert page.locator("#cards img").get_attribute("alt") == name
        assert "<svg onload=window.hacked=5>" in page.locator("#cards").text_content()
        assert str(tmp_path / "'><b>") in page.locator(".runs").inner_text()


@slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_and_the_dark(reported, browser, scheme):
    with visit(browser, reported / "report.html", viewport={"width": 390, "height": 844}, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        backgrounds = set()
        # Every text, against the next background that is painted below it.
        script = """() => {
          const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
          const paint = (colors) => {
            canvas.clearRect(0, 0, 1, 1);
            for (const color of colors) { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); }
            return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
          };
          const pairs = {};
          for (const node of document.querySelectorAll("body, main *")) {
            if (![...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim())) continue;
            if (node.closest("option, pre") || !node.checkVisibility()) continue;
            const under = [];
            for (let at = node; at; at = at.parentElement) under.unshift(getComputedStyle(at).backgroundColor);
            const pair = [paint([...under, getComputedStyle(node).color]), paint(under)];
            pairs[JSON.stringify(pair)] = node.tagName + "." + node.className;
          }
          return pairs;
        }"""
        for pair, place in page.evaluate(script).items():
            text, below = (np.array(color) / 255 for color in json.loads(pair))
            backgrounds.add(tuple(below))
            light = [
                np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
                for c in (text, below)
            ]
            assert (max(light) + 0.05) / (min(light) + 0.05) >= 4.5, (place, pair)
        assert len(backgrounds) > 5
        body = max(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"))
        assert (body < 60) == (scheme == "dark")


@slow
def test_every_figure_has_a_table_beside_it(reported, browser):
    with visit(browser, reported / "report.html") as page:
        assert page.locator("figure:has(picture)").count() == 7  # reliability and risk of three, ages of one
        assert page.locator("figure").count() == page.locator("figure:has(table)").count()
        assert page.locator("th:not([scope])").count() == 0
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"


@slow
def test_pictures_follow_the_theme(reported, browser):
    """A picture is drawn in the light colors on a light page and in the dark ones on a dark page."""
    drawn = {}
    for scheme in ("light", "dark"):
        with visit(browser, reported / "report.html", color_scheme=scheme) as page:
            picture = page.locator("picture img").first
            picture.scroll_into_view_if_needed()
            assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
            pixels = np.asarray(Image.open(io.BytesIO(picture.screenshot())).convert("L"), float)
            drawn[scheme] = np.median(pixels), pixels.max() - pixels.min()
            source, uri = picture.evaluate("image => [image.currentSrc, image.getAttribute('src')]")
            assert (source == uri) == (scheme == "light")
    assert drawn["light"][0] > 240 and drawn["dark"][0] < 60
    assert min(contrast for _, contrast in drawn.values()) > 150


@slow
def test_a_picture_for_the_readme(reported, tmp_path, browser, monkeypatch):
    """STORM_SCREENSHOT=demo/report.png keeps it and takes it of the demo, after `make demo` and README's exact run."""
    path, keep = reported / "report.html", os.environ.get("STORM_SCREENSHOT")
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
