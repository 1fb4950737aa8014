"""Looks at every image before a row points to it: is it there, does it decode, which bytes, what does it look like.

With a limit on pixels it also writes smaller copies, once, so that no epoch shrinks 12 megapixels again. Stopped at any
moment, kill -9 included, it continues from there and the result is the same.
"""

import hashlib
import io
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import parent_process
from typing import TYPE_CHECKING, NamedTuple

from tqdm import tqdm

from data_prep.options import Options
from storm.files import cut_unfinished, read_jsonl, whole_files, write_rows
from storm.images import ImageFault, decode, read_with_status, stored_size, unusable

if TYPE_CHECKING:
    from PIL import Image

QUALITY = 95  # of the copies; the highest that Pillow's documentation advises
SKETCH = (256, 256)  # least size to hash, where there is no copy to make; the hash shrinks it to 32 x 32 itself
CHUNK = 4  # images a worker takes at a time: a third of a second for 12 megapixels

# EXIF orientation -> Pillow's transposition. Not ImageOps.exif_transpose: it writes the EXIF anew, and raises where
# that is broken.
ORIENTATION = 0x0112
UPRIGHT = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
UPRIGHT |= {6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}


class Checked(NamedTuple):
    """The result for an image. Both hashes are "" with --check exists and for what could not be read."""

    image: str  # what a row points to, relative to the image root, "/" between: the image itself or its copy
    reason: str  # "" if the image is usable, else why not, with the value
    digest: str  # BLAKE2b of the file's bytes, 32 hex digits
    phash: str  # imagehash.phash of the upright image, 16 hex digits; also "" if it does not decode


def check(images: Sequence[str], name: str, options: Options) -> dict[str, Checked]:
    """Check the images of the dataset `name`, paths below the image root. Returns image -> result, in the order given.

    options.check "exists" asks whether each is a file that is not empty, "decode" decodes all of it. With
    options.resize each is decoded and an upright RGB JPEG written below <out>/images, for small images too: the rows
    then point to one folder, which can be moved to a cluster, and to one kind of file.

    Results are kept in <out>/.checked/<name>.jsonl and count as long as the file's size, its time of change and
    `resize` are the same and the copy is there. An image that cannot be used is a reason, not an exception. Raises
    ValueError for copies among the originals, OSError if `out` cannot be written to.
    """
    media, out, resize = str(options.media), options.out, options.resize
    if not options.hashed:
        return {image: Checked(image, _absent(media, image), "", "") for image in images}
    copies = options.copies
    if resize and ("/" not in copies or set(copies.split("/")) == {".."}):  # directly in the image root, or around it
        raise ValueError(f"--out {out}: the copies would be written over the originals in {media}: name another --out")
    log = out / ".checked" / f"{name}.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    cut_unfinished(log)
    results: dict[str, Checked | None] = dict.fromkeys(images)
    names = {image: image for image in results}  # the caller's strings, not a second 255,000 from the log

    def add(entry: dict) -> None:
        image = names[entry["image"]]
        path = f"{copies}/{copy_of(image)}" if resize and not entry["reason"] else image
        results[image] = Checked(path, entry["reason"], entry["digest"], entry["phash"])

    for line in read_jsonl(log):
        if not line.fault and line.row["image"] in names:
            results[line.row["image"]] = None  # a later entry outdates an earlier one, even if it does not count
            if _counts(line.row, options):
                add(line.row)
    todo = [image for image, result in results.items() if result is None]
    with log.open("ab") as file:
        for entry in tqdm(_examined(todo, options), name, len(results), initial=len(results) - len(todo), unit="image"):
            write_rows(file, [entry])
            file.flush()
            add(entry)
    return results


def copy_of(image: str) -> str:
    """Path of an image's copy below <out>/images: a.jpg of a.jpg, a.png.jpg of a.png. A name keeps its .jpg only if it
    has no other dot: else a.png and a.png.jpg would share one copy."""
    name = image.rpartition("/")[2]
    return image if name.endswith(".jpg") and name.count(".") == 1 else image + ".jpg"


