"""How long train/preflight.py takes for 123,000 rows of a lite recipe and 80,000 of tests: python -m bench.preflight

Makes stand-ins for the 14 sources (tests/helpers/stand_ins.py; the images of SPAQ and EyePACS get 12 megapixels, as
theirs have), runs data_prep on them, and times `python train/preflight.py recipes/storm_lite.yaml`. CPU seconds are
those of a machine that does nothing else. Needs 3 GB of disk. Results are in bench/README.md; budget: 60 s.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from bench.images import photograph
from storm.options import Parser
from tests.helpers.stand_ins import SOURCES, put

ROOT = Path(__file__).resolve().parent.parent
LARGE = ("spaq", "eyepacs")


def enlarge(folder: Path) -> None:
    """Give all images of a folder 12 megapixels. They are links to few files, so that writes few."""
    seen = set()
    for path in folder.rglob("*.jp*g"):
        if (inode := path.stat().st_ino) not in seen:
            seen.add(inode)
            photograph(len(seen), path)


def main() -> None:
    Parser(prog="python -m bench.preflight", description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for source in SOURCES:
            raw = folder / "raw" / source.__name__
            raw.mkdir(parents=True)
            put(raw, source(raw, 1.0, Random(source.__name__)))
        for large in LARGE:
            enlarge(folder / "raw" / large)
        build = [sys.executable, "-m", "data_prep", "--media", folder / "raw", "--out", folder / "data/storm"]
        subprocess.run(
            [*build, "--check", "exists", "--strategy", "cot"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL
        )
        shutil.copy(ROOT / "dataset_info.json", folder)
        settings = [f"dataset_dir={folder}", f"media_dir={folder / 'raw'}", f"output_dir={folder / 'saves'}"]
        tests = ",".join(f"storm_{source.__name__}_test" for source in SOURCES)
        command = [sys.executable, "train/preflight.py", "recipes/storm_lite.yaml", *settings]
        command += ["--gpus", "32", "--tests", tests]
        env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=False, cwd=ROOT, env=env)
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"\n{seconds:.0f} s, {cpu:.0f} s of CPU")


if __name__ == "__main__":
    main()
