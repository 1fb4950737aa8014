"""Exact scoring through the trie equals scoring each answer alone with a plain forward, in every architecture."""

import pytest
import torch
from transformers import (
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)

from demo.model import SPECIAL, config, tokenizer
from eval.inference.exact import log_probabilities, trie
from storm.datasets import SCALES
from storm.models import family_of
from storm.prompts import STRATEGIES, answers
from storm.scales import IQA

pytestmark = pytest.mark.slow  # imports torch
WORDS = tokenizer()
IMAGE, END, PAD = (WORDS.convert_tokens_to_ids(token) for token in ("<|image_pad|>", "<|im_end|>", "<|endoftext|>"))


def ids(scale, strategy: str) -> dict[int, list[int]]:
    return {label: [*WORDS(text).input_ids, END] for text, label in answers(scale, strategy).items()}


@pytest.mark.parametrize(("name", "strategy"), list(zip(("spaq", "eyepacs", "adience", "cacd"), STRATEGIES)))
def test_a_trie_spells_exactly_the_answers(name, strategy):
    answer_ids = ids(SCALES[name], strategy)
    whole = trie(answer_ids)
    nodes = []  # tokens from the prompt to each inner node
    for sees in whole.sees:
        seen = sees.nonzero().flatten()
        nodes.append(whole.tokens[seen[whole.depth[seen].argsort()]].tolist())
    assert [len(node) for node in nodes] == [depth + 1 for depth in whole.depth.tolist()]
    for row, answer in enumerate(answer_ids.values()):
        edges = whole.path[row].nonzero().flatten().tolist()
        spelt = {tuple([*(nodes[whole.source[e] - 1] if whole.source[e] else []), int(whole.token[e])]) for e in edges}
        assert spelt == {tuple(answer[:length]) for length in range(1, len(answer) + 1)}
    assert whole.labels == tuple(answer_ids)


def test_sets_that_are_not_answers():
    with pytest.raises(ValueError, match="empty"):
        trie({})
    with pytest.raises(ValueError, match="beginning"):
        trie({3: [7], 30: [7, 8]})
    with pytest.raises(ValueError, match="beginning"):
        trie({3: [7], 30: [7]})


def qwen(kind) -> torch.nn.Module:
    shape = config(WORDS)
    if kind is Qwen2VLForConditionalGeneration:
        text = shape.text_config.to_dict()
        keep = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
        shape = Qwen2VLConfig(
            text_config={key: text[key] for key in (*keep, "num_key_value_heads", "rope_parameters")},
            vision_config={"depth": 2, "embed_dim": 128, "num_heads": 4, "hidden_size": 128, "mlp_ratio": 2},
            image_token_id=IMAGE,
            video_token_id=WORDS.convert_tokens_to_ids("<|video_pad|>"),
            vision_start_token_id=WORDS.convert_tokens_to_ids("<|vision_start|>"),
            vision_end_token_id=WORDS.convert_tokens_to_ids("<|vision_end|>"),
        )
    return kind(shape)


def llava() -> torch.nn.Module:
    text = {"model_type": "llama", "vocab_size": len(WORDS), "hidden_size": 128, "intermediate_size": 256}
    text |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4}
    vision = {"model_type": "clip_vision_model", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3}
    vision |= {"num_attention_heads": 4, "image_size": 56, "patch_size": 14, "projection_dim": 64}
    return LlavaForConditionalGeneration(LlavaConfig(text_config=text, vision_config=vision, image_token_index=IMAGE))


MODELS = {
    "qwen2.5-vl": lambda: qwen(Qwen2_5_VLForConditionalGeneration),
    "qwen2-vl": lambda: qwen(Qwen2VLForConditionalGeneration),
    "llava": llava,
}
SIZES = ((2, 3), (5, 2), (1, 1))  # image tokens, down and across, of the three images of a batch


