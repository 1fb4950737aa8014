"""Workers prepare the same blocks in the same order: the answers are those without, errors included."""

import pytest

from storm.rows import Example
from storm.scales import IQA

pytestmark = pytest.mark.slow  # imports torch and LLaMA-Factory


@pytest.fixture
def rater(base, tmp_path):
    import numpy as np
    import torch
    from PIL import Image

    from eval.inference.model import load
    from eval.inference.rater import Rater
    from eval.inference.settings import Settings

    torch.set_num_threads(1)
    for number in range(11):
        noise = np.random.default_rng(number).integers(0, 256, (40 + 7 * number, 60, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    (tmp_path / "5.png").write_bytes(b"damaged")
    settings = Settings(model=str(base), media=tmp_path, image_max_pixels=12544)
    return Rater(load(settings, torch.device("cpu")), settings)


@pytest.mark.parametrize("workers", [1, 3])
def test_answers_are_those_without_workers(rater, workers):
    from eval.inference.ahead import prepared

    rows = [Example(str(n), "spaq", f"{n}.png", 0, IQA, "cot") for n in range(11)]
    blocks = [rows[begin : begin + 2] for begin in range(0, len(rows), 2)]
    ahead = [rater.answer(block) for block in prepared(rater, lambda: blocks, workers)]
    assert ahead == [rater.rate(block) for block in blocks]
    assert "error" in ahead[2][1] and "probs" in ahead[2][0]


def test_out_of_memory_reads_pieces_again(rater, monkeypatch):
    import torch

    rows = [Example(str(n), "spaq", f"{n}.png", 0, IQA, "cot") for n in range(4)]
    whole, predict = rater.rate(rows), rater._predict_batch

    def small(block, inputs):
        if len(block) > 1:
            raise torch.OutOfMemoryError
        return predict(block, inputs)

    monkeypatch.setattr(rater, "_predict_batch", small)
    pieces = rater.answer(rater.prepare(rows))
    assert [row["predict"] for row in pieces] == [row["predict"] for row in whole] and rater.max_batch == 1
