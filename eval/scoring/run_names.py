"""What runs are called beside the paper's rows: what servers answered by the served model, others by their path."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from eval.scoring.scores import Score
from storm import provenance

Key = tuple[str, str, str]  # path, strategy, decoding


def run_names(scores: Iterable[Score]) -> dict[Key, str]:
    """The key of each run -> its name. Two runs of one model, strategy and decoding keep their paths behind it."""
    files = {score.key: Path(score.file) for score in scores}
    models = {key: served_model(file) for key, file in files.items()}
    same = Counter((model, *key[1:]) for key, model in models.items())
    names = {}
    for (path, *asked), model in models.items():
        twice = same[model, *asked] > 1
        names[path, *asked] = f"{model} ({path})" if model and twice else model or path
    return names


def served_model(file: Path) -> str:
    """The model that the servers of a predictions file were asked for; "" if none were, or nothing says it."""
    try:
        facts = provenance.read(file.parent)
    except (OSError, ValueError):
        return ""
    return str(facts.get("model") or "") if facts.get("server") else ""
