"""The rows of a predictions file of any form: the model's text, what is known of the label, and what the row is of."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from eval.scoring.forms import OWN, Answer, answers
from eval.scoring.label_texts import Asked, Lookup, Meaning, forms_asked, meanings
from eval.scoring.prediction_files import dataset_of
from storm.datasets import SCALES, dataset_in
from storm.files import Line
from storm.rows import read_custom_id
from storm.scales import Scale


class Row(NamedTuple):
    dataset: str
    predict: str  # the model's text, "" where `none` says why there is none
    none: str  # "no answer", "refusal", "error" or "too long", else ""
    fits: tuple[Meaning, ...]  # what the label may mean, several where the text leaves it open; (): no label
    form: str  # of the row, as it is printed
    probs: tuple[float, ...] | None = None  # of every level from the lowest, if eval/predict.py computed them
    id: str | None = None  # None where LLaMA-Factory wrote it
    image: str | None = None
    question: tuple[str, str] | None = None  # scale and strategy of the prompt, where the label is not enough
    error: str = ""  # why eval/predict.py could not read the image
    asked: str = ""  # the prompt strategy, where the id says it

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
    def own(self) -> bool:
        return self.form == OWN

    @property
    def key(self) -> str | None:
        """What names the row in the test file: its id, or the path of its image. A mere number may count the rows."""
        return None if (self.id or "").isdecimal() and self.form != OWN else self.id or self.image


def read(
    path: Path,
    scales: Mapping[str, Scale] = SCALES,
    datasets: Iterable[str] = (),
    keys: Mapping[str, str] | None = None,
) -> Iterator[Line]:
    """The lines of a predictions file, each with a Row, or the fault for which it cannot be scored.

    datasets: names that a file's name may hold besides the scales'. keys: of --keys. Raises OSError, or ValueError
    naming the file.
    """
    known = {*scales, *datasets}
    named, meaning, asked = dataset_of(path, known), meanings(scales), forms_asked(scales.values())
    for line in answers(path, keys):
        try:
            if line.fault:
                raise ValueError(line.fault)
            yield Line(line.number, _row(line.row, named, known, meaning, asked))
        except ValueError as error:
            yield Line(line.number, None, str(error))


def _row(answer: Answer, named: str, known: set[str], meaning: Lookup, asked: Asked) -> Row:
    """Raises ValueError, in one line."""
    facts = answer.facts
    said = read_custom_id(answer.id) if answer.id and answer.id.startswith("storm_") else None
    if said:  # python -m data_prep export wrote the question
        facts = facts | {"dataset": said[0]}
        answer = answer._replace(id=said[3])
    dataset = str(facts.get("dataset") or named)
    if dataset not in known and answer.image:
        dataset = _in_path(answer.image) or dataset
    if not dataset.isprintable():
        raise ValueError(f"key 'dataset' is {dataset!r}, not a name")
    scale, strategy = facts.get("scale"), facts.get("strategy")
    if not (isinstance(scale, str) and isinstance(strategy, str)):
        scale = strategy = None
    fits: tuple[Meaning, ...] = ()
    if answer.label is not None:
        fits = meaning(dataset, scale, strategy, answer.label)
    elif answer.form == OWN or (answer.id is None and answer.image is None and answer.form == "LLaMA-Factory"):
        raise ValueError(f"key 'label' is missing (keys: {', '.join(map(str, facts)) or 'none'})")
    probs = _probs(facts["probs"], fits[0].scale) if "probs" in facts and fits else None
    error = str(facts.get("error") or "") if "predict" in facts and not answer.text else ""
    strategy = said[2] if said else ""
    fits = tuple(fit for fit in fits if fit.strategy in ("", strategy)) or fits if strategy else fits
    enough = len(fits) == 1 and fits[0].strategy  # a prompt of 10 kB is not kept
    what = answer.id, answer.image, None if enough or answer.question is None else asked(answer.question)
    return Row(dataset, answer.text, answer.none, fits, answer.form, probs, *what, error, strategy)


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
