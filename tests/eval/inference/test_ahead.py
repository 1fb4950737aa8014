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
    ahead = [rater.begin(block)() for block in prepared(rater, blocks, workers)]
    assert ahead == [rater.rate(block) for block in blocks]
    assert "error" in ahead[2][1] and "probs" in ahead[2][0]


def test_inputs_one_by_one_are_those_of_the_host(rater):
    """Images of one size and of several, left-padded."""
    import torch

    from eval.inference.model import collate
    from storm.images import load_rgb

    for numbers in ((0, 0, 0), (1, 10, 4), (7,)):
        rows = [Example(str(n), "spaq", f"{n}.png", 0, IQA, "cot") for n in numbers]
        images = [load_rgb(rater.settings.media / row.image) for row in rows]
        whole, ours = collate(rater.loaded, [row.question for row in rows], images), rater.prepare(rows).inputs
        assert whole.keys() == ours.keys() and len(whole) >= 4
        for key, value in whole.items():
            assert value.dtype == ours[key].dtype and torch.equal(value, ours[key]), key


def test_a_family_that_pads_images_puts_them_together_itself(rater, monkeypatch):
    import torch

    from eval.inference import rater as module

    def padded(loaded, questions, images):
        asked.append(len(images))
        return {"input_ids": torch.ones(len(images), 5), "pixel_values": torch.ones(len(images), images[0].height)}

    asked = []
    monkeypatch.setattr(module, "collate", padded)
    rows = [Example(str(n), "spaq", f"{n}.png", 0, IQA, "cot") for n in (1, 5, 3)]
    for _ in range(2):
        prepared = rater.prepare(rows)
        assert prepared.inputs["input_ids"].shape == (2, 5) and list(prepared.errors) == ["5"]
    assert asked == [1, 1, 2, 2]


def test_out_of_memory_reads_pieces_again(rater, monkeypatch):
    import torch

    rows = [Example(str(n), "spaq", f"{n}.png", 0, IQA, "cot") for n in range(4)]
    whole, predict = rater.rate(rows), rater._predict_batch

    def small(block, inputs):
        if len(block) > 1:
            raise torch.OutOfMemoryError
        return predict(block, inputs)

    lowered = []
    monkeypatch.setattr(rater, "lowered", lowered.append)
    monkeypatch.setattr(rater, "_predict_batch", small)
    pieces = rater.begin(rater.prepare(rows))()
    assert [row["predict"] for row in pieces] == [row["predict"] for row in whole]
    assert rater.max_tokens < sum(len(ids) for ids in rater.loaded.prompts.values())
    assert len(lowered) == 2 and lowered[-1] == rater.max_tokens
