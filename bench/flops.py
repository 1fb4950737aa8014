"""How many FLOPs training on a sample takes, counted from the shapes of a Qwen2.5-VL."""


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
