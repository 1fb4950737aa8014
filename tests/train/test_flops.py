"""FLOPs of a training: as torch counts them, and an estimate that is near."""

import pytest

from train.flops import Weights, estimated_flops, train_flops, weights_of


@pytest.mark.slow  # imports torch
@pytest.mark.parametrize("frozen", [False, True])
def test_flops_are_those_torch_counts(frozen):
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import Qwen2_5_VLForConditionalGeneration

    from demo import model as demo

    config = demo.config(demo.tokenizer())
    config.text_config.num_key_value_heads = 2
    config.vision_config.fullatt_block_indexes = [1]  # the other has windows, four of 8 x 8 patches
    config._attn_implementation = "eager"
    model = Qwen2_5_VLForConditionalGeneration(config).train()
    model.model.visual.requires_grad_(not frozen)
    patches, words = 16 * 16, 100
    ids = torch.tensor([[1] * words + [config.image_token_id] * (patches // 4) + [2] * 20])
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
    batch |= {"mm_token_type_ids": (ids == config.image_token_id).long(), "image_grid_thw": torch.tensor([[1, 16, 16]])}
    with FlopCounterMode(display=False) as counter:
        model(pixel_values=torch.randn(patches, 3 * 2 * 14 * 14), **batch).loss.backward()
    keys = {"freeze_vision_tower": frozen, "freeze_multi_modal_projector": frozen}
    flops = train_flops(config, ids.numel(), patches, keys)
    assert flops == pytest.approx(counter.get_total_flops(), rel=0.01)


@pytest.mark.slow  # imports torch
@pytest.mark.parametrize("frozen", [False, True])
def test_the_estimate_is_near_the_count(frozen):
    """A Qwen2.5-VL-3B on an image of a megapixel: within 15%, and too low, since it leaves out what attention does."""
    import torch
    from transformers import AutoModelForImageTextToText

    from storm import models

    config = models.config("Qwen/Qwen2.5-VL-3B-Instruct")
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    model.model.visual.requires_grad_(not frozen)
    text, tower = weights_of(model)
    assert text.all + tower.all == 3_754_622_976, "the output layer is the input embedding"
    assert (tower.trained == 0) == frozen and text.trained <= text.all
    keys = {"freeze_vision_tower": frozen, "freeze_multi_modal_projector": frozen}
    ratio = estimated_flops(text, tower, 1780, 5120, False) / train_flops(config, 1780, 5120, keys)
    assert 0.85 < ratio < 1, ratio


def test_the_estimate_by_hand():
    text, tower = Weights(1000, 1000), Weights(100, 0)
    assert estimated_flops(text, tower, 10, 40, False) == 10 * 6 * 1000 + 40 * 2 * 100
    assert estimated_flops(text, tower, 10, 40, True) == 10 * 8 * 1000 + 40 * 2 * 100
    assert estimated_flops(text, Weights(100, 100), 10, 40, True) == 10 * 8 * 1000 + 40 * 8 * 100
    assert estimated_flops(Weights(1000, 10), tower, 10, 40, True) == 10 * (6 * 1000 + 2 * 10) + 40 * 2 * 100
