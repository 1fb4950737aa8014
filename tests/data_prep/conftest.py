"""Stand-ins of the 14 sources for the tests of data_prep."""

import shutil
from pathlib import Path

import pytest

from tests.helpers.building import copy_or_link
from tests.helpers.stand_ins import make

SMALL = 0.004  # of the originals: ten rows at least


@pytest.fixture(scope="session")
def originals(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("originals")
    make(root, SMALL)
    return root


@pytest.fixture
def raw(originals, tmp_path) -> Path:
    """A copy of three to break, as that of all is 2,800 files; images are links to the same bytes."""
    for name in ("aptos", "hci", "spaq"):
        shutil.copytree(originals / name, tmp_path / "raw" / name, copy_function=copy_or_link)
    return tmp_path / "raw"


@pytest.fixture
def all_raw(originals, tmp_path) -> Path:
    """A copy of all to break."""
    return Path(shutil.copytree(originals, tmp_path / "raw", copy_function=copy_or_link))
