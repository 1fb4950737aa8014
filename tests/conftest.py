"""A copy of the working tree, as a clone would have it, for tests that run what README tells a user to type."""

import shutil
import subprocess
from pathlib import Path

import pytest

from bench.sources import make

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The working tree as a clone would have it, with this .venv, so that nothing is installed twice."""
    folder = tmp_path_factory.mktemp("clone") / "storm-recipes"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    make(folder / "data" / "raw", 0.001)  # stand-ins for what the user downloads
    return folder
