"""The model families that can be trained and asked, one row each.

A new family is one more row of `FAMILIES` (docs/extending.md). Its parts and its way to attend are asked from the model
itself, as transformers 5 names them for every family.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from storm import image_tokens


def _tower(vision: Any) -> tuple[int, int, int]:
    return vision.num_hidden_layers, vision.hidden_size, vision.intermediate_size


def _qwen_tower(vision: Any) -> tuple[int, int, int]:
    return vision.depth, vision.hidden_size, vision.intermediate_size


def _qwen2_tower(vision: Any) -> tuple[int, int, int]:
    return vision.depth, vision.embed_dim, int(vision.embed_dim * vision.mlp_ratio)


@dataclass(frozen=True)
class Family:
    """What our code must know of a family of models beside what transformers and LLaMA-Factory know."""

    name: str
    title: str
    model_type: str  # in config.json
    template: str  # LLaMA-Factory's name of the chat template
    # (model configuration, width, height, settings of the image processor) -> tokens of an image, for each line of them
    token_lines: Callable[[Any, int, int, Mapping], tuple[int, ...]]  # a function of storm/image_tokens.py
    tokens_around: int  # tokens beside those of an image that a prompt has for it, at most
    system: str = ""  # the template's own system message, which a server must be sent
    keys: Mapping[str, Any] = field(default_factory=dict)  # of LLaMA-Factory, and of a server's template
    text_type: str = ""  # model_type in text_config, if only these models are of the family
    vision_type: str = ""  # model_type in vision_config, if only these models are of the family
    vocab_size: int = 0  # vocab_size in text_config, if only these models are of the family
    # (layers, width, width of the MLP) of the vision tower from vision_config, for the estimate of the memory
    tower: Callable[[Any], tuple[int, int, int]] = _tower
    patches_per_token: Callable[[Any], float] = lambda config: 1  # of an image
    # Patches of an image with padding, for which no token stands; 0 if there is none. Arguments as of token_lines
    padded_patches: Callable[[Any, int, int, Mapping], int] = lambda config, width, height, settings: 0
    # What the image processor does, if its file is not there.
    processor: Mapping[str, Any] = field(default_factory=dict)
    no_fa2: str = ""  # why a training must not have flash_attn: fa2
    # Parts of the names of parameters that the forward pass does not use, so that they get no gradient
    idle: Callable[[Any], tuple[str, ...]] = lambda config: ()
    # How transformers 5 saves the names of weights -> how they are called in memory: (pattern, replacement), in order.
    # Families of one model_type have the same.
    in_memory: tuple[tuple[str, str], ...] = ()


# preprocessor_config.json on the hub.
_QWEN2 = {"size": {"shortest_edge": 3136, "longest_edge": 12_845_056}}
_QWEN3 = {"size": {"shortest_edge": 65_536, "longest_edge": 16_777_216}}
_SAVED = (
    (r"^language_model\.model\.", "model.language_model."),
    (r"^language_model\.lm_head\.", "lm_head."),
    (r"^(vision_tower\.|multi_modal_projector\.|image_newline)", r"model.\1"),
)
_HELPFUL = "You are a helpful assistant."
_CURIOUS = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
_QWEN_SAVED = ((r"^visual\.", "model.visual."), (r"^model\.(?!visual\.|language_model\.)", "model.language_model."))


# LLaMA-Factory 0.9.5 (model/patcher.py) and transformers 5.2.0 (masking_utils.py), read; a test tries the tower.
_NO_LINEAR = "LLaMA-Factory then needs flash-linear-attention, and ends without it"
_NO_TOWER = "its vision tower (SigLIP 2) has no FlashAttention-2 in transformers"
_NO_MASK = "FlashAttention-2 drops the mask by which the tokens of an image see each other"


def _merged(config: Any) -> int:
    return config.vision_config.spatial_merge_size**2


def _clip_rest(config: Any) -> tuple[str, ...]:
    """The layers of CLIP behind the last one that is read (-2: the last but one), and the norm of its pooled output."""
    layers, read = config.vision_config.num_hidden_layers, config.vision_feature_layer
    # Output 0 is that of the embeddings, so output n is that of layer n - 1.
    last = max(number % (layers + 1) for number in ([read] if isinstance(read, int) else read))
    tower = "vision_tower.vision_model."
    return f"{tower}post_layernorm.", *(f"{tower}encoder.layers.{layer}." for layer in range(last, layers))


# Templates: LLaMA-Factory's extras/constants.py. "_nothink" is that of the Instruct models. Qwen3.5 thinks unless the
# prompt ends with an empty thought, which enable_thinking: false writes.
# fmt: off
_ROWS = (
    Family(
        name="qwen2_5_vl", title="Qwen2.5-VL", model_type="qwen2_5_vl", template="qwen2_vl", system=_HELPFUL,
        token_lines=image_tokens.merged_patches, tokens_around=2, tower=_qwen_tower, patches_per_token=_merged,
        processor=_QWEN2, in_memory=_QWEN_SAVED,
    ),
    Family(
        name="qwen2_vl", title="Qwen2-VL", model_type="qwen2_vl", template="qwen2_vl", system=_HELPFUL,
        token_lines=image_tokens.merged_patches, tokens_around=2, tower=_qwen2_tower, patches_per_token=_merged,
        processor=_QWEN2, in_memory=_QWEN_SAVED,
    ),
    Family(
        name="qwen3_vl", title="Qwen3-VL", model_type="qwen3_vl", template="qwen3_vl_nothink",
        token_lines=image_tokens.merged_patches, tokens_around=2, tower=_qwen_tower, patches_per_token=_merged,
        processor=_QWEN3,
    ),
    Family(
        name="qwen3_5", title="Qwen3.5", model_type="qwen3_5", template="qwen3_5", keys={"enable_thinking": False},
        token_lines=image_tokens.merged_patches, tokens_around=2, tower=_qwen_tower, patches_per_token=_merged,
        processor=_QWEN3, no_fa2=_NO_LINEAR,
    ),
    Family(
        name="llava", title="LLaVA-1.5", model_type="llava", template="llava", vision_type="clip_vision_model",
        text_type="llama", vocab_size=32064,
        token_lines=image_tokens.one_square, tokens_around=0, in_memory=_SAVED, system=_CURIOUS, idle=_clip_rest,
    ),
    Family(
        name="llava_next", title="LLaVA-NeXT (Vicuna)", model_type="llava_next", template="llava_next",
        text_type="llama", vocab_size=32064, token_lines=image_tokens.square_and_crops, tokens_around=0,
        padded_patches=image_tokens.whole_crops, in_memory=_SAVED, system=_CURIOUS, idle=_clip_rest,
    ),
    Family(
        name="llava_next_mistral", title="LLaVA-NeXT (Mistral)", model_type="llava_next",
        template="llava_next_mistral", text_type="mistral", token_lines=image_tokens.square_and_crops, tokens_around=0,
        padded_patches=image_tokens.whole_crops, in_memory=_SAVED, idle=_clip_rest,
    ),
    Family(
        name="internvl", title="InternVL (hf)", model_type="internvl", template="intern_vl",
        token_lines=image_tokens.tiles, tokens_around=2, in_memory=_SAVED,
        patches_per_token=lambda config: 1 / config.downsample_ratio**2,
        system="你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。",
    ),
    Family(
        name="gemma3", title="Gemma 3", model_type="gemma3", template="gemma3",
        token_lines=image_tokens.pooled_square, tokens_around=6, in_memory=_SAVED, no_fa2=_NO_MASK,
        patches_per_token=lambda config: image_tokens.one_square(config, 0, 0, {})[0] / config.mm_tokens_per_image,
    ),
    Family(
        name="lfm2_vl", title="LFM2-VL", model_type="lfm2_vl", template="lfm2_vl",
        system="You are a helpful multimodal assistant by Liquid AI.",
        token_lines=image_tokens.shrunk_patches, tokens_around=0,
        patches_per_token=lambda config: config.downsample_factor**2,
        padded_patches=image_tokens.most_patches, no_fa2=_NO_TOWER,
        # The defaults of transformers' Lfm2VlImageProcessorFast.
        processor={"encoder_patch_size": 16, "downsample_factor": 2, "min_image_tokens": 64, "max_image_tokens": 256,
                   "max_pixels_tolerance": 2.0, "do_image_splitting": True, "tile_size": 512},
    ),
    Family(
        name="pixtral", title="Pixtral", model_type="llava", template="pixtral", vision_type="pixtral",
        token_lines=image_tokens.lines_of_patches, tokens_around=1, in_memory=_SAVED,
        processor={"size": {"longest_edge": 1024}, "patch_size": {"height": 16, "width": 16}},
    ),
    Family(
        name="paligemma", title="PaliGemma", model_type="paligemma", template="paligemma", text_type="gemma",
        token_lines=image_tokens.one_square, tokens_around=0, in_memory=_SAVED, no_fa2=_NO_MASK,
    ),
)
# fmt: on
FAMILIES = {row.name: row for row in _ROWS}
