"""Reads predictions files, row by row, and tells which dataset, scale and prompt strategy a row belongs to.

Our rows say it. Rows of LLaMA-Factory and of the authors' scripts do not: for them, the text of the label and the names
of the file and its folder decide.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from storm import provenance
from storm.datasets import SCALES
from storm.files import Line, read_jsonl
from storm.options import did_you_mean
from storm.prompts import STRATEGIES, answers
from storm.scales import Scale

HOST_NAME = "generated_predictions"  # LLaMA-Factory's predictions file, in a folder of its own
HEAD = 5  # lines of a file that tell whether it holds predictions; the first may be damaged
WORD = re.compile(r"[^a-z0-9]+")
NAME_IT = "a scale of your own: --scale SCALE.yaml"


class Row(NamedTuple):
    dataset: str
    scale: Scale
    strategy: str
    label: int
    predict: str  # the model's text
    probs: tuple[float, ...] | None = None  # of every level from the lowest, if eval/predict.py computed them
    id: str | None = None  # None where LLaMA-Factory wrote it
    error: str = ""  # why eval/predict.py could not read the image


class Meaning(NamedTuple):
    """What a label text stands for in one dataset and strategy."""

    dataset: str
    scale: Scale
    strategy: str
    label: int


Lookup = Callable[[str, str | None, str | None, str], Meaning]  # (dataset, scale, strategy, label text)


def prediction_files(path: Path) -> list[Path]:
    """The predictions files that a path names: itself, or those below a folder, sorted.

    These are LLaMA-Factory's generated_predictions.jsonl, what eval/predict.py writes, and any other *.jsonl that
    begins with a label and an answer. FileNotFoundError, naming the path, if there is none.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; python eval/predict.py writes predictions")
    if not path.is_dir():
        return [path]
    ours, files = cache(_holds_our_predictions), sorted(path.rglob("*.jsonl"))
    files = [f for f in files if f.stem == HOST_NAME or ours(f.parent) or _begins_with_a_prediction(f)]
    if not files:
        fix = "python eval/predict.py writes them"
        raise FileNotFoundError(f"{path}: no {HOST_NAME}.jsonl or other predictions; {fix}")
    return files


def _holds_our_predictions(folder: Path) -> bool:
    """Whether eval/predict.py wrote the JSONL files of a folder: its provenance says how the answers were decoded."""
    try:
        return "decode" in provenance.read(folder)
    except (OSError, ValueError):
        return False


def _begins_with_a_prediction(path: Path) -> bool:
    """Whether one of the first lines is a prediction. A built test file and a trainer's log have none."""
    try:
        rows = [line.row for line in islice(read_jsonl(path), HEAD)]
    except OSError:
        return False
    return any(isinstance(row, dict) and "label" in row and ("predict" in row or "answer" in row) for row in rows)


def read(path: Path, scales: Mapping[str, Scale] = SCALES, datasets: Iterable[str] = ()) -> Iterator[Line]:
    """The lines of a predictions file, each with a Row, or the fault for which it cannot be scored.

    Three kinds, which may be mixed: eval/predict.py's, LLaMA-Factory's {prompt, predict, label} (do_predict and
    vllm_infer), and the {label, answer} of the authors' test scripts, whose answer may be a list of one text.
    datasets: names that a file's name may hold besides the scales'. Raises OSError.
    """
    named, meaning = dataset_of(path, {*scales, *datasets}), _meanings(scales)
    for line in read_jsonl(path):
        try:
            if line.fault:
                raise ValueError(line.fault)
            yield Line(line.number, _row(line.row, named, meaning))
        except ValueError as error:
            yield Line(line.number, None, str(error))


def _row(row: object, named: str, meaning: Lookup) -> Row:
    """Raises ValueError, in one line."""
    if not isinstance(row, dict):
        raise ValueError(f"not an object with keys but {str(row)[:60]!r}")
    if "predict" not in row and "answer" in row:
        answer = row["answer"]
        row["predict"] = answer[0] if isinstance(answer, list) and len(answer) == 1 else answer
    for key in ("predict", "label"):
        if not isinstance(row.get(key), str):
            fault = f"is {row[key]!r}, not a text" if key in row else f"is missing (keys: {', '.join(row) or 'none'})"
            raise ValueError(f"key {key!r} {fault}")
    dataset, scale, strategy = str(row.get("dataset") or named), row.get("scale"), row.get("strategy")
    if not dataset.isprintable():
        raise ValueError(f"key 'dataset' is {dataset!r}, not a name")
    if not (isinstance(scale, str) and isinstance(strategy, str)):
        scale = strategy = None
    _, *facts = meaning(dataset, scale, strategy, row["label"].strip())
    probs = _probs(row["probs"], facts[0]) if "probs" in row else None
    id = None if row.get("id") is None else str(row["id"])
    return Row(dataset, *facts, row["predict"], probs, id, str(row.get("error", "")))


