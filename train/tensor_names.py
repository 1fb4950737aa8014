"""Names of a saved model's tensors, by which a training without DeepSpeed goes on with it or forgets it.

transformers 5 saves other names than those in memory (FAMILIES, `in_memory`). from_pretrained reads both. Going on
without DeepSpeed or FSDP reads those in memory only: it would print a warning about missing keys and go on with the
model that the training began with, or (5.3 and later) with its language model (huggingface/transformers#43701).
"""

import json
import re
import shutil
from pathlib import Path

from storm.families import FAMILIES
from storm.files import read_json, whole_files

INDEX = "model.safetensors.index.json"
WEIGHTS = ("model.safetensors", "adapter_model.safetensors")
FSDP_MODEL = "pytorch_model_fsdp*"  # accelerate's, with the names in memory
OTHER_NAMES = "its tensors have names by which a training would begin anew (huggingface/transformers#43701)"


def renamed_tensors(checkpoint: Path) -> dict:
    """The header of a model's weights, or the index of its shards, with the names that its tensors have in memory.

    {} if it has these already.
    """
    weights, index = checkpoint / WEIGHTS[0], checkpoint / INDEX
    if (checkpoint / "latest").exists() or any(checkpoint.glob(FSDP_MODEL)):
        return {}
    if weights.exists():
        with weights.open("rb") as file:
            spans = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    elif index.exists():
        spans = read_json(index)["weight_map"]
    else:
        return {}
    kind, renamed = read_json(checkpoint / "config.json").get("model_type"), {}
    family = next((row for row in FAMILIES.values() if row.model_type == kind), None)
    for name, span in spans.items():
        for pattern, replacement in family.in_memory if family else ():
            name = re.sub(pattern, replacement, name)
        renamed[name] = span
    return renamed if renamed != spans else {}


def copied_bytes(checkpoint: Path) -> int:
    """Bytes of the second copy of the weights that rename_tensors writes before the first goes; 0 without one."""
    weights = checkpoint / WEIGHTS[0]
    return weights.stat().st_size if weights.exists() and renamed_tensors(checkpoint) else 0


def sharded_names(checkpoint: Path) -> str | None:
    """Why a training cannot go on from weights in shards, in one line with the fix; None if it can."""
    if (checkpoint / WEIGHTS[0]).exists() or not renamed_tensors(checkpoint):
        return None
    out = checkpoint.parent
    return f"{checkpoint}: {OTHER_NAMES}, and in shards they are not renamed; to begin anew: mv {out} {out}.old"


def rename_tensors(checkpoint: Path) -> None:
    """Give the tensors of a model the names that they have in memory. Raises ValueError for shards."""
    if reason := sharded_names(checkpoint):
        raise ValueError(reason)
    if not (renamed := renamed_tensors(checkpoint)):
        return
    weights, header = checkpoint / WEIGHTS[0], json.dumps(renamed).encode()
    header += b" " * (-len(header) % 8)
    with weights.open("rb") as old, whole_files() as open_:
        old.seek(int.from_bytes(old.read(8), "little") + 8)
        new = open_(weights)
        new.write(len(header).to_bytes(8, "little") + header)
        shutil.copyfileobj(old, new, 2**24)
