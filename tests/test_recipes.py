"""Every recipe is self-contained and free of LLaMA-Factory's traps."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from data_prep.registry import dataset_info

ROOT = Path(__file__).resolve().parent.parent
# Loaded as LLaMA-Factory loads them: PyYAML would read 1e-5 as text and keep the last of two equal keys.
RECIPES = {path: OmegaConf.to_container(OmegaConf.load(path)) for path in sorted((ROOT / "recipes").glob("*.yaml"))}
PREDICT = [path for path in RECIPES if RECIPES[path].get("do_predict")]

every = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


def test_how_many_there_are():
    assert (len(RECIPES), len(PREDICT)) == (2, 1)


@every
def test_header_says_the_command(path):
    assert f"#   llamafactory-cli train recipes/{path.name}" in path.read_text(encoding="utf-8")


@every
def test_no_trap_of_the_host(path):
    text, recipe = path.read_text(encoding="utf-8"), RECIPES[path]
    assert "${" not in text, "LLaMA-Factory does not resolve interpolation"
    assert "trust_remote_code" not in recipe
    for part in ("vision_tower", "multi_modal_projector", "language_model"):
        assert isinstance(recipe[f"freeze_{part}"], bool), "the host freezes the first two unless told"
    assert {"cutoff_len", "image_max_pixels", "template"} <= set(recipe)
    assert recipe["dataset_dir"] == "."
    assert not any(str(value).startswith("/") for value in recipe.values())


@every
def test_the_recipes_name_is_its_output_folder(path):
    assert RECIPES[path]["output_dir"] == f"saves/{path.stem}"


@every
def test_every_dataset_is_registered(path):
    named = [RECIPES[path][key] for key in ("dataset", "eval_dataset") if key in RECIPES[path]]
    assert named and all(name in dataset_info() for names in named for name in names.split(","))


@pytest.mark.parametrize("path", PREDICT, ids=lambda path: path.stem)
def test_predictions_are_greedy_and_from_a_trained_recipe(path):
    recipe = RECIPES[path]
    assert recipe["do_sample"] is False and recipe["predict_with_generate"] is True
    trained = next(r for p, r in RECIPES.items() if r["output_dir"] == recipe["model_name_or_path"])
    for key in ("template", "cutoff_len", "image_max_pixels", "media_dir"):
        assert recipe[key] == trained[key], "what the model was trained with"


def test_every_stanza_of_the_demo_has_a_recipe():
    used = {name for r in RECIPES.values() for key in ("dataset", "eval_dataset") for name in r.get(key, "").split(",")}
    assert used - {""} == {name for name in dataset_info() if name.startswith("demo_")}
