"""A loaded model, its inputs and its answers. LLaMA-Factory makes the inputs, as in training.

Any family of storm/families.py, a folder or a name on the hub, with or without an adapter.
"""

import sys
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from math import isqrt
from pathlib import Path
from typing import Any, NamedTuple

import torch
from llamafactory.data import SFTDataCollatorWith4DAttentionMask, get_template_and_fix_tokenizer
from llamafactory.data.processor import UnsupervisedDatasetProcessor
from llamafactory.hparams import get_infer_args
from llamafactory.model import load_model, load_tokenizer
from PIL import Image
from safetensors import SafetensorError

from eval.inference.attention import flash_in_tower
from eval.inference.settings import Settings
from storm.models import config, family_of, lines_of
from storm.prompts import answers
from storm.scales import Scale

PROMPTS = 10_000  # kept at most; a dataset has one question and some hundred numbers of image tokens
QUESTION = 100  # tokens that every question has at least; ours have about 250
CHECKED = 2  # prompts of a question that the host encodes, too, before others are made by counting image tokens


class Loaded(NamedTuple):
    model: torch.nn.Module
    tokenizer: Any
    encoder: UnsupervisedDatasetProcessor
    collator: SFTDataCollatorWith4DAttentionMask
    prompts: dict[tuple, list[int]]  # (question, lines of tokens of its image) -> tokens
    checked: dict[str, int]  # of a question, how many prompts were equal to the host's; -1: one was not
    counts: Callable[[tuple[int, int]], tuple[int, ...]]  # the lines of tokens of an image of (width, height)
    cutoff_len: int  # the most tokens of a prompt and the end of an answer; the encoder itself cuts nothing

    def key(self, question: str, size: tuple[int, int]) -> tuple:
        """Of a prompt in `prompts`."""
        return question, self.counts(size) if self.checked.get(question, 0) >= 0 else size

    def forget(self, question: str) -> None:
        """Keep nothing of a question, which may be one of many that strangers ask."""
        self.checked.pop(question, None)
        for key in [key for key in self.prompts if key[0] == question]:
            del self.prompts[key]


def load(settings: Settings, device: torch.device) -> Loaded:
    """Load for prediction. Raises ValueError naming a model that cannot be loaded and the fix; else RuntimeError."""
    name, adapter = settings.model, settings.adapter
    family = family_of(config(name), name)
    processors = (Path(name) / f"{kind}_config.json" for kind in ("preprocessor", "processor"))
    if Path(name).is_dir() and not any(path.is_file() for path in processors):
        raise ValueError(f"{name}: no preprocessor_config.json; copy it from the base model's folder")
    keys = {"model_name_or_path": name, "template": family.template, **family.keys, "flash_attn": "sdpa"}
    keys |= {"image_max_pixels": settings.image_max_pixels, "cutoff_len": settings.cutoff_len}
    if adapter:
        _check_adapter(adapter, name)
        keys |= {"adapter_name_or_path": adapter, "finetuning_type": "lora"}
    try:
        loaded = _load(keys, device, torch.bfloat16 if settings.bf16 else None)
    except SafetensorError as error:
        raise ValueError(f"{adapter or name}: damaged weights ({error}); copy or download them again") from None
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise RuntimeError(f"{name}: cannot be loaded ({first})") from error
    _check_largest(loaded, settings, family.title)
    return loaded


def _check_largest(loaded: Loaded, settings: Settings, title: str) -> None:
    """Raises ValueError if the largest image, a square, cannot be taken, or has no room beside a question."""
    side, option = isqrt(settings.image_max_pixels), f"--image-max-pixels {settings.image_max_pixels}"
    try:
        tokens = sum(loaded.counts((side, side)))
    except ValueError as error:
        fix = str(error).replace("image_max_pixels=", "--image-max-pixels ")
        raise ValueError(f"{option}: for {title}, {fix}") from None
    if tokens + QUESTION > settings.cutoff_len:
        more = f"--cutoff-len {-(-(tokens + 6 * QUESTION) // 1024) * 1024}"
        raise ValueError(f"{option}: an image may have {tokens:,} of the {settings.cutoff_len:,} tokens; {more}")


def _load(keys: dict, device: torch.device, dtype: torch.dtype | None) -> Loaded:
    """The host's own way from the keys of a recipe to a model. dtype: None keeps that of the weights."""
    model_args, data_args, finetuning_args, _ = get_infer_args(keys)
    model_args.device_map = {"": device}
    modules = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(modules["tokenizer"], data_args)
    modules["tokenizer"].padding_side = "left"
    model = load_model(modules["tokenizer"], model_args, finetuning_args, is_trainable=False)
    model = model.to(device, dtype).eval()  # as transformers' Trainer does for bf16_full_eval
    flash_in_tower(model)
    encoder = UnsupervisedDatasetProcessor(template, **modules, data_args=uncut(data_args))
    precision = {"attn_implementation": "sdpa", "compute_dtype": next(model.parameters()).dtype}
    collator = SFTDataCollatorWith4DAttentionMask(template=template, **precision, **modules)
    pixel_limits = model_args.image_max_pixels, model_args.image_min_pixels
    counts = partial(
        lines_of, model.config, pixel_limits=pixel_limits, processor=modules["processor"].image_processor.to_dict()
    )
    return Loaded(model, modules["tokenizer"], encoder, collator, {}, {}, counts, data_args.cutoff_len)


def uncut(data_args: Any) -> Any:
    """The host's arguments with which it cuts no prompt."""
    whole = copy(data_args)
    whole.cutoff_len = sys.maxsize
    return whole


