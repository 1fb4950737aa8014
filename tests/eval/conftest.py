"""What the tests of the report and of rating photographs share."""

from pathlib import Path

import pytest

from storm.datasets import SCALES


@pytest.fixture(scope="session")
def reported(tmp_path_factory) -> Path:
    """Predictions, test files and report.html of two_runs.py; no test changes a file that another test reads."""
    from tests.helpers.two_runs import write_report, write_runs

    folder = write_runs(tmp_path_factory.mktemp("runs"))
    write_report(folder)
    return folder


@pytest.fixture(scope="session")
def predictions(reported) -> list:
    """The report's predictions, as eval.scoring.runs.load gives them."""
    from eval.scoring import testsets
    from eval.scoring.runs import load

    tests, errors = testsets.index([reported / "data"], SCALES)
    loaded, unread = load([reported / "first", reported / "second"], SCALES, tests)
    assert errors == unread == [] and len(loaded) == 6
    return loaded


@pytest.fixture
def photos(tmp_path) -> Path:
    """Five photographs, one in a folder, and a file that is none."""
    from tests.helpers.rating import photograph

    for name in ("0.png", "1.png", "2.jpg", "sub/3.png", "4.png"):
        photograph(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("not an image\n")
    return tmp_path / "photos"
