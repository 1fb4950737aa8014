"""The shapes of the models that recipes name, for counting and timing without their weights."""

from pathlib import Path

from transformers import AutoConfig, LlavaConfig, PretrainedConfig, Qwen2_5_VLConfig

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


def _qwen(hidden: int, layers: int, heads: int, key_value: int, intermediate: int, words: int, tied: bool):
    text = _QWEN_TEXT | {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_value,
        "intermediate_size": intermediate,
        "vocab_size": words,
        "tie_word_embeddings": tied,
    }
    return Qwen2_5_VLConfig(
        text_config=text, vision_config=_QWEN_VISION | {"out_hidden_size": hidden}, tie_word_embeddings=tied
    )


def _llava():
    # LlavaConfig's own defaults are CLIP ViT-L/14-336 and a 7B Llama.
    return LlavaConfig(text_config={"model_type": "llama", "vocab_size": 32064, "intermediate_size": 11008})


# As the config.json of each model on the Hugging Face hub has it; the parameter counts are in tests/test_models.py.
SHAPES = {
    "Qwen/Qwen2.5-VL-3B-Instruct": lambda: _qwen(2048, 36, 16, 2, 11008, 151936, True),
    "Qwen/Qwen2.5-VL-7B-Instruct": lambda: _qwen(3584, 28, 28, 4, 18944, 152064, False),
    "llava-hf/llava-1.5-7b-hf": _llava,
}


def config(name: str) -> PretrainedConfig:
    """The configuration of a local model folder, or of a model above. Asks no network.

    Raises ValueError naming the model and the fix.
    """
    if (file := Path(name) / "config.json").is_file():
        try:
            return AutoConfig.from_pretrained(name, local_files_only=True)
        # Whatever a damaged file makes transformers raise: OSError, ValueError, KeyError, TypeError ...
        except Exception as error:
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"{file}: not the configuration of a model ({why}); download or train it again") from None
    if Path(name).is_dir():
        raise ValueError(f"{name}: no config.json in it, so it is no model folder (a training that did not finish?)")
    if name in SHAPES:
        return SHAPES[name]()
    if Path(name).parts[:1] == ("saves",):
        stem = Path(name).parts[-1]
        recipe = Path(__file__).parent / f"{stem}.yaml"
        made = f"it is made by llamafactory-cli train recipes/{stem}.yaml" if recipe.exists() else "train it first"
        made = "it is made by python -m demo.model" if stem == "demo_base" else made
        raise ValueError(f"{name}: no such model folder; {made}")
    try:
        return AutoConfig.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError):
        raise ValueError(f"{name}: no such model folder, and not in the download cache: hf download {name}") from None
