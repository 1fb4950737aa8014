"""The scores of a run for its card: from the sweep's results or a file of eval/score.py, if they are of this model."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from storm import provenance
from storm.files import read_json
from storm.rows import dataset_and_part, sibling
from storm.text import Cell, number
from train.cards.texts import UNKNOWN, code, placeless, rows
from train.cards.trained import Trained
from train.plan import RESULTS, SAVES
from train.results import read_results

KINDS = {"dataset": str, "n": int, "intervals": dict, "strategy": str, "decode": str}  # that a score must have
SHOWN = ("acc", "mae", "qwk", "srcc", "rps", "ece")  # the metrics of the card's table, as far as they apply
HUB = {"acc": "accuracy"}  # a metric -> its id on the hub, where that has another
SPLITS = {"test": "test", "val": "validation"}  # part of a dataset -> its name on the hub; others are trained on


class Scores(NamedTuple):
    scores: list[dict]  # as eval/score.py --json has them, and "split": of SPLITS, "" if nothing says it
    note: str = ""  # where they are from, and whether they are sure to be of this model


def scores_of(trained: Trained, file: Path | None) -> Scores:
    """The scores of a run; none if there is no file. Raises ValueError for those of another model, OSError."""
    if file:
        data = read_json(file)
        if isinstance(data, dict) and "recipe" in data:
            return _of_sweep(trained, read_results([file.stem], file.parent)[file.stem], file)
        return _of_command(trained, data, file)
    if trained.folder != trained.run:
        return Scores([])  # a sweep's are of the weights of the last step
    sweep = trained.folder.parent.resolve() == SAVES.resolve()
    folder = RESULTS if sweep else trained.folder.parent / "results"
    result = read_results([trained.folder.name], folder).get(trained.folder.name)
    return _of_sweep(trained, result, folder / f"{trained.folder.name}.json") if result else Scores([])


def _of_sweep(trained: Trained, result: dict, file: Path) -> Scores:
    about = f"{file}: results of another training"
    if not provenance.exists(trained.folder):
        raise ValueError(f"{about}, perhaps: {trained.folder} has no {provenance.FILE}; name others: --scores FILE")
    facts = provenance.read(trained.folder)
    data = {name: value for name, value in (result.get("data") or {}).items() if name in facts["data"]}
    if changed := provenance.difference(result | {"data": data}, facts, any_commit=True):
        raise ValueError(f"{about}: {changed}; run the sweep again, or name others: --scores FILE")
    if other := [key for key in ("seed", "settings") if result.get(key) != facts.get(key)]:
        raise ValueError(f"{about}: another {other[0]}; run the sweep again, or name others: --scores FILE")
    rows = [score | {"split": SPLITS["test"]} for score in result["scores"]]  # it predicts nothing else
    return Scores(rows, f"From {code(file.name)} of the sweep, whose recipe and training rows are this run's.")


def _of_command(trained: Trained, data: object, file: Path) -> Scores:
    scores = data.get("scores") if isinstance(data, dict) else None
    sound = isinstance(scores, list) and scores and all(isinstance(score, dict) for score in scores)
    if not sound or not all(isinstance(score.get(key), kind) for score in scores for key, kind in KINDS.items()):
        raise ValueError(f"{file}: not a file of scores; write it: python eval/score.py PREDICTIONS --json {file}")
    scores = [score | {"split": _split(score, file)} for score in scores]
    from eval.inference.settings import fingerprint

    mine, key = fingerprint(str(trained.folder)), "adapter" if trained.adapter else "model"
    models = [_model(score, key) for score in scores]
    ours = [score for score, model in zip(scores, models) if model == mine]
    if ours:
        return Scores(ours, f"From {code(file.name)}; the predictions are of these weights (checked by a hash).")
    if "" not in models:
        raise ValueError(f"{file}: the predictions are not of the weights in {trained.folder}; predict and score again")
    unknown = [score for score, model in zip(scores, models) if not model]
    if len({score.get("run") for score in unknown}) > 1:
        raise ValueError(f"{file}: scores of several runs, and none says its model; score only the run of this model")
    return Scores(unknown, f"From {code(file.name)}. **Not checked**: nothing says which model made these predictions.")


def _split(score: dict, file: Path) -> str:
    """The part of the dataset that was predicted, by the name of the file of predictions; "" if that says none."""
    name = Path(str(score.get("file") or "")).stem
    _, part = dataset_and_part(name)
    if part and part not in SPLITS:
        fix = f"predict and score {sibling(name, 'test')}"
        raise ValueError(f"{file}: scores of {name}, rows that are trained on, say nothing of the model; {fix}")
    return SPLITS.get(part, "")


def _model(score: dict, key: str) -> str:
    """The fingerprint of what made a score's predictions, "" if nothing says it."""
    folder = Path(str(score.get("file") or ".")).parent
    return str(provenance.read(folder).get(key) or "") if provenance.exists(folder) else ""


def table(scores: Sequence[dict]) -> str:
    """One line a score, each metric with its interval."""
    from eval.scoring.metrics import METRICS

    shown = [METRICS[name] for name in SHOWN if any(score.get(name) is not None for score in scores)]
    head = ["dataset", "rows", "strategy", "decode", "images", "subjects", "unparsed"]
    lines: list[list[Cell]] = [[*head, *(metric.label for metric in shown), "constant ACC", "constant MAE"]]
    for score in scores:
        rated = score["n"] if score.get("n_test") in (None, score["n"]) else f"{score['n']:,} of {score['n_test']:,}"
        facts = [code(score["dataset"]), score["split"] or UNKNOWN, code(score["strategy"]), code(score["decode"])]
        facts += [rated, score.get("subjects"), score.get("unparsed")]
        facts += [number(_float(score.get(metric.name)), _interval(score, metric.name)) for metric in shown]
        lines.append([*facts, *(_float(score.get(name)) for name in ("constant_acc", "constant_mae"))])
    return rows(lines)


def legend(scores: Sequence[dict]) -> list[str]:
    """What the shown metrics are, and their intervals."""
    from eval.scoring.metrics import METRICS

    units = [str(score["unit"]) for score in scores if score.get("unit")]
    names = [name for name in SHOWN if any(score.get(name) is not None for score in scores)]
    return [f"{METRICS[name].label}: {placeless(METRICS[name].explained(units))}" for name in names]


def model_index(name: str, scores: Sequence[dict]) -> list[dict]:
    """The hub's form. It has no field for an interval: that stands in the metric's name, and the value is a number."""
    from eval.scoring.metrics import METRICS

    results = []
    for score in scores:
        metrics = []
        for metric in (METRICS[name] for name in SHOWN if _float(score.get(name)) is not None):
            ends = _interval(score, metric.name)
            title = (
                f"{metric.label}, 95% interval {ends[0]:.3f} to {ends[1]:.3f}"
                if ends
                else f"{metric.label}, no interval"
            )
            metrics.append({"type": HUB.get(metric.name, metric.name), "value": score[metric.name], "name": title})
        if metrics:
            title = f"{score['dataset']}, strategy {score['strategy']}, decode {score['decode']}, {score['n']} images"
            dataset = {"type": score["dataset"], "name": title}
            dataset |= {"split": score["split"]} if score["split"] else {}
            task = {"type": "image-text-to-text", "name": "Visual rating"}
            results.append({"task": task, "dataset": dataset, "metrics": metrics})
    return [{"name": name, "results": results}]


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _interval(score: dict, metric: str) -> tuple[float, float] | None:
    ends = score["intervals"].get(metric)
    return (float(ends[0]), float(ends[1])) if isinstance(ends, (list, tuple)) and len(ends) == 2 else None
