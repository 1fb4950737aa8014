"""Is the model there and whole, and does the recipe train as many of its parameters as its header promises?"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from train.checks.keys import Parsed
from train.checkpoints import damage, pickled, tensors
from train.checks.finding import Finding, names, quiet

TEMPLATES = {"qwen2_vl": "qwen2_vl", "qwen2_5_vl": "qwen2_vl", "llava": "llava"}  # model type -> its template
# Settings that are meant to change how much is trained.
COUNTED = ("model_name_or_path", "finetuning_type", "freeze_", "lora_", "additional_target")


class Count(NamedTuple):
    """Parameters of a model, with an adapter if there is one."""

    all: int
    trained: int


def model(recipe: dict) -> tuple[Any, list[Finding]]:
    """The configuration of the recipe's model, None if there is none, and whether its weights are there."""
    with quiet():
        from storm.models import config

    name = recipe.get("model_name_or_path")
    if not isinstance(name, str):
        return None, [Finding("error", "model", "no model_name_or_path; the paper's is Qwen/Qwen2.5-VL-3B-Instruct")]
    try:
        with quiet():
            known = config(name)
    except ValueError as error:
        return None, [Finding("error", "model", str(error))]
    if not hasattr(known, "vision_config"):
        return None, [
            Finding("error", "model", f"{name}: a {known.model_type} model sees no images; name one that does")
        ]
    found = []
    folder = Path(name) if Path(name).is_dir() else _cached(name)
    if folder is None:
        offline = any(os.environ.get(key, "0") not in ("", "0") for key in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
        then = "and HF_HUB_OFFLINE forbids to fetch it" if offline else "so every machine fetches it at the start"
        level = "error" if offline else "warning"
        found.append(Finding(level, "model", f"{name} is not in the download cache, {then}; hf download {name}"))
    elif reason := _broken(folder, "model", "pytorch_model"):
        again = f"hf download {name}" if folder != Path(name) else "train or download it again"
        found.append(Finding("error", "model", f"{folder}: {reason}; {again}"))
    for adapter in names(recipe.get("adapter_name_or_path")):
        if not (Path(adapter) / "adapter_config.json").is_file() or _broken(Path(adapter), "adapter_model"):
            text = f"{adapter}: no whole adapter (adapter_config.json, adapter_model.safetensors); train it first"
            found.append(Finding("error", "model", text))
    meant, template = TEMPLATES.get(known.model_type), recipe.get("template")
    if meant and template != meant:
        text = f"template={template} is not that of {known.model_type} models; template={meant}"
        found.append(Finding("error", "model", text))
    return known, found or [Finding("ok", "model", f"{name}: {known.model_type}, whole")]


def _cached(name: str) -> Path | None:
    """The snapshot of a model in the Hugging Face cache."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(name, "config.json")
    return Path(path).parent if isinstance(path, str) else None


def _broken(folder: Path, *stems: str) -> str:
    """Why a folder does not hold all of its weights, "" if it does."""
    for stem in stems:
        for end in (".safetensors", ".bin"):
            shards, index = [f"{stem}{end}"], folder / f"{stem}{end}.index.json"
            if not (folder / shards[0]).is_file():
                if not index.is_file():
                    continue
                try:
                    shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
                except (ValueError, KeyError, AttributeError, TypeError):
                    return f"{index.name} is damaged"
            check = tensors if end == ".safetensors" else pickled
            return next((reason for shard in shards if (reason := damage(folder / shard, check))), "")
    return "no weights in it (a training or download that did not finish?)"


def parameters(
    parsed: Parsed, known: Any, trains: bool, promised: int | None, settings: Sequence[str]
) -> tuple[Count | None, list[Finding]]:
    """Count with LLaMA-Factory's own code, on a model without memory. promised: the header's number.

    Left out are quantization, resize_vocab and training on from an adapter, which recipes do not use.
    """
    if parsed.model.adapter_name_or_path and trains:
        return None, [Finding("warning", "parameters", "not counted: the recipe trains on from an adapter")]
    import torch

    with quiet():
        from llamafactory.model.adapter import init_adapter
        from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
    parsed.model.adapter_name_or_path = None
    sees = type(known) in AutoModelForImageTextToText._model_mapping
    try:
        with quiet(), torch.device("meta"):
            empty = (AutoModelForImageTextToText if sees else AutoModelForCausalLM).from_config(known)
            empty = init_adapter(known, empty, parsed.model, parsed.finetuning, is_trainable=trains)
    except (ValueError, NotImplementedError, KeyError) as error:
        return None, [Finding("error", "parameters", f"LLaMA-Factory cannot train this: {error}")]
    count = Count(
        sum(p.numel() for p in empty.parameters()),
        sum(p.numel() for p in empty.parameters() if p.requires_grad) if trains else 0,
    )
    if not trains:
        return count, [Finding("ok", "parameters", f"{count.all:,}")]
    if promised is None or promised == count.trained:
        said = "as the header says" if promised else "the header promises no number"
        return count, [Finding("ok", "parameters", f"trains {count.trained:,} of {count.all:,}, {said}")]
    # Who changes the model or what is frozen on the command line knows that the header is of another run.
    meant = any(setting.startswith(COUNTED) for setting in settings)
    keys = (
        "finetuning_type and freeze_*"
        if parsed.finetuning.finetuning_type == "full"
        else "lora_*, freeze_* and additional_target"
    )
    text = f"trains {count.trained:,} parameters, the header says {promised:,}; check {keys}, or correct the header"
    return count, [Finding("warning" if meant else "error", "parameters", text)]
