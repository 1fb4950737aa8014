"""The commands that follow a check without errors, ready to paste: training, and for own ratings prediction, too."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from storm.files import read_json


def after_preflight(path: Path, settings: Sequence[str], recipe: dict) -> str:
    """The training; for rows of own ratings, whose scale lies beside the registry, also the prediction of their test
    rows, as the training itself prints no next command."""
    train = ["llamafactory-cli", "train", str(path), *settings]
    registry = Path(str(recipe.get("dataset_dir") or "data")) / "dataset_info.json"
    scale = registry.with_name("scale.yaml")
    if not recipe.get("do_train"):
        return join(train)
    name = str(recipe.get("dataset")).replace("_train", "_test", 1)
    try:
        test = registry.parent / read_json(registry)[name]["file_name"]
    except (OSError, ValueError, KeyError, TypeError):
        return join(train)
    if not scale.is_file():
        return join(train)
    out = str(recipe.get("output_dir"))
    lora = recipe.get("finetuning_type") == "lora"
    model = ["--model", str(recipe["model_name_or_path"]), "--adapter", out] if lora else ["--model", out]
    rows = ["--data", str(test), "--media", str(recipe.get("media_dir") or registry.parent), "--scale", str(scale)]
    pixels = ["--image-max-pixels", str(recipe["image_max_pixels"])] if recipe.get("image_max_pixels") else []
    return f"{join(train)} && \\\n{join(['python', 'eval/predict.py', *model, *rows, *pixels, '--out', f'{out}_test'])}"


def join(words: Sequence[str]) -> str:
    """A command line for the shell. A word with quotes of YAML inside keeps them."""
    return " ".join(f'"{word}"' if "'" in word and '"' not in word else shlex.quote(word) for word in words)
