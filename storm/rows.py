"""One conversation row: an image, a question and its answer, as data_prep writes it and LLaMA-Factory reads it.

    {"conversations": [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": ANSWER}], "images": [PATH],
     "id": ..., "dataset": ..., "scale": ..., "strategy": ..., "label": ..., "score": ..., "subject": ...,
     "votes": [share of each level], where the owner publishes votes, "release": "FILE.jsonl:LINE", of the authors'}

LLaMA-Factory reads the first two keys (ShareGPT form) and ignores the others, which predictions and scores need.
Files that were built before rows said their scale and strategy are recognized by their question.
"""

import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from storm.datasets import SCALES
from storm.files import read_jsonl
from storm.prompts import STRATEGIES, answer, answers, question, strategy_of
from storm.scales import Scale

BUILT = (Path("data/storm"), Path("data/demo"))  # folders that data_prep and the demo write
PARTS = ("train", "lite", "val", "test")  # of a dataset, in files of their own
ROUNDED = 0.001  # by how much shares of raters may miss 1; data_prep writes six digits
NEED = "a row needs conversations, images, id and dataset: build the file again with python -m data_prep"


class Example(NamedTuple):
    """One image, its label, and how it is asked for: a row of a built file."""

    id: str
    dataset: str
    image: str  # relative to the image root
    label: int
    scale: Scale
    strategy: str
    subject: str = ""  # the person or patient, "" if unknown
    file: Path | None = None  # the built file it was read from
    score: float | None = None  # the raw rating, None if the row has none
    votes: tuple[float, ...] = ()  # the share of raters of each level, () if unknown
    release: str = ""  # "FILE.jsonl:LINE" of the authors' data release

    @property
    def question(self) -> str:
        return question(self.scale, self.strategy)

    @property
    def answer(self) -> str:
        """The text of the label."""
        return answer(self.scale, self.strategy, self.label)


def turns(scale: Scale, strategy: str, label: int) -> list[dict]:
    """Question and answer in ShareGPT form. The same for all images of a label."""
    human, gpt = question(scale, strategy), answer(scale, strategy, label)
    return [{"from": "human", "value": human}, {"from": "gpt", "value": gpt}]


def to_row(example: Example, **more: float | str) -> dict:
    """The row of an example. more: other facts, such as the raw score. Raises ValueError for a label off the scale."""
    scale, strategy = example.scale, example.strategy
    row = {"conversations": turns(scale, strategy, example.label), "images": [example.image]}
    row |= {"id": example.id, "dataset": example.dataset, "scale": scale.name, "strategy": strategy}
    return row | {"label": example.label} | more | {"subject": example.subject}


def dataset_and_part(name: str) -> tuple[str, str]:
    """(dataset, part) that the name of a stanza or built file says: storm_spaq_test_num -> (spaq, test), demo_train ->
    (demo, train), and the part "" for any other name."""
    stem = name.removesuffix(strategy_of(name).suffix).removeprefix("storm_")
    dataset, _, part = stem.rpartition("_")
    return (dataset, part) if part in PARTS else (stem, "")


def sibling(stanza: str, part: str) -> str:
    """The stanza of another part of the same rows: (ages_train_num, test) -> ages_test_num."""
    suffix = strategy_of(stanza).suffix
    dataset, _, _ = stanza.removesuffix(suffix).rpartition("_")
    return f"{dataset}_{part}{suffix}"


def task_name(dataset: str, part: str, strategy: str) -> str:
    """What other tools call the rows of a test file: (spaq, test, num) -> storm_spaq_test_num."""
    return f"storm_{dataset}_{part}{STRATEGIES[strategy].suffix}"


def custom_id(task: str, id: str) -> str:
    """The id of a row in the files of other tools, whose results often say nothing else of it. It names the test file,
    and a table that guesses types never takes it for a number, a date or an empty cell: storm_spaq_test_num/00001."""
    return f"{task}/{id}"


def read_custom_id(text: str) -> tuple[str, str, str, str] | None:
    """(dataset, part, strategy, id) of a custom_id, None for any other text."""
    task, slash, id = text.partition("/")
    dataset, part = dataset_and_part(task)
    if not (slash and part and task == task_name(dataset, part, strategy_of(task).name)):
        return None
    return dataset, part, strategy_of(task).name, id


