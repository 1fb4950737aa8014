"""What LLaMA-Factory's own README.md says of a training: for runs that no sweep began, the only record of its settings.

transformers 5.2.0 writes it (modelcard.py, TrainingSummary.to_model_card), LLaMA-Factory 0.9.5 calls it at the end of a
training (train/trainer_utils.py, create_modelcard_and_push).
"""

import re
from pathlib import Path

from storm.provenance import SEED
from train.cards.texts import front_matter, read_text
from train.checks.finding import names

CARD, KEPT = "README.md", "README.llamafactory.md"  # ours takes the place of the host's, which is kept under this name
COMMENT = "<!-- This model card has been generated automatically according to the information the Trainer had access to"
TEMPLATE = "# Model Card for Model ID\n\n<!-- Provide a quick summary of what the model is/does. -->"
TAG = "llama-factory"
# A line of "Training hyperparameters" -> the key of a recipe.
KEYS = {
    "learning_rate": "learning_rate",
    "train_batch_size": "per_device_train_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "seed": "seed",
    "lr_scheduler_type": "lr_scheduler_type",
    "num_epochs": "num_train_epochs",
    "training_steps": "max_steps",
}
# What LLaMA-Factory takes where a recipe says nothing (transformers 5.2.0, training_args.py); what the card leaves out.
DEFAULTS = {"learning_rate": 5e-5, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "seed": SEED}
DEFAULTS |= {"lr_scheduler_type": "linear", "num_train_epochs": 3, "max_steps": -1, "finetuning_type": "lora"}
UNSAID = {"gradient_accumulation_steps": 1, "max_steps": -1}
PACKAGES = {"transformers": "transformers", "pytorch": "torch", "peft": "peft", "datasets": "datasets"}


def is_host_card(text: str) -> bool:
    """Whether a README.md is LLaMA-Factory's, with the comment that asks a person to remove it."""
    return COMMENT in text and TAG in (front_matter(text).get("tags") or ())


def is_template(text: str) -> bool:
    """Whether a README.md is what PEFT puts into each checkpoint, for a person to fill in."""
    return TEMPLATE in text and front_matter(text).get("library_name") == "peft"


def read_host_card(folder: Path) -> tuple[dict, dict]:
    """(keys of the recipe, versions) that LLaMA-Factory's card of a run says; empty where there is none."""
    texts = (read_text(folder / name) for name in (CARD, KEPT))
    text = next((text for text in texts if is_host_card(text)), "")
    if not text:
        return {}, {}
    front, stated = front_matter(text), {}
    for name, value in re.findall(r"^- (\w+): (.*)$", text, re.MULTILINE):
        if name in KEYS:
            stated[KEYS[name]] = _number(value)
    if isinstance(front.get("base_model"), str):
        stated["model_name_or_path"] = front["base_model"]
    kinds = {"lora", "full", "freeze", "oft"} & {str(tag) for tag in front["tags"]}
    if len(kinds) == 1:
        stated["finetuning_type"] = kinds.pop()
    if match := re.search(r" on the (.+) datasets?\.$", text, re.MULTILINE):
        stated["dataset"] = ",".join(re.split(r"(?:, | and |,)(?:the )?", match[1]))
    versions = {
        PACKAGES[name.lower()]: value
        for name, value in re.findall(r"^- (\w+) (\d\S*)$", text, re.MULTILINE)
        if name.lower() in PACKAGES
    }
    return stated, versions


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.rsplit(".", 1)[-1].lower()  # SchedulerType.COSINE


def contradiction(recipe: dict, stated: dict) -> str:
    """The first setting that a recipe has in another way than the run's card, with the override that mends it."""
    for key, value in (UNSAID | stated).items() if stated else ():
        mine = recipe.get(key, DEFAULTS.get(key))
        if not _same(key, mine, value):
            return f"{key} is {mine} there and {value} in the run; add what the training was given: {key}={value}"
    return ""


def _same(key: str, mine: object, value: object) -> bool:
    if key == "dataset":
        return set(names(mine)) == set(names(value))
    try:
        return max(float(mine), -1) == max(float(value), -1)  # any max_steps below 0 is none
    except (TypeError, ValueError):
        return str(mine).lower() == str(value).lower()
