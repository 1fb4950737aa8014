"""Which files below a folder hold predictions, and which dataset and run the name of a file says."""

import os
import re
import stat
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from eval.scoring.forms import answers, is_known
from eval.scoring.records import natural, row_files
from storm import provenance
from storm.datasets import ALIASES
from storm.files import read_json
from storm.images import suffixes
from storm.rows import PARTS, dataset_and_part

HOST_NAME = "generated_predictions"  # LLaMA-Factory's predictions file, in a folder of its own
HEAD = 5  # lines of a file that tell whether it holds predictions; the first may be damaged
WORD = re.compile(r"[^a-z0-9]+")
# The authors' test scripts: test_DR.py writes DR_answer.jsonl, of APTOS.
AUTHORS = {"dr": "aptos"}
BESIDE = {
    "provenance.json",
    "score.json",
    "scores.json",
    "origin.json",
    "run.json",
    "trainer_log.jsonl",
    "dataset_info.json",
}
MAPPED = {"id", "predict"}  # of {"id": "text"}, which many files of settings look like
PART = re.compile(r"(?:[-_.](?:\d{1,4}|outputs?|errors?|results?))+$")  # what differs in the names of parts
READINGS = {"run", "dataset", "line", "id", "text", "label", "prediction", "coarse prediction", "rule"}  # of --readings


SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".xlsx", ".parquet")  # that a folder is searched for
PACKED = (".gz", ".zst")


class Source(NamedTuple):
    """A predictions file, or the parts of one that a server wrote: answers and errors, or numbered files."""

    path: Path
    parts: tuple[Path, ...] = ()  # more of it, in order


def prediction_files(
    path: Path, keys: Mapping[str, str] | None = None, by_position: bool = False
) -> tuple[list[Path], list[str]]:
    """The predictions files that a path names: itself, or those below a folder, sorted; and a line for each entry of
    the folder that has the name of one and cannot be read, or whose keys can be read in two ways.

    These are LLaMA-Factory's generated_predictions.jsonl, what eval/predict.py writes, and any other file whose first
    rows have a label and an answer, or are answers of a server. FileNotFoundError, naming the path, if there is none.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; python eval/predict.py writes predictions")
    if not path.is_dir():
        return [path], []
    files, others, errors, ours = [], [], [], cache(_holds_our_predictions)
    row_files_in, seen = cache(lambda folder: set(row_files(folder, is_known))), set()
    for file in _named_so(path):
        if file.suffix == ".json" and (file.parent in seen or row_files_in(file.parent)):
            files += [file.parent] if file.parent not in seen else []
            seen.add(file.parent)
            if file in row_files_in(file.parent) or _is_damaged(file):
                continue  # a row, or a damaged one, which is named when the folder is read
        fault = _irregular(file)
        if not fault and not (file.stem == HOST_NAME or (ours(file.parent) and file.suffix == ".jsonl")):
            try:
                predictions, fault = _begins_with_a_prediction(file, keys, by_position)
            except OSError as error:
                predictions, fault = False, error.strerror or str(error)
            if not predictions and not fault:
                if not is_ours(file):
                    others.append(file)
                continue
        if fault:
            errors.append(f"{file}: {fault}; left out")
        else:
            files.append(file)
    errors += [_why_not(file, keys) for file in others if _named_after_a_dataset(file)]
    if not files and not errors:
        fix = "python eval/predict.py writes them"
        raise FileNotFoundError(f"{path}: no {HOST_NAME}.jsonl or other predictions; {fix}")
    return files, errors


def is_ours(path: Path) -> bool:
    """Whether a file is one that this repository or LLaMA-Factory writes beside predictions."""
    return path.name in BESIDE or path.name.endswith(("_results.json", "_config.json"))


def _named_after_a_dataset(path: Path) -> bool:
    words = WORD.split(name_of(path).lower())
    return any(word in ALIASES for word in words) and dataset_and_part(path.stem)[1] not in PARTS


def _why_not(path: Path, keys: Mapping[str, str] | None) -> str:
    """Why a file that is called after a dataset has no predictions that can be scored."""
    try:
        fault = next((line.fault for line in islice(answers(path, keys), HEAD) if line.fault), "")
    except (OSError, ValueError) as error:
        return f"{str(error) if str(path) in str(error) else f'{path}: {error}'}; left out"
    return f"{path}: {fault or 'no row has a label, an id or an image'}; left out"


def with_parts(files: Sequence[Path]) -> list[Source]:
    """The files, those of a server that are parts of one as one: x-1.jsonl and x-2.jsonl, x_output.jsonl and
    x_error.jsonl, if no id is in two. In the order of the first of each."""
    sources: dict[tuple, list[Path]] = {}
    for file in dict.fromkeys(files):
        sources.setdefault((file.parent, PART.sub("", name_of(file))), []).append(file)
    collected = {}
    for same in sources.values():
        ids = {file: _served_ids(file) for file in same} if len(same) > 1 else {}
        served = [file for file in sorted(ids, key=natural) if ids[file]]
        if len(set().union(*ids.values())) < sum(map(len, ids.values())):
            served = []  # gpt-4.jsonl and gpt-5.jsonl answered the same rows
        if served:
            collected[served[0]] = Source(served[0], tuple(served[1:]))
        collected |= {file: Source(file) for file in same if file not in served}
    return [collected[file] for file in dict.fromkeys(files) if file in collected]


def _served_ids(path: Path) -> set[str]:
    """The ids of a file with answers of a server; none of another file."""
    try:
        lines = answers(path)
        first = [line.row for line in islice(lines, HEAD)]
        if not any(row and row.server for row in first):
            return set()
        return {row.id for row in chain(first, (line.row for line in lines)) if row and row.id}
    except (OSError, ValueError):
        return set()


def _is_damaged(path: Path) -> bool:
    try:
        read_json(path)
    except ValueError:
        return True
    except OSError:
        return False
    return False


def _named_so(folder: Path) -> list[Path]:
    """Everything below a folder that has the name of a file that may hold predictions, sorted."""
    collected = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in (*folders, *names):
            suffixes = Path(name.lower()).suffixes
            last = suffixes[-2:-1] if suffixes and suffixes[-1] in PACKED else suffixes[-1:]
            if last and last[0] in SUFFIXES and not name.startswith("."):
                collected.append(Path(root, name))
    # VLMEvalKit links to its last results.
    real = {os.path.realpath(path) for path in collected if not path.is_symlink()}
    return sorted(path for path in collected if not (path.is_symlink() and os.path.realpath(path) in real))


def _irregular(path: Path) -> str:
    """Why something is not a file that can be read, "" if it is one."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "a link to nothing"
    except OSError as error:
        return error.strerror or str(error)
    if stat.S_ISDIR(mode):
        return "a folder, not a file"
    return "" if stat.S_ISREG(mode) else "not a regular file (a FIFO, socket or device)"


