"""What the commands that read predictions are given: files, test files, a scale, and how files are read."""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from eval.inference.settings import scales_with
from eval.scoring import testsets
from storm.datasets import SCALES
from storm.options import describe
from storm.rows import BUILT
from storm.scales import Scale

KEYS = ("predict", "label", "id", "image", "question")  # what --keys names


class Options(NamedTuple):
    """How predictions files are read. parser: a key of runs.PARSERS. keys: of --keys, our name -> the file's.
    by_position: rows without a label are those of the test file, in its order."""

    parser: str = "strict"
    keys: Mapping[str, str] | None = None
    by_position: bool = False


def add_inputs(parser: ArgumentParser) -> None:
    """The arguments of a command that reads predictions: what and where they are, and how they are read."""
    add = parser.add_argument
    add("paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER", help="predictions, or folders of them")
    text = f"built test files (default: those in {' and '.join(map(str, BUILT))}, and beside --scale)"
    add("--data", nargs="+", type=Path, metavar="FILE_OR_FOLDER", help=text)
    add("--scale", type=Path, metavar="SCALE.yaml", help="a scale of your own (python -m data_prep own)")
    text = f"what files of other tools call these: {', '.join(KEYS)}"
    add("--keys", type=keys, metavar="predict=KEY,label=KEY", help=text)
    text = "rows without a label, id and image are those of the test file, in its order"
    add("--by-position", action="store_true", help=text)


def keys(text: str) -> dict[str, str]:
    """ "predict=response,label=gt" as a dict. Raises argparse's error for what is none."""
    pairs = dict(part.partition("=")[::2] for part in text.split(","))
    wrong = next((name for name, key in pairs.items() if name not in KEYS or not key), None)
    if wrong is not None:
        raise ArgumentTypeError(f"{wrong!r}: predict=KEY,label=KEY, and if needed {', '.join(KEYS[2:])}")
    if len(set(pairs.values())) < len(pairs):
        raise ArgumentTypeError(f"{text!r}: one key for two things")
    return pairs


def add_calibrate(parser: ArgumentParser) -> None:
    """The argument of a command that calibrates exact predictions."""
    text = "fit a temperature and intervals of levels (90%%) to these predictions of validation rows"
    add = parser.add_argument
    add("--calibrate", type=Path, metavar="PREDICTIONS", help=f"{text}, which the model was not trained on")


def scales_and_test_files(
    scale: Path | None, data: Sequence[Path] | None
) -> tuple[dict[str, Scale], testsets.Index, list[str]]:
    """All scales, with a user's own; the test files in `data`, or in BUILT and beside that scale; and errors."""
    scales, places, errors = dict(SCALES), list(data or (place for place in BUILT if place.exists())), []
    try:
        scales = scales_with(scale)
        places += [scale.parent] if scale and not data else []
    except (OSError, ValueError) as error:
        errors.append(describe(error))
    tests, more_errors = testsets.index(places, scales)
    return scales, tests, errors + more_errors