def fit(width: int, height: int, pixels: int) -> tuple[int, int]:
    """Width and height of the same shape with at most so many pixels; never larger, never 0."""
    scale = min(1, (pixels / (width * height)) ** 0.5)
    width = min(max(1, int(width * scale)), pixels)
    return width, min(max(1, int(height * scale)), pixels // width)


def upright(data: bytes, resize: int | None) -> "Image.Image":
    """The image in a file's bytes: RGB, upright, at most `resize` pixels, or of any size that suffices to hash. Raises
    ValueError. A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where that suffices, which is most of the speed."""
    from PIL import Image

    size = fit(*stored_size(data), resize) if resize else SKETCH
    image = decode(data, size)
    turn = UPRIGHT.get(image.getexif().get(ORIENTATION))
    image = rgb(image)
    if resize and image.size != size:
        # Bicubic is what LLaMA-Factory shrinks with. Lanczos takes a third longer.
        image = image.resize(size, Image.Resampling.BICUBIC)
    return image.transpose(Image.Transpose[turn]) if turn else image


def rgb(image: "Image.Image") -> "Image.Image":
    """Any loaded image as 8-bit RGB. What is transparent turns white (our choice, as on a page), 16-bit gray is scaled
    (Pillow clips it). Raises ValueError if the mode does not say which value is white."""
    from PIL import Image

    if image.mode[0] in "IF":
        import numpy as np

        gray = np.asarray(image)
        if image.mode == "F" or gray.min() < 0 or gray.max() > 65535:
            raise ValueError(f"mode {image.mode}, {gray.min()} to {gray.max()}: which value is white?")
        image = Image.fromarray(((gray.astype(np.uint32) + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _outside(image: str) -> str:
    """ "leads out of the image root" if it does, as text: a folder below may be a link to another disk."""
    outside = image.startswith("/") or (".." in image and ".." in image.split("/"))
    return "leads out of the image root" if outside else ""


def _absent(media: str, image: str) -> str:
    """Why there is no file to read, "" if there is one."""
    try:
        return _outside(image) or unusable(os.stat(f"{media}/{image}"))
    except FileNotFoundError:
        return "no such image"
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        return getattr(error, "strerror", None) or str(error)


def _examine(options: Options, image: str) -> dict:
    """Look at one image and write its copy. An entry without size and time (it was not read) never counts again."""
    import imagehash

    resize, reason = options.resize, _outside(image)
    entry = dict(image=image, size=None, mtime_ns=None, resize=resize, reason=reason, digest="", phash="")
    if reason:
        return entry
    try:
        data, status = read_with_status(options.media / image)
    except ImageFault as fault:
        return entry | {"reason": str(fault)}
    entry |= {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    entry["digest"] = hashlib.blake2b(data, digest_size=16).hexdigest()
    jpeg = io.BytesIO()
    try:
        picture = upright(data, resize)
        # Halving, thirding ... first changes next to nothing, and imagehash's own filter takes 9 ms for a megapixel.
        entry["phash"] = str(imagehash.phash(picture.reduce(max(1, min(picture.size) // SKETCH[0]))))
        if resize:
            picture.save(jpeg, "JPEG", quality=QUALITY, comment=b"")  # a GIF's comment may be too long for a JPEG
    except ImageFault as fault:
        entry["reason"] = str(fault)
    except (OSError, ValueError) as error:  # of saving, and of rgb(); what else is raised is a fault of ours
        entry["reason"] = f"{type(error).__name__}: {error}"
    if resize and not entry["reason"]:
        with whole_files() as open_:
            open_(options.out / "images" / copy_of(image)).write(jpeg.getvalue())
    return entry


def _counts(entry: dict, options: Options) -> bool:
    """Whether an entry is of the file as it is now, under the same setting, and its copy is there."""
    image = entry["image"]
    if entry["resize"] != options.resize or _absent(str(options.media), image):
        return False
    status = os.stat(options.media / image)
    same = (entry["size"], entry["mtime_ns"]) == (status.st_size, status.st_mtime_ns)
    return same and (not options.resize or bool(entry["reason"]) or (options.out / "images" / copy_of(image)).is_file())


def _examined(images: list[str], options: Options) -> Iterator[dict]:
    """Entries of images in their order; in batches, as `map` takes all of its input at once."""
    examine = partial(_examine, options)
    if options.workers <= 1:
        yield from map(examine, images)
        return
    batch = 64 * CHUNK * options.workers
    with ProcessPoolExecutor(options.workers, initializer=_end_with_parent) as pool:
        for start in range(0, len(images), batch):
            yield from pool.map(examine, images[start : start + batch], chunksize=CHUNK)


def _end_with_parent() -> None:
    """Else workers outlive a parent that was killed (they hold both ends of their queue) and write beside the next."""
    threading.Thread(target=lambda: parent_process().join() or os._exit(1), daemon=True).start()
