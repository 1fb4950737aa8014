"""Looks at every image before a row points to it: is it there, does it decode, which bytes, what does it look like.

With a limit on pixels it also writes smaller copies, once, so that no epoch shrinks 12 megapixels again. Stopped at any
moment, kill -9 included, it continues from there and the result is the same.
"""

import hashlib
import io
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import parent_process
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from data_prep.options import Options
from data_prep.pixels import decode_small, gray, reduced, sketch_of, upright
from storm.files import cut_unfinished, read_jsonl, whole_files, write_rows
from storm.images import HEIC, MORE_BITS, ImageFault, has_more_bits, is_heic, read_with_status, unusable, why_unread

QUALITY = 95  # of the copies; the highest that Pillow's documentation advises
CHUNK = 16  # images a worker takes at a time: a second for 12 megapixels
HEIC_FAULT = "a HEIC photograph, which LLaMA-Factory does not read: --resize 1003520 writes JPEG copies"
DEEP_FAULT = f"{MORE_BITS}: --resize 1003520 writes 8-bit copies"
NAME = 200  # bytes of a copy's name; file systems take 255, and a temporary name is longer


class Checked(NamedTuple):
    """The result for an image. Digest and hashes are "" with --check exists and for what could not be read."""

    image: str  # what a row points to, relative to the image root, "/" between: the image itself or its copy
    reason: str  # "" if the image is usable, else why not, with the value
    digest: str  # BLAKE2b of the file's bytes, 32 hex digits
    hashes: str  # of the upright image, see data_prep/hashes.py; also "" if it does not decode


def check(images: Sequence[str], name: str, options: Options) -> dict[str, Checked]:
    """Check the images of the dataset `name`, paths below the image root. Returns image -> result, in the order given.

    options.check "exists" asks whether each is a file that is not empty, "decode" decodes all of it. With
    options.resize each is decoded and an upright RGB JPEG written below <out>/images, for small images too: the rows
    then point to one folder, which can be moved to a cluster, and to one kind of file.

    Results are kept in <out>/.checked/<name>.jsonl and count as long as the file's size, its time of change and
    `resize` are the same and the copy is whole: it has the size it was written with and its time of change, or else the
    same bytes. An image that cannot be used is a reason, not an exception. Raises ValueError for copies among the
    originals, OSError if `out` cannot be written to or something that is not a file stands where a copy belongs.
    """
    media, out, resize = str(options.media), options.out, options.resize
    if not options.hashed:
        heic = {image: HEIC_FAULT for image in images if image.lower().endswith(HEIC)}
        return {image: Checked(image, _absent(media, image) or heic.get(image, ""), "", "") for image in images}
    copies = options.copies
    if resize and ("/" not in copies or set(copies.split("/")) == {".."}):  # directly in the image root, or around it
        raise ValueError(f"--out {out}: the copies would be written over the originals in {media}: name another --out")
    log = out / ".checked" / f"{name}.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    cut_unfinished(log)
    results: dict[str, Checked | None] = dict.fromkeys(images)
    names = {image: image for image in results}  # the caller's strings, not a second 255,000 from the log
    touched: dict[str, dict] = {}  # images whose copies may have changed

    def add(entry: dict) -> None:
        image = names[entry["image"]]
        path = f"{copies}/{copy_of(image)}" if resize and not entry["reason"] else image
        results[image] = Checked(path, entry["reason"], entry["digest"], entry["hashes"])

    for line in read_jsonl(log):
        if not line.fault and line.row["image"] in names:
            image, entry = line.row["image"], line.row
            results[image] = None  # a later entry outdates an earlier one, even if it does not count
            touched.pop(image, None)
            if not _counts(entry, options):
                continue
            if entry["copy"] and (status := _status_of_copy(image, options)) != entry["copy"][:2]:
                if status[0] == entry["copy"][0]:
                    touched[names[image]] = entry
                continue
            add(entry)
    todo = [(image, touched.get(image)) for image, result in results.items() if result is None]
    with log.open("ab") as file:
        for entry in tqdm(_examined(todo, options), name, len(results), initial=len(results) - len(todo), unit="image"):
            write_rows(file, [entry])
            file.flush()
            add(entry)
    return results


def copy_of(image: str) -> str:
    """Path of an image's copy below <out>/images: a.jpg of a.jpg, a.png.jpg of a.png. A name keeps its .jpg only if it
    has no other dot: else a.png and a.png.jpg would share one copy. The end of a very long name becomes a hash."""
    folder, slash, name = image.rpartition("/")
    copy = name if name.endswith(".jpg") and name.count(".") == 1 else name + ".jpg"
    data = copy.encode()
    if len(data) <= NAME:
        return folder + slash + copy
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    return f"{folder}{slash}{data[: NAME - 40].decode(errors='ignore')}.{digest}.jpg"


