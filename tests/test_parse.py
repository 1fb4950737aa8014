"""The parser reads back every answer, forgives form, and never guesses."""

import random
import string

import pytest

from data_prep.parse import Rating, parse
from data_prep.questions import STRATEGIES, answer, coarse_of
from data_prep.scales import SCALES

FORMS = {
    "as written": "{}",
    "upper case": "{upper}",
    "lower case": "{lower}",
    "answer in front": "Answer: {}",
    "spaces and a line end": "  {spaced} \n",
    "brackets": "[{square}]",
    "bold": "**{}**",
    "trailing sentence": "{}. This is what the picture shows.",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SCALES)
def test_every_answer_of_every_strategy_reads_back(name, form):
    scale = SCALES[name]
    for strategy in STRATEGIES:
        for label in range(scale.lo, scale.hi + 1):
            text = answer(scale, strategy, label)
            said = FORMS[form].format(
                text,
                upper=text.upper(),
                lower=text.lower(),
                spaced=text.replace("(", " ( ").replace(",", " ,  "),
                square=text.replace("(", "[").replace(")", "]"),
            )
            coarse = None if strategy == "direct" else scale.coarse.index(coarse_of(scale, label))
            assert parse(scale, strategy, said) == Rating(label, coarse), (strategy, said)


READ = [
    ("spaq", "cot", "rate3", Rating(3, None)),
    ("spaq", "cot", "Rate: 3", Rating(3, None)),
    ("spaq", "cot", "3", Rating(3, None)),
    ("spaq", "cot", "Answer: 0.", Rating(0, None)),
    ("spaq", "direct", "Good", Rating(3, None)),
    ("spaq", "direct", "The quality of the image is good.", Rating(3, None)),
    ("spaq", "cot", "Above Fair, rate4(Excellent)", Rating(4, 2)),
    ("spaq", "cot", "rate2(Fair), rate2(Fair)", Rating(2, 1)),
    ("spaq", "cot", "rate2(Fair), rate3(Good)", Rating(3, 1)),  # coarse and fine disagree: read, and counted as such
    ("spaq", "text", "Below Fair, Fair", Rating(2, 0)),
    ("spaq", "cot", "rate3-4(Above Fair), rate3(Good). The light is fair.", Rating(3, 2)),
    ("spaq", "cot", "rate2-3, rate3(Good)", Rating(3, None)),  # no such group
    ("aptos", "direct", "mild npdr", Rating(1, None)),
    ("aptos", "text", "Late, PDR", Rating(4, 2)),
    ("hci", "direct", "the 1950's", Rating(2, None)),
    ("hci", "num", "Coarse Classification: phase0 - phase1, Predicted Phase: phase1", Rating(1, 0)),
    ("morph", "cot", "Adult (30 years old)", Rating(30, 1)),
    ("morph", "direct", "The person looks 30 years old.", Rating(30, None)),
    ("morph", "text", "Adult, thirty one", Rating(31, 1)),
    ("adience", "direct", "25-32 years old", Rating(4, None)),
    ("adience", "text", "adult", Rating(4, None)),
]


@pytest.mark.parametrize(("name", "strategy", "text", "rating"), READ)
def test_free_forms_are_read(name, strategy, text, rating):
    assert parse(SCALES[name], strategy, text) == rating


UNREAD = [
    ("spaq", "cot", ""),
    ("spaq", "cot", " \n"),
    ("spaq", "cot", "5"),
    ("spaq", "cot", "-1"),
    ("spaq", "cot", "3.5"),
    ("spaq", "cot", "3/5"),
    ("spaq", "cot", "rate7"),
    ("spaq", "cot", "rate3.5"),
    ("spaq", "cot", "rate3/5"),
    ("spaq", "cot", "rate33"),
    ("spaq", "cot", "rate3-4(Above Fair)"),  # a group is not a rating
    ("spaq", "cot", "rate3-4(Above Fair), rate3333-4(Excellent)"),
    ("spaq", "cot", "rate3(Poor)"),
    ("spaq", "cot", "rate3(Good) or rate4(Excellent)"),
    ("spaq", "cot", "Good, rate2(Fair), rate1"),
    ("spaq", "text", "Above Fair, Good or Excellent"),
    ("spaq", "direct", "not good"),
    ("spaq", "direct", "better than good"),
    ("spaq", "direct", "goodness"),
    ("spaq", "direct", "I cannot rate this image."),
    ("aptos", "direct", "NPDR"),
    ("aptos", "direct", "abnormal"),
    ("hci", "direct", "1920s"),
    ("morph", "cot", "99 years old"),
    ("morph", "cot", "30.5"),
    ("morph", "cot", "-30"),
    ("morph", "cot", "30, 31"),
    ("morph", "cot", "between 25 and 30 years old"),
    ("morph", "cot", "25-32 years old"),
    ("morph", "text", "two hundred years old"),
    ("morph", "cot", "1930"),
    ("adience", "cot", "3"),  # the group, or the age?
]


@pytest.mark.parametrize(("name", "strategy", "text"), UNREAD)
def test_what_could_mean_two_things_or_none_is_unparsed(name, strategy, text):
    assert parse(SCALES[name], strategy, text) is None


@pytest.mark.parametrize("name", SCALES)
def test_ten_kilobytes_of_noise_are_unparsed(name):
    noise = random.Random(0)
    printable = "".join(noise.choices(string.printable, k=10_000))
    buried = "x" * 5_000 + answer(SCALES[name], "cot", SCALES[name].lo) + "x" * 5_000
    for strategy in STRATEGIES:
        for text in (printable, buried, "(" * 10_000, "rate" * 2_500, "0-1 " * 2_500, " years old" * 1_000):
            assert parse(SCALES[name], strategy, text) is None
