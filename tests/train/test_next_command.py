"""The command that preflight ends with."""

import json
import shlex
from pathlib import Path

import pytest

from train.next_command import after_preflight

RECIPE = {"do_train": True, "model_name_or_path": "a model", "finetuning_type": "lora", "output_dir": "saves/x y"}


def own_rows(folder: Path, name: str) -> dict:
    """The keys of a recipe for own ratings in a folder."""
    stanzas = {f"{name}_{part}": {"file_name": f"cot/{name}_{part}.jsonl"} for part in ("train", "val", "test")}
    (folder / "dataset_info.json").write_text(json.dumps(stanzas))
    (folder / "scale.yaml").write_text("name: x")
    return RECIPE | {"dataset": f"{name}_train", "dataset_dir": str(folder), "media_dir": "it's"}


@pytest.mark.parametrize("name", ["appeal", "ratings_train"])
def test_own_ratings_are_trained_and_predicted(tmp_path, name):
    line = after_preflight(Path("recipes/custom.yaml"), ['eval_strategy="no"'], own_rows(tmp_path, name))
    train, predict = line.split(" && \\\n")
    assert shlex.split(train) == ["llamafactory-cli", "train", "recipes/custom.yaml", 'eval_strategy="no"']
    words = shlex.split(predict)
    assert words[2:6] == ["--model", "a model", "--adapter", "saves/x y"]
    assert words[words.index("--data") + 1] == f"{tmp_path}/cot/{name}_test.jsonl"
    assert words[words.index("--media") + 1] == "it's" and words[-1] == "saves/x y_test"


def test_a_model_that_is_trained_as_a_whole_is_its_own(tmp_path):
    recipe = own_rows(tmp_path, "appeal") | {"finetuning_type": "full"}
    words = shlex.split(after_preflight(Path("r.yaml"), [], recipe))
    assert words[words.index("--model") + 1] == "saves/x y" and "--adapter" not in words


def test_of_other_rows_only_the_training_follows(tmp_path):
    recipe = own_rows(tmp_path, "appeal")
    (tmp_path / "scale.yaml").unlink()
    assert after_preflight(Path("r.yaml"), [], recipe) == "llamafactory-cli train r.yaml"
