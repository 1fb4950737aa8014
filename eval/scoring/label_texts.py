"""What the label of a row stands for: of which dataset, scale and prompt strategy it is.

The trained answers tell all three. Other people's files have a word or a number, in any case: then only the label is
known, and file_rows.py finds the rest.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple

from storm.options import did_you_mean
from storm.parse import read
from storm.prompts import STRATEGIES, answers, question
from storm.scales import Scale
from storm.text import one_case

OWN_SCALE = "a scale of your own: --scale SCALE.yaml"


class Meaning(NamedTuple):
    """What a label text stands for. strategy: "" if the text is not an answer as trained."""

    dataset: str
    scale: Scale
    strategy: str
    label: int


# (dataset, scale, strategy, label text) -> the meanings it can have, of different scales or strategies
Lookup = Callable[[str, str | None, str | None, str], tuple[Meaning, ...]]
Asked = Callable[[Any], tuple[str, str] | None]  # prompt -> (scale, strategy) that it asks for


def meanings(scales: Mapping[str, Scale]) -> Lookup:
    """The function that tells what a label may mean. It raises ValueError, with the fix, if it means nothing."""
    return _meanings(tuple(scales.items()))


@lru_cache(maxsize=4)
def _meanings(named: tuple[tuple[str, Scale], ...]) -> Lookup:
    scales = dict(named)
    trained: dict[str, list[Meaning]] = {}
    for dataset, scale in scales.items():
        for strategy in STRATEGIES:
            for text, label in answers(scale, strategy).items():
                trained.setdefault(text, []).append(Meaning(dataset, scale, strategy, label))
    in_one_case: dict[str, list[Meaning]] = {}
    for text, fits in trained.items():
        in_one_case.setdefault(one_case(text), []).extend(fits)
    by_name = {scale.name: scale for scale in scales.values()}

    @cache
    def of(dataset: str, scale: str | None, strategy: str | None, text: str) -> tuple[Meaning, ...]:
        _check_names(dataset, scale, strategy, scales, by_name)

        def possible(fit: Meaning) -> bool:
            known = dataset not in scales or fit.dataset == dataset
            return known and (scale is None or (fit.scale.name, fit.strategy) == (scale, strategy))

        fits = [fit for fit in trained.get(text) or in_one_case.get(one_case(text), ()) if possible(fit)]
        if not fits:
            given = by_name[scale] if scale else scales.get(dataset)
            number = re.fullmatch(r"-?\d+", text)  # where the row says scale and strategy, no other word is an answer
            fits = (
                []
                if scale and not number
                else _read(dataset, [given] if given else by_name.values(), text, strategy or "")
            )
        if dataset not in scales:  # --scale names the scale that is meant
            fits = [fit for fit in fits if fit.scale.own] or fits
        if not fits:
            which = f"the scale of {dataset}" if dataset in scales else f"any known scale ({OWN_SCALE})"
            which = f"scale {scale}, strategy {strategy}" if scale else which
            raise ValueError(f"label {text[:80]!r} is not an answer of {which}")
        return tuple({(fit.scale.name, fit.strategy): fit for fit in reversed(fits)}.values())[::-1]

    return of


def _check_names(
    dataset: str, scale: str | None, strategy: str | None, scales: Mapping[str, Scale], by_name: Mapping[str, Scale]
) -> None:
    """Raises ValueError for names in a row that are not known, or that contradict each other."""
    if scale is not None and scale not in by_name:
        raise ValueError(f"scale {scale!r} is not known; {did_you_mean(scale, by_name)} ({OWN_SCALE})")
    if strategy is not None and strategy not in STRATEGIES:
        raise ValueError(f"strategy {strategy!r} is not known; {did_you_mean(strategy, STRATEGIES)}")
    if scale is not None and scales.get(dataset, by_name[scale]).name != scale:
        raise ValueError(f"dataset {dataset} is of scale {scales[dataset].name}, but the row says {scale!r}")


def _read(dataset: str, scales: Iterable[Scale], text: str, strategy: str) -> list[Meaning]:
    """What a word, or a number, means on these scales. Raises ValueError where a number could be level or rating."""
    fits = []
    for scale in scales:
        number = re.fullmatch(r"-?\d+", text)
        if number and scale.rated:
            fix = "write the words of the levels, or leave the label out and give --data"
            raise ValueError(f"label {text} is a number: a level from {scale.lo}, or one of your ratings? {fix}")
        above = scale.unit == "level"  # 5 on a scale of 0 to 4 tells that the file counts from 1
        if number and scale.lo <= int(text) <= scale.hi + above:
            labels = {int(text)}
        else:
            readings = (read(scale, name, text) for name in STRATEGIES)
            labels = {reading.label for reading in readings if reading.label is not None}
        if len(labels) == 1:
            fits.append(Meaning(dataset, scale, strategy, labels.pop()))
    return fits


def forms_asked(scales: Iterable[Scale]) -> Asked:
    """The function that tells (scale, strategy) of a prompt: whose question it holds, the longest; None of none.

    A prompt is a text, or turns of a conversation. The question without steps is the beginning of that with steps.
    """
    return _forms_asked(tuple(dict.fromkeys(scales)))


@lru_cache(maxsize=4)
def _forms_asked(scales: tuple[Scale, ...]) -> Asked:
    texts = {}
    for scale in scales:
        for strategy in STRATEGIES:
            text = one_case(question(scale, strategy).replace("<image>", ""))
            texts.setdefault(text, []).append((scale.name, strategy))
    longest = sorted(texts, key=len, reverse=True)

    @lru_cache(maxsize=1000)
    def asked_in(text: str) -> tuple[str, str] | None:
        matching = next((texts[part] for part in longest if part in text), [])
        return matching[0] if len(matching) == 1 else None

    def asked(prompt: Any) -> tuple[str, str] | None:
        text = _prompt_text(prompt)
        return asked_in(one_case(re.sub(r"<[^<>]{0,40}>", "", text))) if text else None

    return asked


def _prompt_text(prompt: Any) -> str:
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, dict):
        if prompt.get("role", "user") in ("user", "human"):
            return _prompt_text(prompt.get("content", prompt.get("text", prompt.get("value"))))
        return ""
    return " ".join(filter(None, map(_prompt_text, prompt))) if isinstance(prompt, list) else ""
