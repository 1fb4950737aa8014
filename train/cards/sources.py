"""Who owns what the rows are made from, under which terms, and how ratings became labels: what our own files say."""

from typing import NamedTuple

from storm.datasets import DATASETS, LABEL_RULES
from train.cards.data_folder import DataFolder, Dataset
from train.cards.texts import UNKNOWN, code

CITATION = """\
@inproceedings{wang2025storm,
  title = {{STORM}: Benchmarking Visual Rating of {MLLMs} with a Comprehensive Ordinal Regression Dataset},
  author = {Wang, Jinhong and Tong, Shuo and Liu, Jian and Tang, Dongqi and Ying, Haochao and Xu, Hongxia and
            Chen, Jintai and Chen, Danny Z. and Wu, Jian},
  booktitle = {Advances in Neural Information Processing Systems, Datasets and Benchmarks Track},
  year = {2025}
}"""  # as in README.md


class Source(NamedTuple):
    title: str
    url: str  # the owner's page, "" if unknown
    terms: str
    rule: str  # how a rating became a label, as Markdown
    cite: str


def source_named(name: str) -> Source | None:
    """One of the paper's datasets, or the demo's crops."""
    if facts := DATASETS.get(name):
        cite = f"as its owner asks: {facts.url}"
        return Source(facts.title, facts.url, facts.terms, LABEL_RULES[facts.label], cite)
    return _demo() if name == "demo" else None


def source_of(dataset: Dataset, data: DataFolder) -> Source:
    """The same of a dataset in a folder, or somebody's own ratings: those alone have a scale.yaml beside them."""
    if not data.scale and (source := source_named(dataset.name)):
        return source
    rule = "unknown: no scale.yaml of this name lies in the folder"
    if data.scale and data.scale.scale.name == dataset.name:
        scale = data.scale.scale
        ends = [f"{code(row.word)} {low:g} to {high:g}" for row, (low, high) in zip(scale.fine, data.scale.ranges)]
        rule = "the number itself" if scale.counted else "by the ratings in scale.yaml: " + ", ".join(ends)
    return Source("somebody's own ratings", "", UNKNOWN, rule, UNKNOWN)


def _demo() -> Source:
    from demo.photographs import SIGMA

    return Source(
        "crops of photographs that ship inside scikit-image, scikit-learn, matplotlib and gradio (demo/photographs.py)",
        "",
        "public domain or CC0 in scikit-image and matplotlib, CC BY in scikit-learn (see its README.txt); gradio "
        "(Apache-2.0) names no license of its own for them",
        f"the strength of the noise that was added: standard deviation {', '.join(map(str, SIGMA))} of 255 gray values",
        UNKNOWN,
    )
