"""Looks at every image before a row points to it: is it there, does it decode, which bytes, what does it look like.

If asked it also writes smaller copies, once, so that no epoch shrinks 12 megapixels again. Stopped at any moment,
kill -9 included, it goes on where it was and the result is the same.
"""

import hashlib
import io
import json
import os
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import parent_process
from pathlib import Path
from typing import NamedTuple

import imagehash
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.Image import Transpose
from tqdm import tqdm

PIXELS = 200_000_000  # the largest phone sensors give 16,320 x 12,240; what is larger is a mistake or an attack
# What rating datasets hold; not all that Pillow knows: it hands EPS, whatever its extension, to Ghostscript.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
QUALITY = 95  # of the copies; the highest that Pillow's documentation advises
SKETCH = (256, 256)  # least size to hash, where there is no copy to make; the hash shrinks it to 32 x 32 itself
CHUNK = 4  # images a worker takes at a time: a third of a second for 12 megapixels

# What Pillow raises for bytes that are no sound image; a test breaks files of every format to see that this is all.
FAULTS = (OSError, SyntaxError, ValueError, EOFError, MemoryError, LookupError, TypeError, struct.error, zlib.error)
FAULTS += (Image.DecompressionBombError, Image.DecompressionBombWarning)

# EXIF orientations, in the order of Pillow's Transpose. Not ImageOps.exif_transpose: it writes the EXIF anew, and
# raises where that is broken.
UPRIGHT = dict(zip((2, 4, 8, 3, 6, 5, 7), Transpose))


class Checked(NamedTuple):
    """What is known of an image. Both hashes are "" in mode exists and for what could not be read."""

    image: str  # what a row points to, relative to the raw root, "/" between: the image itself or its copy
    reason: str  # "" if the image is usable, else why not, with the value
    digest: str  # BLAKE2b of the file's bytes, 32 hex digits
    phash: str  # imagehash.phash of the upright image, 16 hex digits; also "" if it does not decode


def check(
    raw: Path, images: Sequence[str], *, mode: str, resize: int | None, out: Path, name: str, workers: int
) -> dict[str, Checked]:
    """Check the images of the dataset `name`, paths below `raw`. Returns image -> result, in the order given.

    Mode "exists" asks whether each is a file that is not empty, "decode" decodes all of it. With `resize`, the most
    pixels an image may have, it is always decoded and an upright RGB JPEG written below <out>/images, for small
    images too: the rows then point to one folder, which can be moved to a cluster, and to one kind of file.

    Results are kept in <out>/.checked/<name>.jsonl and count as long as the file's size, its time of change and
    `resize` are the same and the copy is there. An image that cannot be used is a reason, not an exception. Raises
    ValueError for an unknown mode and for copies among the originals, OSError if `out` cannot be written to.
    """
    if mode not in ("exists", "decode"):
        raise ValueError(f"mode {mode!r} is neither exists nor decode")
    if mode == "exists" and not resize:
        return {image: Checked(image, _absent(raw, image), "", "") for image in images}
    # Real paths: if the raw root is a link, the system goes up ("..") from where the link leads to.
    root, target = Path(os.path.realpath(raw)), Path(os.path.realpath(out / "images"))
    if resize and (root.is_relative_to(target) or root == target.parent):
        raise ValueError(f"--out {out}: the copies would be written over the originals in {raw}: name another --out")
    copies = Path(os.path.relpath(target, root)).as_posix()
    log = out / ".checked" / f"{name}.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Checked | None] = dict.fromkeys(images)
    own = {image: image for image in results}  # the caller's strings, not a second 255,000 from the log

    def add(entry: dict) -> None:
        image = own[entry["image"]]
        path = f"{copies}/{copy_of(image)}" if resize and not entry["reason"] else image
        results[image] = Checked(path, entry["reason"], entry["digest"], entry["phash"])

    for entry in _entries(log):
        if entry["image"] in own:
            results[entry["image"]] = None  # a later entry outdates an earlier one, even if it does not count
            if _counts(entry, raw, out, resize):
                add(entry)
    todo = [image for image, result in results.items() if result is None]
    entries = _examined(todo, partial(_examine, raw, out, resize), workers)
    with log.open("a", encoding="utf-8", buffering=1) as file:
        for entry in tqdm(entries, name, len(results), initial=len(results) - len(todo), unit="image"):
            file.write(json.dumps(entry) + "\n")
            add(entry)
    return results


def copy_of(image: str) -> str:
    """Where an image's copy lies below <out>/images: a.jpg of a.jpg, a.png.jpg of a.png.

    A name keeps its .jpg only if it has no other dot: else a.png and a.png.jpg would share one copy.
    """
    name = image.rpartition("/")[2]
    return image if name.endswith(".jpg") and name.count(".") == 1 else image + ".jpg"


