"""What a recipe's DeepSpeed file says."""

import json
from pathlib import Path
from typing import NamedTuple


class Zero(NamedTuple):
    """What a DeepSpeed configuration says."""

    stage: int = 0  # 0: no DeepSpeed
    offloads: bool = False  # the optimizer is kept out of the GPU


def zero(recipe: dict) -> Zero:
    """Read the recipe's DeepSpeed file. Raises ValueError naming the file and the fix."""
    if not (given := recipe.get("deepspeed")):
        return Zero()
    try:
        config = given if isinstance(given, dict) else json.loads(Path(given).read_text(encoding="utf-8"))
        config = config.get("zero_optimization", {})
        offload = config.get("offload_optimizer") or {}
        return Zero(int(config.get("stage", 0)), offload.get("device", "none") != "none")
    except FileNotFoundError:
        there = ", ".join(sorted(map(str, Path("ds_configs").glob("*.json")))) or "none in ds_configs/ here"
        raise ValueError(f"deepspeed={given}: no such file; there are {there}") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"deepspeed={given}: not a DeepSpeed configuration ({error}); see ds_configs/") from None
