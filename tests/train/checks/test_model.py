"""A model that is not whole, and one of which other parameters are trained than the header promises."""

import json

import pytest

from storm import models
from tests.helpers.paths import ROOT
from tests.helpers.tiny_recipe import RECIPE, TINY, checked, the_one, tiny_job
from train.checks.finding import Finding
from train.checks.job import Job
from train.checks.keys import check_keys
from train.checks.model import check_model, check_parameters
from train.preflight import report
from train.recipe import header, load


def counted(job: Job) -> tuple[Job, list[Finding]]:
    """The job with its parameters counted, and the findings of the checks that need it."""
    findings = []
    for check in (check_keys, check_parameters):
        job, more = check(job)
        findings += more
    return job, findings


@pytest.mark.slow
def test_a_header_that_promises_other_parameters(tiny):
    tiny.write_text(RECIPE.replace(f"{TINY:,}", "1,000,000"))
    text = the_one(checked(tiny))
    assert f"{TINY:,}" in text and "1,000,000" in text and "finetuning_type and freeze_*" in text
    tiny.write_text(RECIPE)
    assert "trains" in the_one(checked(tiny, "freeze_language_model=true"), "warning"), "meant, as it was typed"


@pytest.mark.slow
def test_freeze_flags_that_are_not_written(tiny):
    tiny.write_text(RECIPE.replace("freeze_vision_tower: false\n", ""))
    odd = [finding for finding in checked(tiny) if finding.level != "ok"]
    assert [(finding.level, finding.check) for finding in odd] == [("warning", "keys"), ("error", "parameters")]
    assert odd[0].text.endswith("freeze_vision_tower=false")


def of_the_model(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.check == "model"]


@pytest.mark.slow
def test_weights_that_are_missing(tiny):
    weights = tiny.parent / "saves/demo_base/model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    text = the_one(checked(tiny))
    assert text.startswith(f"saves/demo_base: model.safetensors ({len(whole) // 2:,} bytes) ")
    weights.unlink()
    assert the_one(checked(tiny)).startswith("saves/demo_base: ")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    weights.with_name("model.safetensors.index.json").write_text(json.dumps(index))
    assert the_one(checked(tiny)).startswith("saves/demo_base: model-00001-of-00002.safetensors")
    weights.with_name("model-00001-of-00002.safetensors").write_bytes(b"<html>")
    assert the_one(checked(tiny)).startswith("saves/demo_base: model-00001-of-00002.safetensors (6 bytes)")
    config = weights.with_name("config.json")
    config.write_text(config.read_text()[:300])
    assert the_one(of_the_model(checked(tiny))).startswith("saves/demo_base/config.json: ")
    config.unlink()
    assert the_one(of_the_model(checked(tiny))).startswith("saves/demo_base: no config.json")


@pytest.mark.slow
def test_a_model_of_the_hub_that_is_not_here(tiny, monkeypatch):
    monkeypatch.setattr("train.checks.model._cached", lambda name: None)
    name = "Qwen/Qwen2.5-VL-3B-Instruct"
    findings = of_the_model(checked(tiny, f"model_name_or_path={name}"))
    assert the_one(findings, "warning").endswith(f"hf download {name}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    text = the_one(of_the_model(checked(tiny, f"model_name_or_path={name}")))
    assert "HF_HUB_OFFLINE" in text and text.endswith(f"hf download {name}")


@pytest.mark.slow
def test_a_model_of_a_family_without_a_row(work):
    (work / "saves").mkdir()
    (work / "saves/config.json").write_text('{"model_type": "gpt2"}')
    job, findings = check_model(tiny_job("model_name_or_path=saves"))
    assert job.config is None and "gpt2" in the_one(findings)


@pytest.mark.slow
@pytest.mark.parametrize(("template", "level"), [("qwen2_vl", "ok"), ("llava", "error")])
def test_the_template_is_that_of_the_family(work, monkeypatch, template, level):
    monkeypatch.setattr("train.checks.model._weights", lambda name: [])
    settings = "model_name_or_path=Qwen/Qwen2.5-VL-3B-Instruct", f"template={template}"
    findings = check_model(tiny_job(*settings))[1]
    assert [finding.level for finding in findings] == [level]
    assert level == "ok" or findings[0].text.endswith("template=qwen2_vl")


@pytest.mark.slow
def test_an_export_without_its_adapter(tiny):
    recipe = tiny.with_name("merge.yaml")
    keys = {"model_name_or_path": "saves/demo_base", "adapter_name_or_path": "saves/lora", "finetuning_type": "lora"}
    recipe.write_text(json.dumps(keys | {"template": "qwen2_vl", "export_dir": "saves/merged"}))
    assert the_one(checked(recipe, gpus=0)).startswith("saves/lora: ")


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_trains_what_its_header_promises(path, base, monkeypatch):
    monkeypatch.setitem(models.SHAPES, "saves/demo_base", lambda: models.config(str(base)))
    recipe = load(path)
    if not recipe.get("do_train"):
        return
    config = models.config(recipe["model_name_or_path"])
    job, findings = counted(Job(recipe, header(path), config=config))
    assert [finding.level for finding in findings] == ["ok", "ok"], report(findings)
    assert header(path).parameters == job.count.trained


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_parameters_are_counted_as_llamafactory_does(tiny, kind):
    from llamafactory.extras.misc import count_parameters
    from llamafactory.model import load_model, load_tokenizer

    lora = {"lora_target": "all", "lora_rank": 4, "additional_target": "merger"} if kind == "lora" else {}
    recipe = load(tiny) | {"finetuning_type": kind} | lora
    parsed = check_keys(Job(recipe))[0].parsed
    words = load_tokenizer(parsed.model)["tokenizer"]
    trained, every = count_parameters(load_model(words, parsed.model, parsed.finetuning, is_trainable=True))
    job, _ = counted(Job(recipe, config=models.config("saves/demo_base")))
    assert (job.count.trained, job.count.all) == (trained, every)
