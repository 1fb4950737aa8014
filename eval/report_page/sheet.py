"""A contact sheet: one page of HTML with a thumbnail and the rating of each image, rendered by sheet.html.j2."""

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from eval.inference.ratings import Rating, digits
from eval.report_page.cards import Thumbnail, thumbnail
from eval.report_page.page import FOLDER, visible
from storm.files import write_text
from storm.scales import Scale

MOST = 300  # thumbnails, 2 MB; our choice


class Sheet(NamedTuple):
    """All that the template reads."""

    scale: Scale
    order: str  # how the images are sorted, in words
    rows: int  # of all images
    cards: list[tuple[Rating, Thumbnail]]
    counts: list[tuple[str, int]]  # images of each level, in words
    unreadable: int
    warning: str  # "" if there is none

    @property
    def digits(self) -> int:
        """Places of a value behind the point."""
        return digits(self.scale)


def spread(count: int, most: int = MOST) -> list[int]:
    """At most `most` of the places 0 .. count - 1, evenly, with the first and the last one."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]


def sheet_of(ratings: Sequence[Rating], scale: Scale, media: Path, order: str, warning: str = "") -> Sheet:
    """The sheet of ratings in their order. media: the image root."""
    shown = [ratings[place] for place in spread(len(ratings))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside of Python's lock
        small = pool.map(lambda row: thumbnail(row.image, [media], None), shown)
        thumbnails = list(tqdm(small, "thumbnails", len(shown), disable=None))
    labels = Counter(row.label for row in ratings)
    levels = [level for level in scale.fine if labels[level.lo] or not scale.counted]
    counts = [(level.number if scale.counted else level.word, labels[level.lo]) for level in levels]
    return Sheet(scale, order, len(ratings), list(zip(shown, thumbnails)), counts, labels[None], warning)


def render(sheet: Sheet) -> str:
    """The HTML. Everything in it is escaped but our own style, which is Markup."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, finalize=visible, trim_blocks=True)
    environment.lstrip_blocks, environment.undefined = True, StrictUndefined
    style = Markup((FOLDER / "sheet.css").read_text(encoding="utf-8"))  # noqa: S704
    return environment.get_template("sheet.html.j2").render(sheet=sheet, style=style)


def write(path: Path, sheet: Sheet) -> None:
    write_text(path, render(sheet))
