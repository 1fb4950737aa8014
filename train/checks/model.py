"""Is the model there and whole, and does the recipe train as many of its parameters as its header promises?"""

import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from storm.files import read_json
from storm.models import config, family_of
from train.checkpoints import damage, pickled, tensors
from train.checks.finding import Finding, names, quiet
from train.checks.job import Checked, Job
from train.flops import Weights, weights_of

# Settings that are meant to change how much is trained.
COUNTED = ("model_name_or_path", "finetuning_type", "freeze_", "lora_", "additional_target")


class Count(NamedTuple):
    """Parameters of a model, with an adapter if there is one."""

    all: int
    trained: int  # without those that get no gradient, which LLaMA-Factory counts
    text: Weights = Weights(0, 0)  # the part that sees tokens, without the input embedding
    tower: Weights = Weights(0, 0)  # the part that sees patches


def check_model(job: Job) -> Checked:
    """Fill `config`, the configuration of the recipe's model. Are its weights there, and is the template its own?"""
    name, template = job.recipe.get("model_name_or_path"), job.recipe.get("template")
    if not isinstance(name, str):
        text = "no model_name_or_path; the paper's is Qwen/Qwen2.5-VL-3B-Instruct"
        return job, [Finding("error", "model", text)]
    try:
        with quiet():
            model = config(name)
        family = family_of(model, name)
    except ValueError as error:
        return job, [Finding("error", "model", str(error))]
    findings, rule = _weights(name), "no whole adapter (adapter_config.json, adapter_model.safetensors); train it first"
    for path in map(Path, names(job.recipe.get("adapter_name_or_path"))):
        if not (path / "adapter_config.json").is_file() or _broken(path, "adapter_model"):
            findings.append(Finding("error", "model", f"{path}: {rule}"))
    if template != family.template:
        text = f"template={template} is not that of {family.title} models; template={family.template}"
        findings.append(Finding("error", "model", text))
    for key, value in family.keys.items():
        if job.recipe.get(key) != value:
            text = f"{family.title} models are asked with {key}={str(value).lower()}, as eval/predict.py does"
            findings.append(Finding("error", "model", f"{text}; {key}={str(value).lower()}"))
    return replace(job, config=model), findings or [Finding("ok", "model", f"{name}: {family.title}, whole")]


def _weights(name: str) -> list[Finding]:
    """Are the weights of a model downloaded, and whole?"""
    folder = Path(name) if Path(name).is_dir() else _cached(name)
    if folder is None:
        offline = any(os.environ.get(key, "0") not in ("", "0") for key in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
        effect = "and HF_HUB_OFFLINE forbids to fetch it" if offline else "so every machine fetches it at the start"
        text = f"{name} is not in the download cache, {effect}; hf download {name}"
        return [Finding("error" if offline else "warning", "model", text)]
    if reason := _broken(folder, "model", "pytorch_model"):
        again = f"hf download {name}" if folder != Path(name) else "train or download it again"
        return [Finding("error", "model", f"{folder}: {reason}; {again}")]
    return []


def _cached(name: str) -> Path | None:
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
                    shards = sorted(set(read_json(index)["weight_map"].values()))
                except (ValueError, KeyError, AttributeError, TypeError):
                    return f"{index.name} is damaged"
            check = tensors if end == ".safetensors" else pickled
            return next((reason for shard in shards if (reason := damage(folder / shard, check))), "")
    return "no weights in it (a training or download that did not finish?)"


def check_parameters(job: Job) -> Checked:
    """Fill `count`, by LLaMA-Factory's own code on a model without memory, and compare it with the header.

    Left out are quantization, resize_vocab and training on from an adapter, which recipes do not use.
    """
    if not (job.parsed and job.config):
        text = "these, cutoff_len and memory are not checked; see the errors"
        return job, [Finding("warning", "parameters", text)]
    if job.parsed.model.adapter_name_or_path and job.trains:
        return job, [Finding("warning", "parameters", "not counted: the recipe trains on from an adapter")]
    try:
        count = _count(job)
    except (ValueError, NotImplementedError, KeyError) as error:
        return job, [Finding("error", "parameters", f"LLaMA-Factory cannot train this: {error}")]
    job, promised = replace(job, count=count), job.header.parameters
    if not job.trains:
        return job, [Finding("ok", "parameters", f"{count.all:,}")]
    if promised is None or promised == count.trained:
        header = "as the header says" if promised else "the header promises no number"
        return job, [Finding("ok", "parameters", f"trains {count.trained:,} of {count.all:,}, {header}")]
    # Who changes the model or what is frozen on the command line knows that the header is of another run.
    meant = any(setting.startswith(COUNTED) for setting in job.settings)
    full = job.parsed.finetuning.finetuning_type == "full"
    keys = "finetuning_type and freeze_*" if full else "lora_*, freeze_* and additional_target"
    text = f"trains {count.trained:,} parameters, the header says {promised:,}; check {keys}, or correct the header"
    return job, [Finding("warning" if meant else "error", "parameters", text)]


def _count(job: Job) -> Count:
    import torch

    with quiet():
        from llamafactory.model.adapter import init_adapter
        from transformers import AutoModelForImageTextToText

    arguments = job.parsed.model
    arguments.adapter_name_or_path = None
    with quiet(), torch.device("meta"):
        empty = AutoModelForImageTextToText.from_config(job.config)
        empty = init_adapter(job.config, empty, arguments, job.parsed.finetuning, is_trainable=job.trains)
    idle, trained = family_of(job.config).idle(job.config), 0
    for name, parameter in empty.named_parameters() if job.trains else ():
        if parameter.requires_grad and not any(part in name for part in idle):
            trained += parameter.numel()
    return Count(sum(p.numel() for p in empty.parameters()), trained, *weights_of(empty))