def _improper(image: str) -> str:
    """Why a row must not point to this path, "" if it may. As text: a folder below may be a link to another disk."""
    if image.startswith("/") or (".." in image and ".." in image.split("/")):
        return "leads out of the image root"
    if not image.isascii():
        try:
            image.encode()
        except UnicodeEncodeError:
            return "its name is not UTF-8; rename it"
    return ""


def _absent(media: str, image: str) -> str:
    """Why there is no file to read, "" if there is one."""
    try:
        return _improper(image) or unusable(os.stat(f"{media}/{image}"))
    except FileNotFoundError:
        return "no such image"
    except (OSError, ValueError) as error:
        return why_unread(image, error)


def _examine(options: Options, todo: tuple[str, dict | None]) -> dict:
    """Look at one image and write its copy, or, with an entry, see whether its copy is still the same. An entry without
    size and time (it was not read) never counts again."""
    from data_prep.hashes import VERSION, hash_image

    _one_thread()
    image, known = todo
    if known and (copy := _described(options.out / "images" / copy_of(image))) and copy[2] == known["copy"][2]:
        return known | {"copy": copy}
    entry = dict(image=image, size=None, mtime_ns=None, resize=options.resize, reason=_improper(image), digest="")
    entry |= {"version": VERSION, "hashes": "", "copy": None}
    if entry["reason"]:
        return entry
    try:
        data, status = read_with_status(options.media / image)
    except ImageFault as fault:
        return entry | {"reason": str(fault)}
    entry |= {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "digest": _digest(data)}
    jpeg = io.BytesIO()
    try:
        if options.resize:
            picture = upright(data, options.resize)
            picture.save(jpeg, "JPEG", quality=QUALITY, comment=b"")  # a GIF's comment may be too long for a JPEG
            entry["hashes"] = hash_image(gray(reduced(picture)))
        else:
            image = decode_small(data)
            entry["reason"] = HEIC_FAULT if is_heic(data) else DEEP_FAULT if has_more_bits(image) else ""
            entry["hashes"] = hash_image(sketch_of(image))
    except ImageFault as fault:
        entry["reason"] = str(fault)
    except (OSError, ValueError) as error:  # of saving, and of rgb(); what else is raised is a fault of ours
        entry["reason"] = f"{type(error).__name__}: {error}"
    if entry["reason"] and is_heic(data):  # pillow-heif may be installed before the next run
        entry |= {"size": None, "mtime_ns": None}
    if options.resize and not entry["reason"]:
        path = options.out / "images" / copy_of(image)
        with whole_files(sync=False, place=options.out / "images") as open_:
            open_(path).write(jpeg.getvalue())
        entry["copy"] = [*_size_and_time(path), _digest(jpeg.getvalue())]
    return entry


@cache
def _one_thread() -> None:
    """Once a process: arrays are so small that threads cost half of the speed, and there is a process a core."""
    import cv2
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(0)
    threadpool_limits(1)


def _counts(entry: dict, options: Options) -> bool:
    """Whether an entry is of the file as it is now, under the same setting, with hashes as we make them."""
    from data_prep.hashes import VERSION

    if entry.get("version") != VERSION or entry["resize"] != options.resize:
        return False
    if _absent(str(options.media), entry["image"]):
        return False
    status = os.stat(options.media / entry["image"])
    return (entry["size"], entry["mtime_ns"]) == (status.st_size, status.st_mtime_ns)


def _status_of_copy(image: str, options: Options) -> list[int]:
    """Size and time of change of an image's copy, [] if there is none."""
    return _size_and_time(options.out / "images" / copy_of(image))


def _size_and_time(path: Path) -> list[int]:
    """Size in bytes and time of change of a regular file, [-1, 0] for anything else."""
    try:
        status = os.stat(path)
    except OSError:
        return [-1, 0]
    return [status.st_size, status.st_mtime_ns] if stat.S_ISREG(status.st_mode) else [-1, 0]


def _described(path: Path) -> list | None:
    """Size, time of change and digest of a file, None if it cannot be read."""
    try:
        data, status = read_with_status(path)
    except ImageFault:
        return None
    return [status.st_size, status.st_mtime_ns, _digest(data)]


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _examined(todo: list[tuple[str, dict | None]], options: Options) -> Iterator[dict]:
    """Entries of images in their order; in batches, as `map` takes all of its input at once."""
    examine = partial(_examine, options)
    if options.workers <= 1:
        yield from map(examine, todo)
        return
    batch = 16 * CHUNK * options.workers
    with ProcessPoolExecutor(options.workers, initializer=end_with_parent) as pool:
        for start in range(0, len(todo), batch):
            yield from pool.map(examine, todo[start : start + batch], chunksize=CHUNK)


def end_with_parent() -> None:
    """Else workers outlive a parent that was killed (they hold both ends of their queue) and write beside the next."""
    threading.Thread(target=lambda: parent_process().join() or os._exit(1), daemon=True).start()
