"""eval/predict.py --images with a stand-in for the model.

The image 3.png gets level 3 with 0.7, and its neighbor towards the middle with 0.3.
"""

import csv
import subprocess
import sys
from pathlib import Path

from eval.predict import main
from tests.helpers.inference import MAIN, STAND_IN, WITH_IMAGES
from tests.helpers.paths import ROOT

PRODUCT = ROOT / "examples/product_photos/scale.yaml"  # the middles of its levels are 1.4, 2.2, 3.0, 3.8, 4.6
WORDS = ("Repelling", "Dull", "Acceptable", "Attractive", "Irresistible")
MONTHS = "name: baby\nrates: the age of a baby\nunit: months\nrange: [2, 6]\n"
BY_NAME = """
MASS = 0.98
from storm.prompts import answer
def by_name(self, block, images):
    time.sleep(PAUSE)
    rows = []
    for example in block:
        level, scale = int(os.path.basename(example.image)[0]), example.scale
        probs = [0.0] * len(scale.fine)
        probs[level], probs[level - 1 if level else 1] = 0.7, 0.3
        text = answer(scale, example.strategy, scale.lo + level)
        rows.append(KNOWN | {"predict": text, "probs": probs, "mass": MASS})
        with open(os.environ["ASKED"], "a") as file:
            print(example.image, file=file)
    return lambda: rows
rater.Rater._predict_batch = by_name
"""
NO_MODEL = "sys.modules['eval.inference.model'] = None\n"


def photograph(path: Path) -> Path:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (30, 20), (200, 90, 9)).save(path)
    return path


def command(out: Path, images: object, *more: object, driver: str = "") -> list[str]:
    words = ["--model", "stand/in", "--images", images, "--out", out, "--batch-size", 2, *more]
    if "--scale" not in more:
        words += ["--scale", PRODUCT]
    return [sys.executable, "-c", STAND_IN + WITH_IMAGES + BY_NAME + driver + MAIN, *map(str, words)]


def rate(out: Path, images: object, *more: object, driver: str = "", code: int = 0) -> subprocess.CompletedProcess:
    env = {"PATH": "/usr/bin", "ASKED": str(out) + ".asked"}
    words = command(out, images, *more, driver=driver)
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr[-2000:]
    return done


def asked(out: Path) -> list[str]:
    """The images that the model was asked about, in order."""
    path = Path(str(out) + ".asked")
    return path.read_text().splitlines() if path.exists() else []


def cells(out: Path) -> list[dict]:
    with out.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def error_of(done: subprocess.CompletedProcess) -> str:
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return line


def refusal(capsys, *words: object) -> str:
    """The one line with which a command that cannot begin ends."""
    assert main(["--model", "m", *map(str, words)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error
