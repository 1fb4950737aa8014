"""The command that follows a score or a report, ready to paste, from the options of the prediction."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from storm import provenance

REPORT = "report.html"  # beside the predictions


def options_of(folder: Path) -> dict[str, list[str]]:
    """The options of the command that predicted what is in a folder, {} if it does not say them."""
    try:
        words = provenance.read(folder if folder.is_dir() else folder.parent).get("command")
    except (OSError, ValueError):
        return {}
    found: dict[str, list[str]] = {}
    for word in words if isinstance(words, list) else []:
        if str(word).startswith("--"):
            found[word] = []
        elif found:
            found[next(reversed(found))].append(str(word))
    return found


def after_score(paths: Sequence[Path], scale: Path | None) -> str:
    """The report of the same predictions."""
    folder = paths[0] if paths[0].is_dir() else paths[0].parent
    media = options_of(paths[0]).get("--media", [])
    words = ["python", "eval/report.py", *map(str, paths), *_scale(scale)]
    return shlex.join([*words, *(["--media", *media] if media else []), "--out", str(folder / REPORT)])


def after_report(paths: Sequence[Path], scale: Path | None) -> str:
    """The page in the browser with the model of the predictions, "" if they do not name it."""
    options = options_of(paths[0])
    if "--model" not in options:
        return ""
    words = ["python", "eval/app.py", "--model", *options["--model"]]
    for option in ("--adapter", "--image-max-pixels"):
        words += [option, *options[option]] if option in options else []
    return shlex.join([*words, *_scale(scale)])


def _scale(scale: Path | None) -> list[str]:
    return ["--scale", str(scale)] if scale else []
