"""eval/app.py: which question it asks, and what it makes of typed levels and of an answer."""

from types import SimpleNamespace

import pytest

from eval import app
from eval.app_page import choices
from eval.app_page.choices import MAX_LEVELS, TYPED
from eval.app_page.policy import OnlyThisServer
from eval.app_page.result import result_of
from eval.inference.settings import scale_called
from storm.custom_scale import load, read
from storm.datasets import SCALES
from storm.prompts import STRATEGIES, answer, question
from storm.scales import IQA
from tests.helpers.paths import ROOT

APPEAL = ROOT / "examples/product_photos/scale.yaml"
MONTHS = "{name: baby, rates: the age of a baby, unit: months, range: [0, 36]}"

WORDS = "Messy\n  _So_ $x_1$ so \n\nTidy\n`Spotless`\n"
SCRIPT = "<script>alert(1)</script>"


def row(scale, strategy: str, probs: list[float]) -> dict:
    label = scale.lo + probs.index(max(probs))
    decisions = {"predict": answer(scale, strategy, label), "probs": probs, "median": label, "mean": 2.25}
    return decisions | {"entropy": 0.5, "mass": 0.98765}


def test_every_scale_is_a_choice_once():
    offered = choices.choices(None)
    assert set(offered.values()) == set(SCALES.values())
    assert len(offered) == len(set(SCALES.values()))
    assert TYPED not in offered


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", [str(APPEAL), "spaq", "utk", "iaa"])
def test_the_question_with_scale_is_the_one_that_was_trained(name, strategy):
    """The first choice of the page asks word by word what data_prep wrote into the training rows."""
    trained = load(APPEAL).scale if name == str(APPEAL) else (SCALES | {"iaa": SCALES["ava"]})[name]
    offered = choices.choices(scale_called(name))
    title = next(iter(offered))
    assert title == trained.title
    asked = []

    def rate(block):
        asked.extend(example.question for example in block)
        return [row(block[0].scale, strategy, [1.0] + [0.0] * (len(trained.fine) - 1))]

    app.rate(SimpleNamespace(rate=rate), "a.png", offered[title], strategy)
    assert asked == [question(trained, strategy)]
    assert len(set(offered.values())) == len(offered)  # none is there twice


def test_levels_typed_instead_ask_another_question():
    """Why --scale is there."""
    trained = load(APPEAL).scale
    typed = choices.typed_scale(trained.title, "\n".join(level.word for level in trained.fine))
    assert question(typed, "cot") != question(trained, "cot")


def test_a_trained_scale_that_is_called_as_one_of_the_paper_is_not_lost():
    trained = read(f"{{name: mine, rates: {IQA.title}, levels: [Bad, Good]}}").scale
    offered = choices.choices(trained)
    assert next(iter(offered.values())) is trained
    assert offered[IQA.title] == IQA


@pytest.mark.parametrize(("name", "part"), [("spak", "spaq"), ("gone.yaml", "gone.yaml")])
def test_a_scale_that_is_not_there_is_one_line_before_the_model_is_loaded(name, part, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert app.main(["--model", "gone", "--scale", name]) == 2
    error = capsys.readouterr().err
    assert part in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("scale", "probs", "value"),
    [
        (APPEAL.read_text(), [0.1, 0.2, 0.4, 0.3, 0], "2.920"),  # .14 + .44 + 1.2 + 1.14
        ("{name: x, rates: y, levels: {Bad: [0, 20], Fair: [20, 60], Good: [60, 100]}}", [0.5, 0, 0.5], "45.00"),
        ("{name: x, rates: y, levels: {Bad: 5, Good: 1}, order: descending}", [0.25, 0.75], "2.000"),
        ("{name: x, rates: y, levels: [Bad, Fair, Good]}", [0.5, 0.25, 0.25], "0.750"),
        (MONTHS, [0.0] * 23 + [0.6, 0.4] + [0.0] * 12, "23.4 months"),
    ],
    ids=["ranges", "percent", "descending", "list", "months"],
)
def test_the_expected_value_is_in_the_users_unit(scale, probs, value):
    trained = read(scale).scale
    assert result_of(row(trained, "cot", probs), trained, "cot").value == value


@pytest.mark.parametrize(("mass", "warned"), [(0.49, True), (0.5, False), (0.99, False)])
def test_little_mass_is_a_warning(mass, warned):
    result = result_of(row(IQA, "cot", [0, 0, 1, 0, 0]) | {"mass": mass}, IQA, "cot")
    assert bool(result.warning) == warned


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_result_of_a_prediction(strategy):
    result = result_of(row(IQA, strategy, [0, 0.1, 0.2, 0.6, 0.1]), IQA, strategy)
    asked = STRATEGIES[strategy]
    coarse = {"both": "rate3-4(Above Fair)", "number": "rate3-4", "word": "Above Fair"}[asked.form]
    assert result.coarse == (coarse if asked.coarse else "none")
    assert result.rating == {"both": "rate3(Good)", "number": "rate3", "word": "Good"}[asked.form]
    assert [line[:2] for line in result.decisions] == [
        ["mode", result.rating],
        ["median", result.rating],
        ["mean", "2.250"],
        ["entropy", "0.500"],
        ["mass", "0.988"],
    ]
    assert [chance for *_, chance in result.levels] == [0, 0.1, 0.2, 0.6, 0.1]
    assert len({name for name, *_ in result.levels}) == 5


