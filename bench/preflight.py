"""How long train/preflight.py takes for 123,000 rows of a lite recipe and 80,000 of tests: python -m bench.preflight

Makes stand-ins for the 14 sources (tests/helpers/stand_ins.py; the images of SPAQ and EyePACS get 12 megapixels, as
theirs have), runs data_prep on them, and times `python train/preflight.py recipes/storm_lite.yaml`. CPU seconds are
those of a machine that does nothing else. Needs 3 GB of disk. Results are in bench/README.md; budget: 60 s.
"""

import shutil
import tempfile
from pathlib import Path

from bench.images import photograph
from bench.timed import ROOT, timed
from storm.options import Parser
from tests.helpers.stand_ins import SOURCES, make

LARGE = ("spaq", "eyepacs")


def enlarge(folder: Path) -> None:
    """Give all images of a folder 12 megapixels. They are links to few files, so that writes few."""
    files = {path.stat().st_ino: path for path in folder.rglob("*.jp*g")}
    for number, path in enumerate(files.values(), start=1):
        photograph(number, path)


def main() -> None:
    Parser(prog="python -m bench.preflight", description=__doc__.split(": python")[0]).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, raw = Path(name), Path(name) / "raw"
        make(raw)
        for large in LARGE:
            enlarge(raw / large)
        build = ["-m", "data_prep", "--media", raw, "--out", folder / "data/storm", "--check", "exists"]
        timed(*build, "--strategy", "cot")
        shutil.copy(ROOT / "dataset_info.json", folder)
        settings = [f"dataset_dir={folder}", f"media_dir={raw}", f"output_dir={folder / 'saves'}", "--gpus", "32"]
        tests = ",".join(f"storm_{source.__name__}_test" for source in SOURCES)
        took = timed("train/preflight.py", "recipes/storm_lite.yaml", *settings, "--tests", tests, check=False)
    print(f"\n{took}")


if __name__ == "__main__":
    main()