def _probs(probs: object, scale: Scale) -> tuple[float, ...]:
    """The distribution in a row. Raises ValueError if it is not one over the scale's levels."""
    levels = scale.hi - scale.lo + 1
    if not isinstance(probs, list) or len(probs) != levels:
        raise ValueError(f"key 'probs' does not hold {levels} numbers, one for each level")
    if not all(isinstance(p, int | float) and 0 <= p <= 1 for p in probs) or abs(sum(probs) - 1) > 1e-3:
        raise ValueError(f"key 'probs': not probabilities that sum to one: {str(probs)[:60]}")
    return tuple(probs)


def _meanings(scales: Mapping[str, Scale]) -> Lookup:
    """The function that tells what a row means. It raises ValueError for no meaning, or several."""
    texts: dict[str, list[Meaning]] = {}
    for dataset, scale in scales.items():
        for strategy in STRATEGIES:
            for text, label in answers(scale, strategy).items():
                texts.setdefault(text, []).append(Meaning(dataset, scale, strategy, label))
    by_name = {scale.name: scale for scale in scales.values()}

    @cache
    def meaning(dataset: str, scale: str | None, strategy: str | None, text: str) -> Meaning:
        if scale is not None and scale not in by_name:
            raise ValueError(f"scale {scale!r} is not known; {did_you_mean(scale, by_name)} ({NAME_IT})")
        if strategy is not None and strategy not in STRATEGIES:
            raise ValueError(f"strategy {strategy!r} is not known; {did_you_mean(strategy, STRATEGIES)}")
        if scale is not None and scales.get(dataset, by_name[scale]).name != scale:
            raise ValueError(f"dataset {dataset} is of scale {scales[dataset].name}, but the row says {scale!r}")
        fits = [
            fit
            for fit in texts.get(text, ())
            if (dataset not in scales or fit.dataset == dataset)
            and (scale is None or (fit.scale.name, fit.strategy) == (scale, strategy))
        ]
        if not fits:
            which = f"the scale of {dataset}" if dataset in scales else f"any known scale ({NAME_IT})"
            which = f"scale {scale}, strategy {strategy}" if scale else which
            raise ValueError(f"label {text[:80]!r} is not an answer of {which}")
        if len({(fit.scale.name, fit.strategy) for fit in fits}) > 1:
            names = ", ".join(fit.dataset for fit in fits)
            raise ValueError(f"label {text[:80]!r} fits {names}: name the folder after the dataset")
        return fits[0]

    return meaning


def dataset_of(path: Path, datasets: Collection[str]) -> str:
    """The dataset that a file's or its folder's name holds as a word (storm_lite_spaq), else the folder's name."""
    names = (path.stem, path.resolve().parent.name)
    for name in names:
        for word in (name, *WORD.split(name.lower())):
            if word in datasets:
                return word
    return names[1] if path.stem == HOST_NAME else names[0]


def run_of(path: Path, datasets: Collection[str]) -> Path:
    """The run that a predictions file belongs to: its path without the dataset, the same for all files of a run.

    saves/predict/storm_lite/spaq/generated_predictions.jsonl, saves/storm_lite_spaq/generated_predictions.jsonl,
    saves/storm_lite/spaq_test.jsonl and saves/spaq/storm_lite.jsonl are of .../storm_lite.
    """
    parts = path.parts[:-1] if path.stem in (HOST_NAME, *datasets) else (*path.parts[:-1], path.stem)
    built = re.fullmatch(r"(.+)_(test|train|lite)(_[a-z]+)?", path.stem)
    if len(parts) == len(path.parts) and built and (built[1] in datasets or _holds_our_predictions(path.parent)):
        parts = parts[:-1]  # eval/predict.py names its files after the data's
    if len(parts) > 1 and parts[-2] in datasets and not any(word in datasets for word in WORD.split(parts[-1].lower())):
        parts = (*parts[:-2], parts[-1])
    elif parts and any(word in datasets for word in WORD.split(parts[-1].lower())):
        pattern = r"[^A-Za-z0-9]?([A-Za-z0-9]+)"
        kept = re.sub(pattern, lambda word: "" if word[1].lower() in datasets else word[0], parts[-1])
        name = re.sub(r"^[^A-Za-z0-9]+", "", kept)
        parts = (*parts[:-1], name) if name else parts[:-1]
    return Path(*parts)
