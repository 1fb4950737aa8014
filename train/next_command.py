"""The commands that follow a check without errors, ready to paste: training, and for own ratings prediction, too."""

from collections.abc import Sequence
from pathlib import Path

from storm.files import read_json
from storm.rows import sibling
from storm.text import command_line


def after_preflight(path: Path, settings: Sequence[str], recipe: dict) -> str:
    """The training; for rows of own ratings, whose scale lies beside the registry, also the prediction of their test
    rows, as the training itself prints no next command."""
    program = ["python", "train/run.py"] if recipe.get("storm") else ["llamafactory-cli", "train"]
    train = [*program, str(path), *settings]
    registry = Path(str(recipe.get("dataset_dir") or "data")) / "dataset_info.json"
    scale = registry.with_name("scale.yaml")
    if not recipe.get("do_train"):
        return command_line(train)
    name = sibling(str(recipe.get("dataset")), "test")
    try:
        test = registry.parent / read_json(registry)[name]["file_name"]
    except (OSError, ValueError, KeyError, TypeError):
        return command_line(train)
    if not scale.is_file():
        return command_line(train)
    out = str(recipe.get("output_dir"))
    lora = recipe.get("finetuning_type") == "lora"
    model = ["--model", str(recipe["model_name_or_path"]), "--adapter", out] if lora else ["--model", out]
    rows = ["--data", str(test), "--media", str(recipe.get("media_dir") or registry.parent), "--scale", str(scale)]
    pixels = ["--image-max-pixels", str(recipe["image_max_pixels"])] if recipe.get("image_max_pixels") else []
    predict = ["python", "eval/predict.py", *model, *rows, *pixels, "--out", f"{out}_test"]
    return f"{command_line(train)} && \\\n{command_line(predict)}"
