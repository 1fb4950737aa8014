"""The gallery of eval/report.py: which rows are shown, and what is known of each, its image made small."""

import base64
import io
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from storm.scales import Scale
from storm.prompts import question
from eval.scoring.compare import compare, paired
from eval.report_page.figures import errors, groups, right
from eval.scoring.metrics import UNPARSED, filled
from eval.scoring.runs import Answers
from storm.images import opened
from storm.rows import tasks

MOST = 300  # cards of a report
CHANGED = 12  # rows shown of what two runs answer differently
SIDE, QUALITY = 160, 70  # of a thumbnail: pixels at most, JPEG
CUT, CUT_PROMPT = 300, 4000  # letters shown of a prediction and of a prompt
SIZES = {  # of errors, by the scale's unit: (from, to, shown)
    "level": ((0, 0, "none"), (1, 1, "1 level"), (2, np.inf, "2 levels or more")),
    "years": ((0, 0, "none"), (1, 5, "1–5 years"), (6, np.inf, "6 years or more")),
}
Pick = tuple[Answers, int]  # one row of a run


def confidence(answers: Answers) -> np.ndarray:
    """The probability of the answer, (n,); nan where there is no distribution."""
    return np.full(len(answers.label), np.nan) if answers.probs is None else answers.probs.max(1).astype(float)