def rows(kind: str) -> list[dict[str, torch.Tensor]]:
    """Three prompts of different lengths, with images of different sizes where the model takes them."""
    prompts, generator = [], torch.Generator().manual_seed(0)
    for number, (down, across) in enumerate(SIZES):
        question = WORDS("Rate it. " * (1 + 3 * number)).input_ids
        if kind == "llava":
            image = {"pixel_values": torch.randn(1, 3, 56, 56, generator=generator)}
            tokens = [IMAGE] * 16
        else:
            patches = 4 * down * across
            image = {"pixel_values": torch.randn(patches, 3 * 2 * 14 * 14, generator=generator)}
            image["image_grid_thw"] = torch.tensor([[1, 2 * down, 2 * across]])
            tokens = [WORDS.convert_tokens_to_ids("<|vision_start|>")] + [IMAGE] * (down * across)
            tokens.append(WORDS.convert_tokens_to_ids("<|vision_end|>"))
        prompt = torch.tensor([[*WORDS("user\n").input_ids, *tokens, *question]])
        prompts.append(image | {"input_ids": prompt, "attention_mask": torch.ones_like(prompt)})
    return prompts


def padded_together(prompts: list[dict[str, torch.Tensor]], side: str) -> dict[str, torch.Tensor]:
    longest = max(row["input_ids"].shape[1] for row in prompts)
    batch = {key: torch.cat([row[key] for row in prompts]) for key in prompts[0] if key.startswith(("pixel", "image"))}
    for key, fill in (("input_ids", PAD), ("attention_mask", 0)):
        padded = []
        for row in prompts:
            more = torch.full((1, longest - row[key].shape[1]), fill)
            padded.append(torch.cat([more, row[key]] if side == "left" else [row[key], more], 1))
        batch[key] = torch.cat(padded)
    return batch


def alone(model: torch.nn.Module, row: dict[str, torch.Tensor], answer: list[int]) -> float:
    """log P of one answer by a plain forward pass over prompt and answer; the model itself computes the positions."""
    whole = torch.cat([row["input_ids"], torch.tensor([answer])], 1)
    inputs = row | {"input_ids": whole, "attention_mask": torch.ones_like(whole)}
    model.model.rope_deltas = None
    with torch.inference_mode():
        logp = model(**inputs).logits[0].double().log_softmax(1)
    begin = row["input_ids"].shape[1]
    return sum(float(logp[begin - 1 + i, token]) for i, token in enumerate(answer))


@pytest.mark.parametrize("kind", MODELS)
def test_the_row_of_the_family_names_parts_that_the_model_has(kind):
    model = MODELS[kind]()
    family = family_of(model.config)
    assert hasattr(model.model, family.text) and hasattr(model.model, family.vision)
    assert hasattr(model.model, "get_rope_index") == family.mrope
    keys = [key for key in (family.depth, family.merge) if key]
    assert keys and all(getattr(model.config.vision_config, key) for key in keys)
    assert 0 < family.image_tokens(model.config.vision_config, 112, 112, family.pixels) <= 64


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", MODELS)
def test_equal_to_scoring_each_answer_alone(kind, side):
    torch.manual_seed(0)
    model = MODELS[kind]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)  # a random model is nearly indifferent; make differences visible
    prompts = rows(kind)
    for scale, strategy in ((IQA, "cot"), (SCALES["adience"], "text"), (SCALES["utk"], "cot")):
        answer_ids = ids(scale, strategy)
        exact = log_probabilities(model, padded_together(prompts, side), trie(answer_ids))
        assert exact.shape == (3, len(answer_ids)) and exact.dtype == torch.float32
        few = list(answer_ids)[:: max(1, len(answer_ids) // 4)]
        for row, prompt in enumerate(prompts):
            for label in few:
                expected = alone(model, prompt, answer_ids[label])
                assert abs(float(exact[row, list(answer_ids).index(label)]) - expected) <= 1e-4
    assert exact.exp().sum(1).max() < 1 and exact.std() > 0.01


def test_the_special_tokens_are_one_token_each():
    assert all(len(WORDS(token).input_ids) == 1 for token in SPECIAL)
