"""A tiny random model of each family, saved as Hugging Face lays it out: configuration, weights, tokenizer, processor.

The tokens that a family needs are those of its real models; the words are a small byte-level BPE's.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from demo.model import SPECIAL as QWEN
from demo.model import tokenizer as learned_tokenizer

LAYERS, HIDDEN, HEADS, INNER = 2, 64, 4, 128
TEXT = {
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 2,
    "head_dim": HIDDEN // HEADS,
    "max_position_embeddings": 4096,
    "initializer_range": 0.15,  # an answer then depends on the image, which it would hardly with the usual 0.02
    "tie_word_embeddings": False,  # tied, so small a model repeats its last token
}
VISION = {"hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
MROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}
MERGED = {"depth": 2, "hidden_size": HIDDEN, "intermediate_size": INNER, "num_heads": HEADS, "out_hidden_size": HIDDEN}


@dataclass(frozen=True)
class Tiny:
    """How a family's tiny model is made. Classes are names in transformers."""

    config: str
    model: str
    processor: str
    image_processor: str
    text: Mapping[str, Any]
    vision: Mapping[str, Any]
    sizes: Mapping[str, Any] = field(default_factory=dict)  # of the image processor
    more: Mapping[str, Any] = field(default_factory=dict)  # of the processor
    whole: Callable[[Callable[[str], int]], dict] = lambda of: {}  # of the configuration, from the tokens' numbers
    specials: tuple[str, ...] = tuple(QWEN)
    named: Mapping[str, str] = field(default_factory=dict)  # attributes of the tokenizer
    bos: str | None = None
    eos: str = "<|im_end|>"
    pad: str = "<|endoftext|>"
    video_processor: str = ""
    vocabulary: int = 0  # if more than the tokenizer's


def _qwen_ids(of: Callable[[str], int]) -> dict:
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return {key: of(token) for key, token in names.items()}


def _image_id(token: str, **more: Any) -> Callable[[Callable[[str], int]], dict]:
    return lambda of: {"image_token_id": of(token), "image_token_index": of(token), **more}


