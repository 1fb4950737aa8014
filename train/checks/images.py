"""Is every image of the rows where a training looks for it, and can a sample of them be decoded?"""

import math
import os
import random
import stat
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import ExifTags, Image
from tqdm import tqdm

from data_prep.images import FAULTS, SKETCH
from train.checks.data import Scanned, maker
from train.checks.finding import Finding

SAMPLE = 500  # images that are decoded, the same number of each file; our choice: 12 megapixels take 30 ms
SEED = 0
# Pillow's limit as LLaMA-Factory leaves it; data_prep's is a little higher.
PIXELS = 2 * 89_478_485


def images(
    scanned: list[Scanned], media_dir: Path, every: bool = False
) -> tuple[set[tuple[int, int]], bool, list[Finding]]:
    """All images must be there; SAMPLE of them, or every one, are decoded. One line for each kind of fault.

    Returns the sizes (width, height) of those that were decoded, whether these are all, and what was found. Sizes are
    as stored, which is how LLaMA-Factory sees an image.
    """
    total = sum(len(scan.images) for scan in scanned)
    faults: dict[str, list[tuple[Scanned, str]]] = {}
    usable: list[tuple[Scanned, list[str]]] = []
    for scan in scanned:
        good, absent = [], _absence(scan, media_dir)
        for image in tqdm(scan.images, f"{scan.stanza.file.stem}, images", disable=None, leave=False):
            if reason := absent(image):
                faults.setdefault(reason, []).append((scan, image))
            else:
                good.append(image)
        usable.append((scan, good))
    found = [_absent(reason, places, total, media_dir) for reason, places in faults.items()]

    share = math.ceil(SAMPLE / max(1, len(scanned)))
    chosen = [
        (scan, image)
        for scan, good in usable
        for image in (good if every or len(good) <= share else random.Random(SEED).sample(good, share))
    ]
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside of the GIL
        warnings.simplefilter("ignore")  # broken EXIF and the like
        looks = pool.map(_look, (media_dir / image for _, image in chosen))
        seen = list(tqdm(looks, "decoding", len(chosen), disable=None, leave=False))
    broken = [(scan, image, look) for (scan, image), look in zip(chosen, seen) if isinstance(look, str)]
    if broken:
        scan, image, reason = broken[0]
        more = f" (and {len(broken) - 1:,} more of the {len(chosen):,} tried)" if len(broken) > 1 else ""
        fix = f"{maker(*(scan.stanza.name for scan, _, _ in broken))} leaves such images out"
        found.append(Finding("error", "images", f"{media_dir / image} cannot be decoded: {reason}{more}; {fix}"))
    turned = [image for (_, image), look in zip(chosen, seen) if not isinstance(look, str) and look[2]]
    if turned:
        fix = "write upright copies: python -m data_prep --resize 1003520"
        about = f"{len(turned):,} of {len(chosen):,} looked at are turned by EXIF, which LLaMA-Factory ignores"
        found.append(Finding("warning", "images", f"{about}, first {media_dir / turned[0]}; {fix}"))
    sizes = {look[:2] for look in seen if not isinstance(look, str)}
    if sizes and not any(finding.level == "error" for finding in found):
        small, large = (pick(sizes, key=math.prod) for pick in (min, max))
        span = f"{small[0]} x {small[1]} to {large[0]} x {large[1]} pixels"
        found.append(Finding("ok", "images", f"{total:,} are there, {len(chosen):,} decoded: {span}"))
    return sizes, len(chosen) == total > 0, found


def _absence(scan: Scanned, media_dir: Path) -> Callable[[str], str]:
    """A function image -> what is wrong with its path, "" if nothing is."""
    media, folder = str(media_dir), scan.stanza.file.parent
    real = os.path.realpath(media)
    # Copies that `data_prep --resize` writes lie beside the rows, and their paths begin with "../".
    allowed = (media, folder / "images", folder.parent / "images")
    roots = tuple(os.path.join(os.path.realpath(root), "") for root in allowed)

    def absent(image: str) -> str:
        # As text, without asking the file system: a folder below media_dir may be a link to another disk.
        if (image[0] == "/" or ".." in image) and not os.path.normpath(os.path.join(real, image)).startswith(roots):
            return f"leads out of {media}"
        try:
            status = os.stat(os.path.join(media, image))
        except FileNotFoundError:
            return f"is not below {media}"
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            return f"cannot be read ({getattr(error, 'strerror', None) or error})"
        if not stat.S_ISREG(status.st_mode):
            return "is no file"
        return "" if status.st_size else "is empty"

    return absent


def _absent(reason: str, places: list[tuple[Scanned, str]], total: int, media_dir: Path) -> Finding:
    scan, image = places[0]
    where = f"{scan.stanza.file}, line {scan.images[image]}: image {image!r} {reason}"
    more = f" (and {len(places) - 1:,} more of {total:,})" if len(places) > 1 else ""
    made = maker(*(scan.stanza.name for scan, _ in places))
    if len(places) == total:
        fix = f"is media_dir={media_dir} the folder that image names start from? Else {made}"
    else:
        fix = f"{made} leaves such rows out"
    return Finding("error", "images", f"{where}{more}; {fix}")


def _look(path: Path) -> tuple[int, int, bool] | str:
    """(width, height, turned by EXIF?) of an image, or why it does not decode."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            if width * height > PIXELS:
                return f"{width * height:,} pixels are more than Pillow takes"
            # A JPEG is decoded at an eighth of its size: all of its bytes are read, so a missing end is noticed.
            image.draft("RGB", SKETCH)
            image.load()
            return width, height, image.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1)
    except FAULTS as error:
        return str(error).replace(str(path), path.name) or type(error).__name__