def build_command(dataset: str, strategy: str = "", val: str = "") -> str:
    """The command that writes the files of a dataset. strategy: "" for the default. val: the option that takes
    validation rows out of train, "" if it is not needed."""
    if dataset == "demo":
        return "python -m demo.photographs"
    if dataset not in SCALES:
        return f"python -m data_prep own RATINGS.csv --scale SCALE.yaml{val}"
    return f"python -m data_prep {dataset}{f' --strategy {strategy}' if strategy else ''}{val}"


class _Form(NamedTuple):
    """What all rows of one scale and strategy share."""

    question: str
    scale: Scale
    strategy: str
    labels: dict[str, int]  # answer -> label


@cache
def _forms(scales: tuple[Scale, ...]) -> tuple[dict[tuple[str, str], _Form], dict[str, _Form]]:
    """The forms by (name of the scale, strategy), and by the text of the question."""
    forms = [
        _Form(question(scale, strategy), scale, strategy, answers(scale, strategy))
        for scale in scales
        for strategy in STRATEGIES
    ]
    return {(form.scale.name, form.strategy): form for form in forms}, {form.question: form for form in forms}


def read_examples(path: Path, scales: Mapping[str, Scale] = SCALES) -> Iterator[Example]:
    """The rows of a built file. Raises ValueError naming file, line, what is wrong and the fix; OSError."""
    by_name, by_question = _forms(tuple(dict.fromkeys(scales.values())))
    seen: set[str] = set()
    for line in read_jsonl(path):
        try:
            if line.fault:
                raise ValueError(line.fault)
            example = _example(line.row, by_name, by_question)
            if example.id in seen:
                raise ValueError(f"id {example.id!r} is there twice; build the file again")
        except ValueError as error:
            raise ValueError(f"{path}, line {line.number}: {error}") from None
        seen.add(example.id)
        yield example._replace(file=path)


def _example(row: dict, by_name: dict, by_question: dict) -> Example:
    """Raises ValueError in one line, with the fix."""
    try:
        human, gpt = (turn["value"] for turn in row["conversations"])
        [image] = row["images"]
        id, dataset, subject = str(row["id"]), str(row["dataset"]), str(row.get("subject") or "")
        if not all(isinstance(text, str) for text in (human, gpt, image)):
            raise TypeError("a turn or the name of the image is not text")
    except (KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{reason}; {NEED}") from None
    form = _form(row, human, by_name, by_question)
    label = form.labels.get(gpt)
    if label is None:
        raise ValueError(f"{gpt[:60]!r} is not an answer of scale {form.scale.name}, strategy {form.strategy}; {NEED}")
    if row.get("label", label) != label:
        raise ValueError(f"the answer {gpt[:60]!r} is label {label}, but the row says label {row['label']!r}; {NEED}")
    score = row.get("score")
    if type(score) not in (int, float) or not math.isfinite(score):
        score = None
    votes = _votes(row["votes"], form.scale) if row.get("votes") else ()
    release = str(row.get("release", ""))
    facts = {"score": score, "votes": votes, "release": release}
    return Example(id, dataset, image, label, form.scale, form.strategy, subject, **facts)


def _votes(votes: object, scale: Scale) -> tuple[float, ...]:
    """Shares of the levels, which sum to 1 but for rounding. Raises ValueError."""
    levels = scale.hi - scale.lo + 1
    sound = isinstance(votes, list) and len(votes) == levels and all(type(v) in (int, float) and v >= 0 for v in votes)
    if not sound or not abs(sum(votes) - 1) < ROUNDED:
        what = f"{str(votes)[:60]!r} are not {levels} shares of raters that sum to 1"
        raise ValueError(f"votes {what}; build the file again with python -m data_prep")
    return tuple(votes)


def _form(row: dict, human: str, by_name: dict, by_question: dict) -> _Form:
    """The scale and strategy that the row says, or else its question. Raises ValueError if they disagree."""
    name, strategy = row.get("scale"), row.get("strategy")
    form = by_question.get(human) if name is None else by_name.get((str(name), str(strategy)))
    if form is None:
        named = "the question" if name is None else f"scale {name!r}, strategy {strategy!r}"
        raise ValueError(f"{named} is not of a known scale; for a scale of your own: --scale SCALE.yaml")
    if human != form.question:
        raise ValueError(f"the question is not that of scale {name}, strategy {strategy}; {NEED}")
    return form
