"""How many FLOPs training on a sample takes: counted from the shapes of a Qwen2.5-VL, or estimated for any family."""

from typing import Any, NamedTuple

TOWERS = ("visual.", "vision_tower.")  # how transformers 5 names what sees patches, in all of our families
MERGERS = ("merger",)  # within it, what sees tokens


class Weights(NamedTuple):
    """Parameters that every position of a part of a model is multiplied by."""

    all: int
    trained: int


def weights_of(model: Any) -> tuple[Weights, Weights]:
    """(language model with projector, vision tower) of a model of any family, also of one without memory.

    Without the input embedding, which is looked up, unless the output layer shares it.
    """
    looked_up = model.get_input_embeddings().weight
    output = model.get_output_embeddings()
    shared = output is not None and (output.weight is looked_up or model.config.get_text_config().tie_word_embeddings)
    counts = {False: [0, 0], True: [0, 0]}
    seen = set() if shared else {id(looked_up)}
    for name, parameter in model.named_parameters():
        if id(parameter) in seen:
            continue
        seen.add(id(parameter))
        sees_patches = any(part in name for part in TOWERS) and not any(part in name for part in MERGERS)
        counts[sees_patches][0] += parameter.numel()
        counts[sees_patches][1] += parameter.numel() * parameter.requires_grad
    return Weights(*counts[False]), Weights(*counts[True])


def estimated_flops(text: Weights, tower: Weights, tokens: float, patches: float, checkpointing: bool) -> float:
    """FLOPs of training on a sample of so many tokens, of text and image, and patches of its image.

    A weight costs a position 2 forward, 2 for the gradient of its input and, if it is trained, 2 for its own (Kaplan et
    al. 2020, section 2.1: 6 for a trained one); gradient checkpointing computes forward again. A tower of which nothing
    is trained only goes forward, since LLaMA-Factory checkpoints nothing of it (model_utils/checkpointing.py).
    Products within attention are left out: 8% of a Qwen2.5-VL-3B at 1,780 tokens (a test compares both counts).
    """
    forward = 2 + 2 * checkpointing
    language = tokens * ((forward + 2) * text.all + 2 * text.trained)
    vision = patches * ((forward + 2) * tower.all + 2 * tower.trained if tower.trained else 2 * tower.all)
    return language + vision


def forward_flops(config, tokens: float, patches: float) -> dict[str, float]:
    """FLOPs of a sample's forward pass, a multiplication and an addition being two, by part of a Qwen2_5_VLConfig.

    `tokens` of text and image; `patches` of its one image, four to a token. Only products of matrices; attention in
    full although half of the text's is masked (as in PaLM's appendix B).
    """
    text, vision = config.text_config, config.vision_config
    wide, shared = text.hidden_size, text.num_key_value_heads / text.num_attention_heads
    weights = 2 * wide**2 * (1 + shared) + 3 * wide * text.intermediate_size
    layers = text.num_hidden_layers * (2 * tokens * weights + 4 * tokens**2 * wide)
    words = 2 * tokens * wide * text.vocab_size
    wide, merged, full = vision.hidden_size, vision.spatial_merge_size**2, len(vision.fullatt_block_indexes)
    embed = 2 * patches * wide * vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    blocks = vision.depth * 2 * patches * (4 * wide**2 + 3 * wide * vision.intermediate_size)
    window = min((vision.window_size // vision.patch_size) ** 2, patches)
    attention = 4 * patches * wide * (full * patches + (vision.depth - full) * window)
    projector = 2 * patches * wide * (wide * merged + vision.out_hidden_size)
    return {"text": layers + words, "embed": embed, "blocks": blocks + attention, "projector": projector}


def train_flops(config, tokens: float, patches: float, keys: dict) -> float:
    """FLOPs of training on a sample: three times its forward pass, once in a frozen part; pixels get no gradient."""
    tower, projector = (1 if keys[f"freeze_{name}"] else 3 for name in ("vision_tower", "multi_modal_projector"))
    times = {"text": 3, "embed": min(tower, 2), "blocks": tower, "projector": projector}
    return sum(times[part] * flops for part, flops in forward_flops(config, tokens, patches).items())
