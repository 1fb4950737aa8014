"""A tiny Qwen2.5-VL with random weights and its own tokenizer, saved as an ordinary Hugging Face model folder.

python -m demo.model writes saves/demo_base (1.2 million parameters). Architecture, processor, special tokens and chat
template are those of the real model, so the same recipes and code run on it. All that it knows it learns from
recipes/demo.yaml.
"""

import argparse
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import Qwen2_5_VLConfig, Qwen2Tokenizer

from storm.datasets import SCALES
from storm.prompts import STRATEGIES, answers, question

OUT = Path("saves/demo_base")
SEED = 0
VOCABULARY = 800  # learned tokens; the special ones come on top

# Qwen2.5-VL's own special tokens, in the order of its tokenizer.
SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip

# What Qwen2.5-VL's template writes for turns of text and images; LLaMA-Factory's qwen2_vl template agrees (tested).
CHAT_TEMPLATE = """\
{% if messages[0]['role'] != 'system' %}<|im_start|>system
You are a helpful assistant.<|im_end|>
{% endif %}{% for message in messages %}<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}\
{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}\
{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def tokenizer() -> "Qwen2Tokenizer":
    """A byte-level BPE trained on all questions and answers, with Qwen2's pre-tokenizer (digits split one by one)."""
    from transformers import Qwen2Tokenizer

    corpus = ["system\nYou are a helpful assistant.\nuser\nassistant\n"]
    for scale in SCALES.values():
        for strategy in STRATEGIES:
            corpus += [question(scale, strategy), *answers(scale, strategy)]
    learned = Qwen2Tokenizer().train_new_from_iterator(corpus, VOCABULARY, show_progress=False)
    learned.add_special_tokens({"additional_special_tokens": SPECIAL[1:]})
    learned.eos_token, learned.pad_token = "<|im_end|>", "<|endoftext|>"
    return learned


def config(tokenizer: "Qwen2Tokenizer") -> "Qwen2_5_VLConfig":
    """The shape of the model. initializer_range 0.06: with the usual 0.02 so small a model does not learn in time."""
    from transformers import Qwen2_5_VLConfig

    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]},
            "initializer_range": 0.06,
            "tie_word_embeddings": True,
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={
            "depth": 2,
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_heads": 4,
            "out_hidden_size": 128,
            "fullatt_block_indexes": [0, 1],
            "initializer_range": 0.06,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
        initializer_range=0.06,
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.model", description=f"Write the demo's model to {OUT}.")
    parser.parse_args(argv)
    import torch
    from transformers import (
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
        logging,
    )

    logging.disable_progress_bar()
    learned = tokenizer()
    torch.manual_seed(SEED)
    model = Qwen2_5_VLForConditionalGeneration(config(learned))
    model.generation_config.eos_token_id = [learned.eos_token_id, learned.pad_token_id]
    model.generation_config.pad_token_id = learned.pad_token_id
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(),
        tokenizer=learned,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=CHAT_TEMPLATE,
    )
    part = OUT.with_name(f".{OUT.name}.{os.getpid()}.part")  # so that the folder appears whole or not at all
    model.save_pretrained(part)
    processor.save_pretrained(part)
    shutil.rmtree(OUT, ignore_errors=True)
    part.rename(OUT)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{OUT}: Qwen2.5-VL, random weights, {parameters / 1e6:.2f} M parameters, {len(learned)} tokens")


if __name__ == "__main__":
    main()
