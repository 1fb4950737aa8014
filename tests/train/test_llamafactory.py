"""LLaMA-Factory's own loader takes a stanza of every dataset as data_prep writes it."""

import json
import shutil
from hashlib import sha256

import pytest

from data_prep.__main__ import main
from data_prep.registry import dataset_info
from storm.datasets import DATASETS, SCALES
from storm.prompts import STRATEGIES, answer
from tests.helpers.paths import ROOT
from tests.helpers.stand_ins import make

pytestmark = pytest.mark.slow  # imports torch and LLaMA-Factory


def hash_of(dataset) -> str:
    return sha256(
        json.dumps([[row["input_ids"], row["labels"], row["images"]] for row in dataset]).encode()
    ).hexdigest()


def test_a_stanza_of_each_dataset_loads(tmp_path, monkeypatch):
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    from demo import model
    from train.training.lengths import quick_lengths

    make(tmp_path / "raw", 0.004)
    out = tmp_path / "data" / "storm"
    assert (
        main(
            [
                "--media",
                str(tmp_path / "raw"),
                "--out",
                str(out),
                "--workers",
                "1",
                "--allow-partial",
                "--strategy",
                *STRATEGIES,
            ]
        )
        == 0
    )
    shutil.copy(ROOT / "dataset_info.json", tmp_path)
    monkeypatch.setattr(model, "OUT", tmp_path / "base")
    model.main([])
    suffixes = [strategy.suffix for strategy in STRATEGIES.values()]
    stanzas = [f"storm_{name}_test{suffixes[i % len(suffixes)]}" for i, name in enumerate(DATASETS)]
    settings = {
        "stage": "sft",
        "do_train": True,
        "model_name_or_path": str(tmp_path / "base"),
        "dataset": ",".join(stanzas),
        "dataset_dir": str(tmp_path),
        "media_dir": str(tmp_path / "raw"),
        "template": "qwen2_vl",
        "cutoff_len": 2048,
        "output_dir": str(tmp_path / "run"),
        "report_to": "none",
        "overwrite_cache": True,
    }
    model_args, data_args, training_args, _, _ = get_train_args(settings)
    modules = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(modules["tokenizer"], data_args)

    def rows():
        return get_dataset(template, model_args, data_args, training_args, stage="sft", **modules)["train_dataset"]

    loaded = rows()
    with quick_lengths(str(tmp_path / "base")):
        quick = rows()
    assert hash_of(quick) == hash_of(loaded), "train/run.py: the tokens of LLaMA-Factory"

    info = dataset_info()
    written = [json.loads(line) for s in stanzas for line in (tmp_path / info[s]["file_name"]).read_text().splitlines()]
    assert len(loaded) == len(written) >= len(DATASETS)
    assert {"votes" in row for row in written} == {True, False}, "files with different columns are trained on together"
    for row, tokens in zip(written, loaded):
        learned = modules["tokenizer"].decode([token for token in tokens["labels"] if token != -100])
        assert learned.removesuffix("<|im_end|>\n").removesuffix("<|im_end|>") == row["conversations"][1]["value"]
        assert row["conversations"][1]["value"] in {
            answer(SCALES[row["dataset"]], strategy, row["label"]) for strategy in STRATEGIES
        }
        assert tokens["images"] == [str(tmp_path / "raw" / row["images"][0])]
