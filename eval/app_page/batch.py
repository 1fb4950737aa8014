"""Many photographs rated at once, and the csv file of their ratings.

The columns of the csv are those of eval/predict.py --images (inference/rating_table.py).

All cells are quoted. A spreadsheet takes a cell that begins with = + - or @ for a formula, and file names come from
anybody: such a name gets a ' before it, and control characters stand as their codes. Other names are as they were.
"""

import csv
import io
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from eval.app_page.uploads import Photograph, photographs
from eval.inference.rating_table import flat
from eval.inference.ratings import DOUBT, LITTLE, Rating, in_unit, rating_of
from storm.rows import Example
from storm.scales import Scale
from storm.text import harmless, printable

if TYPE_CHECKING:
    from eval.app_page.queued import Queued
    from eval.inference.rater import Rater

BLOCK = 8  # photographs at once: our choice, so that progress is seen
SHOWN = 100  # rows on the page; the csv has all


class Batch(NamedTuple):
    summary: str
    warning: str  # "" if there is none
    rows: list[list[str]]  # the first ones: image, word, value, error
    csv: str  # the path of the csv file


def rate_batch(
    rater: "Rater | Queued",
    uploads: Sequence[Photograph],
    scale: Scale,
    strategy: str,
    progress: Callable[[int, int], object],
) -> Batch:
    """Ratings of all photographs; progress is told how many of how many are done. Raises ValueError in one line.

    The csv file lies in a new folder below the rater's image root, unpacked zip files only while they are rated.
    """
    root = rater.settings.media
    with tempfile.TemporaryDirectory(dir=root) as folder:
        photos, left_out = photographs(uploads, Path(folder))
        rows = []
        for start in range(0, len(photos), BLOCK):
            progress(start, len(photos))
            rows += _rated(rater, photos[start : start + BLOCK], scale, strategy)
    path = Path(tempfile.mkdtemp(dir=root)) / f"{scale.name}_predictions.csv"
    path.write_text(csv_text(photos, rows, scale, strategy), encoding="utf-8-sig", newline="")  # else Excel guesses
    return Batch(_summary(photos, rows, left_out), _warning(rows), _for_page(photos, rows, scale, strategy), str(path))


def _rated(rater: "Rater | Queued", block: Sequence[Photograph], scale: Scale, strategy: str) -> list[dict]:
    """A row for each photograph."""
    examples = [Example(str(n), "page", photo.path, scale.lo, scale, strategy) for n, photo in enumerate(block)]
    rows = rater.rate(examples)
    return [row | {"error": reason(row, photo.path)} if "error" in row else row for row, photo in zip(rows, block)]


def reason(row: dict, path: str) -> str:
    """Why a row has no rating, without the path of the file, which is ours."""
    return row["error"].partition(f"{Path(path).name}: ")[2] or row["error"]


def csv_text(photos: Sequence[Photograph], rows: Sequence[dict], scale: Scale, strategy: str) -> str:
    """The csv file: see the head of this module. rows: of Rater.rate, one for each photograph."""
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(flat(_ratings(photos, rows, scale, strategy), scale))
    return text.getvalue()


def _ratings(photos: Sequence[Photograph], rows: Sequence[dict], scale: Scale, strategy: str) -> list[Rating]:
    named = [row | {"image": cell(photo.name)} for photo, row in zip(photos, rows, strict=True)]
    clean = [row | {"error": printable(row["error"])} if "error" in row else row for row in named]
    return [rating_of(row, scale, strategy) for row in clean]


def cell(name: str) -> str:
    """A file's name as a cell that no spreadsheet executes."""
    return harmless(printable(name))


def _for_page(photos: Sequence[Photograph], rows: Sequence[dict], scale: Scale, strategy: str) -> list[list[str]]:
    lines = []
    for photo, rating in zip(photos, _ratings(photos[:SHOWN], rows[:SHOWN], scale, strategy)):
        value = "" if rating.value is None else in_unit(scale, rating.value)
        lines.append([printable(photo.name), rating.word or "", value, rating.error or ""])
    return lines


def _summary(photos: Sequence[Photograph], rows: Sequence[dict], left_out: int) -> str:
    errors = sum("error" in row for row in rows)
    parts = [f"{len(rows) - errors:,} of {len(rows):,} photographs rated"]
    parts += [f"{errors:,} with an error"] if errors else []
    parts += [f"{left_out:,} other files left out"] if left_out else []
    parts += [f"the first {SHOWN} are shown"] if len(rows) > SHOWN else []
    [(name, count)] = Counter(photo.name for photo in photos).most_common(1)
    if count > 1:
        parts.append(f"{count} are called {printable(name)}: a zip file of their folders tells them apart")
    return "; ".join(parts)


def _warning(rows: Sequence[dict]) -> str:
    masses = [row["mass"] for row in rows if "error" not in row]
    few = sum(mass < LITTLE for mass in masses)
    return f"mass less than {LITTLE} for {few:,} of {len(masses):,} photographs: {DOUBT}" if few else ""
