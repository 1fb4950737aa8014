"""The model families that can be trained and asked, one row each, and the configuration of a model by its name.

A new family is one more row of `FAMILIES` (docs/extending.md). Its parts and its way to attend are asked from the model
itself, as transformers 5 names them for every family.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storm import image_tokens
from storm.model_shapes import SHAPES

if TYPE_CHECKING:
    from transformers import PretrainedConfig

RECIPES = Path(__file__).resolve().parent.parent / "recipes"


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
    image_tokens: Callable[[Any, int, int, Mapping], tuple[int, ...]]  # storm/image_tokens.py
    around: int  # tokens beside those of an image that a prompt has for it, at most
    system: str = ""  # the template's own system message, which a server must be sent
    keys: Mapping[str, Any] = field(default_factory=dict)  # of LLaMA-Factory, and of a server's template
    text: str = ""  # model_type in text_config, if only these models are of the family
    vision: str = ""  # model_type in vision_config, if only these models are of the family
    vocabulary: int = 0  # vocab_size in text_config, if only these models are of the family
    # (layers, width, width of the MLP) of the vision tower from vision_config, for the estimate of the memory
    tower: Callable[[Any], tuple[int, int, int]] = _tower
    patches: Callable[[Any], float] = lambda config: 1  # that one image token stands for
    # Patches of an image with padding, for which no token stands; 0 if there is none. storm/image_tokens.py
    padded: Callable[[Any, int, int, Mapping], int] = lambda config, width, height, settings: 0
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
        image_tokens=image_tokens.merged_patches, around=2, tower=_qwen_tower, patches=_merged, processor=_QWEN2,
        in_memory=_QWEN_SAVED,
    ),
    Family(
        name="qwen2_vl", title="Qwen2-VL", model_type="qwen2_vl", template="qwen2_vl", system=_HELPFUL,
        image_tokens=image_tokens.merged_patches, around=2, tower=_qwen2_tower, patches=_merged, processor=_QWEN2,
        in_memory=_QWEN_SAVED,
    ),
    Family(
        name="qwen3_vl", title="Qwen3-VL", model_type="qwen3_vl", template="qwen3_vl_nothink",
        image_tokens=image_tokens.merged_patches, around=2, tower=_qwen_tower, patches=_merged, processor=_QWEN3,
    ),
    Family(
        name="qwen3_5", title="Qwen3.5", model_type="qwen3_5", template="qwen3_5", keys={"enable_thinking": False},
        image_tokens=image_tokens.merged_patches, around=2, tower=_qwen_tower, patches=_merged, processor=_QWEN3,
        no_fa2=_NO_LINEAR,
    ),
    Family(
        name="llava", title="LLaVA-1.5", model_type="llava", template="llava", vision="clip_vision_model", text="llama",
        vocabulary=32064,
        image_tokens=image_tokens.one_square, around=0, in_memory=_SAVED, system=_CURIOUS, idle=_clip_rest,
    ),
    Family(
        name="llava_next", title="LLaVA-NeXT (Vicuna)", model_type="llava_next", template="llava_next", text="llama",
        vocabulary=32064, image_tokens=image_tokens.square_and_crops, around=0, in_memory=_SAVED, system=_CURIOUS,
        padded=image_tokens.whole_crops, idle=_clip_rest,
    ),
    Family(
        name="llava_next_mistral", title="LLaVA-NeXT (Mistral)", model_type="llava_next",
        template="llava_next_mistral", text="mistral", image_tokens=image_tokens.square_and_crops, around=0,
        padded=image_tokens.whole_crops, in_memory=_SAVED, idle=_clip_rest,
    ),
    Family(
        name="internvl", title="InternVL (hf)", model_type="internvl", template="intern_vl",
        image_tokens=image_tokens.tiles, around=2, patches=lambda config: 1 / config.downsample_ratio**2,
        in_memory=_SAVED,
        system="你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。",
    ),
    Family(
        name="gemma3", title="Gemma 3", model_type="gemma3", template="gemma3",
        image_tokens=image_tokens.pooled_square, around=6, in_memory=_SAVED, no_fa2=_NO_MASK,
        patches=lambda config: image_tokens.one_square(config, 0, 0, {})[0] / config.mm_tokens_per_image,
    ),
    Family(
        name="lfm2_vl", title="LFM2-VL", model_type="lfm2_vl", template="lfm2_vl",
        system="You are a helpful multimodal assistant by Liquid AI.",
        image_tokens=image_tokens.shrunk_patches, around=0, patches=lambda config: config.downsample_factor**2,
        padded=image_tokens.most_patches, no_fa2=_NO_TOWER,
        # The defaults of transformers' Lfm2VlImageProcessorFast.
        processor={"encoder_patch_size": 16, "downsample_factor": 2, "min_image_tokens": 64, "max_image_tokens": 256,
                   "max_pixels_tolerance": 2.0, "do_image_splitting": True, "tile_size": 512},
    ),
    Family(
        name="pixtral", title="Pixtral", model_type="llava", template="pixtral", vision="pixtral",
        image_tokens=image_tokens.lines_of_patches, around=1, in_memory=_SAVED,
        processor={"size": {"longest_edge": 1024}, "patch_size": {"height": 16, "width": 16}},
    ),
    Family(
        name="paligemma", title="PaliGemma", model_type="paligemma", template="paligemma", text="gemma",
        image_tokens=image_tokens.one_square, around=0, in_memory=_SAVED, no_fa2=_NO_MASK,
    ),
)
# fmt: on
FAMILIES = {row.name: row for row in _ROWS}


def family_of(config: "PretrainedConfig", name: str = "this model") -> Family:
    """The row of a configuration. Raises ValueError naming the model and the families that there are."""
    text, vision = (getattr(config, part, None) for part in ("text_config", "vision_config"))
    has = {
        "text": getattr(text, "model_type", ""),
        "vision": getattr(vision, "model_type", ""),
        "vocabulary": getattr(text, "vocab_size", 0),
    }
    for row in FAMILIES.values():
        wanted = {key: getattr(row, key) for key in has if getattr(row, key)}
        if row.model_type == config.model_type and wanted.items() <= has.items():
            return row
    parts = ", ".join(f"{key} {value}" for key, value in has.items() if value)
    known = ", ".join(row.title for row in FAMILIES.values())
    what = f"a {config.model_type} model{f' ({parts})' if parts else ''}"
    raise ValueError(
        f"{name}: {what} is not supported; supported are {known} (docs/models.md); a server can have it: --server"
    )


def lines_of(
    config: "PretrainedConfig", size: tuple[int, int], limits: tuple[int, int], processor: Mapping[str, Any]
) -> tuple[int, ...]:
    """How many image tokens an image of (width, height) becomes, for each line of them.

    limits: image_max_pixels and image_min_pixels of LLaMA-Factory. processor: the settings of the image processor, or
    {} for those of the family. Raises ValueError for an image that the family cannot take.
    """
    family = family_of(config)
    width, height = image_tokens.within(size, limits)
    return family.image_tokens(config, width, height, {**family.processor, **processor})


def tokens_of(
    config: "PretrainedConfig", size: tuple[int, int], limits: tuple[int, int], processor: Mapping[str, Any]
) -> int:
    """lines_of() in all, with what stands between the lines."""
    lines = lines_of(config, size, limits, processor)
    return sum(lines) + len(lines) - 1


def patches_of(
    config: "PretrainedConfig", size: tuple[int, int], limits: tuple[int, int], processor: Mapping[str, Any]
) -> float:
    """How many patches the vision tower sees of an image, padding too. Arguments and errors as of lines_of()."""
    family, lines = family_of(config), lines_of(config, size, limits, processor)
    width, height = image_tokens.within(size, limits)
    padded = family.padded(config, width, height, {**family.processor, **processor})
    return max(sum(lines) * family.patches(config), padded)


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
            if "does not recognize this architecture" in why:
                kind = "a model that this version of transformers does not have"
                raise ValueError(
                    f"{name}: {kind} (docs/models.md); ask it through a server (docs/servers.md)"
                ) from None
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