def fit(width: int, height: int, pixels: int) -> tuple[int, int]:
    """Width and height of the same shape with at most so many pixels; never larger, never 0."""
    scale = min(1, (pixels / (width * height)) ** 0.5)
    width = min(max(1, int(width * scale)), pixels)
    return width, min(max(1, int(height * scale)), pixels // width)


def decode(data: bytes, resize: int | None) -> Image.Image:
    """The image in a file's bytes: RGB, upright, its first frame, at most `resize` pixels. Raises one of FAULTS.

    A JPEG comes at 1/2, 1/4 or 1/8 of its size where that suffices: libjpeg shrinks while decoding, which is most of
    the speed. It still reads all bytes, so a missing end is noticed. Without `resize` what comes is large enough to
    hash. Sets Pillow's limit on pixels, which is global.
    """
    Image.MAX_IMAGE_PIXELS = PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # broken EXIF and the like
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        size = fit(*image.size, resize) if resize else image.size
        image.draft("RGB", size if resize else SKETCH)
        image.load()
        turn = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation))
        image = rgb(image)
    if resize and image.size != size:
        # Bicubic is what LLaMA-Factory shrinks with. Lanczos takes a third longer.
        image = image.resize(size, Image.Resampling.BICUBIC)
    return image if turn is None else image.transpose(turn)


def rgb(image: Image.Image) -> Image.Image:
    """Any loaded image as 8-bit RGB. What is transparent turns white (our choice, as on a page).

    16-bit grey is scaled (Pillow clips it). Raises ValueError if the mode does not say which value is white.
    """
    if image.mode[0] in "IF":
        grey = np.asarray(image)
        if image.mode == "F" or grey.min() < 0 or grey.max() > 65535:
            raise ValueError(f"mode {image.mode}, {grey.min()} to {grey.max()}: which value is white?")
        image = Image.fromarray(((grey.astype(np.uint32) + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _absent(raw: Path, image: str) -> str:
    """Why there is no file to read, "" if there is one."""
    if image.startswith("/") or ".." in image.split("/"):
        return "leads out of the raw folder"
    try:
        status = os.stat(os.path.join(raw, image))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        return getattr(error, "strerror", None) or str(error)
    if not stat.S_ISREG(status.st_mode):
        return "is a folder" if stat.S_ISDIR(status.st_mode) else "is no file"
    return "" if status.st_size else "0 bytes"


def _examine(raw: Path, out: Path, resize: int | None, image: str) -> dict:
    """Look at one image and write its copy. An entry without size and time (it was not read) never counts again."""
    entry = dict(image=image, size=None, mtime_ns=None, resize=resize, reason=_absent(raw, image), digest="", phash="")
    if entry["reason"]:
        return entry
    try:
        with open(raw / image, "rb") as file:
            status = os.fstat(file.fileno())
            data = file.read()
    except OSError as error:
        return entry | {"reason": error.strerror or str(error)}
    entry |= {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    entry["digest"] = hashlib.blake2b(data, digest_size=16).hexdigest()
    jpeg = io.BytesIO()
    try:
        picture = decode(data, resize)
        # Halving, thirding ... first changes next to nothing, and imagehash's own filter takes 9 ms for a megapixel.
        entry["phash"] = str(imagehash.phash(picture.reduce(max(1, min(picture.size) // SKETCH[0]))))
        if resize:
            picture.save(jpeg, "JPEG", quality=QUALITY, comment=b"")  # a GIF's comment may be too long for a JPEG
    except UnidentifiedImageError:  # its message holds an address in memory
        entry["reason"] = f"starts with {data[:8]!r}: not {', '.join(FORMATS)}"
    except FAULTS as error:
        entry["reason"] = f"{type(error).__name__}: {error}"
    if resize and not entry["reason"]:
        path = out / "images" / copy_of(image)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_bytes(jpeg.getvalue())
        os.replace(part, path)
    return entry


def _entries(log: Path) -> Iterator[dict]:
    """Whole lines of the log, created if need be; a last one that was not finished is cut off, not appended to."""
    with log.open("a+b") as file:
        file.seek(0)
        end = 0
        for line in file:
            if line.endswith(b"\n"):
                end += len(line)
                with suppress(ValueError):
                    yield json.loads(line)
        file.truncate(end)


def _counts(entry: dict, raw: Path, out: Path, resize: int | None) -> bool:
    """Whether an entry is of the file as it is now, under the same setting, and its copy is there."""
    if entry["resize"] != resize or _absent(raw, entry["image"]):
        return False
    status = os.stat(raw / entry["image"])
    same = (entry["size"], entry["mtime_ns"]) == (status.st_size, status.st_mtime_ns)
    return same and (not resize or bool(entry["reason"]) or (out / "images" / copy_of(entry["image"])).is_file())


def _examined(images: list[str], examine: partial, workers: int) -> Iterator[dict]:
    """Entries of images in their order, from so many processes; in batches, as `map` takes all of its input at once."""
    if workers <= 1:
        yield from map(examine, images)
        return
    batch = 64 * CHUNK * workers
    with ProcessPoolExecutor(workers, initializer=_end_with_parent) as pool:
        for start in range(0, len(images), batch):
            yield from pool.map(examine, images[start : start + batch], chunksize=CHUNK)


def _end_with_parent() -> None:
    """Else workers outlive a parent that was killed (they hold both ends of their queue) and write beside the next."""
    threading.Thread(target=lambda: parent_process().join() or os._exit(1), daemon=True).start()
