"""The order of the tests, and a copy of the working tree for those that run what README tells a user to type."""

import shutil
import subprocess
from pathlib import Path

import pytest

from bench.sources import make

ROOT = Path(__file__).resolve().parent.parent
LONGEST = ("test_sweep_demo", "test_readme", "test_slurm", "test_parallel", "test_predict")  # a minute or more each


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that `make test` does not wait for one of them at the end with one process idle."""
    names = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: names.get(item.path.stem, len(names)))


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
