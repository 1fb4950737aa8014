"""The one image decoder: every image that is built, rated, shown or checked goes through `decode`.

Only regular files, formats of an allow-list, and limits on bytes, pixels and shape: Pillow knows 43 formats and hands
an EPS, whatever its name, to Ghostscript. Every exception of Pillow becomes an ImageFault of one line.
"""

import io
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")  # of a GIF, the first frame
# Photographs of phones, read where pillow-heif is installed. LLaMA-Factory does not read them: --resize writes JPEGs.
HEIC = (".heic", ".heif")
BYTES = 200_000_000  # of a file; our choice: an uncompressed photograph of 60 megapixels has 180 MB
BEGINS = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff", "GIF": b"GIF8"}  # first bytes of files
HEADER = 1 << 16  # bytes; our choice: most files say their size in these
PIXELS = 2 * 89_478_485  # Pillow's own limit, which LLaMA-Factory leaves as it is: a larger image would end a training
ASPECT = 200  # the longer side over the shorter one: Qwen2-VL's image processor refuses more (smart_resize)
# Pillow makes RGB of 16-bit gray by cutting values off at 255 of 65,535.
MORE_BITS = "more than 8 bits a pixel, which LLaMA-Factory reads as white"
# What Pillow raises for bytes that are not a sound image: a test breaks files of every format.
FAULTS = (OSError, SyntaxError, ValueError, EOFError, MemoryError, LookupError, TypeError, ArithmeticError)
FAULTS += (AttributeError, RuntimeError, struct.error, zlib.error)


@cache
def suffixes() -> tuple[str, ...]:
    """How the names of such files end, in lower case: ".jpg", ".jpeg", ".png" ..."""
    from PIL import Image

    return *(suffix for suffix, format in Image.registered_extensions().items() if format in FORMATS), *HEIC


@cache
def formats() -> tuple[str, ...]:
    """The formats that can be read here, as Pillow calls them."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return FORMATS
    register_heif_opener(thumbnails=False)
    return *FORMATS, "HEIF"


def is_heic(data: bytes) -> bool:
    """Whether the bytes of a file begin as those of a HEIC photograph (ISO/IEC 23008-12)."""
    return data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")


class ImageFault(ValueError):
    """Why an image cannot be used, in one line without the path."""


def read_bytes(path: Path) -> bytes:
    """The bytes of a regular file. Raises ImageFault; never waits for a pipe or a device."""
    return read_with_status(path)[0]


def read_with_status(path: Path, most: int = BYTES) -> tuple[bytes, os.stat_result]:
    """The bytes of a regular file, `most` at most, and its status when it was opened. Raises ImageFault as read_bytes
    does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would wait for a writer
        try:
            status = os.fstat(descriptor)
            if reason := unusable(status):  # before open(), which does not close the descriptor of a folder
                raise ImageFault(reason)
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(min(status.st_size + 1, most)), status  # a buffer of BYTES would take twice as long
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise ImageFault("no such image") from None
    except (OSError, ValueError) as error:
        if isinstance(error, ImageFault):
            raise
        raise ImageFault(why_unread(path, error)) from None


def why_unread(path: Path | str, error: OSError | ValueError) -> str:
    """Why the system does not open a file. Each version of Python has other words for a NUL, a ValueError."""
    return "a NUL in its name" if "\0" in str(path) else getattr(error, "strerror", None) or str(error)


def unusable(status: os.stat_result) -> str:
    """Why a file of this status cannot be an image, "" if it can."""
    if not stat.S_ISREG(status.st_mode):
        return "is a folder" if stat.S_ISDIR(status.st_mode) else "is not a regular file"
    if not status.st_size:
        return "0 bytes"
    return f"{status.st_size:,} bytes, more than {BYTES:,}" if status.st_size > BYTES else ""


def stored_size(data: bytes) -> tuple[int, int]:
    """Width and height of the image in a file's bytes, from its header alone. Raises ImageFault."""
    with _one_line(data):
        return _opened(data).size


def has_more_bits(image: "Image.Image") -> bool:
    """Whether a pixel has 16 or 32 bits a channel, integers or floats, as Pillow gives them (gray ones only)."""
    return image.mode[0] in "IF"


def header_size(path: Path) -> tuple[int, int]:
    """stored_size of a file, of which no more is read than is necessary. Raises ImageFault."""
    with suppress(ImageFault):
        return stored_size(read_with_status(path, HEADER)[0])
    return stored_size(read_bytes(path))  # a long profile before it, or a format that keeps it at the end


