"""Rows that are scored while training go through the model in blocks that fit beside it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from storm.rows import Example
from storm.scales import IQA

pytestmark = pytest.mark.slow  # imports torch


def test_a_block_has_at_most_the_tokens_of_a_training_batch(monkeypatch):
    import torch

    from train.training import scores

    monkeypatch.setattr(scores, "prompt_tokens", lambda rater: lambda row: 100 if row.label else 300)
    rows = [Example(str(number), "my", "x.png", number % 2, IQA, "cot", file=Path("x")) for number in range(8)]
    args = SimpleNamespace(device=torch.device("cpu"), per_device_train_batch_size=2)
    setting = SimpleNamespace(
        recipe={"media_dir": "."},
        model_args=SimpleNamespace(image_max_pixels=12544),
        data_args=SimpleNamespace(cutoff_len=300),
        val={"my_val": rows},
    )
    [blocks] = scores.Scores(SimpleNamespace(args=args), None, setting).blocks.values()
    assert [len(block) for block in blocks] == [2, 2, 4], "600 tokens: two long prompts, or six short ones"
    assert sorted(row.id for block in blocks for row in block) == [row.id for row in rows]
