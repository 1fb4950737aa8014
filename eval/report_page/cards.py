"""The cards of the report: what is shown of one row, with its image made small."""

import base64
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from eval.report_page.sampling import Pick
from eval.report_page.sections import age_groups
from eval.scoring.metrics import UNPARSED
from eval.scoring.runs import Predictions
from storm.files import read_jsonl
from storm.images import ImageFault, as_rgb, locate, read_bytes
from storm.prompts import STRATEGIES, question, shown
from storm.rows import read_examples
from storm.scales import Scale

SIDE, QUALITY = 160, 70  # of a thumbnail: pixels at most, JPEG
CUT, CUT_PROMPT = 300, 4000  # letters shown of a prediction and of a prompt
NO_NAME = "the row names no image (--data names the test files, which do)"
SIZES = {  # of errors, by the scale's unit: (from, to, name)
    "level": ((0, 0, "none"), (1, 1, "1 level"), (2, np.inf, "2 levels or more")),
    "years": ((0, 0, "none"), (1, 5, "1–5 years"), (6, np.inf, "6 years or more")),
}


class Thumbnail(NamedTuple):
    """A small JPEG as base64, or why there is none."""

    jpeg: str
    fault: str = ""


Bar = tuple[float, bool, bool]  # percent of the highest bar; whether the label is in it, and the prediction


class Source(NamedTuple):
    """What the files say of one row."""

    text: str  # the prediction
    prompt: str
    image: str | None


@dataclass(frozen=True)
class Card:
    """What the page shows of one row of a run."""

    key: tuple[str, str, str]  # the run's
    dataset: str
    place: str  # file and line
    line: int
    id: str | None
    image: str | None
    thumbnail: Thumbnail
    label: str
    pred: str
    coarse: str
    error: str
    hit: bool  # whether prediction and label are the same
    size: str  # of the error: the value of a filter
    text: str
    prompt: str
    confidence: float | None
    bars: list[Bar]
    likeliest: str


def make_cards(picks: Sequence[Pick], media: Sequence[Path], scales: Mapping[str, Scale]) -> list[Card]:
    """A card of each row. media: the image roots."""
    sources = _sources(picks, scales)
    places = [(source.image, run.data) for source, (run, _) in zip(sources, picks)]
    once = list(dict.fromkeys(places))
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside of Python's lock
        thumbnails = pool.map(lambda place: thumbnail(place[0], media, place[1]), once)
        small = dict(zip(once, tqdm(thumbnails, "thumbnails", len(once), disable=None)))
    return [_card(run, at, source, small[place]) for (run, at), source, place in zip(picks, sources, places)]


def thumbnail(image: str | None, media: Sequence[Path], built: Path | None) -> Thumbnail:
    """An image, made small. built: the test file that names it, whose folder comes before the image roots."""
    if image is None:
        return Thumbnail("", NO_NAME)
    fault = "no such image"
    for folder in [*([built.parent] if built else []), *media]:
        try:
            small = as_rgb(read_bytes(locate(folder, image, built)), draft=(2 * SIDE, 2 * SIDE))
        except ImageFault as error:
            fault = str(error) if fault == "no such image" else fault
            continue
        small.thumbnail((SIDE, SIDE), reducing_gap=2)
        file = io.BytesIO()
        small.save(file, "JPEG", quality=QUALITY, optimize=True)
        return Thumbnail(base64.b64encode(file.getvalue()).decode())
    return Thumbnail("", fault)


def _sources(picks: Sequence[Pick], scales: Mapping[str, Scale]) -> list[Source]:
    """What the predictions files, and for images the test files, say of each row."""
    lines = _by_file((run.path, int(run.line[at])) for run, at in picks)
    rows = {
        (path, line.number): line.row
        for path, numbers in lines.items()
        for line in read_jsonl(path)
        if line.number in numbers
    }
    ids = _by_file((run.data, run.id[at]) for run, at in picks if run.data)
    images = {
        (file, example.id): example.image
        for file, chosen in ids.items()
        for example in read_examples(file, scales)
        if example.id in chosen
    }
    sources = []
    for run, at in picks:
        row = rows[run.path, int(run.line[at])]
        image = images.get((run.data, run.id[at])) if run.data else row.get("image")
        text = row.get("predict", row.get("answer"))
        prompt = row.get("prompt")
        prompt = prompt if isinstance(prompt, str) else question(run.scale, run.strategy)
        prompt = re.sub(r"(<\|?image(?:_pad)?\|?>)\1+", r"\1 …", prompt)  # a place for each of hundreds of patches
        text = text[0] if isinstance(text, list) else text
        sources.append(Source(_cut(text, CUT), _cut(prompt, CUT_PROMPT), image if isinstance(image, str) else None))
    return sources


def _by_file(pairs: Iterable[tuple]) -> dict[Path, set]:
    values: dict[Path, set] = {}
    for path, value in pairs:
        values.setdefault(path, set()).add(value)
    return values


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + " …"


def _card(run: Predictions, at: int, source: Source, small: Thumbnail) -> Card:
    scale, pred, label = run.scale, int(run.pred[at]), int(run.label[at])
    coarse, off = int(run.coarse_pred[at]), abs(pred - label)
    words = [shown(level, run.strategy) for level in scale.fine]
    size = next(number for number, (lo, hi, _) in enumerate(SIZES[scale.unit]) if lo <= off <= hi)
    unit = "years" if scale.unit == "years" else "level" if off == 1 else "levels"
    parsed, asked = pred != UNPARSED, STRATEGIES[run.strategy].coarse
    coarse_text = "unparsed" if asked else "not asked for"
    return Card(
        key=run.key,
        dataset=run.dataset,
        place=f"{run.path}, line {run.line[at]}",
        line=int(run.line[at]),
        id=run.id[at] if run.id else None,
        image=source.image,
        thumbnail=small,
        label=words[label - scale.lo],
        pred=words[pred - scale.lo] if parsed else "unparsed",
        coarse=coarse_text if coarse == UNPARSED else shown(scale.coarse[coarse], run.strategy),
        error="unparsed" if not parsed else f"{off} {unit}" if off else "0",
        hit=parsed and not off,
        size=f"{scale.unit}-{size}" if parsed else "unparsed",
        text=source.text,
        prompt=source.prompt,
        **_chances(run, at),
    )


def _chances(run: Predictions, at: int) -> dict:
    """The fields of a Card that come from its distribution."""
    if run.probs is None or np.isnan(run.probs[at, 0]):
        return {"confidence": None, "bars": [], "likeliest": ""}
    probs, (names, group) = run.probs[at].astype(float), age_groups(run.scale)
    summed = np.bincount(group, probs, len(names))
    label, pred = (group[value - run.scale.lo] for value in (run.label[at], run.pred[at]))
    bars = [(round(100 * p / summed.max(), 1), i == label, i == pred) for i, p in enumerate(summed)]
    likeliest = [f"{names[i]} {summed[i]:.2f}" for i in np.argsort(-summed, kind="stable")[:3]]
    return {"confidence": float(probs.max()), "bars": bars, "likeliest": ", ".join(likeliest)}
