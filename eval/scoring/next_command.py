"""The command that follows a score or a report, ready to paste, from the options of the prediction."""

from collections.abc import Sequence
from pathlib import Path

from eval.scoring.inputs import Options
from storm import provenance
from storm.files import read_jsonl
from storm.prompts import strategy_of
from storm.text import command_line

REPORT = "report.html"  # beside the predictions


def options_of(folder: Path) -> dict[str, list[str]]:
    """The options of the command that predicted what is in a folder, {} if it does not say them."""
    try:
        words = provenance.read(folder if folder.is_dir() else folder.parent).get("command")
    except (OSError, ValueError):
        return {}
    options: dict[str, list[str]] = {}
    for word in words if isinstance(words, list) else []:
        if str(word).startswith("--"):
            options[word] = []
        elif options:
            options[next(reversed(options))].append(str(word))
    return options


def after_score(
    paths: Sequence[Path],
    scale: Path | None,
    data: Sequence[Path] | None = None,
    calibrate: Path | None = None,
    how: Options = Options(),  # noqa: B008
) -> str:
    """The report of the same predictions. scale, data, calibrate, how: as the score was asked for."""
    folder = paths[0] if paths[0].is_dir() else paths[0].parent
    media = options_of(paths[0]).get("--media", [])
    words = ["python", "eval/report.py", *paths, *_scale(scale)]
    words += [*(["--data", *data] if data else []), *(["--media", *media] if media else [])]
    words += ["--calibrate", calibrate] if calibrate else []
    words += ["--keys", ",".join(f"{name}={key}" for name, key in how.keys.items())] if how.keys else []
    words += ["--by-position"] * how.by_position
    return command_line([*words, "--out", folder / REPORT])


def after_report(paths: Sequence[Path], scale: Path | None) -> list[str]:
    """The page in the browser with the model of the predictions, and before it, how it rates a folder; [] if the
    predictions do not name their model."""
    options = options_of(paths[0])
    if "--model" not in options:
        return []
    model = ["--model", *options["--model"]]
    for option in ("--adapter", "--image-max-pixels"):
        model += [option, *options[option]] if option in options else []
    strategy = strategy_in(paths[0])
    model += ["--strategy", strategy] if strategy != strategy_of("").name else []
    page = command_line(["python", "eval/app.py", *model, *_scale(scale)])
    if not scale:
        return [page]
    folder = ["--images", "FOLDER", "--out", "ratings.csv", "--sheet", "ratings.html"]
    return [f"other photographs: {command_line(['python', 'eval/predict.py', *model, *_scale(scale), *folder])}", page]


def strategy_in(path: Path) -> str:
    """The prompt strategy of the first prediction in a file or folder."""
    for file in sorted(path.glob("*.jsonl")) if path.is_dir() else [path]:
        for line in read_jsonl(file):
            if isinstance(line.row, dict) and line.row.get("strategy"):
                return str(line.row["strategy"])
    return strategy_of("").name


def _scale(scale: Path | None) -> list[str]:
    return ["--scale", str(scale)] if scale else []
