"""Is every image of the rows where a training looks for it, and can a sample of them be decoded?"""

import math
import os
import random
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from storm.images import (
    FAULTS,
    MORE_BITS,
    ImageFault,
    decode,
    has_more_bits,
    locate,
    read_bytes,
    stored_size,
    unusable,
    why_unread,
)
from train.checks.data import Scan
from train.checks.finding import Finding
from train.checks.job import Checked, Job
from train.stanzas import maker

SAMPLE = 500  # images that are decoded, the same number of each file; our choice: 12 megapixels take 30 ms
SEED = 0
SKETCH = (256, 256)  # the least size that a JPEG is decoded at: all of its bytes are read, so a missing end is noticed
PIXELS = 2 * 89_478_485  # Pillow's limit as LLaMA-Factory leaves it; storm.images has a little higher one
ORIENTATION = 0x0112  # the EXIF tag


class Place(NamedTuple):
    scan: Scan
    image: str


class Look(NamedTuple):
    size: tuple[int, int]  # (width, height) as stored, which is how LLaMA-Factory sees it
    turned: bool  # by EXIF
    deep: bool  # has more than 8 bits a pixel


def check_images(job: Job) -> Checked:
    """Fill `sizes` and `all_decoded`. All images must be there; SAMPLE of them, or every one, are decoded."""
    total = sum(len(scan.images) for scan in job.scans)
    usable, faults = [], {}
    for scan in job.scans:
        absence, good = _absence(scan, job.media), []
        for image in tqdm(scan.images, f"{scan.stanza.file.stem}, images", disable=None, leave=False):
            if reason := absence(image):
                faults.setdefault(reason, []).append(Place(scan, image))
            else:
                good.append(Place(scan, image))
        usable.append(good)
    findings = [_absent(reason, places, total, job.media) for reason, places in faults.items()]
    share = math.ceil(SAMPLE / max(1, len(usable)))  # as many of each file, drawn with a fixed seed
    chosen = []
    for places in usable:
        sampled = not job.all_images and len(places) > share
        chosen += random.Random(SEED).sample(places, share) if sampled else places
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside of the GIL
        looks = pool.map(_look, (job.media / place.image for place in chosen))
        looks = list(tqdm(looks, "decoding", len(chosen), disable=None, leave=False))
    findings += _looked_at(list(zip(chosen, looks)), job.media)
    sizes: dict[str, list[tuple[int, int]]] = {}
    for place, look in zip(chosen, looks):
        if isinstance(look, Look):
            sizes.setdefault(place.scan.stanza.name, []).append(look.size)
    job = replace(job, sizes=sizes, all_decoded=len(chosen) == total > 0)
    if sizes and not any(finding.level == "error" for finding in findings):
        small, large = (pick(job.image_sizes, key=math.prod) for pick in (min, max))
        span = f"{small[0]} x {small[1]} to {large[0]} x {large[1]} pixels"
        findings.append(Finding("ok", "images", f"{total:,} are there, {len(chosen):,} decoded: {span}"))
    return job, findings


def _absence(scan: Scan, media: Path) -> Callable[[str], str]:
    """A function image -> what is wrong with its path, "" if nothing is."""

    @cache  # asking the file system for the real path of every image would take longer than all else
    def outside(folder: str) -> str:
        try:
            locate(media, folder, scan.stanza.file)
        except ImageFault as error:
            return str(error)
        return ""

    def absence(image: str) -> str:
        if (image[0] == "/" or ".." in image) and (reason := outside(os.path.dirname(image))):
            return reason
        try:
            return unusable(os.stat(os.path.join(media, image)))
        except FileNotFoundError:
            return f"is not below {media}"
        except (OSError, ValueError) as error:
            return f"cannot be read ({why_unread(image, error)})"

    return absence


def _absent(reason: str, places: list[Place], total: int, media: Path) -> Finding:
    scan, image = places[0]
    more = f" (and {len(places) - 1:,} more of {total:,})" if len(places) > 1 else ""
    command = maker(place.scan.stanza.name for place in places)
    root = f"is media_dir={media} the folder that image names start from? Else {command}"
    fix = root if len(places) == total else f"{command} leaves such rows out"
    text = f"{scan.stanza.file}, line {scan.images[image]}: image {image!r}: {reason}{more}; {fix}"
    return Finding("error", "images", text)


def _look(path: Path) -> Look | str:
    """What a decoded image is like, or why it does not decode."""
    try:
        data = read_bytes(path)
        width, height = stored_size(data)
        if width * height > PIXELS:
            return f"{width} x {height}: more than {PIXELS:,} pixels, which LLaMA-Factory's Pillow refuses"
        image = decode(data, SKETCH)
        return Look((width, height), image.getexif().get(ORIENTATION, 1) not in (0, 1), has_more_bits(image))
    except FAULTS as error:  # an ImageFault, or broken EXIF
        return str(error) or type(error).__name__


def _looked_at(looks: list[tuple[Place, Look | str]], media: Path) -> list[Finding]:
    findings = []
    if broken := [(place, look) for place, look in looks if isinstance(look, str)]:
        place, reason = broken[0]
        more = f" (and {len(broken) - 1:,} more of the {len(looks):,} tried)" if len(broken) > 1 else ""
        fix = f"{maker(place.scan.stanza.name for place, _ in broken)} leaves such images out"
        findings.append(Finding("error", "images", f"{media / place.image} cannot be decoded: {reason}{more}; {fix}"))
    if deep := [place for place, look in looks if isinstance(look, Look) and look.deep]:
        about = f"{len(deep):,} of {len(looks):,} looked at have {MORE_BITS}, first {media / deep[0].image}"
        fix = "write 8-bit copies: python -m data_prep --resize 1003520"
        findings.append(Finding("error", "images", f"{about}; {fix}"))
    if turned := [place for place, look in looks if isinstance(look, Look) and look.turned]:
        about = f"{len(turned):,} of {len(looks):,} looked at are turned by EXIF, which LLaMA-Factory ignores"
        fix = "write upright copies: python -m data_prep --resize 1003520"
        findings.append(Finding("warning", "images", f"{about}, first {media / turned[0].image}; {fix}"))
    return findings
