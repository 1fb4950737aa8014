"""The rows of a predictions file of any form: the model's text, what is known of the label, and what the row is of."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from eval.scoring.forms import PREDICT, Answer, answers
from eval.scoring.label_texts import Asked, Lookup, Meaning, forms_asked, meanings
from eval.scoring.prediction_files import dataset_of
from storm.datasets import ALIASES, SCALES, dataset_in
from storm.files import Line
from storm.prompts import STRATEGIES
from storm.rows import read_custom_id
from storm.scales import Scale

MODELS = ("model", "model_name", "model_id", "run")  # keys that name whose answer a row is


class Row(NamedTuple):
    dataset: str
    predict: str  # the model's text, "" where `none` says why there is none
    none: str  # "no answer", "refusal", "error", "cut off" or "too long", else ""
    fits: tuple[Meaning, ...]  # what the label may mean, several where the text leaves it open; (): no label
    form: str  # of the row, as it is printed
    probs: tuple[float, ...] | None = None  # of every level from the lowest, if eval/predict.py computed them
    id: str | None = None  # what names the row in the test file, or the path of its image; None: neither is known
    number: str | None = None  # an id that is a number, and so may only count the rows
    counts: bool = False  # whether the key of that number says that it counts: index, idx, doc_id
    image: str | None = None
    asked: tuple[str, str] | None = None  # scale and strategy of the prompt, where the label is not enough
    part: str = ""  # test or val, where the id says it
    strategy_in_id: str = ""  # the prompt strategy, where the id says it
    numbered: bool = False  # whether the label is a number
    error: str = ""  # why eval/predict.py could not read the image
    model: str = ""  # that the row names

    @property
    def label(self) -> int:
        """Of a row whose meaning is known."""
        return self.fits[0].label

    @property
    def scale(self) -> Scale:
        """That the row's own texts are of; the scale that it is scored on may hold more."""
        return self.fits[0].scale

    @property
    def strategy(self) -> str:
        return self.fits[0].strategy

    @property
    def from_predict(self) -> bool:
        return self.form == PREDICT


def read(
    path: Path,
    scales: Mapping[str, Scale] = SCALES,
    datasets: Iterable[str] = (),
    keys: Mapping[str, str] | None = None,
    parts: Sequence[Path] = (),
) -> Iterator[Line]:
    """The lines of a predictions file, each with a Row, or the fault for which it cannot be scored.

    datasets: names that a file's name may hold besides the scales'. keys: of --keys. parts: more files of it.
    Raises OSError, or ValueError naming the file.
    """
    names = {*scales, *datasets}
    named, meaning, asked = dataset_of(path, names), meanings(scales), forms_asked(scales.values())
    for line in answers(path, keys, parts):
        try:
            if line.fault:
                raise ValueError(line.fault)
            yield Line(line.number, _row(line.row, named, names, meaning, asked))
        except ValueError as error:
            yield Line(line.number, None, str(error))


def _row(answer: Answer, named: str, datasets: set[str], meaning: Lookup, asked: Asked) -> Row:
    """Raises ValueError, in one line."""
    facts, from_predict = answer.facts, answer.form == PREDICT
    exported = read_custom_id(answer.id) if answer.id and answer.id.startswith("storm_") else None
    if exported:  # python -m data_prep export wrote the question
        dataset, part, strategy, id = exported
    else:
        dataset, part, strategy, id = _dataset(facts.get("dataset"), datasets) or named, "", "", answer.id
    if answer.image and not from_predict and not exported and not facts.get("dataset"):
        shown = _in_path(answer.image)
        if shown and dataset in SCALES and shown != dataset:
            raise ValueError(f"the image {answer.image!r} is of {shown}, and the file is named after {dataset}")
        dataset = dataset if dataset in datasets else shown or dataset
    if not dataset.isprintable():
        raise ValueError(f"key 'dataset' is {dataset!r}, not a name")
    names = facts.get("scale"), facts.get("strategy")
    if not all(isinstance(name, str) for name in names) or (not from_predict and names[1] not in STRATEGIES):
        names = None, None  # another tool's keys of these names
    fits: tuple[Meaning, ...] = ()
    if answer.label is not None:
        fits = meaning(dataset, *names, answer.label)
    elif from_predict:
        raise ValueError(f"key 'label' is missing (keys: {', '.join(map(str, facts)) or 'none'})")
    has_probs = from_predict or isinstance(facts.get("probs"), list)
    probs = _probs(facts["probs"], fits[0].scale) if has_probs and facts.get("probs") is not None and fits else None
    fits = tuple(fit for fit in fits if fit.strategy in ("", strategy)) or fits if strategy else fits
    enough = len(fits) == 1 and fits[0].strategy  # a prompt of 10 kB is not kept
    counts = bool(id) and id.isdecimal() and not from_predict and not exported
    return Row(
        dataset,
        answer.text,
        answer.none,
        fits,
        answer.form,
        probs,
        id=None if counts else id,
        number=id if counts else None,
        counts=answer.counts,
        image=answer.image,
        asked=None if enough or answer.question is None else asked(answer.question),
        part=part,
        strategy_in_id=strategy,
        numbered=answer.label is not None and answer.label.isdecimal(),
        model=next((str(facts[key]) for key in MODELS if isinstance(facts.get(key), str)), ""),
        error=str(facts.get("error") or "") if "predict" in facts and not answer.text else "",
    )


def _dataset(name: object, datasets: set[str]) -> str:
    """The dataset that a row names: as it is, or by another name of it, in any case; "" if it names none."""
    if not name or str(name) in datasets:
        return str(name or "")
    lower = str(name).lower()
    return lower if lower in datasets else ALIASES.get(re.sub(r"[^a-z0-9]", "", lower), str(name))


def _in_path(image: str) -> str:
    try:
        return dataset_in(image)
    except ValueError:
        return ""


def _probs(probs: object, scale: Scale) -> tuple[float, ...]:
    """The distribution in a row. Raises ValueError if it is not one over the scale's levels."""
    levels = scale.hi - scale.lo + 1
    if not isinstance(probs, list) or len(probs) != levels:
        raise ValueError(f"key 'probs' does not hold {levels} numbers, one for each level")
    try:
        sound = min(probs) >= 0 and max(probs) <= 1 and abs(sum(probs) - 1) <= 1e-3  # false for nan
    except TypeError:
        sound = False
    if not sound:
        raise ValueError(f"key 'probs': not probabilities that sum to one: {str(probs)[:60]}")
    return tuple(probs)
