"""Answers as chat and reasoning models write them: read right, or not at all."""

import time

import pytest

from storm.answer_region import region
from storm.custom_scale import read as read_scale
from storm.datasets import SCALES
from storm.parse import read

# (dataset, strategy) -> text -> label, None: no reading.
ANSWERS: dict[tuple[str, str], dict[str, int | None]] = {
    ("koniq", "direct"): {
        "The image quality is good.": 3,
        'I would rate this image as "Fair" due to noise.': 2,
        "Based on the 5-rate scale, I would rate the image quality as **Excellent**.": 4,
        "On a 5-point scale, I would give it a 4": None,
        "Poor lighting is visible in this image": None,
        "There is good light in this image.": None,
        "Good, because it is sharp, although the light is poor.": 3,
        "Fair enough, here is my rating: Good": 3,
        "My rating is rate1(Poor)": 1,
        "The answer is rate3(Good), not rate4(Excellent).": 3,
        "I think rate3": 3,
        "Rating：３": 3,
        "4.": 4,
        "4 (Excellent)": 4,
        "Answer: Good\nAnswer: Fair": 2,  # the last marker
        # In prose, no word and no number is a rating.
        "This is a good photo.": None,
        "Good lighting": None,
        "Poor lighting, good colors.": None,
        "Noise: Poor": None,
        "1. Sharpness: good\n2. Light: poor\n": None,
        "It would have been excellent without the noise.": None,
        "Good morning! I cannot see an image.": None,
        "There is nothing bad here.": None,
        "rate 3 things": None,
        "Option 3": None,
        # Several, none, or off the scale.
        "The rating could be Good or Fair.": None,
        "Rating: Good to Excellent": None,
        "Rating: between rate2(Fair) and rate3(Good)": None,
        "rate3(Good) is too high; rate2(Fair) fits.": 2,
        "Final answer: not good": None,
        "3 - Poor": None,
        "Rating: 3/5": None,
        "Rating: 3.5": None,
        "3 out of 5": None,
        "5": None,
    },
    ("koniq", "cot"): {
        "Coarse: Above Fair\nFine: Good": 3,
        "rate3-4 (Above Fair), rate4 (Excellent)": 4,
        "Coarse answer: rate3-4(Above Fair)": None,
        "The scale is rate0(Bad), rate1(Poor), rate2(Fair), rate3(Good), rate4(Excellent). I choose rate1(Poor).": 1,
    },
    ("morph", "direct"): {
        "30.": 30,
        "Age: 30 (range 25-35)": 30,
        "Probably around 42.": 42,
        "Predicted Age: 33 ± 4": 33,
        "He is 25 years old, not 30 years old.": 25,
        "I am 90% sure that the person is 30 years old.": 30,
        "他大约42岁。": 42,
        "He looks 30-35 years old.": None,
        "In his 30s.": None,
        "The image was taken in 1995.": None,
        "I see 2 people, one 30 years old and one 40 years old.": None,
    },
    ("utk", "direct"): {
        "The baby is 1 year old.": 1,
        "18 months old": None,
        "1 of the faces is blurred": None,
        "Figure 12 shows a child.": None,
        "1. The skin is smooth.": None,
    },
    ("utk", "text"): {"The person is about forty two.": 42, "one person": None},
    ("adience", "direct"): {
        "Age group: 25-32": 4,
        "25 to 32 years old": 4,
        "Answer: 60+": 7,
        "60 years or older": 7,
        "seniors (60+ years old)": 7,
        "The person is 28 years old": None,
        "An adult man with two infants": None,
        "not an adult": None,
    },
    ("aptos", "direct"): {
        "There are no signs of diabetic retinopathy in this image.": 0,
        "Mild NPDR is not present in this image.": None,
        "The signs of severe NPDR are not seen in this image": None,
        "No DR": 0,
        "severe non-proliferative diabetic retinopathy": 3,
        "Proliferative diabetic retinopathy": 4,
        "Moderate NPDR (Stage 2)": 2,
        "Diagnosis: PDR": 4,
        "Grade: 3": 3,
        "The criteria for severe NPDR are not met.": None,
        "The differential includes PDR.": None,
        "diabetic retinopathy": None,
        "stage2(severe NPDR)": None,
    },
    ("hci", "direct"): {
        "early 1950s": 2,
        "Around 1965": 3,
        "Decade: the sixties": 3,
        "The car is a 1955 Chevrolet.": None,
        "1950s or 1960s": None,
        "1980s": None,
    },
}
CASES = [(*key, text, label) for key, texts in ANSWERS.items() for text, label in texts.items()]


@pytest.mark.parametrize(("dataset", "strategy", "text", "label"), CASES)
def test_an_answer_is_read_right_or_not_at_all(dataset, strategy, text, label):
    assert read(SCALES[dataset], strategy, text).label == label