CLIP = {"model_type": "clip_vision_model", **VISION, "image_size": 56, "patch_size": 14, "projection_dim": HIDDEN}
SIGLIP = {"model_type": "siglip_vision_model", **VISION, "image_size": 56, "patch_size": 14, "vision_use_head": False}
LLAMA = ("<s>", "</s>", "<unk>", "<pad>", "<image>")
CROP = {"size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}}
GRIDS = {"image_grid_pinpoints": [[56, 112], [112, 56], [112, 112], [168, 56], [56, 168]]}
PATCHES = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
TINY = {
    "qwen2_5_vl": Tiny(
        "Qwen2_5_VLConfig", "Qwen2_5_VLForConditionalGeneration", "Qwen2_5_VLProcessor", "Qwen2VLImageProcessor",
        text=TEXT | {"rope_parameters": MROPE}, vision=MERGED | {"fullatt_block_indexes": [1]},
        whole=_qwen_ids, video_processor="Qwen2VLVideoProcessor",
    ),
    "qwen2_vl": Tiny(
        "Qwen2VLConfig", "Qwen2VLForConditionalGeneration", "Qwen2VLProcessor", "Qwen2VLImageProcessor",
        text=TEXT | {"rope_parameters": MROPE},
        vision={"depth": 2, "embed_dim": HIDDEN, "hidden_size": HIDDEN, "num_heads": HEADS},
        whole=_qwen_ids, video_processor="Qwen2VLVideoProcessor",
    ),
    "qwen3_vl": Tiny(
        "Qwen3VLConfig", "Qwen3VLForConditionalGeneration", "Qwen3VLProcessor", "Qwen2VLImageProcessor",
        text=TEXT | {"rope_parameters": MROPE},
        vision=MERGED | {"patch_size": 16, "deepstack_visual_indexes": [0], "num_position_embeddings": 64},
        sizes={"patch_size": 16}, whole=_qwen_ids, video_processor="Qwen3VLVideoProcessor",
    ),
    "qwen3_5": Tiny(
        "Qwen3_5Config", "Qwen3_5ForConditionalGeneration", "Qwen3VLProcessor", "Qwen2VLImageProcessor",
        text=TEXT
        | {
            "rope_parameters": MROPE | {"mrope_section": [1, 1, 2], "partial_rotary_factor": 0.5},
            "layer_types": ["linear_attention", "full_attention"],
            "linear_key_head_dim": 16, "linear_value_head_dim": 16, "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
        },
        vision=MERGED | {"patch_size": 16, "num_position_embeddings": 64},
        sizes={"patch_size": 16}, whole=_qwen_ids, video_processor="Qwen3VLVideoProcessor",
    ),
    "llava": Tiny(
        "LlavaConfig", "LlavaForConditionalGeneration", "LlavaProcessor", "CLIPImageProcessor",
        text={"model_type": "llama", **TEXT}, vision=CLIP, vocabulary=32064, sizes=CROP, more=PATCHES,
        whole=_image_id("<image>"), specials=LLAMA, bos="<s>", eos="</s>", pad="<pad>",
    ),
    "llava_next": Tiny(
        "LlavaNextConfig", "LlavaNextForConditionalGeneration", "LlavaNextProcessor", "LlavaNextImageProcessor",
        text={"model_type": "llama", **TEXT}, vision=CLIP, vocabulary=32064, sizes=CROP | GRIDS, more=PATCHES,
        whole=_image_id("<image>", **GRIDS), specials=LLAMA, bos="<s>", eos="</s>", pad="<pad>",
    ),
    "llava_next_mistral": Tiny(
        "LlavaNextConfig", "LlavaNextForConditionalGeneration", "LlavaNextProcessor", "LlavaNextImageProcessor",
        text={"model_type": "mistral", **TEXT, "sliding_window": 200}, vision=CLIP, sizes=CROP | GRIDS, more=PATCHES,
        whole=_image_id("<image>", **GRIDS), specials=LLAMA, bos="<s>", eos="</s>", pad="<pad>",
    ),
    "internvl": Tiny(
        "InternVLConfig", "InternVLForConditionalGeneration", "InternVLProcessor", "GotOcr2ImageProcessor",
        text={"model_type": "qwen2", **TEXT},
        vision=VISION | {"image_size": [56, 56], "patch_size": [14, 14], "hidden_act": "gelu"},
        sizes={"size": {"height": 56, "width": 56}}, more={"image_seq_length": 4},
        whole=_image_id("<IMG_CONTEXT>", image_seq_length=4),
        specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"),
        named={
            "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        video_processor="InternVLVideoProcessor",
    ),
    "gemma3": Tiny(
        "Gemma3Config", "Gemma3ForConditionalGeneration", "Gemma3Processor", "Gemma3ImageProcessor",
        text=TEXT
        | {
            "layer_types": ["sliding_attention", "full_attention"], "sliding_window": 40,
            "query_pre_attn_scalar": HIDDEN // HEADS,
        },
        vision=SIGLIP, sizes={"size": {"height": 56, "width": 56}}, more={"image_seq_length": 4},
        whole=lambda of: {
            "mm_tokens_per_image": 4, "image_token_index": of("<image_soft_token>"),
            "boi_token_index": of("<start_of_image>"), "eoi_token_index": of("<end_of_image>"),
        },
        specials=(
            "<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>",
            "<image_soft_token>",
        ),
        named={"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"},
        bos="<bos>", eos="<eos>", pad="<pad>",
    ),
    "lfm2_vl": Tiny(
        "Lfm2VlConfig", "Lfm2VlForConditionalGeneration", "Lfm2VlProcessor", "Lfm2VlImageProcessorFast",
        text={key: value for key, value in TEXT.items() if key != "head_dim"}
        | {"model_type": "lfm2", "layer_types": ["conv", "full_attention"], "block_ff_dim": INNER, "block_dim": HIDDEN},
        vision={"model_type": "siglip2_vision_model", **VISION, "num_patches": 64, "patch_size": 16,
                "vision_use_head": False},
        whole=_image_id("<image>"),
        specials=(
            "<|pad|>", "<|startoftext|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<|image_start|>",
            "<|image_end|>", "<|img_thumbnail|>",
        ),
        named={"image_token": "<image>"}, bos="<|startoftext|>", pad="<|pad|>",
    ),
    "pixtral": Tiny(
        "LlavaConfig", "LlavaForConditionalGeneration", "PixtralProcessor", "PixtralImageProcessor",
        text={"model_type": "mistral", **TEXT},
        vision={"model_type": "pixtral", **VISION, "image_size": 128, "patch_size": 16, "head_dim": HIDDEN // HEADS},
        sizes={"size": {"longest_edge": 128}, "patch_size": {"height": 16, "width": 16}}, more={"patch_size": 16},
        whole=_image_id("[IMG]", vision_feature_layer=-1, vision_feature_select_strategy="full"),
        specials=("<s>", "</s>", "<unk>", "<pad>", "[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]"),
        bos="<s>", eos="</s>", pad="<pad>",
    ),
    "paligemma": Tiny(
        "PaliGemmaConfig", "PaliGemmaForConditionalGeneration", "PaliGemmaProcessor", "SiglipImageProcessor",
        text={"model_type": "gemma", **TEXT, "hidden_act": "gelu_pytorch_tanh"}, vision=SIGLIP,
        sizes={"size": {"height": 56, "width": 56}, "image_seq_length": 16},
        whole=_image_id("<image>", projection_dim=HIDDEN),
        specials=("<pad>", "<eos>", "<bos>", "<image>"), named={"image_token": "<image>"},
        bos="<bos>", eos="<eos>", pad="<pad>",
    ),
}  # fmt: skip


@cache
def _backend() -> str:
    return learned_tokenizer().backend_tokenizer.to_str()


def tokenizer(tiny: Tiny) -> Any:
    """The words of the demo's tokenizer and the special tokens of a family."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    backend = json.loads(_backend())
    kept = [token for token in backend["added_tokens"] if token["content"] in tiny.specials]
    backend["added_tokens"] = kept
    names = {"eos_token": tiny.eos, "pad_token": tiny.pad, **({"bos_token": tiny.bos} if tiny.bos else {})}
    whole = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(backend)), **names, **tiny.named)
    whole.add_special_tokens({"additional_special_tokens": list(tiny.specials)})
    return whole


def save(name: str, folder: Path, seed: int = 0) -> Path:
    """Write the tiny model of a family to a folder, and return it."""
    import torch
    import transformers

    tiny = TINY[name]
    words = tokenizer(tiny)
    of = words.convert_tokens_to_ids
    ends = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    text = {**tiny.text, "vocab_size": tiny.vocabulary or len(words), **ends}
    config = getattr(transformers, tiny.config)(
        text_config=text, vision_config=dict(tiny.vision), tie_word_embeddings=False, **tiny.whole(of)
    )
    torch.manual_seed(seed)
    model = getattr(transformers, tiny.model)(config)
    model.generation_config.eos_token_id = words.eos_token_id
    model.generation_config.pad_token_id = words.pad_token_id
    parts = {"image_processor": getattr(transformers, tiny.image_processor)(**tiny.sizes), "tokenizer": words}
    if tiny.image_processor == "SiglipImageProcessor":
        parts["image_processor"].image_seq_length = tiny.sizes["image_seq_length"]
    if tiny.video_processor:
        parts["video_processor"] = getattr(transformers, tiny.video_processor)()
    processor = getattr(transformers, tiny.processor)(**parts, **tiny.more)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
