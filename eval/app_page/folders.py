"""The folder of a run's uploads: deleted when it ends, or by the next run if it was killed; and what it holds."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from storm.files import LOCK, Locked, locked

PREFIX = "storm_app_"
BLOCK = 4096  # bytes of a file at least, as most disks count


class Folders(NamedTuple):
    """Of one run, without links in their paths."""

    uploads: Path  # whole files, what visitors may see
    parts: Path  # uploads that have not ended


@contextmanager
def run_folders() -> Iterator[Folders]:
    """New folders in the system's temporary folder, which only this user can read. Those of killed runs go first."""
    place = Path(tempfile.gettempdir()).resolve()
    _delete_abandoned(place)
    new = Path(tempfile.mkdtemp(prefix="storm_new_", dir=place))
    with locked(new):  # before it has the name that others look for
        folder = new.rename(new.with_name(new.name.replace("storm_new_", PREFIX)))
        try:
            folders = Folders(folder / "uploads", folder / "parts")
            for path in folders:
                path.mkdir()
            yield folders
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _delete_abandoned(place: Path) -> None:
    """Delete the folders of this user's runs that hold no lock. A run holds its lock as long as it lives."""
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError, Locked):
            ours = not folder.is_symlink() and folder.stat().st_uid == os.getuid()
            if ours and (folder / LOCK).is_file():
                with locked(folder):
                    shutil.rmtree(folder, ignore_errors=True)


def size(folder: Path) -> int:
    """Bytes of all files in a folder, each counted with a block at least."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # deleted meanwhile
                total += max(BLOCK, os.lstat(os.path.join(root, name)).st_size)
    return total
