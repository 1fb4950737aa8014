"""What a recipe's DeepSpeed file says."""

from pathlib import Path
from typing import NamedTuple

from storm.files import read_json
from storm.options import describe


class Zero(NamedTuple):
    """The part of a DeepSpeed configuration that memory depends on."""

    stage: int = 0  # 0: no DeepSpeed
    offloads: bool = False  # the optimizer is kept out of the GPU


def read_zero(recipe: dict) -> Zero:
    """Read the recipe's DeepSpeed file. Raises ValueError naming the file and the fix."""
    if not (value := recipe.get("deepspeed")):
        return Zero()
    try:
        config = value if isinstance(value, dict) else read_json(Path(value))
        config = config.get("zero_optimization", {})
        offload = config.get("offload_optimizer") or {}
        return Zero(int(config.get("stage", 0)), offload.get("device", "none") != "none")
    except FileNotFoundError:
        files = ", ".join(sorted(map(str, Path("ds_configs").glob("*.json")))) or "none in the folder ds_configs/"
        raise ValueError(f"deepspeed={value}: no such file; there are {files}") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        text = f"deepspeed={value}: not a DeepSpeed configuration ({describe(error)}); see ds_configs/"
        raise ValueError(text) from None
