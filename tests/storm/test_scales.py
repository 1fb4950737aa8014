"""The scales say what the paper says, and every label has one question and one answer."""

import pytest

from storm.datasets import SCALES
from storm.prompts import STRATEGIES, answer, answers, question, shown
from storm.scales import coarse_of

PAIRS = [(name, strategy) for name in SCALES for strategy in STRATEGIES]

# Appendix E, typed from the paper; one line of the paper's step list is one line here.
APPENDIX_E = {
    "spaq": """\
<image> You are now an advanced Image Quality Evaluator, and your task is to assess the quality of the provided image. Please evaluate the image's quality based on a 5-rate scale: rate0(Bad), rate1(Poor), rate2(Fair), rate3(Good), rate4(Excellent). Please provide the coarse category that can help you answer the question better. Please first coarsely categorise the image: rate0-1(Below Fair), rate2(Fair), rate3-4(Above Fair). Based on the coarse classification, proceed to make a final rate prediction. The specific steps are as follows:
1. Make the coarse prediction with the candidates:rate0-1(Below Fair), rate2(Fair), rate3-4(Above Fair)
2. Based on the coarse classification, proceed to make a final age prediction with the candidates: rate0(Bad), rate1(Poor), rate2(Fair), rate3(Good), rate4(Excellent).
3. Please note that the coarse thoughts and the final answer should be consistent.
Answer: [Coarse answer], [Final answer]""",
    "ava": """\
<image> You are now an advanced Aesthetic Evaluation Evaluator, and your task is to assess the aesthetic quality of the provided image. Please evaluate the image's aesthetic quality based on a 5-level scale: level0(Unacceptable), level1(Flawed), level2(Average), level3(Professional), level4(Excellent). Please first coarsely categorise the image: level0-1(Below Average), level2(Average), level3-4(Above Average). Based on the coarse classification, proceed to make a final level prediction. The specific steps are as follows:
1. Make the coarse prediction with the candidates:level0-1(Below Average), level2(Average), level3-4(Above Average).
2. Based on the coarse classification, proceed to make a final age prediction with the candidates: level0(Unacceptable), level1(Flawed), level2(Average), level3(Professional), level4(Excellent).
3. Please note that the coarse thoughts and the final answer should be consistent.
Answer: [Coarse answer], [Final answer]""",
    "morph": """\
<image> You are an experienced facial analysis expert, and you need to estimate the age group of the person in the provided facial image based on their facial features. The known age range of the image is from 16 to 77 years old. Please first coarsely categorise the image: Teenager(16-24 years old), Adult(25-47 years old), Elder(48+ years old). Based on the coarse classification, proceed to make a final age prediction. The final output should be in the format: Coarse Answer: [result], Predicted Age: [result]. The specific steps are as follows:
1. Make the coarse prediction with the candidates: Teenager(16-24 years old), Adult(25-47 years old), Elder(48+ years old).
2. Based on the coarse classification, proceed to make a final age prediction with the candidates: from 16 to 77 years old.
3. Please note that the coarse thoughts and the final answer should be consistent.
Answer: [Coarse answer], [Predicted Age]""",
    "aptos": """\
<image> You are an experienced ophthalmologist, and you need to perform disease grading on the provided fundus image. These are all the candidate stages: stage0(no retinopathy), stage1(mild NPDR), stage2(moderate NPDR), stage3(severe NPDR) and stage4(PDR). Please first coarsely categorise the fundus: Normal(stage0), Early(stage1-2), Late(stage3-4). Based on the coarse classification, proceed to make a final stage prediction. The specific steps are as follows:
1. Make the coarse prediction with the candidates: Normal(stage0), Early(stage1-2), Late(stage3-4).
2. Based on the coarse classification, proceed to make a final age prediction with the candidates: stage0(no retinopathy), stage1(mild NPDR), stage2(moderate NPDR), stage3(severe NPDR) and stage4(PDR).
3. Please note that the coarse thoughts and the final answer should be consistent.
Answer: [Coarse answer], [Predicted grade]""",
    "hci": """\
<image> You are now an advanced history researcher, and you need to grade the provided images by decade. These are all candidate categories: phase0(1930s), phase1(1940s), phase2(1950s), phase3(1960s), and phase4(1970s). Please first coarsely categorise the image: Early(phase0-phase1), Mid(phase2), Late(phase3-phase4). Based on the coarse classification, proceed to make a final phase prediction. The final output should be in the format: Coarse Classification: [result], Predicted Phase: [result]. The specific steps are as follows:
1. Make the coarse prediction with the candidates: Early(phase0-phase1), Mid(phase2), Late(phase3-phase4).
2. Based on the coarse classification, proceed to make a final age prediction with the candidates: phase0(1930s), phase1(1940s), phase2(1950s), phase3(1960s), and phase4(1970s).
3. Please note that the coarse thoughts and the final answer should be consistent.
Answer: [Coarse answer], [Predicted Phase]""",
}  # fmt: skip

