"""Predictions as arrays and as lines of a file, for the tests of scores."""

import json
import zlib
from pathlib import Path

import numpy as np

from eval.scoring.metrics import UNPARSED
from eval.scoring.predictions import Predictions
from storm import provenance
from storm.datasets import SCALES
from storm.prompts import answer
from storm.scales import coarse_of

RNG = np.random.default_rng(0)


def predictions(name: str, label, pred=None, *, probs=None, subject=None, strategy="cot") -> Predictions:
    """Of a dataset; the coarse prediction agrees with the fine one in most rows, or is missing."""
    scale = SCALES[name]
    label = np.asarray(label)
    pred = np.asarray(probs.argmax(1) + scale.lo if pred is None else pred)
    rng = np.random.default_rng(zlib.crc32(label.tobytes()))
    group = {value: scale.coarse.index(coarse_of(scale, value)) for value in range(scale.lo, scale.hi + 1)}
    parsed = pred != UNPARSED
    coarse = np.full(len(pred), UNPARSED)
    coarse[parsed] = np.where(rng.random(parsed.sum()) < 0.1, UNPARSED, [group[p] for p in pred[parsed].tolist()])
    coarse = np.where((coarse != UNPARSED) & (rng.random(len(pred)) < 0.2), (coarse + 1) % len(scale.coarse), coarse)
    lines, path = np.arange(1, len(label) + 1), Path(f"{name}.jsonl")
    return Predictions(Path("."), path, name, scale, strategy, label, pred, coarse, lines, probs, subject=subject)


def text_predictions(name: str, n: int, unparsed: float = 0.1, **more) -> Predictions:
    """At most two levels or years off, a part of them unparsed."""
    scale = SCALES[name]
    label = RNG.integers(scale.lo, scale.hi + 1, n)
    near = np.clip(label + RNG.integers(-2, 3, n), scale.lo, scale.hi)
    return predictions(name, label, np.where(RNG.random(n) < unparsed, UNPARSED, near), **more)


def exact_predictions(name: str, n: int, **more) -> Predictions:
    """Distributions around the label."""
    scale = SCALES[name]
    label = RNG.integers(scale.lo, scale.hi + 1, n)
    distance = np.arange(scale.lo, scale.hi + 1) - label[:, None] - RNG.normal(0, 1, (n, 1))
    probs = np.exp(-np.abs(distance) + RNG.normal(0, 0.3, distance.shape))
    return predictions(name, label, probs=probs / probs.sum(1, keepdims=True), **more)


def line(name: str, label: int, predict: int | str, strategy: str = "cot", **more) -> str:
    """A row of generated_predictions.jsonl; `predict` is a label or the model's text."""
    scale = SCALES[name]
    text = predict if isinstance(predict, str) else answer(scale, strategy, predict)
    row = {"prompt": "system\n<|image_pad|>", "predict": text, "label": answer(scale, strategy, label) + "\n"}
    return json.dumps(row | more) + "\n"


def mark_as_ours(folder: Path) -> None:
    """The provenance of a folder of eval/predict.py."""
    folder.mkdir(parents=True, exist_ok=True)
    provenance.write(folder, {"decode": "exact", "data": {}, "versions": {}})
