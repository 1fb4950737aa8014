"""Two builds at once, and kills at any moment: python -m bench.races [COUNT]; by default 100 of each.

Races: two builds of one output folder start together, with different settings. One may be refused; what is left must be
what one of the two settings alone writes. Kills: a build with copies of the images is killed (SIGKILL) at a random
moment and run again; what is left must be what an unbroken run writes. Needs a minute for 10 of each.
"""

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

from storm.files import LOCK
from storm.options import Parser, positive
from storm.text import table
from tests.helpers.stand_ins import make

NAMES = ("spaq", "hci")
SETTINGS = (("--val", "0.1"), ("--val", "0.3", "--split", "subject"))


def build(raw: Path, out: Path, *more: str) -> subprocess.Popen:
    """Start a build of two small datasets."""
    command = [sys.executable, "-m", "data_prep", *NAMES, "--media", str(raw), "--out", str(out), "--workers", "2"]
    return subprocess.Popen([*command, *more], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish(run: subprocess.Popen) -> None:
    """Wait for a build that must not fail. Raises SystemExit."""
    if code := run.wait():
        raise SystemExit(f"a build alone ended with exit code {code}; run python -m data_prep to see why")


def contents(out: Path) -> dict[str, bytes]:
    """Path below the output folder -> bytes, without the lock and the index of images, whose order may differ."""
    files = [path for path in out.rglob("*") if path.is_file() and path.name != LOCK and ".checked" not in path.parts]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def races(raw: Path, folder: Path, count: int) -> tuple[int, int]:
    """(corrupt folders, builds that were refused) of so many races."""
    whole = []
    for number, settings in enumerate(SETTINGS):
        finish(build(raw, folder / f"alone{number}", *settings))
        whole.append(contents(folder / f"alone{number}"))
    corrupt = refused = 0
    for number in tqdm(range(count), "races"):
        out = folder / f"race{number}"
        codes = [run.wait() for run in [build(raw, out, *settings) for settings in SETTINGS]]
        refused += sum(code != 0 for code in codes)
        corrupt += contents(out) not in whole or 0 not in codes
        shutil.rmtree(out)
    return corrupt, refused


def kills(raw: Path, folder: Path, count: int) -> tuple[int, int]:
    """(folders that differ from an unbroken run, runs that were killed before they ended) of so many kills."""
    options = ("--resize", "400")
    start = time.perf_counter()
    out = folder / "kill"
    finish(build(raw, out, *options))
    seconds, whole = time.perf_counter() - start, contents(out)
    rng, lost, killed = random.Random(0), 0, 0
    for _ in tqdm(range(count), "kills"):
        shutil.rmtree(out)
        run = build(raw, out, *options)
        time.sleep(rng.uniform(0.1, seconds))
        run.send_signal(signal.SIGKILL)
        killed += run.wait() != 0
        time.sleep(0.2)  # its workers end with it
        lost += build(raw, out, *options).wait() != 0 or contents(out) != whole
    return lost, killed


def main() -> None:
    parser = Parser(prog="python -m bench.races", description=__doc__.split(": python")[0])
    parser.add_argument("count", nargs="?", type=positive, default=100, help="how many of each (default: 100)")
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "raw", 0.01)
        corrupt, refused = races(folder / "raw", folder, count)
        lost, killed = kills(folder / "raw", folder, count)
    head = ["what", "count", "corrupt or lost", "refused or killed"]
    print(table([head, ["races", count, corrupt, refused], ["kills", count, lost, killed]]))


if __name__ == "__main__":
    main()
