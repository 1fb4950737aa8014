"""What validation rows are for: a temperature that flattens distributions that are too sure (or not sure enough), and
intervals of levels (conformal.py). Never rows that are scored, or that the model was trained on."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from eval.inference.posterior import fit_temperature, temper
from eval.scoring import conformal, testsets
from eval.scoring.inputs import Options
from eval.scoring.predictions import Predictions
from eval.scoring.runs import load
from eval.scoring.scores import distributions
from storm import provenance
from storm.datasets import CARVE, DATASETS
from storm.files import read_jsonl
from storm.options import describe
from storm.rows import build_command, dataset_and_part
from storm.scales import Scale


def calibrate(
    path: Path,
    runs: Sequence[Predictions],
    scales: Mapping[str, Scale],
    tests: testsets.Index,
    options: Options = Options(),  # noqa: B008
) -> tuple[list[conformal.Coverage], list[Predictions], list[str]]:
    """Calibrate runs on the predictions of validation rows: flatten their distributions, dataset by dataset.

    Returns how good intervals of levels are, the validation rows, and a line for each run that is left as it is. The
    intervals come first, from the distributions as predicted: a temperature that is fitted to the same rows would make
    these rows fit better than new ones.
    """
    files = {key: file for key, file in tests.items() if key[2] == "val"}
    validation, errors = load([path], scales, files, options)
    if errors:
        return [], validation, errors
    pairs, errors = fits(runs, validation)
    coverages = []
    for predictions, fit in pairs:
        try:
            coverages.append(conformal.coverage(predictions, fit))
        except (OSError, ValueError) as error:
            errors.append(f"--calibrate: {describe(error)}")
    for predictions, fit in pairs:
        probs, labels = (np.concatenate(parts) for parts in zip(*map(distributions, fit)))
        predictions.temperature = fit_temperature(probs, labels)
        predictions.probs = temper(predictions.probs.astype(float), predictions.temperature)
    return coverages, validation, errors


def fits(
    runs: Sequence[Predictions], validation: Iterable[Predictions]
) -> tuple[list[tuple[Predictions, list[Predictions]]], list[str]]:
    """Each exact run with the validation rows of its dataset, and a line for each without: there are none, or they are
    scored, too, or the model was trained on them."""
    rows, pairs, errors = {}, [], []
    for predictions in validation:
        if predictions.probs is not None:
            rows.setdefault((predictions.dataset, predictions.strategy), []).append(predictions)
    if not rows:
        return [], ["--calibrate: no row with probs (eval/predict.py --decode exact writes them)"]
    for predictions in runs:
        if predictions.probs is None:
            continue
        fit = rows.get((predictions.dataset, predictions.strategy), [])
        if problem := _unfit(predictions, fit):
            errors.append(f"--calibrate: {problem}; {predictions.path} is scored as it was predicted")
            continue
        pairs.append((predictions, fit))
    return pairs, errors


def _unfit(predictions: Predictions, fit: Sequence[Predictions]) -> str:
    """Why no temperature for a run can be fitted to these; "" if it can."""
    dataset = predictions.dataset
    if not fit:
        carve = DATASETS[dataset].carve if dataset in DATASETS else ""
        make = build_command(dataset, val=carve) + (", and a training without these rows" if carve else "")
        what = f"no validation row of {dataset}, strategy {predictions.strategy}, is among them"
        return f"{what}; predict {dataset}_val.jsonl, which needs {make}"
    used = {(other.dataset, id) for other in fit for id in other.id or ()}
    shared = used.intersection((predictions.dataset, id) for id in predictions.id or ())
    if shared:
        least = min(id for _, id in shared)
        return f"{len(shared):,} rows of {dataset} are scored, too ({least!r}); predict {dataset}_val.jsonl for this"
    try:
        reasons = (reason for other in fit for reason in (_other_model(predictions, other), _seen(other)))
        return next(filter(None, reasons), "")
    except (OSError, ValueError) as error:  # a damaged provenance
        return str(error)


def _other_model(predictions: Predictions, validation: Predictions) -> str:
    """Why these are no validation rows of the model that is scored; "" if nothing says so."""
    dataset = predictions.dataset
    if (part := dataset_and_part(validation.path.stem)[1]) in ("train", "lite", "test"):
        return f"{validation.path} are {part} rows of {dataset}; predict {dataset}_val.jsonl for this"
    folders = [one.path.parent for one in (predictions, validation)]
    if all(map(provenance.exists, folders)):
        scored, fitted = map(provenance.read, folders)
        if any(scored.get(key) != fitted.get(key) for key in ("model", "adapter")):
            return f"{folders[1]} are predictions of another model than {folders[0]}"
    return ""


def _seen(validation: Predictions) -> str:
    """Why the model may have been trained on these rows; "" if it was not, or if nothing says what it was trained on.

    The predictions' provenance names the train files, which are looked into. One that is gone cannot say.
    """
    folder, dataset = validation.path.parent, validation.dataset
    if not provenance.exists(folder):
        return ""
    fix = f"build with {build_command(dataset, val=CARVE)}, train again, and predict {dataset}_val.jsonl"
    for name, digest in (provenance.read(folder).get("trained_on") or {}).items():
        path = Path(name)
        if (said := dataset_and_part(path.stem)[0]) != dataset and said in DATASETS:  # a file of another dataset
            continue
        if not path.is_file() or provenance.file_hash(path) != digest:
            what = f"the model was trained on {name}, which is gone or has changed since"
            return f"{what}, so it may have seen the rows of {dataset}; {fix}"
        rows = (line.row for line in read_jsonl(path) if isinstance(line.row, dict))
        ids = {str(row.get("id")) for row in rows if row.get("dataset", dataset) == dataset}
        if shared := ids.intersection(validation.id or ()):
            return f"the model was trained on {len(shared):,} of these rows of {dataset} ({min(shared)!r}); {fix}"
    return ""


def unknown_training(validation: Iterable[Predictions]) -> str:
    """A note if nothing says what the model of validation rows was trained on, of a model of the hub, too."""
    for folder in dict.fromkeys(predictions.path.parent for predictions in validation):
        try:
            facts = provenance.read(folder) if provenance.exists(folder) else {}
        except ValueError as error:
            return f"note: --calibrate {error}"
        if facts.get("trained_on") is None:
            model = f"the model ({facts['model']})" if facts.get("model") else "the model"
            what = f"note: --calibrate {folder}: no {provenance.FILE} says what {model} was trained on"
            return f"{what}; make sure yourself that it was not on these rows"
    return ""
