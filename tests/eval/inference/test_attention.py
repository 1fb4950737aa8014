"""FlashAttention-2 goes to a Qwen vision tower on a GPU, in 16 bits, where it is installed; never to the text model.

The package cannot be installed on a machine without a GPU: this tests what is chosen, not its numbers.
"""

from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.slow  # imports torch and transformers


@pytest.fixture
def installed(monkeypatch):
    """As if flash-attn were there."""
    from transformers import PreTrainedModel

    from eval.inference import attention

    monkeypatch.setattr(attention, "is_flash_attn_2_available", lambda: True)
    monkeypatch.setattr(PreTrainedModel, "get_correct_attn_implementation", lambda self, name, *_: name or "sdpa")


@pytest.fixture
def model(base):
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(base, attn_implementation="sdpa")


@pytest.mark.parametrize("adapted", [False, True])
def test_the_tower_changes_and_the_text_model_does_not(installed, model, adapted):
    from peft import LoraConfig, get_peft_model

    from eval.inference.attention import _switch

    asked = get_peft_model(model, LoraConfig(target_modules=["q_proj"])) if adapted else model
    assert _switch(asked)
    towers = [model.model.visual, *(block.attn for block in model.model.visual.blocks)]
    assert {part.config._attn_implementation for part in towers} == {"flash_attention_2"}
    layers = [model, model.model.language_model, *(layer.self_attn for layer in model.model.language_model.layers)]
    assert {part.config._attn_implementation for part in layers} == {"sdpa"}


def test_a_tower_of_one_size_stays_as_it_is(installed):
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    from eval.inference.attention import _switch

    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlavaConfig(
        vision_config=small | {"model_type": "clip_vision_model", "image_size": 28, "patch_size": 14},
        text_config=small | {"model_type": "llama", "vocab_size": 9},
    )
    model = LlavaForConditionalGeneration(config)
    assert not _switch(model) and model.config.vision_config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    ("device", "kind", "there", "chosen"),
    [
        ("cuda", "bfloat16", True, True),
        ("cuda", "float16", True, True),
        ("cuda", "float32", True, False),
        ("cpu", "bfloat16", True, False),
        ("cuda", "bfloat16", False, False),
    ],
)
def test_only_on_a_gpu_in_16_bits_where_it_is_installed(monkeypatch, device, kind, there, chosen):
    import torch

    from eval.inference import attention

    weight = SimpleNamespace(device=SimpleNamespace(type=device), dtype=getattr(torch, kind))
    model = SimpleNamespace(parameters=lambda: iter([weight]))
    monkeypatch.setattr(attention, "is_flash_attn_2_available", lambda: there)
    monkeypatch.setattr(attention, "_switch", lambda _: True)
    assert attention.flash_in_tower(model) is chosen
