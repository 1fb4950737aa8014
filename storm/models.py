"""The model families that can be trained and asked, one row each, and the configuration of a model by its name.

A family is what config.json calls `model_type`. A new one is one more row of `FAMILIES` (docs/extending.md).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig

RECIPES = Path(__file__).resolve().parent.parent / "recipes"


# How many tokens an image becomes: (vision_config, width, height, least and most pixels of the image processor).
def _merged_patches(vision: Any, width: int, height: int, pixels: tuple[int, int]) -> int:
    """Qwen2-VL and later: a token for each square of patches, after the processor's own resizing."""
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    factor = vision.patch_size * vision.spatial_merge_size
    tall, wide = smart_resize(height, width, factor, *pixels)
    return (tall // factor) * (wide // factor)


def _fixed_patches(vision: Any, width: int, height: int, pixels: tuple[int, int]) -> int:
    """LLaVA-1.5: every image is resized to one size."""
    return (vision.image_size // vision.patch_size) ** 2


_QWEN_VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "patch_size": 14,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
}
_QWEN_TEXT = {
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    "max_position_embeddings": 128000,
}


_QWEN_KEYS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
_QWEN_KEYS += ("intermediate_size", "vocab_size", "tie_word_embeddings")


def _qwen2_5_vl(*values: int | bool) -> "PretrainedConfig":
    """The configuration of a Qwen2.5-VL by the values of _QWEN_KEYS."""
    from transformers import Qwen2_5_VLConfig

    text = _QWEN_TEXT | dict(zip(_QWEN_KEYS, values, strict=True))
    vision = _QWEN_VISION | {"out_hidden_size": text["hidden_size"]}
    return Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=text["tie_word_embeddings"])


def _llava_1_5_7b() -> "PretrainedConfig":
    from transformers import LlavaConfig

    # LlavaConfig's own defaults are CLIP ViT-L/14-336 and a 7B Llama.
    return LlavaConfig(text_config={"model_type": "llama", "vocab_size": 32064, "intermediate_size": 11008})


@dataclass(frozen=True)
class Family:
    """What our code must know of a family of models beside what transformers and LLaMA-Factory know."""

    model_type: str  # in config.json
    title: str
    template: str  # LLaMA-Factory's name of the chat template
    image_tokens: Callable[[Any, int, int, tuple[int, int]], int]
    text: str  # the language model: its name below `model.model`
    vision: str  # the vision tower: its name below `model.model`
    depth: str  # the key of vision_config that counts the tower's layers
    merge: str  # the key of vision_config whose square is the patches of an image token; "": a token is one patch
    mrope: bool  # whether a token's position has three parts (time, height, width)
    pixels: tuple[int, int] = (0, 0)  # least and most of the image processor, if its file is not there
    # How transformers 5 saves the names of weights -> how they are called in memory: (pattern, replacement), in order.
    # () if a training that goes on without DeepSpeed reads the saved names by itself.
    in_memory: tuple[tuple[str, str], ...] = ()
    shapes: Mapping[str, Callable[[], "PretrainedConfig"]] = field(default_factory=dict)  # name on the hub -> config


# Pixels: preprocessor_config.json of Qwen2.5-VL on the hub.
_QWEN_PIXELS = (3136, 12_845_056)
_QWEN_SAVED = ((r"^visual\.", "model.visual."), (r"^model\.(?!visual\.|language_model\.)", "model.language_model."))
# fmt: off
_ROWS = (
    Family(
        model_type="qwen2_5_vl", title="Qwen2.5-VL", template="qwen2_vl", image_tokens=_merged_patches,
        text="language_model", vision="visual", depth="depth", merge="spatial_merge_size", mrope=True,
        pixels=_QWEN_PIXELS, in_memory=_QWEN_SAVED,
        shapes={
            "Qwen/Qwen2.5-VL-3B-Instruct": lambda: _qwen2_5_vl(2048, 36, 16, 2, 11008, 151936, True),
            "Qwen/Qwen2.5-VL-7B-Instruct": lambda: _qwen2_5_vl(3584, 28, 28, 4, 18944, 152064, False),
        },
    ),
    Family(
        model_type="qwen2_vl", title="Qwen2-VL", template="qwen2_vl", image_tokens=_merged_patches,
        text="language_model", vision="visual", depth="depth", merge="spatial_merge_size", mrope=True,
        pixels=_QWEN_PIXELS,
    ),
    Family(
        model_type="llava", title="LLaVA-1.5", template="llava", image_tokens=_fixed_patches,
        text="language_model", vision="vision_tower", depth="num_hidden_layers", merge="", mrope=False,
        shapes={"llava-hf/llava-1.5-7b-hf": _llava_1_5_7b},
    ),
)
# fmt: on
FAMILIES = {row.model_type: row for row in _ROWS}
# As the config.json of each model on the Hugging Face hub has it; tests count their parameters.
SHAPES = {name: shape for family in FAMILIES.values() for name, shape in family.shapes.items()}


def family_of(config: "PretrainedConfig", name: str = "this model") -> Family:
    """The row of a configuration. Raises ValueError naming the model and the families that there are."""
    if config.model_type not in FAMILIES:
        known = ", ".join(f"{row.title} ({row.model_type})" for row in FAMILIES.values())
        raise ValueError(f"{name}: a {config.model_type} model is not supported; supported are {known}")
    return FAMILIES[config.model_type]


def tokens_of(
    config: "PretrainedConfig", size: tuple[int, int], limits: tuple[int, int], pixels: tuple[int, int]
) -> int:
    """How many tokens an image of (width, height) becomes, as LLaMA-Factory (data/mm_plugin.py) and the model count.

    limits: image_max_pixels and image_min_pixels of LLaMA-Factory. pixels: least and most of the image processor.
    """
    width, height = size
    for limit, beyond in ((limits[0], 1), (limits[1], -1)):
        if (width * height - limit) * beyond > 0:
            scale = math.sqrt(limit / (width * height))
            width, height = int(width * scale), int(height * scale)
    width, height = max(width, 28), max(height, 28)
    if max(width, height) > 200 * min(width, height):
        width, height = min(width, height * 180), min(height, width * 180)
    return family_of(config).image_tokens(config.vision_config, width, height, pixels)


def config(name: str) -> "PretrainedConfig":
    """The configuration of a local model folder, or of a model of `SHAPES`. Asks no network.

    Raises ValueError naming the model and the fix.
    """
    from transformers import AutoConfig

    if (file := Path(name) / "config.json").is_file():
        try:
            return AutoConfig.from_pretrained(name, local_files_only=True)
        # For a damaged file transformers raises many types: OSError, ValueError, KeyError, TypeError ...
        except Exception as error:
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"{file}: not the configuration of a model ({why}); download or train it again") from None
    if Path(name).is_dir():
        raise ValueError(f"{name}: no config.json in it, so it is not a model folder (did its training finish?)")
    if name in SHAPES:
        return SHAPES[name]()
    if Path(name).parts[:1] == ("saves",):
        raise ValueError(f"{name}: no such model folder; {_maker(Path(name).parts[-1])}")
    try:
        return AutoConfig.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError):
        raise ValueError(f"{name}: no such model folder, and not in the download cache: hf download {name}") from None


def _maker(stem: str) -> str:
    """The command that makes saves/<stem>."""
    if stem == "demo_base":
        return "make it: python -m demo.model"
    if (RECIPES / f"{stem}.yaml").exists():
        return f"make it: llamafactory-cli train recipes/{stem}.yaml"
    return "train it first"
