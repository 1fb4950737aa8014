"""Reads predictions files, row by row, and tells which dataset, scale and prompt strategy a row belongs to."""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from storm.prompts import STRATEGIES, answers
from storm.scales import Scale
from storm.datasets import SCALES

HEAD = 5  # lines of a file that tell whether it holds predictions; the first may be damaged
WORD = re.compile(r"[^a-z0-9]+")


class Row(NamedTuple):
    """One prediction: line number in its file (from 1), dataset, scale, strategy, true label, the model's text.

    probs: of every level from the lowest, if eval/predict.py computed them. id: None where LLaMA-Factory wrote it.
    error: why eval/predict.py could not read the image.
    """

    line: int
    dataset: str
    scale: Scale
    strategy: str
    label: int
    predict: str
    probs: tuple[float, ...] | None = None
    id: str | None = None
    error: str = ""


class BadRow(NamedTuple):
    """A line that cannot be scored, and why."""

    line: int
    reason: str


class Meaning(NamedTuple):
    """What a label text stands for in one dataset and strategy."""

    dataset: str
    scale: Scale
    strategy: str
    label: int


def find(path: Path) -> list[Path]:
    """The predictions files meant by a path: itself, or those below a folder, sorted.

    These are LLaMA-Factory's generated_predictions.jsonl, what eval/predict.py writes beside a run.json, and any other
    *.jsonl that begins with a label and an answer. FileNotFoundError, naming the path, if there is none.
    """
    if path.is_dir():
        ours = {file for run in path.rglob("run.json") for file in run.parent.glob("*.jsonl")}
        files = sorted(path.rglob("*.jsonl"))
        found = [f for f in files if f.name == "generated_predictions.jsonl" or f in ours or _begins_with_an_answer(f)]
        if not found:
            raise FileNotFoundError(f"{path}: no generated_predictions.jsonl or other predictions here or below")
        return found
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file or folder")
    return [path]


def _begins_with_an_answer(path: Path) -> bool:
    """Is one of the first lines of a file a prediction? A built test file and a trainer's log have none."""
    with path.open("rb") as file:
        for line in islice(file, HEAD):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict) and "label" in row and ("predict" in row or "answer" in row):
                return True
    return False


def read(path: Path, scales: dict[str, Scale] = SCALES, datasets: Iterable[str] = ()) -> Iterator[Row | BadRow]:
    """The rows of a predictions file, one at a time. A line that cannot be read becomes a BadRow; blank lines pass.

    Three kinds, told apart row by row: LLaMA-Factory's {prompt, predict, label} (do_predict and vllm_infer),
    eval/predict.py's, and the {label, answer} of the authors' test scripts, whose answer may be a list of one text.
    datasets: names that a file's name may hold besides the scales'.
    """
    named, meanings = dataset_of(path, {*scales, *datasets}), _meanings(scales)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield _row(number, json.loads(line), named, scales, meanings)
            except UnicodeDecodeError:
                yield BadRow(number, f"not UTF-8: {line[:60]!r}")
            except json.JSONDecodeError as error:
                cut = "" if line.endswith(b"\n") else ", and the line ends unfinished (truncated file?)"
                yield BadRow(number, f"not JSON: {error.msg} at character {error.pos}{cut}")
            except RecursionError:
                yield BadRow(number, "brackets within brackets, too deep to read")
            except (KeyError, TypeError, ValueError) as error:
                yield BadRow(number, str(error.args[0]))


