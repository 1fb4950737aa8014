"""One forward pass over prompts and tries gives what the exact engine gives, and its loss is the host's."""

from copy import deepcopy
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from eval.inference import model
from eval.inference.exact import log_probabilities as exactly
from eval.inference.settings import Settings
from eval.inference.trie import trie
from storm.datasets import SCALES
from storm.prompts import question
from storm.scales import IQA
from tests.helpers.tiny_models import save
from train.training.block import Block
from train.training.trainer import mixed
from train.training.tree_batch import TARGET, Questions, TreeCollator, log_probabilities

pytestmark = pytest.mark.slow  # imports torch and LLaMA-Factory
FAMILIES = ("qwen2_5_vl", "qwen2_vl", "qwen3_vl", "llava", "llava_next", "internvl", "pixtral")
ROWS = ((IQA, "cot", 3, (56, 56)), (SCALES["adience"], "text", 0, (112, 84)), (SCALES["utk"], "cot", 30, (200, 64)))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    @cache
    def load(name: str) -> model.Loaded:
        base = save(name, tmp_path_factory.mktemp("models") / name)
        return model.load(Settings(model=str(base), image_max_pixels=12544, cutoff_len=4096), torch.device("cpu"))

    return load


def features(rater: model.Loaded) -> list[dict]:
    """Rows as the host's dataset has them, of three scales and sizes."""
    rows = []
    for scale, strategy, label, (width, height) in ROWS:
        pixels = np.random.default_rng(label).integers(0, 256, (height, width, 3), dtype=np.uint8)
        image, ids = Image.fromarray(pixels), []
        ids = model.encoded(rater, question(scale, strategy), image)
        target = [*model.answer_ids(rater, scale, strategy)[label], 5]  # a token behind the end, as the host's newline
        tokens = {"input_ids": [*ids, *target], "labels": [-100] * len(ids) + target, "images": [image]}
        rows.append(tokens | {"attention_mask": [1] * len(tokens["input_ids"])})
    return rows


@pytest.mark.parametrize("name", FAMILIES)
def test_answers_have_the_probabilities_of_the_exact_engine(loaded, name):
    rater = loaded(name)
    rows = features(rater)
    collator = replace(rater.collator, model=rater.model, tokenizer=deepcopy(rater.collator.tokenizer))  # the host's
    collator.tokenizer.padding_side = "right"
    batch = TreeCollator(collator, Questions(rater, [IQA, SCALES["adience"], SCALES["utk"]]))(rows)
    assert collator.tokenizer.padding_side == "right", "as the host left it"
    rater.model.requires_grad_(True)
    told = batch.pop(TARGET)
    assert [row.column for row in told] == [label - scale.lo for scale, _, label, _ in ROWS]
    logits = rater.model(**batch, use_cache=False).logits
    for number, ((scale, strategy, _, _), row) in enumerate(zip(ROWS, told)):
        ours = log_probabilities(logits, number, row.asked.trie)
        alone = model.collate(rater, [question(scale, strategy)], [rows[number]["images"][0]])
        expected = exactly(rater.model, alone, trie(model.answer_ids(rater, scale, strategy)))[0]
        assert torch.allclose(ours, expected, atol=1e-4), (ours - expected).abs().max()
    log_probabilities(logits, 0, told[0].asked.trie)[told[0].column].neg().backward()
    assert all(torch.isfinite(part.grad).all() for part in rater.model.parameters() if part.grad is not None)
    assert any(part.grad is not None and part.grad.abs().sum() > 0 for part in rater.model.get_decoder().parameters())
    rater.model.zero_grad()


def test_plain_training_beside_an_objective_is_the_hosts_without_what_follows_the_end(loaded):
    """The host also learns what its template writes behind the end token, a line break for Qwen's."""
    rater = loaded("qwen2_5_vl")
    rows, collator = features(rater), rater.collator
    host = replace(collator, model=rater.model, tokenizer=deepcopy(collator.tokenizer))
    host.tokenizer.padding_side = "right"
    batch = TreeCollator(host, Questions(rater, [scale for scale, *_ in ROWS]))(rows)
    asked = batch.pop(TARGET)
    setting = SimpleNamespace(block=Block(objective="soft", weight=0.0, sft=1.0), votes={})
    ours = mixed(rater.model(**batch, use_cache=False).logits, asked, setting)
    plain = dict(host([dict(row) for row in rows]))
    labels = plain.pop("labels")
    for row in labels:
        row[(row != -100).nonzero()[-1]] = -100
    logits = rater.model(**plain, use_cache=False).logits[:, :-1]
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels[:, 1:].flatten())
    assert ours.item() == pytest.approx(expected.item(), abs=1e-4)


def test_a_row_without_votes_is_named(loaded):
    rater = loaded("qwen2_5_vl")
    [first, *_] = features(rater)
    row, _ = Questions(rater, [IQA]).row(first["input_ids"], first["labels"], "images/a.jpg")
    logits = torch.zeros(1, len(row.asked.trie.tokens) + 1, rater.model.get_output_embeddings().weight.shape[0])
    block = Block(objective="soft", target="votes")
    with pytest.raises(ValueError, match=r"^images/a.jpg: "):
        mixed(logits, [row], SimpleNamespace(block=block, votes={}))
    votes = {("images/a.jpg", "iqa"): (0.0, 0.0, 0.5, 0.5, 0.0)}
    assert mixed(logits, [row], SimpleNamespace(block=block, votes=votes)).item() > 0


def test_rows_that_are_not_ours_are_named(loaded):
    rater = loaded("qwen2_5_vl")
    rows, collator = features(rater), TreeCollator(rater.collator, Questions(rater, [IQA]))
    rows[0]["images"] = ["a.jpg"]
    with pytest.raises(ValueError, match=r"its question is none of ours"):
        collator(rows[1:2])
    cut = rows[0]["labels"].index(next(label for label in rows[0]["labels"] if label >= 0)) + 3
    short = {key: value[:cut] if key != "images" else value for key, value in rows[0].items()}
    with pytest.raises(ValueError, match=r"a.jpg: its answer is not one of the 5"):
        collator([short])
