"""LLaMA-Factory's own loader takes a stanza of every dataset as data_prep writes it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.helpers.stand_ins import SOURCES, make
from data_prep.__main__ import main
from storm.prompts import answer
from data_prep.registry import dataset_info
from storm.datasets import SCALES

pytestmark = pytest.mark.slow  # imports torch and LLaMA-Factory
ROOT = Path(__file__).resolve().parent.parent
NAMES = [source.__name__ for source in SOURCES]


def test_a_stanza_of_each_dataset_loads(tmp_path, monkeypatch):
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    from demo import model

    make(tmp_path / "raw", 0.001)
    out = tmp_path / "data" / "storm"
    assert main(["--raw", str(tmp_path / "raw"), "--out", str(out), "--workers", "1"]) == 0
    shutil.copy(ROOT / "dataset_info.json", tmp_path)
    monkeypatch.setattr(model, "OUT", tmp_path / "base")
    model.main()
    strategies = ["", "_num", "_text", "_direct"]
    stanzas = [f"storm_{name}_test{strategies[i % 4]}" for i, name in enumerate(NAMES)]
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
    }
    model_args, data_args, training_args, _, _ = get_train_args(settings)
    modules = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(modules["tokenizer"], data_args)
    loaded = get_dataset(template, model_args, data_args, training_args, stage="sft", **modules)["train_dataset"]

    info = dataset_info()
    written = [json.loads(line) for s in stanzas for line in (tmp_path / info[s]["file_name"]).read_text().splitlines()]
    assert len(loaded) == len(written) >= len(NAMES)
    for row, tokens in zip(written, loaded):
        learned = modules["tokenizer"].decode([token for token in tokens["labels"] if token != -100])
        assert learned.removesuffix("<|im_end|>\n").removesuffix("<|im_end|>") == row["conversations"][1]["value"]
        assert row["conversations"][1]["value"] in {
            answer(SCALES[row["dataset"]], strategy, row["label"]) for strategy in ("cot", "num", "text", "direct")
        }
        assert tokens["images"] == [str(tmp_path / "raw" / row["images"][0])]
