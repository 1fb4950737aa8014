"""eval/app.py: what it makes of typed levels and of an answer."""

import pytest

from storm.prompts import STRATEGIES, answer
from storm.scales import IQA
from storm.datasets import SCALES
from eval import app
from eval.inference.page import MOST_LEVELS, OWN, said

WORDS = "Messy\n  _So_ $x_1$ so \n\nTidy\n`Spotless`\n"
SCRIPT = "<script>alert(1)</script>"


def row(scale, strategy: str, probs: list[float]) -> dict:
    label = scale.lo + probs.index(max(probs))
    said = {"predict": answer(scale, strategy, label), "probs": probs, "median": label, "mean": 2.25}
    return said | {"entropy": 0.5, "mass": 0.98765}


def test_every_scale_of_the_paper_is_a_domain_once():
    assert set(app.DOMAINS.values()) == set(SCALES.values())
    assert len(app.DOMAINS) == len(set(SCALES.values()))
    assert OWN not in app.DOMAINS


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_shown_of_an_answer(strategy):
    shown = said(row(IQA, strategy, [0, 0.1, 0.2, 0.6, 0.1]), IQA, strategy)
    assert (
        shown.coarse
        == {"cot": "rate3-4(Above Fair)", "num": "rate3-4", "text": "Above Fair", "direct": "none"}[strategy]
    )
    assert shown.rating == {"cot": "rate3(Good)", "num": "rate3", "text": "Good", "direct": "rate3(Good)"}[strategy]
    assert [line[:2] for line in shown.decisions] == [
        ["mode", shown.rating],
        ["median", shown.rating],
        ["mean", "2.250"],
        ["entropy", "0.500"],
        ["mass", "0.988"],
    ]
    assert [chance for *_, chance in shown.levels] == [0, 0.1, 0.2, 0.6, 0.1]
    assert len({name for name, *_ in shown.levels}) == 5


def test_ages_are_shown_by_their_years():
    utk = SCALES["utk"]
    shown = said(row(utk, "cot", [0.0] * 30 + [1.0] + [0.0] * 85), utk, "cot")
    assert (shown.coarse, shown.rating) == ("Adult(25-47 years old)", "31 years old")
    assert len(shown.levels) == 116


def test_levels_typed_one_a_line():
    scale = app.own_scale(" the tidiness of a desk ", WORDS)
    assert [level.word for level in scale.fine] == ["Messy", "_So_ $x_1$ so", "Tidy", "`Spotless`"]
    assert [(group.lo, group.hi) for group in scale.coarse] == [(0, 1), (2, 3)]
    assert "experienced judge of the tidiness of a desk." in scale.role
    assert [level.word for level in app.own_scale("truth", "no\nyes\n3").fine] == [
        "no",
        "yes",
        "3",
    ]  # no YAML of theirs


@pytest.mark.parametrize(
    ("rates", "levels", "message"),
    [
        ("desks", "Messy", "levels must be a list of 2 to 50 words"),
        ("desks", "\n".join(map(str, range(51))), "levels must be a list of 2 to 50 words"),
        ("", "Messy\nTidy", "rates '' must say what is rated"),
        ("{fine}", "Messy\nTidy", "rates '{fine}' must say what is rated"),
        ("desks", f"Messy\n{SCRIPT}", f"level '{SCRIPT}' must be a word or two"),
        ("desks", "Messy\n" + "y" * 41, "must be a word or two"),
        ("desks", "Tidy\nTidy", "cannot be told apart"),
        ("d" * 201, "Messy\nTidy", "too long: at most 200 letters"),
        ("desks", "y\n" * MOST_LEVELS, "too long: at most 200 letters"),
    ],
)
def test_levels_that_cannot_be_are_refused_in_one_line(rates, levels, message):
    with pytest.raises(ValueError) as refused:
        app.own_scale(rates, levels)
    assert str(refused.value).startswith(message) or message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "/" not in str(refused.value).replace(SCRIPT, "")  # no path of a temporary file


def test_examples(tmp_path, monkeypatch):
    for name in ("b.png", "a.JPG", "notes.txt", "c.webp", "d.png", "e.png", "f.png"):
        (tmp_path / name).touch()
    assert [path.name for path in app.photographs(tmp_path)] == ["a.JPG", "b.png", "c.webp", "d.png", "e.png"]
    monkeypatch.setattr(app, "EXAMPLES", tmp_path / "gone")
    assert app.photographs(None) == []
    with pytest.raises(ValueError, match="no such folder"):
        app.photographs(tmp_path / "gone")


class OutOfMemory:
    """A rater without memory."""

    def __init__(self):
        self.tries = {}

    def rate(self, block):
        self.tries = {(task.scale, task.strategy): "a trie" for task in block}
        raise RuntimeError("CUDA out of memory")


def test_no_users_levels_stay_in_memory(capsys):
    rater = OutOfMemory()
    with pytest.raises(ValueError, match="the model failed on this photograph"):
        app.ask(rater, "a.png", IQA, "cot")
    assert rater.tries == {(IQA, "cot"): "a trie"}
    with pytest.raises(ValueError, match="the model failed on this photograph"):
        app.ask(rater, "a.png", app.own_scale("desks", "Messy\nTidy"), "cot")
    assert rater.tries == {}
    assert "CUDA out of memory" in capsys.readouterr().err
    with pytest.raises(ValueError, match="choose a photograph first"):
        app.ask(rater, None, IQA, "cot")


def test_what_stands_in_the_way_is_one_line(tmp_path, capsys):
    assert app.main(["--model", "m", "--examples", str(tmp_path / "gone")]) == 2
    assert capsys.readouterr().err == f"error: --examples {tmp_path / 'gone'}: no such folder\n"
