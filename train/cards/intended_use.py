"""What a model or its data may be used for and what limits them: facts of the paper and of our documentation."""

from collections.abc import Iterable, Sequence

from storm.datasets import DATASETS, DatasetFacts

PAPER = "[STORM](https://arxiv.org/abs/2506.01738)"
# Appendix H of the paper.
INTENDED = (
    f"The paper, {PAPER} (Appendix H), intends its data and models solely for research on vision and language and for "
    "reproducing its experiments. Any deployed use, commercial or not, is out of its scope."
)
DOMAINS = {  # domain of the paper -> its limit
    "FAE": (
        "**Ages are estimated from photographs of persons' faces.** Do not use it to identify or to judge persons, or "
        "to decide anything about them. The label is the age or age group that the dataset's owner states. How well "
        "it does for different groups of persons was not measured."
    ),
    "MDG": (
        "**This is not a medical device.** The paper (Appendix H): not intended for clinical care or for any clinical "
        "decision. The labels are the grades that the datasets' owners state."
    ),
    "IAA": "Ratings of beauty are the mean taste of the raters of the dataset, who are not everybody.",
    "IQA": "Ratings of quality are the mean opinion of the raters of the dataset.",
    "HDE": "Decades are those in which a photograph was taken, 1930s to 1970s only.",
}
OWN = (
    "The ratings are somebody's own, and nothing in this folder says who rated and what for. Whoever shares this adds "
    "it here.",
    "If photographs show persons, do not use it to identify or to judge them; if they are medical, it is not a medical "
    "device and not for clinical decisions.",
)
DEMO = (
    "The demo: its labels are the strength of noise that a program added, nobody's judgment, and its photographs few."
)
ALWAYS = (
    "It answers with a level of a scale, whatever the image shows: it has no answer for an image of another kind.",
    "A scale or a question in other words was not measured. The paper (Appendix F): results may fluctuate with the "
    "words by which labels are defined.",
)


def facts_of(names: Iterable[str]) -> list[DatasetFacts]:
    """The rows of the paper's datasets among the names."""
    return [DATASETS[name] for name in names if name in DATASETS]


def intended(names: Sequence[str]) -> list[str]:
    """What the model or data is for. names: of its datasets."""
    lines = [INTENDED] if facts_of(names) else []
    if any(name not in DATASETS for name in names) or not names:
        lines.append("To rate images like those it was trained on, on the same scale. No other use was measured.")
    return lines


def limits(names: Sequence[str]) -> list[str]:
    """The limits that follow from the datasets. names: of them."""
    domains = {facts.domain for facts in facts_of(names)}
    lines = [text for domain, text in DOMAINS.items() if domain in domains]
    lines += [DEMO] * ("demo" in names)
    return lines + [*OWN] * any(name not in DATASETS and name != "demo" for name in names)
