"""The order of the tests, and the folders that several of their files work in."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

# Containers often set it. Then each run compiles all tests anew, for 9 s, and each program that one starts all modules.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Half a minute or more each.
LONGEST = ("docs", "families", "predict", "serve", "sweep_demo", "bootstrap", "slurm")
LONGEST += ("own_chain", "parallel", "notebook", "train", "resume")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that `make test` does not wait for one of them at the end with one process idle."""
    names = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: names.get(item.path.stem, len(names)))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out files of slow tests only, whose imports of torch would cost a default run 6 s."""
    slow = collection_path.name in ("test_exact.py", "test_families.py")
    return True if slow and config.option.markexpr == "not slow" else None


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """What fsync promises shows only after a power failure, and 7,000 of them cost a default run 15 s."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # still an error for what is not open
        yield


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The working tree as a clone would have it, with this .venv, so that nothing is installed twice."""
    from tests.helpers.stand_ins import make
    from tests.helpers.warm import write_environment

    folder = tmp_path_factory.mktemp("clone") / "storm-recipes"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    write_environment(folder / ".venv", ROOT / ".venv")
    make(folder / "data" / "raw", 0.004)  # stand-ins for what the user downloads
    shutil.rmtree(folder / "data" / "raw" / "ava")  # of a part, the range of all scores is unknown
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """20 images; read only."""
    import numpy as np
    from PIL import Image

    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number in range(20):
        size = (112, 56 + number, 3)
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def warm(tmp_path_factory) -> Iterator[dict[str, str]]:
    """The environment in which the programs of `copy` start at once, see warm.py."""
    from tests.helpers.warm import ENVIRONMENT, SOCKET

    path = tmp_path_factory.mktemp("warm") / "socket"
    command = [sys.executable, "-m", "tests.helpers.warm", str(path)]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | ENVIRONMENT) as server:
        while not path.exists():
            assert server.poll() is None
            time.sleep(0.1)
        yield {SOCKET: str(path)}
        server.kill()


@pytest.fixture
def work(tmp_path, pictures, monkeypatch) -> Path:
    """A folder to work in: 20 rows and images, a registry and the recipe of tiny_recipe.py."""
    from storm.files import write_jsonl
    from tests.helpers.tiny_recipe import RECIPE, row

    shutil.copytree(pictures, tmp_path / "images")
    write_jsonl(tmp_path / "data/demo/demo_train.jsonl", map(row, range(20)))
    shutil.copy(ROOT / "dataset_info.json", tmp_path)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    for variable in (
        "NNODES",
        "NODE_RANK",
        "MASTER_ADDR",
        "MASTER_PORT",
        "NPROC_PER_NODE",
        "FORCE_TORCHRUN",
        "USE_RAY",
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """A folder to sweep in, without GPUs: see fake_host.py. Preflight has tests of its own."""
    from tests.helpers.fake_host import forget, make_tree

    make_tree(tmp_path)
    monkeypatch.setattr("sys.executable", f"{tmp_path}/bin/python")  # the sweep starts the programs beside it
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    for name in ("FORCE_TORCHRUN", "NPROC_PER_NODE", "NNODES", "SLURM_JOB_ID", "FAKE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("train.sweep._preflight", lambda run, processes, gpus: None)
    monkeypatch.setattr("train.sweep.visible_gpus", lambda: 0)
    monkeypatch.chdir(tmp_path)
    forget()
    return tmp_path


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Path:
    """The demo's model, random; read only."""
    from demo import model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "OUT", tmp_path_factory.mktemp("saves") / "demo_base")
        model.main([])
        return model.OUT


@pytest.fixture
def tiny(work, base, monkeypatch) -> Path:
    """The recipe with its model; transformers is checked in a test of its own."""
    (work / "saves").mkdir()
    shutil.copytree(base, work / "saves/demo_base")
    monkeypatch.setattr("train.checks.self_check.check_decoding", lambda job: (job, []))
    return work / "tiny.yaml"


@pytest.fixture(scope="module")
def browser():
    """Chromium, which reaches no other machine. For each file: while it is open, Playwright's event loop runs in this
    process, and no other one can."""
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("no chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        nowhere = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", nowhere])
        yield opened
        opened.close()
