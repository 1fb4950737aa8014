"""The parser reads back every answer, forgives form, and never guesses."""

import random
import string

import pytest

from storm.datasets import SCALES
from storm.parse import Rating, parse
from storm.prompts import STRATEGIES, answer, answers
from storm.scales import coarse_of

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
            coarse = scale.coarse.index(coarse_of(scale, label)) if STRATEGIES[strategy].coarse else None
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
    ("adience", "text", "midlifers", Rating(5, None)),
]


# Sentences with one clear rating, in words that could also take it away.
CLEAR = {
    ("spaq", "direct"): [
        ("Excellent: no noise", 4),
        ("Rate 3 - Good", 3),
    ],
    ("spaq", "cot"): [
        ("rate3(Good), not excellent", 3),
        ("rate3(Good). There is no bad noise.", 3),
        ("rate2(Fair), a bit dark", 2),
        ("Coarse answer: Above Fair. Final answer: rate3(Good)", 3),
    ],
    ("aptos", "cot"): [
        ("There is no retinopathy", 0),
        ("stage0(no retinopathy): no lesions", 0),
        ("The patient has severe NPDR", 3),
        ("The fundus shows moderate NPDR without haemorrhage", 2),
        ("mild NPDR is present", 1),
    ],
    ("hci", "cot"): [
        ("mid-1950s", 2),
        ("The photograph is from the 1950s", 2),
        ("Predicted Phase: phase2(1950s). Later than the 1940s, before the 1980s", 2),
    ],
    ("adience", "cot"): [("Coarse Answer: Adult(group4-5, 25-47 years old), Predicted Age: adult", 4)],
    ("morph", "cot"): [
        ("30yo", 30),
        ("a 30-year-old man", 30),
        ("30 yrs old", 30),
        ("Adult (30)", 30),
        ("Adult, 25", 25),
        ("Adult 25 years old", 25),
        ("He is 30, no older", 30),
        ("about 30", 30),
    ],
}


@pytest.mark.parametrize(
    ("name", "strategy", "text", "label"), [(*key, *pair) for key, pairs in CLEAR.items() for pair in pairs]
)
def test_one_clear_rating_is_read(name, strategy, text, label):
    assert parse(SCALES[name], strategy, text).label == label


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
    ("adience", "text", "adult"),  # also the group of two levels
    ("adience", "cot", "3"),  # the group, or the age?
]