def _row(number: int, row: object, named: str, scales: dict[str, Scale], meanings: dict[str, list[Meaning]]) -> Row:
    if not isinstance(row, dict):
        raise TypeError(f"not an object with keys but {str(row)[:60]!r}")
    if "predict" not in row and "answer" in row:
        answer = row["answer"]
        row = row | {"predict": answer[0] if isinstance(answer, list) and len(answer) == 1 else answer}
    for key in ("predict", "label"):
        if not isinstance(row.get(key), str):
            found = f"is {row[key]!r}, not a text" if key in row else f"is missing (keys: {', '.join(row) or 'none'})"
            raise KeyError(f"key {key!r} {found}")
    dataset, text = str(row.get("dataset") or named), row["label"].strip()
    if not dataset.isprintable():
        raise ValueError(f"key 'dataset' is {dataset!r}, not a name")
    fits = [meaning for meaning in meanings.get(text, ()) if dataset not in scales or meaning.dataset == dataset]
    if not fits:
        of = f"the scale of {dataset}" if dataset in scales else "any known scale (one of your own? --scale SCALE.yaml)"
        raise ValueError(f"label {text[:80]!r} is not an answer of {of}")
    if len({(fit.scale.name, fit.strategy) for fit in fits}) > 1:
        names = ", ".join(fit.dataset for fit in fits)
        raise ValueError(f"label {text[:80]!r} fits {names}: name the folder after the dataset")
    probs = _probs(row["probs"], fits[0].scale) if "probs" in row else None
    id = None if row.get("id") is None else str(row["id"])
    error = str(row["error"]) if "error" in row else ""
    return Row(number, dataset, fits[0].scale, fits[0].strategy, fits[0].label, row["predict"], probs, id, error)


def _probs(probs: object, scale: Scale) -> tuple[float, ...]:
    """The distribution in a row. Raises ValueError if it is none over the scale's levels."""
    levels = scale.hi - scale.lo + 1
    if not isinstance(probs, list) or len(probs) != levels:
        raise ValueError(f"key 'probs' holds no {levels} numbers, one for each level")
    if not all(isinstance(p, int | float) and 0 <= p <= 1 for p in probs) or abs(sum(probs) - 1) > 1e-3:
        raise ValueError(f"key 'probs': not probabilities that sum to one: {str(probs)[:60]}")
    return tuple(probs)


def _meanings(scales: dict[str, Scale]) -> dict[str, list[Meaning]]:
    """Answer text -> what it can mean."""
    known: dict[str, list[Meaning]] = {}
    for dataset, scale in scales.items():
        for strategy in STRATEGIES:
            for text, label in answers(scale, strategy).items():
                known.setdefault(text, []).append(Meaning(dataset, scale, strategy, label))
    return known


def dataset_of(path: Path, datasets: Collection[str]) -> str:
    """The dataset that a file's or its folder's name holds as a word (storm_lite_spaq), else the folder's name."""
    names = (path.stem, path.resolve().parent.name)
    for name in names:
        for word in (name, *WORD.split(name.lower())):
            if word in datasets:
                return word
    return names[1] if path.stem == "generated_predictions" else names[0]


def run_of(path: Path, datasets: Collection[str]) -> Path:
    """The run that a predictions file belongs to: its path without the dataset, the same for all files of a run.

    saves/predict/storm_lite/spaq/generated_predictions.jsonl, saves/storm_lite_spaq/generated_predictions.jsonl,
    saves/storm_lite/spaq_test.jsonl and saves/spaq/storm_lite.jsonl are of .../storm_lite.
    """
    parts = path.parts[:-1] if path.stem in ("generated_predictions", *datasets) else (*path.parts[:-1], path.stem)
    built = re.fullmatch(r"(.+)_(test|train|lite)(_[a-z]+)?", path.stem)
    if len(parts) == len(path.parts) and built and (built[1] in datasets or (path.parent / "run.json").exists()):
        parts = parts[:-1]  # eval/predict.py names its files after the data's
    if len(parts) > 1 and parts[-2] in datasets and not any(word in datasets for word in WORD.split(parts[-1].lower())):
        parts = (*parts[:-2], parts[-1])
    elif parts and any(word in datasets for word in WORD.split(parts[-1].lower())):
        kept = re.sub(
            r"[^A-Za-z0-9]?([A-Za-z0-9]+)", lambda word: "" if word[1].lower() in datasets else word[0], parts[-1]
        )
        name = re.sub(r"^[^A-Za-z0-9]+", "", kept)
        parts = (*parts[:-1], name) if name else parts[:-1]
    return Path(*parts)