def sample(answers: Answers, share: int) -> list[int]:
    """At most `share` rows: half the worst (unparsed first, of equals the surest), half evenly over the others."""
    sure, n = np.nan_to_num(confidence(answers)), len(answers.label)
    worst = np.lexsort((np.arange(n), -sure, -errors(answers)))[: (share + 1) // 2]
    rest = np.setdiff1d(np.arange(n), worst)
    count = min(share - len(worst), len(rest))
    return [*worst.tolist(), *rest[np.arange(count) * len(rest) // max(count, 1)].tolist()]


def picks(runs: Sequence[Answers], most: int) -> list[Pick]:
    """At most `most` rows, as many of each run and dataset, the worst of all first."""
    share, more = divmod(most, len(runs))
    found = [(answers, at) for i, answers in enumerate(runs) for at in sample(answers, share + (i < more))]
    off = {id(answers): errors(answers) / (answers.scale.hi - answers.scale.lo) for answers in runs}
    sure = {id(answers): np.nan_to_num(confidence(answers)) for answers in runs}
    return sorted(found, key=lambda pick: (-off[id(pick[0])][pick[1]], -sure[id(pick[0])][pick[1]]))


def further_off(ours: Answers, base: Answers) -> np.ndarray:
    """By what share of its scale each answer is further off than the base's, (n,), -1 .. 1; rows as paired() gives.

    An unparsed answer is as far off as can be.
    """
    lo, hi = ours.scale.lo, ours.scale.hi
    off, base_off = (np.abs(filled(a.label, a.said, lo, hi) - a.label) for a in (ours, base))
    return (off - base_off) / (hi - lo)


def differences(runs: Sequence[dict[str, Answers]], problems: list[str]) -> list[dict]:
    """Of each run that shares datasets with the first: scores of both, how often both are right, and what changed."""
    found = []
    for number, run in enumerate(runs[1:], 1):
        shared = [name for name in run if name in runs[0]]
        if not shared:
            continue
        rows, wrong = compare([run[name] for name in shared], [runs[0][name] for name in shared])
        problems += wrong
        agreement, changed = [], []
        for name in [name for name in shared if any(row["dataset"] == name for row in rows)]:
            ours, base = paired(run[name], runs[0][name])
            hit, base_hit = right(ours), right(base)
            counts = [(hit & base_hit), (base_hit & ~hit), (hit & ~base_hit), ~(hit | base_hit)]
            agreement.append({"dataset": name, "counts": [int(count.sum()) for count in counts]})
            changed += [(change, ours, base, at) for at, change in enumerate(further_off(ours, base)) if change]
        changed = sorted(changed, key=lambda row: -abs(row[0]))[:CHANGED]
        found.append({"by": number, "rows": rows, "agreement": agreement, "changed": changed})
    return found


def shown(
    runs: Sequence[Answers], found: Sequence[dict], most: int, media: Sequence[Path], scales: Mapping[str, Scale]
) -> dict:
    """The page's cards, at most `most`; of each of differences() its changes, with a card of either run; and of how
    many cards there is no image."""
    chosen = picks(runs, most)
    pairs = [(one, at) for difference in found for _, *both, at in difference["changed"] for one in both]
    made = cards([*chosen, *pairs], media, scales)
    numbers = {key: number for number, key in enumerate(dict.fromkeys(one.key for one in runs))}
    for card in made:
        card["by"] = numbers[card["answers"].key]
    rest = iter(made[len(chosen) :])
    changes = [[(change, next(rest), next(rest)) for change, *_ in difference["changed"]] for difference in found]
    first = made[: len(chosen)]
    places = {id(one): number for number, one in enumerate(runs)}
    for order, card in enumerate(sorted(first, key=lambda card: (places[id(card["answers"])], card["at"]))):
        card["order"] = order
    return {"cards": first, "changes": changes, "missing": sum(card["thumbnail"] is None for card in first)}


def cards(chosen: Sequence[Pick], media: Sequence[Path], scales: Mapping[str, Scale]) -> list[dict]:
    """What the page shows of each row; "thumbnail" None where its image is not below a media folder or unreadable."""
    lines = _by_file((answers.path, int(answers.line[at])) for answers, at in chosen)
    rows = {path: _lines(path, numbers) for path, numbers in lines.items()}
    known = _by_file((a.data, a.id[at]) for a, at in chosen if a.data)
    images = {
        (file, task.id): task.image for file, ids in known.items() for task in tasks(file, scales) if task.id in ids
    }
    said = [rows[answers.path][int(answers.line[at])] for answers, at in chosen]
    names = [images.get((a.data, a.id[at])) if a.data else row.get("image") for (a, at), row in zip(chosen, said)]
    places = [(name, tuple(media), a.data) for name, (a, _) in zip(names, chosen)]
    once = list(dict.fromkeys(place for place in places if isinstance(place[0], str)))
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside of Python's lock
        made = list(tqdm(pool.map(lambda place: thumbnail(*place), once), "thumbnails", len(once), disable=None))
    small = dict(zip(once, made))
    found = []
    for (answers, at), row, place in zip(chosen, said, places):
        image = place[0] if isinstance(place[0], str) else None
        found.append(_card(answers, at, row, image) | {"thumbnail": small[place] if image else None})
    return found


def _by_file(pairs: Iterable[tuple]) -> dict[Path, set]:
    found: dict[Path, set] = {}
    for path, value in pairs:
        found.setdefault(path, set()).add(value)
    return found


def _lines(path: Path, numbers: set[int]) -> dict[int, dict]:
    """Some lines of a predictions file, from 1, that eval.scoring.prediction_files could read."""
    with path.open("rb") as file:
        return {number: json.loads(line) for number, line in enumerate(file, 1) if number in numbers}


def thumbnail(image: str, media: Sequence[Path], file: Path | None) -> str | None:
    """The image, below the first of these folders that has it, as the base64 of a small JPEG; None if none has.

    file: the test file that names it, whose own folder is looked through first.
    """
    for folder in [*([file.parent] if file else []), *media]:
        try:
            small = opened(folder, image, file)
        except ValueError:  # says what is wrong; the page says that there is no image
            continue
        small.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2)
        written = io.BytesIO()
        small.save(written, "JPEG", quality=QUALITY, optimize=True)
        return base64.b64encode(written.getvalue()).decode()
    return None


def _card(answers: Answers, at: int, row: dict, image: str | None) -> dict:
    scale, said, label = answers.scale, int(answers.said[at]), int(answers.label[at])
    coarse, error = int(answers.coarse[at]), errors(answers)[at] if said != UNPARSED else None
    words = [level.shown(answers.strategy) for level in scale.fine]
    sizes = SIZES[scale.unit]
    size = next((i for i, (lo, hi, _) in enumerate(sizes) if error is not None and lo <= error <= hi), None)
    text = row.get("predict", row.get("answer"))
    text = text[0] if isinstance(text, list) else text
    prompt = row.get("prompt")
    prompt = prompt if isinstance(prompt, str) else question(scale, answers.strategy)
    prompt = re.sub(r"(<\|?image(?:_pad)?\|?>)\1+", r"\1 …", prompt)  # a place for each of hundreds of patches
    return {
        "answers": answers,
        "at": at,
        "place": f"{answers.path}, line {answers.line[at]}",
        "id": answers.id[at] if answers.id else None,
        "image": image,
        "right": words[label - scale.lo],
        "said": None if said == UNPARSED else words[said - scale.lo],
        "coarse": None if coarse == UNPARSED else scale.coarse[coarse].shown(answers.strategy),
        "error": None if error is None else int(error),
        "size": "unparsed" if size is None else f"{scale.unit}-{size}",
        "predict": text if len(text) <= CUT else text[:CUT] + " …",
        "prompt": prompt if len(prompt) <= CUT_PROMPT else prompt[:CUT_PROMPT] + " …",
        **_chances(answers, at),
    }


def _chances(answers: Answers, at: int) -> dict:
    """Confidence, bars (share of the highest, percent; right; said) of each level or five years, and in words."""
    if answers.probs is None or np.isnan(answers.probs[at, 0]):
        return {"confidence": None, "bars": [], "chances": ""}
    probs, (names, group) = answers.probs[at].astype(float), groups(answers.scale)
    summed = np.bincount(group, probs, len(names))
    right, said = (group[label - answers.scale.lo] for label in (answers.label[at], answers.said[at]))
    bars = [(round(100 * p / summed.max(), 1), i == right, i == said) for i, p in enumerate(summed)]
    likeliest = [f"{names[i]} {summed[i]:.2f}" for i in np.argsort(-summed, kind="stable")[:3]]
    return {"confidence": float(probs.max()), "bars": bars, "chances": ", ".join(likeliest)}