# What names a rating and does not give it: negated, one of several, cut off, of something else.
NEGATED = {
    ("aptos", "cot"): [
        "There is no PDR",
        "no signs of PDR",
        "no clear evidence of severe NPDR",
        "absence of PDR",
        "non-PDR",
        "pre-PDR",
        "PDR is ruled out",
        "PDR is absent",
        "PDR: no",
        "no mild NPDR",
        "no PDR, no NPDR",
    ],
    ("aptos", "text"): ["Late, no PDR", "Late, not stage4 but PDR is excluded"],
    ("aptos", "direct"): ["There are no signs of PDR in this image.", "without PDR"],
    ("spaq", "cot"): ["It isn't Good", "It isn’t good", "not so good", "cannot be rated good", "not in rate3"],
    ("spaq", "direct"): [
        "not very good",
        "no good",
        "far from excellent",
        "doesn't look good",
        "never been good",
        "hardly a good picture",
        "neither good nor bad",
        "good? No.",
        "at least good",
    ],
    ("ava", "direct"): ["non-professional", "semi-professional", "more than average"],
    ("hci", "direct"): ["before the 1940s", "post-1940s", "not from the 1940s"],
    ("morph", "cot"): ["over 30", "at least 30 years old", "under the age of 30", "older than 30", "not 30"],
    ("morph", "text"): ["over thirty", "not even thirty years old"],
}
SEVERAL = {
    ("spaq", "cot"): [
        "rate2 or rate3",
        "rate2 to rate4",
        "between fair and good",
        "either Fair or Good",
        "Fair/Good",
        "Fair - Good",
        "rate2(Fair) or rate3(Good)",
        "rate2(Fair), or maybe rate3(Good)",
        "rate3(Good) or Excellent",
    ],
    ("spaq", "direct"): ["Good-Excellent", "Poor-Fair", "Fair-to-good", "rate3-rate4"],
    ("ava", "cot"): ["Average-Professional", "Average to Professional", "level2 or level4"],
    ("adience", "text"): ["adult or midlifers", "between adult and midlifers"],
    ("aptos", "cot"): [
        "mild to moderate NPDR",
        "moderate-to-severe NPDR",
        "mild/moderate NPDR",
        "moderate, severe NPDR",
        "mild NPDR to moderate NPDR",
        "severe or PDR",
        "stage0 or stage1",
    ],
    ("hci", "cot"): [
        "1930s-1940s",
        "1970s or 1980s",
        "1920s and 1940s",
        "1970s/80s",
        "late 1960s-early 1970s",
        "phase2 to phase3",
        "phase4 (1980s)",
    ],
    ("morph", "text"): ["thirty or forty", "thirty-forty"],
}
CUT = {
    ("morph", "cot"): [
        "Coarse Answer: Adult(25-47 years old), Predicted Age: ",
        "Coarse Answer: Adult(25-47 years old), Pred",
        "Coarse Answer: Adult(25-",
        "Coarse Answer: Adult(25",
        "Coarse Answer: Elder(48",
        "Adult(25",
        "Elder(4",
        "Adult, 20 to",
        "30-",
    ],
    ("utk", "cot"): ["Coarse Answer: Baby(1", "Baby(1", "Adult(2"],
    ("morph", "num"): ["Coarse Answer: 48", "Coarse Answer: 25"],
    ("morph", "text"): ["Coarse Answer: Adult, Predicted Age: thirty-", "Coarse Answer: Adult"],
    ("adience", "cot"): ["Coarse Answer: Adult(group4", "Coarse Answer: Adult("],
    ("adience", "text"): ["Coarse Answer: Adult, Predicted Age: ", "Coarse Answer: Adult", "Adult, ad"],
    ("hci", "num"): [
        "Coarse Classification: phase2, Predicted Phase: ",
        "Coarse Classification: phase2",
        "Coarse Classification: phase0-ph",
        "phase3-",
    ],
    ("spaq", "cot"): ["rate2(Fair), r", "rate2(Fair), ", "rate2(Fair), rate", "rate2(Fair), rate3-", "rate3-"],
    ("spaq", "text"): ["Fair, Goo"],
}
UNITS = {
    ("utk", "cot"): ["6 months old", "18 months", "2 weeks old", "30 days"],
    ("utk", "text"): ["seven months old"],
    ("morph", "cot"): ["early 30s", "in his 30's", "20th century", "30th", "30%", "30 %", "30-ish", "20-something"],
    ("spaq", "cot"): ["rate 3 out of 5", "rate3 out of five", "rate 3 of 5"],
    ("aptos", "cot"): ["stage 2 of 4"],
}
UNREAD += [
    (name, strategy, text)
    for kind in (NEGATED, SEVERAL, CUT, UNITS)
    for (name, strategy), texts in kind.items()
    for text in texts
]


@pytest.mark.parametrize(("name", "strategy", "text"), UNREAD)
def test_what_could_mean_two_things_or_none_is_unparsed(name, strategy, text):
    assert parse(SCALES[name], strategy, text) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adience", "cacd", "morph", "utk", "hci"])
def test_an_answer_cut_off_in_its_coarse_part_is_unparsed(name):
    for strategy in ("cot", "num", "text"):
        for text in answers(SCALES[name], strategy):
            coarse = text[: text.index(": ", text.index("Predicted")) + 2]
            assert [parse(SCALES[name], strategy, coarse[:end]) for end in range(len(coarse))] == [None] * len(coarse)


@pytest.mark.parametrize("name", SCALES)
def test_ten_kilobytes_of_noise_are_unparsed(name):
    noise = random.Random(0)
    printable = "".join(noise.choices(string.printable, k=10_000))
    buried = "x" * 5_000 + SCALES[name].fine[0].both + "x" * 5_000
    for strategy in STRATEGIES:
        for text in (printable, buried, "(" * 10_000, "rate" * 2_500, "0-1 " * 2_500, " years old" * 1_000):
            assert parse(SCALES[name], strategy, text) is None
