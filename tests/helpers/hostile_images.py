"""200 files that no image decoder should be given, and what each of them is called."""

import io
import os
import struct
import zlib
from functools import cache
from pathlib import Path

from PIL import Image

KINDS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
CUTS = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
CHANGES = 20  # damaged bytes at as many places of each kind
OTHERS = ("PPM", "TGA", "PCX", "SGI", "ICNS", "ICO", "DDS", "JPEG2000", "PDF", "EPS", "IM", "SPIDER", "XBM", "MSP")


def _saved(kind: str, size: tuple[int, int] = (64, 48)) -> bytes:
    file = io.BytesIO()
    mode = "1" if kind in ("XBM", "MSP") else "F" if kind == "SPIDER" else "RGB"
    Image.effect_noise(size, 60).convert(mode).save(file, kind)
    return file.getvalue()


def _bomb_png(width: int, height: int) -> bytes:
    """A PNG whose header promises width x height pixels, and that holds none."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def _small() -> dict[str, bytes]:
    """Files of a few bytes, by name."""
    return {
        "empty.jpg": b"",
        "text.jpg": b"not an image\n" * 10,
        "html.jpg": b"<html><body>404</body></html>",
        "eps.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(id) run quit\n",
        "svg.png": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "psd.jpg": b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 9, 9, 8, 3) + b"\0" * 40,
        "qoi.png": b"qoif" + struct.pack(">IIBB", 64, 48, 3, 0) + b"\xfe\x01",
        "dds.jpg": b"DDS " + struct.pack("<31I", 124, 7, 32768, 32768, *[0] * 27),
        "avif.jpg": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + b"\x01" * 60,
        "zeros.png": b"\0" * 5000,
        "bomb.png": _bomb_png(60_000, 60_000),
        "wide.png": _bomb_png(60_000, 2),
        "huge.png": _bomb_png(2**31 - 1, 2**31 - 1),
        "nothing.png": _bomb_png(64, 48),
        "flat.png": _bomb_png(0, 5),
        "exif.jpg": b"\xff\xd8\xff\xe1\xff\xffExif\0\0II*\0" + b"\xff" * 70_000,
        "tiff_loop.tif": b"II*\0\x08\0\0\0\x01\0\x11\x01\x04\0\x01\0\0\0\x08\0\0\0\x08\0\0\0",
        "gif_short.gif": b"GIF89a\xff\xff\xff\xff\xf7\0\0",
        "riff.webp": b"RIFF\x10\0\0\0WEBPVP8X\x0a\0\0\0",
    }


@cache
def _damaged() -> dict[str, bytes]:
    files = {}
    for kind in KINDS:
        data = _saved(kind)
        for cut in CUTS:
            files[f"cut_{cut}.{kind.lower()}"] = data[: max(1, int(len(data) * cut))]
        for number in range(CHANGES):
            at = number * (len(data) - 1) // CHANGES
            files[f"changed_{number}.{kind.lower()}"] = (
                data[:at] + bytes(255 - b for b in data[at : at + 4]) + data[at + 4 :]
            )
    return files


SPECIAL = ("fifo.jpg", "folder.jpg", "missing.jpg", "link_to_nothing.jpg", "loop.jpg", "device.jpg", "nul\0.jpg")
HOSTILE = (*_small(), *(f"other_{kind}.jpg" for kind in OTHERS), *_damaged(), *SPECIAL)


def hostile_bytes() -> dict[str, bytes]:
    """The files of HOSTILE that no decoder can read, whatever it is like: not those with a few changed bytes."""
    return {name: data for name, data in (_small() | _damaged()).items() if not name.startswith("changed_")}


def write_hostile(folder: Path) -> Path:
    """Write all files of HOSTILE but the missing one. Returns the folder."""
    for name, data in (_small() | _damaged()).items():
        (folder / name).write_bytes(data)
    for kind in OTHERS:
        (folder / f"other_{kind}.jpg").write_bytes(_saved(kind, (64, 64)))
    os.mkfifo(folder / "fifo.jpg")
    (folder / "folder.jpg").mkdir()
    (folder / "link_to_nothing.jpg").symlink_to(folder / "nowhere")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    (folder / "device.jpg").symlink_to("/dev/zero")
    return folder
