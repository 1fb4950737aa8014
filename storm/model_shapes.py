"""The shapes of models on the Hugging Face hub, as their config.json has them, for those who have not downloaded them.

preflight counts parameters, tokens and memory by them; tests compare the numbers of parameters with the hub's.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_KEYS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
_KEYS += ("intermediate_size", "vocab_size", "tie_word_embeddings")


def _qwen2_5_vl(*values: int | bool) -> "PretrainedConfig":
    """A Qwen2.5-VL by the values of _KEYS."""
    from transformers import Qwen2_5_VLConfig

    text = dict(zip(_KEYS, values, strict=True)) | {
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        "max_position_embeddings": 128000,
    }
    vision = {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "patch_size": 14,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
        "out_hidden_size": text["hidden_size"],
    }
    return Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=text["tie_word_embeddings"])


def _qwen3_vl(depth: int, width: int, inner: int, taken: list[int], *values: int | bool) -> "PretrainedConfig":
    """A Qwen3-VL by its vision tower (layers, widths, layers whose features go on) and the values of _KEYS."""
    from transformers import Qwen3VLConfig

    text = dict(zip(_KEYS, values, strict=True)) | {
        "head_dim": 128,
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20], "mrope_interleaved": True,
        },
        "max_position_embeddings": 262144,
    }  # fmt: skip
    vision = {"depth": depth, "hidden_size": width, "intermediate_size": inner, "num_heads": 16, "patch_size": 16}
    vision |= {"num_position_embeddings": 2304, "deepstack_visual_indexes": taken}
    vision |= {"out_hidden_size": text["hidden_size"]}
    return Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=text["tie_word_embeddings"])


def _llava_1_5_7b() -> "PretrainedConfig":
    from transformers import LlavaConfig

    # LlavaConfig's own defaults are CLIP ViT-L/14-336 and a 7B Llama.
    return LlavaConfig(text_config={"model_type": "llama", "vocab_size": 32064, "intermediate_size": 11008})


# Name on the hub -> its configuration.
SHAPES: dict[str, Callable[[], "PretrainedConfig"]] = {
    "Qwen/Qwen2.5-VL-3B-Instruct": lambda: _qwen2_5_vl(2048, 36, 16, 2, 11008, 151936, True),
    "Qwen/Qwen2.5-VL-7B-Instruct": lambda: _qwen2_5_vl(3584, 28, 28, 4, 18944, 152064, False),
    "Qwen/Qwen3-VL-4B-Instruct": lambda: _qwen3_vl(24, 1024, 4096, [5, 11, 17], 2560, 36, 32, 8, 9728, 151936, True),
    "Qwen/Qwen3-VL-8B-Instruct": lambda: _qwen3_vl(27, 1152, 4304, [8, 16, 24], 4096, 36, 32, 8, 12288, 151936, False),
    "llava-hf/llava-1.5-7b-hf": _llava_1_5_7b,
}
