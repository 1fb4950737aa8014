"""Two builds at once, and kills at any moment: python -m bench.races [COUNT]; by default 100 of each.

Races: two builds of one output folder start together, of one dataset with different settings, or of two datasets. One
may be refused; what is left must be what one of them, or one after the other, writes alone. Kills: a build with copies
of the images, over one with other settings, is killed (SIGKILL) at a random moment. Each file must then be one of the
two builds', and after another run all must be what an unbroken run writes. Needs half a minute for 10 of each.
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

from storm.files import LOCK, UNFINISHED
from storm.options import Parser, positive
from tests.helpers.stand_ins import make

NAMES = ("spaq", "hci")  # two small datasets
SETTINGS = ((*NAMES, "--val", "0.1"), (*NAMES, "--val", "0.3", "--split", "subject"))


def build(raw: Path, out: Path, *more: str) -> subprocess.Popen:
    """Start a build of the datasets and with the options in `more`."""
    command = [sys.executable, "-m", "data_prep", *more, "--media", str(raw), "--out", str(out), "--workers", "2"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish(run: subprocess.Popen) -> None:
    """Wait for a build that must not fail. Raises SystemExit."""
    if code := run.wait():
        raise SystemExit(f"a build alone ended with exit code {code}; run python -m data_prep to see why")


def contents(out: Path) -> dict[str, bytes]:
    """Path below the output folder -> bytes, without the lock, unfinished files and the index of images, whose order
    may differ."""
    hidden = (LOCK, ".checked")
    files = [path for path in out.rglob("*") if path.is_file() and not path.name.endswith(UNFINISHED)]
    files = [path for path in files if not set(path.parts).intersection(hidden)]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def alone(raw: Path, out: Path, *builds: tuple[str, ...]) -> dict[str, bytes]:
    """What builds write one after the other, undisturbed, to an empty folder."""
    for options in builds:
        finish(build(raw, out, *options))
    written = contents(out)
    shutil.rmtree(out)
    return written


def races(raw: Path, folder: Path, count: int) -> tuple[int, int]:
    """(corrupt folders, builds that were refused) of so many races, half of one dataset and half of two."""
    kinds = []
    for pair in (SETTINGS, tuple((name,) for name in NAMES)):
        possible = [(one,) for one in pair] + [pair, pair[::-1]]
        kinds.append((pair, [alone(raw, folder / "alone", *builds) for builds in possible]))
    corrupt = refused = 0
    for number in tqdm(range(count), "races"):
        out, (pair, right) = folder / f"race{number}", kinds[number % 2]
        codes = [run.wait() for run in [build(raw, out, *options) for options in pair]]
        refused += sum(code != 0 for code in codes)
        corrupt += contents(out) not in right or 0 not in codes
        shutil.rmtree(out)
    return corrupt, refused


def kills(raw: Path, folder: Path, count: int) -> tuple[int, int, int]:
    """(folders with a file of neither build, folders that differ from an unbroken run, runs that were killed before
    they ended) of so many kills."""
    resized, out = [(*options, "--resize", "400") for options in SETTINGS], folder / "kill"
    wholes = [alone(raw, out, options) for options in resized]
    start = time.perf_counter()
    finish(build(raw, out, *resized[1]))
    seconds = time.perf_counter() - start
    rng, cut, lost, killed = random.Random(0), 0, 0, 0
    for number in tqdm(range(count), "kills"):
        if number % 4 == 0:  # with copies to make
            shutil.rmtree(out)
        options, whole = resized[number % 2], wholes[number % 2]
        run = build(raw, out, *options)
        time.sleep(rng.uniform(0.1, seconds))
        run.send_signal(signal.SIGKILL)
        killed += run.wait() != 0
        time.sleep(0.2)  # its workers end with it
        cut += any(data not in [other.get(name) for other in wholes] for name, data in contents(out).items())
        code = build(raw, out, *options).wait()
        lost += code != 0 or contents(out) != whole or any(out.rglob(f".*{UNFINISHED}"))
    return cut, lost, killed


def main() -> None:
    parser = Parser(prog="python -m bench.races", description=__doc__.split(": python")[0])
    parser.add_argument("count", nargs="?", type=positive, default=100, help="how many of each (default: 100)")
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "raw", 0.01)
        corrupt, refused = races(folder / "raw", folder, count)
        cut, lost, killed = kills(folder / "raw", folder, count)
    print(f"{count} races: {corrupt} corrupt, {refused} builds were refused")
    print(f"{count} kills, {killed} before the end: {cut} with a cut or mixed file, {lost} not repaired by another run")


if __name__ == "__main__":
    main()