# Found by a reader who tried to have the parser read what is not said.
PERHAPS = "name: perhaps\nrates: a photograph\nlevels: ['No', Perhaps, 'Yes']\n"
LOW = "name: low\nrates: a photograph\nlevels: [Low, Medium, High]\n"
MONTHS = "name: months\nrates: a baby\nunit: months\nrange: [0, 36]\n"
OWN = {text.split("\n")[0].removeprefix("name: "): text for text in (PERHAPS, LOW, MONTHS)}
TRAPS: dict[tuple[str, str], dict[str, int | None]] = {
    ("spaq", "direct"): {
        "The image quality:\n\n" + "-" * 400 + "\nSharpness: Good": None,
        "The rating is " + "." * 400 + " hard to say, good": None,
        "| --- " * 60 + "| noise | good |": None,
        "rate3(Good). I considered whether the rating is rate4(Excellent) but no.": 3,
        "I would not say the answer is rate4(Excellent).": None,
        "It isn't clear that the rating is 4": None,
        "Good. Excellent.": None,
        "Excellent! I'd be happy to rate this image, which is very blurry.": None,
        "Good, let me think about this image": None,
        "anything but rate4(Excellent)": None,
        "just short of rate4(Excellent)": None,
        "fails to reach rate4(Excellent)": None,
        "I doubt it is rate4(Excellent)": None,
        "rate0(Bad) is out of the question": None,
        "rate3 (Good) or higher": None,
        '{"rating": 3, "scale": {"answer": 4}}': 3,
        '[{"rating": 1}, {"rating": 3}]': None,
        'rate1(Poor)\n{"group": 3}': 1,
        '{"rating": 3.0}': 3,
    },
    ("spaq", "cot"): {
        "Final answer: rate3-4(Above Fair), rate3(Good)\n\nNote: another rating is possible, but the grade is 2": 3,
        "rate2(Fair), 4": 4,
    },
    ("spaq", "num"): {"rate2, 3": 3, "rate2, 4": 4},
    ("spaq", "text"): {"Fair, 3": 3},
    ("aptos", "num"): {"stage0, 1": 1},
    ("morph", "direct"): {
        "Predicted Age: 30 years old. I cannot tell whether the age is 40": 30,
        "The photo was taken 20 years ago": None,
        "The person has 20 years of experience": None,
        "Age: about 30 years younger than 60": None,
        "30 years old or younger": None,
        "30 years old or less": None,
        "30 years of age": 30,
        "The person is 45 years old and more serious than most": 45,
    },
    ("adience", "direct"): {
        "The person is 25-32 kg": None,
        "38-43 cm": None,
        "infants. No, preschoolers": None,
    },
    ("perhaps", "direct"): {"No, wait, yes": None, "Yes, I can rate the image. It is blurry": None},
    ("low", "direct"): {"Quality: High. Noise: Low.": None},
    ("months", "direct"): {"a year and 3 months": None, "3 months": 3},
}
TRAP_CASES = [(*key, text, label) for key, texts in TRAPS.items() for text, label in texts.items()]


@pytest.mark.parametrize(("scale", "strategy", "text", "label"), TRAP_CASES)
def test_what_is_not_said_is_not_read(scale, strategy, text, label):
    start = time.perf_counter()
    known = SCALES[scale] if scale in SCALES else read_scale(OWN[scale]).scale
    assert read(known, strategy, text).label == label and time.perf_counter() - start < 2


def test_a_late_decade_is_not_the_late_ones():
    assert read(SCALES["hci"], "text", "late 1940s")[:2] == (1, None)
    assert read(SCALES["morph"], "cot", "Adult (30 years old)")[:2] == (30, 1)


PLACES = {
    "thoughts": "<think>It could be rate1(Poor) or 2.</think>\n{}",
    "a tag": "It is not rate0(Bad). <answer>{}</answer> rate1(Poor)",
    "a box": "So the result is $\\boxed{{\\text{{{}}}}}$ after rate1(Poor).",
    "fenced JSON": '```json\n{{"reason": "rate1(Poor) at first", "rating": "{}"}}\n```',
    "a marker": "Not rate1(Poor).\n\n**Final answer:** {}",
    "special tokens": "{}<|im_end|>",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("answer", ["rate3(Good)", "3", "Good"])
def test_the_answer_is_where_the_text_says(place, answer):
    assert read(SCALES["spaq"], "direct", PLACES[place].format(answer)).label == 3


RULES = {
    "exact": "rate3-4(Above Fair), rate3(Good)",
    "number-word": "I would choose rate3(Good) here.",
    "number": "rate3",
    "word": "Good",
    "cut off": "<think>rate3(Good), as",
    "empty": "<think></think>",
    "off the scale": "rate9",
    "two readings": "rate3(Good) or rate2(Fair)",
    "prose": "It is a good photo.",
    "no rating": "Here is a photograph.",
    "refusal": "I cannot help with that.",
}


@pytest.mark.parametrize("rule", RULES)
def test_a_reading_says_how_it_was_read_or_why_not(rule):
    if rule == "off the scale":
        assert read(SCALES["spaq"], "cot", "9").rule == rule
    else:
        assert read(SCALES["spaq"], "cot", RULES[rule]).rule == rule


def test_the_coarse_prediction_may_stand_before_the_marker():
    reading = read(SCALES["spaq"], "cot", "Coarse: rate3-4(Above Fair).\nFinal prediction: rate4(Excellent)")
    assert (reading.label, reading.coarse) == (4, 2)


def test_json_with_two_ratings_is_not_one():
    assert not region('{"rating": 3, "score": 4}').marked
    assert read(SCALES["spaq"], "direct", '{"rating": 3, "confidence": 4}').label == 3
    assert read(SCALES["adience"], "direct", '{"group": 4}').label == 4


@pytest.mark.parametrize("part", ["{", "\\boxed{", "answer: ", "<answer>", "1 ", "the is ", "9", "<think>", "rate3, "])
def test_a_long_text_is_read_in_no_time(part):
    start = time.perf_counter()
    read(SCALES["spaq"], "cot", part * (100_000 // len(part)))
    assert time.perf_counter() - start < 3