# dataset, strategy, label, answer: the examples of the benchmark's contract, and one of each scale the paper leaves open
EXAMPLES = [
    ("spaq", "cot", 3, "rate3-4(Above Fair), rate3(Good)"),
    ("spaq", "num", 3, "rate3-4, rate3"),
    ("spaq", "text", 3, "Above Fair, Good"),
    ("spaq", "direct", 3, "rate3(Good)"),
    ("tad66k", "cot", 0, "level0-1(Below Average), level0(Unacceptable)"),
    ("eyepacs", "cot", 2, "Early(stage1-2), stage2(moderate NPDR)"),
    ("eyepacs", "num", 0, "stage0, stage0"),
    ("deepdr", "text", 4, "Late, PDR"),
    ("hci", "cot", 1, "Coarse Classification: Early(phase0-phase1), Predicted Phase: phase1(1940s)"),
    ("morph", "cot", 30, "Coarse Answer: Adult(25-47 years old), Predicted Age: 30 years old"),
    ("morph", "num", 30, "Coarse Answer: 25-47 years old, Predicted Age: 30 years old"),
    ("morph", "text", 30, "Coarse Answer: Adult, Predicted Age: thirty years old"),
    ("morph", "direct", 30, "30 years old"),
    ("cacd", "cot", 14, "Coarse Answer: Teenager(14-24 years old), Predicted Age: 14 years old"),
    ("utk", "cot", 1, "Coarse Answer: Baby(1-7 years old), Predicted Age: 1 years old"),
    ("utk", "text", 116, "Coarse Answer: Elder, Predicted Age: one hundred and sixteen years old"),
    (
        "adience",
        "cot",
        7,
        "Coarse Answer: Elder(group6-7, 48+ years old), Predicted Age: group7(seniors, 60+ years old)",
    ),
    ("adience", "text", 4, "Coarse Answer: Adult, Predicted Age: adult"),
]


@pytest.mark.parametrize("name", APPENDIX_E)
def test_cot_prompts_are_the_papers_word_for_word(name):
    assert question(SCALES[name], "cot") == APPENDIX_E[name]


def test_datasets_and_scales_are_those_of_table_1():
    sizes = {name: (scale.lo, scale.hi, scale.unit) for name, scale in SCALES.items()}
    five = (0, 4, "level")
    assert (
        sizes.items()
        >= {
            "spaq": five,
            "challengedb": five,
            "koniq": five,
            "aesthetics": five,
            "tad66k": five,
            "ava": five,
            "adience": (0, 7, "level"),
            "cacd": (14, 62, "years"),
            "morph": (16, 77, "years"),
            "utk": (1, 116, "years"),
            "eyepacs": five,
            "deepdr": five,
            "aptos": five,
            "hci": five,
        }.items()
    )


@pytest.mark.parametrize(("name", "strategy", "label", "text"), EXAMPLES)
def test_answers_read_as_the_contract_says(name, strategy, label, text):
    assert answer(SCALES[name], strategy, label) == text


@pytest.mark.parametrize(("name", "strategy"), PAIRS)
def test_answers_are_distinct_and_none_begins_another(name, strategy):
    scale = SCALES[name]
    ended = [text + "<|im_end|>" for text in answers(scale, strategy)]
    assert len(ended) == scale.hi - scale.lo + 1
    assert not [(a, b) for a in ended for b in ended if a != b and b.startswith(a)]


@pytest.mark.parametrize("name", SCALES)
def test_coarse_groups_cover_every_label_once_and_stand_in_its_answer(name):
    scale = SCALES[name]
    for label in range(scale.lo, scale.hi + 1):
        assert [group.lo <= label <= group.hi for group in scale.coarse].count(True) == 1
        assert coarse_of(scale, label).both in answer(scale, "cot", label)


@pytest.mark.parametrize(("name", "strategy"), PAIRS)
def test_questions_hold_the_image_once_and_the_candidates_of_their_strategy(name, strategy):
    scale, text = SCALES[name], question(SCALES[name], strategy)
    assert text.startswith("<image> ") and text.count("<image>") == 1
    assert "{" not in text and "  " not in text
    if not STRATEGIES[strategy].coarse:
        assert "coarse" not in text.lower() and "\n" not in text
    else:
        assert all(shown(group, strategy) in text for group in scale.coarse)
    if STRATEGIES[strategy].form == "number":
        assert not any(f"({c.word}" in text or f"{c.word}(" in text for c in scale.coarse)
    if STRATEGIES[strategy].form == "word":
        assert not any(c.number in text for c in (*scale.fine, *scale.coarse))


@pytest.mark.parametrize("label", [-1, 5])
def test_a_label_off_the_scale_is_refused_by_name(label):
    with pytest.raises(ValueError, match=f"label {label} is not on the scale iqa"):
        answer(SCALES["spaq"], "cot", label)
