"""eval/app_page/folders.py: the uploads of a killed run go, those of a run that still runs stay."""

import os
import subprocess
import sys
import tempfile

import pytest

from eval.app_page.folders import run_folders, size
from tests.helpers.paths import ROOT

KILLED = """
import os, signal
from eval.app_page.folders import run_folders
with run_folders() as folders:
    (folders.uploads / "private.png").write_text("x")
    print(folders.uploads, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path.resolve()


def test_the_next_run_deletes_what_a_killed_one_left(temporary):
    env = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", KILLED], env=env, capture_output=True, text=True)
    [left] = temporary.glob("storm_app_*/uploads")
    assert done.returncode == -9 and done.stdout.strip() == str(left) and (left / "private.png").exists()
    foreign = temporary / "storm_app_other"
    foreign.mkdir()  # without a lock: of something else
    with run_folders() as folders:
        assert not left.parent.exists() and folders.uploads.is_dir() and foreign.is_dir()
    assert not folders.uploads.parent.exists()


def test_two_runs_leave_each_other_alone(temporary):
    with run_folders() as first:
        (first.uploads / "a.png").touch()
        with run_folders() as second:
            assert (first.uploads / "a.png").exists() and first != second
        assert (first.uploads / "a.png").exists() and not second.uploads.exists()
        assert first.uploads.parent.stat().st_mode & 0o77 == 0  # nobody else reads them
    assert list(temporary.iterdir()) == []


def test_a_link_is_not_followed(temporary):
    (temporary / "mine").mkdir()
    (temporary / "mine/lock").touch()
    (temporary / "storm_app_link").symlink_to(temporary / "mine")
    with run_folders():
        assert (temporary / "mine/lock").exists()


def test_a_file_counts_as_a_block_at_least(temporary):
    (temporary / "a").mkdir()
    (temporary / "a/b").write_bytes(b"x")
    (temporary / "c").write_bytes(b"x" * 5000)
    assert size(temporary) == 4096 + 5000