def test_ages_are_shown_by_their_years():
    utk = SCALES["utk"]
    result = result_of(row(utk, "cot", [0.0] * 30 + [1.0] + [0.0] * 85), utk, "cot")
    assert (result.coarse, result.rating) == ("Adult(25-47 years old)", "31 years old")
    assert result.value == "31.0 years"
    assert len(result.levels) == 116


def test_levels_typed_one_a_line():
    scale = choices.typed_scale(" the tidiness of a desk ", WORDS)
    assert [level.word for level in scale.fine] == ["Messy", "_So_ $x_1$ so", "Tidy", "`Spotless`"]
    assert [(group.lo, group.hi) for group in scale.coarse] == [(0, 1), (2, 3)]
    assert "experienced judge of the tidiness of a desk." in scale.role
    assert [level.word for level in choices.typed_scale("truth", "no\nyes\n3").fine] == [
        "no",
        "yes",
        "3",
    ]  # no YAML of theirs


@pytest.mark.parametrize(
    ("rates", "levels", "part"),
    [
        ("desks", "Messy", "levels"),
        ("desks", "\n".join(map(str, range(51))), "levels"),
        ("", "Messy\nTidy", "rates ''"),
        ("{fine}", "Messy\nTidy", "rates '{fine}'"),
        ("desks", f"Messy\n{SCRIPT}", f"level '{SCRIPT}'"),
        ("desks", "Messy\n" + "y" * 41, "y" * 41),
        ("desks", "Tidy\nTidy", "Tidy"),
        ("d" * 201, "Messy\nTidy", "200"),
        ("desks", "y\n" * MAX_LEVELS, str(MAX_LEVELS)),
    ],
)
def test_levels_that_cannot_be_are_refused_in_one_line(rates, levels, part):
    with pytest.raises(ValueError) as refused:
        choices.typed_scale(rates, levels)
    assert part in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "/" not in str(refused.value).replace(SCRIPT, "")  # no path of a temporary file


def test_examples(tmp_path, monkeypatch):
    for name in ("b.png", "a.JPG", "notes.txt", "c.webp", "d.png", "e.png", "f.png"):
        (tmp_path / name).touch()
    assert [path.name for path in app.photographs(tmp_path)] == ["a.JPG", "b.png", "c.webp", "d.png", "e.png"]
    monkeypatch.setattr(app, "EXAMPLES", tmp_path / "gone")
    assert app.photographs(None) == []
    with pytest.raises(ValueError, match="gone"):
        app.photographs(tmp_path / "gone")


def test_without_a_photograph_there_is_nothing_to_rate():
    with pytest.raises(ValueError, match="choose a photograph"):
        app.rate(Unreadable(), None, IQA, "cot")


class Unreadable:
    """A rater that cannot read the photograph."""

    def rate(self, block):
        return [{"predict": "", "error": f"{block[0].image}: 0 bytes"}]


def test_a_bad_photograph_is_named_with_its_reason_but_without_our_folder():
    with pytest.raises(ValueError) as refused:
        app.rate(Unreadable(), "uploads/0123/a: b.png", IQA, "cot")
    assert str(refused.value) == "a: b.png: 0 bytes"


def test_what_stands_in_the_way_is_one_line(tmp_path, capsys):
    assert app.main(["--model", "m", "--examples", str(tmp_path / "gone")]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "gone") in error and error.count("\n") == 1


def test_what_stands_in_the_way_of_serving_is_one_line(monkeypatch, capsys):
    monkeypatch.delenv("STORM_NO_KEY", raising=False)
    for words in (["--allow-host", "http://x"], ["--api-key-env", "STORM_NO_KEY"], ["--host", "no.such.host.invalid"]):
        assert app.main(["--model", "gone", *words]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("error: ") and words[1] in error


def test_every_answer_has_the_policy_of_this_server_only():
    sent = []

    async def program(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
        await send({"type": "http.response.body", "body": b"z"})

    async def send(message):
        sent.append(message)

    with pytest.raises(StopIteration):  # at its end; Playwright's loop, in the same process, rules out asyncio.run
        OnlyThisServer(program)({"type": "http"}, None, send).send(None)
    headers = dict(sent[0]["headers"])
    assert headers[b"x"] == b"y" and sent[1]["body"] == b"z"
    rules = dict(rule.strip().split(" ", 1) for rule in headers[b"content-security-policy"].decode().split(";"))
    assert "'self'" in rules["default-src"]
    assert not any(word in " ".join(rules.values()) for word in ("*", "http", "//"))