def _holds_our_predictions(folder: Path) -> bool:
    """Whether eval/predict.py wrote the JSONL files of a folder: its provenance says how the answers were decoded."""
    try:
        return "decode" in provenance.read(folder)
    except (OSError, ValueError):
        return False


def _begins_with_a_prediction(path: Path, keys: Mapping[str, str] | None, by_position: bool) -> tuple[bool, str]:
    """Whether one of the first rows is a prediction with a label, an id or an image, or an answer of a server; and why
    none can be read, of rows whose keys can be read in two ways. A built test file, a trainer's log and our lists of
    readings have none. Raises OSError."""
    try:
        lines = list(islice(answers(path, keys), HEAD))
    except ValueError:
        return False, ""
    rows = [line.row for line in lines if line.row and set(line.row.facts) != READINGS]
    rows = [row for row in rows if set(row.facts) != MAPPED or (row.id or "").lower().endswith(suffixes())]
    if any(by_position or row.label is not None or row.server or row.id or row.image for row in rows):
        return True, ""
    return False, next((line.fault for line in lines if line.fault.startswith("several keys")), "")


def dataset_of(path: Path, datasets: Collection[str]) -> str:
    """The dataset that a file's or its folder's name holds as a word (storm_lite_spaq, Aesthetic_answer), else the
    folder's or file's name."""
    stem = name_of(path)
    names = (stem, path.resolve().parent.name)
    for name in names:
        words = [name, *WORD.split(name.lower())]
        if name in datasets:
            return name
        if said := dict.fromkeys(word for word in words if word in datasets):
            return next(iter(said)) if len(said) == 1 else names[0]
        if len(named := {ALIASES[word] for word in words if word in ALIASES}) == 1:
            return named.pop()
        if words[-1] == "answer" and words[1] in AUTHORS:
            return AUTHORS[words[1]]
    return names[1] if stem == HOST_NAME else names[0]


def name_of(path: Path) -> str:
    """The name of a file without its extensions: spaq of spaq.jsonl.gz."""
    return (path.with_suffix("") if path.suffix in PACKED else path).stem


def run_of(path: Path, datasets: Collection[str]) -> Path:
    """The run that a predictions file belongs to: its path without the dataset, the same for all files of a run.

    saves/predict/storm_lite/spaq/generated_predictions.jsonl, saves/storm_lite_spaq/generated_predictions.jsonl,
    saves/storm_lite/spaq_test.jsonl and saves/spaq/storm_lite.jsonl are of .../storm_lite.
    """
    stem = name_of(path)
    datasets = {*datasets, *ALIASES, *(AUTHORS if stem.lower().endswith("_answer") else ())}
    parts = path.parts[:-1] if stem in (HOST_NAME, *datasets) else (*path.parts[:-1], stem)
    built = re.fullmatch(r"(.+)_(test|train|lite)(_[a-z]+)?", stem)
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
