"""FlashAttention-2: what preflight says of it, and what LLaMA-Factory does where it cannot be used."""

import sys
from types import ModuleType

import pytest

from storm import models
from tests.helpers.tiny_recipe import the_one
from tests.helpers.training import history, make_inputs, settings, train
from train.checks import attention
from train.checks.finding import Finding
from train.checks.job import Job

FA2 = {"flash_attn": "fa2", "bf16": True, "do_train": True}


def findings(processes: int = 1, **recipe) -> list[Finding]:
    return attention.check_attention(Job(FA2 | recipe, processes=processes))[1]


@pytest.fixture
def installed(monkeypatch):
    """A stand-in for the package."""
    monkeypatch.setattr(attention, "find_spec", lambda name: True)
    monkeypatch.setitem(sys.modules, "flash_attn", ModuleType("flash_attn"))


def test_without_the_package_it_is_a_warning_and_not_an_error(monkeypatch):
    monkeypatch.setattr(attention, "find_spec", lambda name: None)
    assert the_one(findings(), "warning").endswith("make setup GPU=1")
    assert findings(flash_attn="sdpa") == findings(flash_attn=None) == []
    assert findings(processes=0, bf16=False) == [], "on a CPU nobody misses it"
    assert [finding.level for finding in findings(processes=0)] == ["warning"]


def test_with_the_package_what_would_end_the_training_is_an_error(installed):
    assert [finding.level for finding in findings()] == ["ok"]
    assert "bf16=true, or flash_attn=sdpa" in the_one(findings(bf16=False))


def test_a_package_built_for_another_torch(installed, monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn", None)  # to import it raises ImportError
    assert "make setup GPU=1" in the_one(findings())


@pytest.mark.slow
@pytest.mark.parametrize("family", [row for row in models.FAMILIES.values() if row.no_fa2], ids=lambda row: row.name)
def test_a_family_that_cannot_have_it_is_an_error_whatever_is_installed(family, tmp_path):
    from tests.helpers.tiny_models import save

    job = Job(FA2, processes=1, config=models.config(str(save(family.name, tmp_path))))
    assert the_one(attention.check_attention(job)[1]) == f"flash_attn=fa2: {family.no_fa2}; flash_attn=sdpa"


@pytest.mark.slow
def test_llamafactory_warns_and_trains_on_with_sdpa_where_it_cannot_be_used(tmp_path):
    inputs, runs = make_inputs(tmp_path, tmp_path / "cache"), {}
    for kind in ("fa2", "sdpa"):
        recipe = settings(inputs, tmp_path / kind, "deepspeed=null", "max_steps=2", f"flash_attn={kind}")
        code, printed = train(recipe)
        assert code == 0, printed[-3000:]
        assert ("FlashAttention-2 is not installed" in printed) == (kind == "fa2")
        runs[kind] = history(tmp_path / kind)
    assert runs["fa2"] == runs["sdpa"] and len(runs["fa2"]) == 2
