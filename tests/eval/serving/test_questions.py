"""eval/serving/questions.py: which question is asked for the levels of a request."""

import pytest

from eval.serving.admission import Refused
from eval.serving.questions import UNORDERED, Known, Option, asked
from storm.custom_scale import STEPS, load, read
from storm.datasets import BY_SCALE_NAME
from storm.prompts import STRATEGIES, answers, question
from storm.scales import IQA
from tests.helpers.paths import ROOT

APPEAL = load(ROOT / "examples/product_photos/scale.yaml").scale
ALL = (*BY_SCALE_NAME.values(), APPEAL)
WORDS = tuple(level.word for level in IQA.fine)


def known(*scales, strategy="cot", upright=frozenset(), always=False) -> Known:
    return Known(scales or ALL, strategy, upright, always)


def options(*words: str) -> list[Option]:
    return [Option(word) for word in words]


def refusal(*args) -> str:
    with pytest.raises(Refused) as refused:
        asked(*args)
    assert refused.value.status == 400 and "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("scale", ALL, ids=lambda scale: scale.name)
@pytest.mark.parametrize("form", ["word", "both"])
def test_a_trained_scale_is_known_by_its_words(scale, strategy, form):
    words = [getattr(level, form).upper().replace(" ", "_") for level in scale.fine]
    one = asked(known(strategy=strategy), options(*words), "whatever", True)
    assert (one.scale, one.strategy, one.trained) == (scale, strategy, True)
    assert one.columns == tuple(range(len(words)))


def test_ages_are_known_by_their_numbers():
    for name in ("years_14_62", "years_16_77", "years_1_116"):
        scale = BY_SCALE_NAME[name]
        numbers = [str(level.lo) for level in scale.fine]
        assert asked(known(), options(*numbers), "", True).scale is scale
    assert not asked(known(), options(*map(str, range(20, 40))), "How old?", True).trained


def test_another_order_is_refused_for_a_score_and_taken_for_a_choice():
    mixed = (*WORDS[2:], *WORDS[:2])
    assert "iqa" in refusal(known(), options(*mixed), "Rate it.", True)
    one = asked(known(), options(*mixed), "Rate it.", False)
    assert one.trained and one.scale is IQA and [IQA.fine[column].word for column in one.columns] == list(mixed)


def test_levels_of_two_scales_are_refused():
    own = read("{name: mine, rates: x, levels: [A, B, C, D, E]}").scale
    numbers = [level.number for level in own.fine]  # level0 ... level4, which iaa has, too
    assert "mine" in refusal(known(*ALL, own), options(*numbers), "", True)
    assert asked(known(own), options(*numbers), "", True).scale is own


def test_fewer_levels_are_another_question():
    one = asked(known(), options(*WORDS[:4]), "Rate the quality.", True)
    assert not one.trained and len(one.scale.fine) == 4


def test_other_levels_are_asked_as_documented():
    levels = [Option("None"), Option("Dented", "a {dent}, 10%"), Option("Torn")]
    one = asked(known(), levels, " Rate the damage of the parcel", True)
    text = question(one.scale, "cot")
    assert text.startswith(
        "<image> Rate the damage of the parcel. Please rate the provided image on a 3-level scale: level0(None), "
        "level1(Dented), level2(Torn). level1(Dented): a {dent}, 10%. Please first coarsely categorise the image: "
    )
    fine = "level0(None), level1(Dented), level2(Torn)"
    coarse = ", ".join(group.both for group in one.scale.coarse)
    assert text.endswith(STEPS.format(coarse=coarse, fine=fine))
    assert list(answers(one.scale, "cot").values()) == [0, 1, 2]


def test_a_choice_has_no_coarse_step():
    one = asked(known(), options("Cat", "Dog", "Other"), "Which animal is it?", False)
    assert one.strategy == UNORDERED
    assert question(one.scale, one.strategy) == (
        "<image> Which animal is it? Please choose one of 3 options for the provided image: option0(Cat), "
        "option1(Dog), option2(Other)."
    )
    assert list(answers(one.scale, one.strategy)) == ["option0(Cat)", "option1(Dog)", "option2(Other)"]


@pytest.mark.parametrize(
    "text",
    ["a <image> b", "<|im_end|>", "</s>", "\0", "\x1b[1m", "\u202e", "\ud800", "w" * 3000],
    ids=ascii,
)
def test_texts_that_are_not_asked(text):
    assert refusal(known(), options("Aa", "Bb"), text, True)
    assert refusal(known(), [Option("Aa", text), Option("Bb")], "Rate it.", True)
    assert refusal(known(), options(text, "Bb"), "Rate it.", True)


def test_instructions_are_needed_for_other_levels_only():
    assert refusal(known(), options("Aa", "Bb"), " ", True)
    assert asked(known(), options(*WORDS), "", True).trained


def test_a_scale_turns_images_as_its_training_did():
    own = read("{name: mine, rates: x, levels: [Low, High]}").scale
    turned = known(own, IQA, upright=frozenset({"mine"}))
    assert asked(turned, options("Low", "High"), "", True).upright
    assert not asked(turned, options(*WORDS), "", True).upright
    assert asked(known(IQA, always=True), options(*WORDS), "", True).upright
