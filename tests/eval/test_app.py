"""eval/app.py: what it makes of typed levels and of an answer."""

import pytest

from eval import app
from eval.app_page.page import MAX_LEVELS, TYPED, result_of
from eval.app_page.policy import OnlyThisServer
from storm.datasets import SCALES
from storm.prompts import STRATEGIES, answer
from storm.scales import IQA

WORDS = "Messy\n  _So_ $x_1$ so \n\nTidy\n`Spotless`\n"
SCRIPT = "<script>alert(1)</script>"


def row(scale, strategy: str, probs: list[float]) -> dict:
    label = scale.lo + probs.index(max(probs))
    decisions = {"predict": answer(scale, strategy, label), "probs": probs, "median": label, "mean": 2.25}
    return decisions | {"entropy": 0.5, "mass": 0.98765}


def test_every_scale_is_a_choice_once():
    assert set(app.SCALES.values()) == set(SCALES.values())
    assert len(app.SCALES) == len(set(SCALES.values()))
    assert TYPED not in app.SCALES


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
    assert len(result.levels) == 116


def test_levels_typed_one_a_line():
    scale = app.typed_scale(" the tidiness of a desk ", WORDS)
    assert [level.word for level in scale.fine] == ["Messy", "_So_ $x_1$ so", "Tidy", "`Spotless`"]
    assert [(group.lo, group.hi) for group in scale.coarse] == [(0, 1), (2, 3)]
    assert "experienced judge of the tidiness of a desk." in scale.role
    assert [level.word for level in app.typed_scale("truth", "no\nyes\n3").fine] == [
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
        app.typed_scale(rates, levels)
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


class OutOfMemory:
    """A rater without memory."""

    def __init__(self):
        self.tries = {}

    def rate(self, block):
        self.tries = {(example.scale, example.strategy): "a trie" for example in block}
        raise RuntimeError("CUDA out of memory")


def test_no_users_levels_stay_in_memory(capsys):
    rater = OutOfMemory()
    with pytest.raises(ValueError):
        app.rate(rater, "a.png", IQA, "cot")
    assert rater.tries == {(IQA, "cot"): "a trie"}
    with pytest.raises(ValueError):
        app.rate(rater, "a.png", app.typed_scale("desks", "Messy\nTidy"), "cot")
    assert rater.tries == {}
    assert "CUDA out of memory" in capsys.readouterr().err  # for who runs the program
    with pytest.raises(ValueError, match="choose a photograph"):
        app.rate(rater, None, IQA, "cot")


class Unreadable:
    """A rater that cannot read the photograph."""

    tries: dict = {}

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
