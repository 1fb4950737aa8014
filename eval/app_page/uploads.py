"""What a visitor uploads for a batch: photographs and zip files of them.

A zip file may be hostile. No name in it is ever a path of ours: members are read into files that we name. Their number,
their sizes as the zip says them (zipfile reads not a byte more), and the zip's own list of members are limited first;
only stored and deflated members are read, as zipfile unpacks bzip2 and LZMA without a limit on memory.
"""

import io
import re
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from storm.images import BYTES, FAULTS, FORMATS, suffixes
from storm.text import printable

MOST = 1_000  # photographs in one batch; this and the next two: our choice
TOTAL = 1_000_000_000  # bytes of all members that are read, uncompressed
LISTED = 4_000_000  # bytes of a zip's list of members: more than 1,000 of the longest usual names
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Photograph(NamedTuple):
    name: str  # what the visitor or the zip calls it: for reading only, never a path
    path: str  # the file that holds it


class Photographs(NamedTuple):
    rated: list[Photograph]  # by name
    left_out: int  # files whose names are not those of images


class _Bounded(io.FileIO):
    """A zip file that is read in pieces of LISTED bytes at most: zipfile reads the list of members in one piece."""

    def read(self, size: int | None = -1) -> bytes:
        whole = size is None or size < 0
        data = super().read(LISTED + 1 if whole or size > LISTED else size)
        if len(data) > LISTED:
            raise zipfile.BadZipFile(f"its list of members has more than {LISTED:,} bytes")
        return data


def photographs(uploads: Sequence[Photograph], folder: Path) -> Photographs:
    """The photographs of all uploads; those of zip files are written to the folder.

    A member is called as in its zip, with the zip's name before it if there are other uploads. Raises ValueError in one
    line for a zip that is damaged, encrypted or too large, and for too many photographs or none.
    """
    rated, files, room = [], 0, TOTAL
    for upload in uploads:
        if not upload.name.lower().endswith(".zip"):
            files += 1
            rated += [upload] if _is_image(upload.name) else []
            continue
        try:
            with _Bounded(upload.path) as file, zipfile.ZipFile(file) as archive:
                members = [info for info in archive.infolist() if not info.is_dir()]
                images = [info for info in members if _is_image(info.filename)]
                _check(images, MOST - len(rated), room)
                before = f"{upload.name}/" if len(uploads) > 1 else ""
                for info in images:
                    path = folder / str(len(rated))
                    with archive.open(info) as source, path.open("wb") as target:
                        shutil.copyfileobj(source, target)
                    rated.append(Photograph(before + info.filename, str(path)))
        except _Refused as refused:
            raise ValueError(f"{printable(upload.name)}: {refused}") from None
        except (zipfile.BadZipFile, *FAULTS) as error:
            text = printable(str(error) or type(error).__name__)[:200]
            raise ValueError(f"{printable(upload.name)}: cannot be unpacked ({text}); make the zip again") from None
        files += len(members)
        room -= sum(info.file_size for info in images)
    if len(rated) > MOST:
        raise ValueError(f"{len(rated):,} photographs: more than {MOST:,}; rate them in parts")
    if not rated:
        raise ValueError(f"choose photographs first, or a zip file of them ({', '.join(FORMATS)})")
    return Photographs(sorted(rated, key=lambda photo: photo.name), files - len(rated))


def _is_image(name: str) -> bool:
    """By its name. The files "._x.jpg" that macOS adds to a zip are none."""
    return Path(name).suffix.lower() in suffixes() and not re.split(r"[/\\]", name)[-1].startswith("._")


class _Refused(ValueError):
    """Why a sound zip is not unpacked."""


def _check(images: Sequence[zipfile.ZipInfo], most: int, room: int) -> None:
    """Raises _Refused for what is not unpacked. room: bytes that may be written."""
    if len(images) > most:
        raise _Refused(f"more than {MOST:,} photographs; rate them in parts")
    for info in images:
        name = printable(info.filename)[:200]
        if info.flag_bits & 1:
            raise _Refused(f"{name} is encrypted; make a zip without a password")
        if info.compress_type not in METHODS:
            raise _Refused(f"{name} is compressed in an unusual way; make an ordinary zip (deflate)")
        if info.file_size > BYTES:
            raise _Refused(f"{name} has {info.file_size:,} bytes, more than {BYTES:,}")
    if sum(info.file_size for info in images) > room:
        raise _Refused(f"its photographs have more than {TOTAL:,} bytes unpacked; rate them in parts")