def decode(data: bytes, draft: tuple[int, int] | None = None, mode: str = "RGB") -> "Image.Image":
    """The image in a file's bytes, decoded to its last byte, in its own mode. Raises ImageFault.

    draft: the least width and height that are needed; a JPEG then comes at 1/2, 1/4 or 1/8 of its size, which is most
    of the speed. With mode "L", an RGB one then comes in gray, for half of the time that is left.
    """
    with _one_line(data):
        image = _opened(data)
        if draft:
            image.draft(mode, draft)
        image.load()
        return image


def _opened(data: bytes) -> "Image.Image":
    from PIL import Image

    image = Image.open(io.BytesIO(data), formats=formats())
    check_shape(*image.size)
    return image


@contextmanager
def _one_line(data: bytes) -> Iterator[None]:
    """Turns whatever Pillow raises for these bytes into an ImageFault."""
    from PIL import UnidentifiedImageError

    _set_up_pillow()
    try:
        yield
    except UnidentifiedImageError:
        if is_heic(data) and "HEIF" not in formats():
            raise ImageFault("a HEIC photograph: uv pip install pillow-heif, or save it as JPEG") from None
        # Pillow's own message holds an address in memory.
        if kind := next((kind for kind, begin in BEGINS.items() if data.startswith(begin)), ""):
            raise ImageFault(f"begins like a {kind}, but its header cannot be read: damaged, or too large") from None
        raise ImageFault(f"starts with {data[:8]!r}: not {', '.join(FORMATS)}") from None
    except ImageFault:
        raise
    except FAULTS as error:
        raise ImageFault(" ".join(f"{type(error).__name__}: {error}".split())[:200]) from None


@cache
def _set_up_pillow() -> None:
    """Once a process, as these are global: check_shape is the limit on pixels, and a missing end is a fault."""
    from PIL import Image, ImageFile

    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
    warnings.filterwarnings("ignore", module="PIL")  # broken EXIF and the like


def check_shape(width: int, height: int) -> None:
    """Raises ImageFault for more than PIXELS pixels, or one side more than ASPECT times the other."""
    if width * height > PIXELS:
        raise ImageFault(f"{width} x {height}: more than {PIXELS:,} pixels")
    if max(width, height) > ASPECT * min(width, height):
        raise ImageFault(f"{width} x {height}: one side is more than {ASPECT} times the other")


def load_rgb(path: Path, upright: bool = False) -> "Image.Image":
    """The image of a file as a model sees it: RGB, as stored (LLaMA-Factory ignores EXIF), or upright, as the copies of
    `data_prep --resize` are. Raises ImageFault."""
    return as_rgb(read_bytes(path), upright=upright)


def as_rgb(data: bytes, draft: tuple[int, int] | None = None, upright: bool = False) -> "Image.Image":
    """The image in a file's bytes as a model sees it, see load_rgb. draft: as of decode()."""
    from PIL import ImageOps

    image = decode(data, draft)
    if has_more_bits(image) and not upright:
        raise ImageFault(f"{MORE_BITS}; data_prep --resize scales them")
    try:
        if upright:
            return rgb(ImageOps.exif_transpose(image))
        return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it
    except (*FAULTS, ValueError) as error:
        raise ImageFault(f"cannot be made RGB: {error}") from None


def rgb(image: "Image.Image") -> "Image.Image":
    """Any loaded image as 8-bit RGB. What is transparent turns white (our choice, as on a page), 16-bit gray is scaled
    (Pillow clips it). Raises ValueError if the mode does not say which value is white."""
    from PIL import Image

    if has_more_bits(image):
        import numpy as np

        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise ValueError(f"mode {image.mode}, {values.min()} to {values.max()}: which value is white?")
        image = Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def locate(media: Path, image: str, built: Path | None = None) -> Path:
    """Where an image lies. Raises ImageFault if its path leads out of the image root.

    media: the image root. built: the file that names the image; copies of `data_prep --resize` lie in a folder images/
    beside it or above it. The path is compared as text: a folder below the image root may be a link to another disk.
    """
    root = os.path.realpath(media)
    path = Path(os.path.normpath(os.path.join(root, image)))
    copies = (
        [Path(os.path.realpath(folder)) / "images" for folder in (built.parent, built.parent.parent)] if built else []
    )
    if not any(path.is_relative_to(allowed) for allowed in (root, *copies)):
        raise ImageFault(f"leads out of the image root {media}")
    return path
