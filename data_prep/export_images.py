"""The images of exported rows: checked, and for the tools that need them inside of their files, as bytes."""

import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from data_prep.images import QUALITY
from data_prep.pixels import ORIENTATION, upright
from storm.images import ImageFault, as_rgb, decode, locate, read_bytes, unusable
from storm.rows import Example

BATCH = 64  # images that are held in memory at a time


class Picture(NamedTuple):
    """The image of a row: where it lies, its bytes if they are wanted, and why it cannot be used ("" if it can)."""

    path: Path
    kind: str = ""  # of the bytes: image/jpeg or image/png
    data: bytes = b""
    fault: str = ""


def pictures(
    rows: Sequence[Example], media: Path, embed: bool, resize: int | None
) -> Iterator[tuple[int, Example, Picture]]:
    """Each row with its place, from 0, and its image. media: the image root. embed: with the bytes. resize: the most
    pixels of these."""

    def picture(row: Example) -> Picture:
        path = Path()
        try:
            path = locate(media, row.image, row.file)
            return Picture(path, *contents(path, resize)) if embed else _there(path)
        except (ImageFault, OSError, ValueError) as fault:
            return Picture(path, fault=getattr(fault, "strerror", None) or str(fault))

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes without Python's lock
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            yield from zip(range(start, start + BATCH), batch, pool.map(picture, batch))


def _there(path: Path) -> Picture:
    """Whether a file is there that can be an image: data_prep decoded it when it built the row."""
    try:
        return Picture(path, fault=unusable(os.stat(path)))
    except FileNotFoundError:
        return Picture(path, fault="no such image")


def contents(path: Path, resize: int | None) -> tuple[str, bytes]:
    """The kind and bytes of an image that shows what LLaMA-Factory shows to a model. Raises ValueError, OSError.

    A JPEG or PNG stays as it is. What another tool might show in another way (turned by its EXIF data, transparent,
    CMYK, 16 bits, of another format) becomes a PNG of the same pixels: as stored, RGB. With resize: an upright JPEG of
    at most so many pixels, as the copies of data_prep --resize are.
    """
    data, buffer = read_bytes(path), io.BytesIO()
    if resize:
        upright(data, resize).save(buffer, "JPEG", quality=QUALITY, comment=b"")
        return "image/jpeg", buffer.getvalue()
    image = decode(data)
    plain = image.mode in ("RGB", "L") and not image.has_transparency_data
    if plain and image.format in ("JPEG", "PNG") and image.getexif().get(ORIENTATION, 1) == 1:
        return f"image/{image.format.lower()}", data
    as_rgb(data).save(buffer, "PNG")
    return "image/png", buffer.getvalue()
