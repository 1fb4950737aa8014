"""The cards of the report: what is shown of one row, with its image made small."""

import base64
import io
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from eval.report_page.sampling import Pick
from eval.report_page.sections import label_groups
from eval.scoring.forms import texts_of
from eval.scoring.metrics import CLOSE, UNPARSED
from eval.scoring.predictions import Predictions
from storm.images import ImageFault, as_rgb, locate, read_bytes
from storm.prompts import STRATEGIES, question, shown
from storm.rows import read_examples
from storm.scales import Candidate, Scale

SIDE, QUALITY = 160, 70  # of a thumbnail: pixels at most, JPEG
CUT, CUT_PROMPT = 300, 4000  # letters shown of a prediction and of a prompt
NO_NAME = "the row names no image (--data names the test files, which do)"


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
    key: tuple[str, str, str]  # the run's
    dataset: str
    place: str  # file and line
    line: int
    id: str | None
    source: Source
    thumbnail: Thumbnail
    label: str
    rated: str  # the raw rating, and the error in its unit
    pred: str
    coarse: str
    error: str
    hit: bool  # whether prediction and label are the same
    size: str  # of the error: the value of a filter
    rule: str  # by which the text was read, or why not; "" of exact predictions
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
    lines, ids, runs = defaultdict(set), defaultdict(set), {run.path: run for run, _ in picks}
    for run, at in picks:
        lines[run.path].add(int(run.line[at]))
        if run.data:
            ids[run.data].add(run.id[at])
    rows = {path: texts_of(runs[path], numbers) for path, numbers in lines.items()}
    images = {
        (file, example.id): example.image
        for file, chosen in ids.items()
        for example in read_examples(file, scales)
        if example.id in chosen
    }
    sources = []
    for run, at in picks:
        row = rows[run.path][int(run.line[at])]
        image = images.get((run.data, run.id[at])) if run.data else row.image
        prompt = row.question if isinstance(row.question, str) else question(run.scale, run.strategy)
        prompt = re.sub(r"(<\|?image(?:_pad)?\|?>)\1+", r"\1 …", prompt)  # a place for each of hundreds of patches
        sources.append(Source(_cut(row.text, CUT), _cut(prompt, CUT_PROMPT), image))
    return sources


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + " …"


def error_sizes(unit: str) -> list[tuple[int, float, str]]:
    """(from, to, name) of the errors that the page filters by: none, close, and larger ones."""
    close = CLOSE if unit == "years" else 1
    middle = f"1–{_amount(close, unit)}" if close > 1 else _amount(1, unit)
    return [(0, 0, "none"), (1, close, middle), (close + 1, np.inf, f"{_amount(close + 1, unit)} or more")]


def _amount(number: int, unit: str) -> str:
    if number == 1:
        return f"1 {unit.removesuffix('s')}"
    return f"{number} levels" if unit == "level" else f"{number} {unit}"


def named(candidate: Candidate, scale: Scale, strategy: str) -> str:
    """What a level or coarse group is called: as the strategy writes it, on a user's own scale by the user's word."""
    if not scale.own:
        return shown(candidate, strategy)
    return candidate.both if scale.counted else candidate.word  # "12 months", not "twelve months"


def _rated(run: Predictions, at: int) -> str:
    """The raw rating on a user's own scale, and the error in its unit; "" without one."""
    if run.score is None:
        return ""
    error = f", error {run.raw_error[at]:.3g}" if run.pred[at] != UNPARSED else ""
    return f"{run.score[at]:.4g}{error}"


def _card(run: Predictions, at: int, source: Source, small: Thumbnail) -> Card:
    scale, pred, label = run.scale, int(run.pred[at]), int(run.label[at])
    coarse, off, parsed = int(run.coarse_pred[at]), abs(pred - label), pred != UNPARSED
    words = [named(level, scale, run.strategy) for level in scale.fine]
    size = next(number for number, (lo, hi, _) in enumerate(error_sizes(scale.unit)) if lo <= off <= hi)
    probs, bars, likeliest = np.array([]) if run.probs is None else run.probs[at].astype(float), [], []
    if exact := probs.size and not np.isnan(probs[0]):
        names, group = label_groups(scale)
        summed = np.bincount(group, probs, len(names))
        ends = group[label - scale.lo], group[pred - scale.lo]
        bars = [(round(100 * p / summed.max(), 1), i == ends[0], i == ends[1]) for i, p in enumerate(summed)]
        likeliest = [f"{names[i]} {summed[i]:.2f}" for i in np.argsort(-summed, kind="stable")[:3]]
    no_coarse = "unparsed" if STRATEGIES[run.strategy].coarse else "not asked for"
    return Card(
        key=run.key,
        dataset=run.dataset,
        place=f"{run.path}, line {run.line[at]}",
        line=int(run.line[at]),
        id=run.id[at] if run.id else None,
        source=source,
        thumbnail=small,
        label=words[label - scale.lo],
        rated=_rated(run, at),
        pred=words[pred - scale.lo] if parsed else "unparsed",
        coarse=no_coarse if coarse == UNPARSED else named(scale.coarse[coarse], scale, run.strategy),
        error="unparsed" if not parsed else _amount(off, scale.unit) if off else "0",
        hit=parsed and not off,
        size=f"{scale.unit}-{size}" if parsed else "unparsed",
        rule=run.rule[at] if run.rule and run.probs is None else "",
        confidence=float(probs.max()) if exact else None,
        bars=bars,
        likeliest=", ".join(likeliest),
    )