def _check_adapter(adapter: str, model: str) -> None:
    from peft import PeftConfig

    try:
        base = PeftConfig.from_pretrained(adapter).base_model_name_or_path
    except (ValueError, OSError, KeyError, TypeError):
        fix = "name an adapter's folder, or leave out --adapter"
        raise ValueError(f"{adapter}: not an adapter, as it has no adapter_config.json of peft; {fix}") from None
    if base and Path(base).name != Path(model).name:
        raise ValueError(f"{adapter}: an adapter of {base}, not of {model}; write --model {base}")


def batch(loaded: Loaded, questions: Sequence[str], images: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
    """The model's inputs for questions with an image each: left-padded, on its device, in its precision."""
    device = next(loaded.model.parameters()).device
    return {key: value.to(device) for key, value in collate(loaded, questions, images).items()}


def collate(loaded: Loaded, questions: Sequence[str], images: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
    """batch() on the CPU."""
    rows = []
    for question, image in zip(questions, images):
        ids = prompt(loaded, question, image)
        rows.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [], "images": [image]})
    return {key: value for key, value in loaded.collator(rows).items() if key not in ("labels", "rope_deltas")}


def prompt(loaded: Loaded, question: str, image: Image.Image) -> list[int]:
    """The tokens of a prompt, which depend only on how many tokens the image becomes.

    The host encodes the first prompts of a question, which takes 36 ms for a photograph of 0.8 megapixels, as it
    resizes and patches the image only to count. The others are the same but for the number of image tokens, which the
    size tells. Were the two ever different, the host would encode all. Raises ValueError for a prompt that is too long.
    """
    key, done = loaded.key(question, image.size), loaded.checked.setdefault(question, 0)
    if key in loaded.prompts:
        return list(loaded.prompts[key])
    if len(loaded.prompts) >= PROMPTS:
        loaded.prompts.clear()
    known = next((ids for (text, _), ids in loaded.prompts.items() if text == question), None)
    made = _with_image_tokens(loaded, known, key[1]) if known and done >= 0 else None
    if made is None or done < CHECKED:
        host = encoded(loaded, question, image)
        if made is not None:
            loaded.checked[question] = done + 1 if made == host else -1
        made = host
    _check_room(loaded, len(made))
    loaded.prompts[loaded.key(question, image.size)] = made
    return list(made)


def _check_room(loaded: Loaded, tokens: int) -> None:
    """Raises ValueError for a prompt that the host would cut, and with it the question's end, without a word."""
    turns = [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}]
    whole = tokens + len(loaded.encoder.template.encode_oneturn(loaded.tokenizer, turns)[1])
    if whole > loaded.cutoff_len:
        fix = f"--cutoff-len {-(-whole // 1024) * 1024}"
        raise ValueError(f"its prompt has {tokens:,} tokens, too many for {loaded.cutoff_len:,}; {fix}")


def _with_image_tokens(loaded: Loaded, prompt: list[int], lines: tuple[int, ...]) -> list[int] | None:
    """A prompt with another number of image tokens; None if these do not stand in one line."""
    token = loaded.model.config.image_token_id
    places = [place for place, other in enumerate(prompt) if other == token]
    if len(lines) > 1 or not places or places[-1] - places[0] + 1 != len(places):
        return None
    return [*prompt[: places[0]], *[token] * lines[0], *prompt[places[-1] + 1 :]]


def encoded(loaded: Loaded, question: str, image: Image.Image) -> list[int]:
    """The tokens of a prompt, by the host."""
    row = {"_prompt": [[{"role": "user", "content": question}]], "_response": [[]], "_images": [[image]]}
    row |= {"_system": [""], "_tools": [""], "_videos": [None], "_audios": [None]}
    return loaded.encoder.preprocess_dataset(row)["input_ids"][0]


def answer_ids(loaded: Loaded, scale: Scale, strategy: str) -> dict[int, list[int]]:
    """Label -> the tokens of its answer as they are trained on, up to and with the one that ends the turn."""
    ends, template = stops(loaded), loaded.encoder.template
    ids = {}
    for text, label in answers(scale, strategy).items():
        turns = [{"role": "user", "content": ""}, {"role": "assistant", "content": text}]
        answer = template.encode_oneturn(loaded.tokenizer, turns)[1]
        if template.efficient_eos:
            answer = [*answer, loaded.tokenizer.eos_token_id]
        end = next((place for place, token in enumerate(answer) if token in ends), None)
        ids[label] = answer[: end + 1] if end is not None else [*answer, loaded.tokenizer.eos_token_id]
    return ids


def stops(loaded: Loaded) -> list[int]:
    """The tokens that end an answer, as the host's do_predict has them: end of turn and every special token."""
    tokenizer = loaded.tokenizer
    extra = getattr(tokenizer, "additional_special_tokens_ids", None)
    if not isinstance(extra, list):  # transformers 5
        texts = [str(token) for token in getattr(tokenizer, "_extra_special_tokens", [])]
        extra = tokenizer.convert_tokens_to_ids(texts)
    return list(dict.fromkeys([tokenizer.eos_token_id, *(token for token in extra if token != -1)]))


@torch.inference_mode()
def generate(loaded: Loaded, inputs: dict[str, torch.Tensor], max_new_tokens: int) -> list[str]:
    """Greedy answers, the paper's protocol; the same text as the host's do_predict with do_sample: false (tested)."""
    generated = loaded.model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=stops(loaded),
        pad_token_id=loaded.tokenizer.pad_token_id,
    )
    return loaded.tokenizer.batch_decode(generated[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
