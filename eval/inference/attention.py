"""FlashAttention-2 in a Qwen vision tower, on GPUs where it is installed.

With sdpa, such a tower calls attention for each window of each image and layer: 2,468 calls for a megapixel in
Qwen2.5-VL. FlashAttention-2 takes all windows of a layer in one call. The text model keeps sdpa, as a mask of four
dimensions lets each node of the trie see its ancestors only (eval/inference/exact.py), which FlashAttention-2 cannot.
"""

from inspect import signature

import torch
from transformers import PreTrainedModel
from transformers.utils import is_flash_attn_2_available

HALF = (torch.bfloat16, torch.float16)  # the only precisions that it knows


def flash_in_tower(model: torch.nn.Module) -> bool:
    """Switch the vision tower to FlashAttention-2 if that can be. Returns whether it was."""
    weights = next(model.parameters())
    if weights.device.type != "cuda" or weights.dtype not in HALF or not is_flash_attn_2_available():
        return False
    return _switch(model)


def _switch(model: torch.nn.Module) -> bool:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model  # of an adapter
    vision = getattr(base.config, "vision_config", None)
    towers = [part for part in base.modules() if isinstance(part, PreTrainedModel) and part.config is vision]
    # Towers that get the shapes of images of many sizes. Others call sdpa once a layer, which is as fast.
    if not any(one._supports_flash_attn and "grid_thw" in signature(one.forward).parameters for one in towers):
        return False
    base.set_attn_implementation({"vision_config": "flash_attention_2"})
    print("the vision tower uses FlashAttention-2")
    return True
