"""The sweep starts eval/predict.py with command(): every setting gets there, and says the same provenance."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from eval.inference.settings import Settings, command, fingerprint, provenance_of, trained_on
from eval.predict import arguments, settings_of
from eval.servers.options import Servers
from storm import provenance
from storm.files import write_json

FULL = Settings(
    model="m",
    adapter="a",
    decode="generate",
    image_max_pixels=1,
    cutoff_len=2,
    max_new_tokens=3,
    bf16=True,
    media=Path("i"),
    data=(Path("x_test.jsonl"), Path("y_test.jsonl")),
    scale=Path("s.yaml"),
    out=Path("o"),
    limit=4,
    batch_size=5,
    upright=True,
    workers=0,
)
SERVERS = Servers(
    server=("http://127.0.0.1:1/v1", "http://localhost:2/v1"),
    served_model="s",
    api="decisions",
    concurrency=6,
    api_key_env="HOME",
    price=(0.5, 2.0),
    allow_remote=True,
    i_may_send=("ava", "spaq"),
)
SERVED = replace(FULL, model="", adapter=None, decode="exact", cutoff_len=Settings.cutoff_len, bf16=False, batch_size=0)
SERVED = replace(SERVED, servers=SERVERS, workers=None)


def differs(full: object, plain: object, *same: str) -> bool:
    names = [field.name for field in fields(full) if field.name not in same]
    return all(getattr(full, name) != getattr(plain, name) for name in names)


def test_every_setting_survives_the_command_line():
    plain = Settings(model="n", data=(Path("x_test.jsonl"),))
    assert differs(FULL, plain, "model", "servers") and differs(SERVERS, Servers((), ""), "family")
    asked = replace(SERVED, servers=replace(SERVERS, api="chat", family="gemma3"))  # decision APIs take no --family
    for settings in (FULL, plain, SERVED, asked):
        assert settings_of(arguments().parse_args(command(settings))) == settings


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"x" * 5_000_000)
    (tmp_path / "x_test.jsonl").write_text("{}\n")
    return tmp_path


def test_provenance_is_what_may_change_a_prediction(folder):
    settings = Settings(model=str(folder / "model"), data=(folder / "x_test.jsonl",), max_new_tokens=7, limit=3)
    facts = provenance_of(settings)
    assert facts["max_new_tokens"] is None, "an exact prediction generates nothing"
    assert list(facts["data"]) == ["x_test"] and facts["trained_on"] is None and facts["model"] != settings.model
    assert set(facts) == {"model", "adapter", "decode", "image_max_pixels", "cutoff_len", "max_new_tokens", "data"} | {
        "bf16",
        "trained_on",
        "commit",
        "family",
        "upright",
        "versions",
    }


@pytest.mark.parametrize("place", [0, -1])
def test_a_fingerprint_changes_with_the_weights_and_the_configuration(folder, place):
    model = folder / "model"
    before = fingerprint(str(model))
    with (model / "model.safetensors").open("r+b") as file:
        file.seek(place, 0 if place == 0 else 2)
        file.write(b"y")
    after = fingerprint(str(model))
    (model / "config.json").write_text('{"a": 1}')
    assert len({before, after, fingerprint(str(model))}) == 3
    assert fingerprint("Qwen/Qwen2.5-VL-3B-Instruct") == "Qwen/Qwen2.5-VL-3B-Instruct"


def test_provenance_says_what_the_model_and_its_adapter_were_trained_on(folder, monkeypatch):
    monkeypatch.chdir(folder)
    versions = {"versions": {}}
    provenance.write(folder / "model", {"data": {"storm_spaq_lite": "1"}} | versions)
    (folder / "adapter").mkdir()
    settings = Settings(model=str(folder / "model"), adapter=str(folder / "adapter"), data=(folder / "x_test.jsonl",))
    assert provenance_of(settings)["trained_on"] == {"storm_spaq_lite": "1"}
    provenance.write(folder / "adapter", {"data": {"appeal_train": "2"}} | versions)
    assert provenance_of(settings)["trained_on"] == {"storm_spaq_lite": "1", "appeal_train": "2"}
    (folder / "adapter" / "checkpoint-20").mkdir()
    middle = replace(settings, adapter=str(folder / "adapter" / "checkpoint-20"))
    assert provenance_of(middle)["trained_on"] == provenance_of(settings)["trained_on"]
    before = provenance_of(settings) | {"trained_on": None}
    assert provenance.difference(before, provenance_of(settings)) is None, "the fingerprint of the model says it"


def test_provenance_names_the_train_files_also_of_the_model_that_a_training_began_from(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for registry, name in ((".", "storm_spaq_train"), ("data/appeal", "appeal_train")):
        write_json(folder / registry / "dataset_info.json", {name: {"file_name": f"cot/{name}.jsonl"}})
    first = {"dataset_dir": ".", "model_name_or_path": "Qwen/Qwen2.5-VL-3B-Instruct"}
    provenance.write(folder / "model", {"data": {"storm_spaq_train": "1"}, "recipe": first, "versions": {}})
    second = {"dataset_dir": "data/appeal", "model_name_or_path": "model"}
    (folder / "next").mkdir()
    provenance.write(folder / "next", {"data": {"appeal_train": "2"}, "recipe": second, "versions": {}})
    trained = {"cot/storm_spaq_train.jsonl": "1", "data/appeal/cot/appeal_train.jsonl": "2"}
    assert trained_on(Settings(model="next")) == trained and trained_on(Settings(model="elsewhere")) is None
