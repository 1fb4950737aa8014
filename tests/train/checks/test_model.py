"""A model that is not whole, and one of which other parameters are trained than the header promises."""

import json

import pytest
from tests.helpers.tiny_recipe import RECIPE, ROOT, TINY, checked, the_one

from train.preflight import report
from train.recipe import load


@pytest.mark.slow
def test_a_header_that_promises_other_parameters(tiny):
    tiny.write_text(RECIPE.replace(f"{TINY:,}", "1,000,000"))
    text = the_one(checked(tiny))
    assert text.startswith(f"trains {TINY:,} parameters, the header says 1,000,000; check finetuning_type and freeze_*")
    tiny.write_text(RECIPE)
    assert "trains" in the_one(checked(tiny, "freeze_language_model=true"), "warning"), "meant, as it was typed"


@pytest.mark.slow
def test_freeze_flags_that_are_not_written(tiny):
    tiny.write_text(RECIPE.replace("freeze_vision_tower: false\n", ""))
    odd = [finding for finding in checked(tiny) if finding.level != "ok"]
    assert [(finding.level, finding.check) for finding in odd] == [("warning", "keys"), ("error", "parameters")]
    assert odd[0].text.endswith("freeze_vision_tower=false")


@pytest.mark.slow
def test_weights_that_are_missing(tiny):
    weights = tiny.parent / "saves/demo_base/model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    text = the_one(checked(tiny))
    assert text.startswith(f"saves/demo_base: model.safetensors ({len(whole) // 2:,} bytes) is damaged: ")
    weights.unlink()
    assert the_one(checked(tiny)).startswith("saves/demo_base: no weights in it")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    weights.with_name("model.safetensors.index.json").write_text(json.dumps(index))
    assert the_one(checked(tiny)).startswith("saves/demo_base: model-00001-of-00002.safetensors is missing")
    weights.with_name("model-00001-of-00002.safetensors").write_bytes(b"<html>")
    assert the_one(checked(tiny)).startswith("saves/demo_base: model-00001-of-00002.safetensors (6 bytes) is damaged")
    config = weights.with_name("config.json")
    config.write_text(config.read_text()[:300])
    assert "saves/demo_base/config.json: not the configuration of a model" in the_one(
        [finding for finding in checked(tiny) if finding.check == "model"]
    )
    config.unlink()
    assert "saves/demo_base: no config.json in it" in the_one(
        [finding for finding in checked(tiny) if finding.check == "model"]
    )


@pytest.mark.slow
def test_a_model_of_the_hub_that_is_not_here(tiny, monkeypatch):
    monkeypatch.setattr("train.checks.model._cached", lambda name: None)
    name = "Qwen/Qwen2.5-VL-3B-Instruct"
    found = [finding for finding in checked(tiny, f"model_name_or_path={name}") if finding.check == "model"]
    assert the_one(found, "warning").endswith(f"hf download {name}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = [finding for finding in checked(tiny, f"model_name_or_path={name}") if finding.check == "model"]
    assert "HF_HUB_OFFLINE forbids" in the_one(found)


@pytest.mark.slow
def test_an_export_without_its_adapter(tiny):
    recipe = tiny.with_name("merge.yaml")
    keys = {"model_name_or_path": "saves/demo_base", "adapter_name_or_path": "saves/lora", "finetuning_type": "lora"}
    recipe.write_text(json.dumps(keys | {"template": "qwen2_vl", "export_dir": "saves/merged"}))
    assert the_one(checked(recipe, gpus=0)).startswith("saves/lora: no whole adapter")


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_trains_what_its_header_promises(path, base, monkeypatch):
    from train.checks import keys, model
    from storm import models
    from train.recipe import header

    monkeypatch.setitem(models.SHAPES, "saves/demo_base", lambda: models.config(str(base)))
    recipe = load(path)
    if not recipe.get("do_train"):
        return
    parsed, found = check_keys.keys(recipe)
    assert [finding.level for finding in found] == ["ok"], report(found)
    known = models.config(recipe["model_name_or_path"])
    count, found = check_model.parameters(parsed, known, True, header(path).parameters, [])
    assert header(path).parameters == count.trained, report(found)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_parameters_are_counted_as_llamafactory_does(tiny, kind):
    from llamafactory.extras.misc import count_parameters
    from llamafactory.model import load_model, load_tokenizer

    from train.checks import keys, model
    from storm import models

    lora = {"lora_target": "all", "lora_rank": 4, "additional_target": "merger"} if kind == "lora" else {}
    recipe = load(tiny) | {"finetuning_type": kind} | lora
    parsed, _ = check_keys.keys(recipe)
    words = load_tokenizer(parsed.model)["tokenizer"]
    trained, every = count_parameters(load_model(words, parsed.model, parsed.finetuning, is_trainable=True))
    parsed, _ = check_keys.keys(recipe)
    count, _ = check_model.parameters(parsed, models.config("saves/demo_base"), True, None, [])
    assert (count.trained, count.all) == (trained, every)
