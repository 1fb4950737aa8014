"""Which family a model is of, what an image costs it, and its configuration by its name."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storm import image_tokens
from storm.families import FAMILIES, Family
from storm.model_shapes import SHAPES

if TYPE_CHECKING:
    from transformers import PretrainedConfig

RECIPES = Path(__file__).resolve().parent.parent / "recipes"


def family_of(config: "PretrainedConfig", name: str = "this model") -> Family:
    """The row of a configuration. Raises ValueError naming the model and the families that there are."""
    text, vision = (getattr(config, part, None) for part in ("text_config", "vision_config"))
    has = {
        "text_type": getattr(text, "model_type", ""),
        "vision_type": getattr(vision, "model_type", ""),
        "vocab_size": getattr(text, "vocab_size", 0),
    }
    for row in FAMILIES.values():
        wanted = {key: getattr(row, key) for key in has if getattr(row, key)}
        if row.model_type == config.model_type and wanted.items() <= has.items():
            return row
    parts = ", ".join(f"{key} {value}" for key, value in has.items() if value)
    known = ", ".join(row.title for row in FAMILIES.values())
    what = f"a {config.model_type} model{f' ({parts})' if parts else ''}"
    raise ValueError(
        f"{name}: {what} is not supported; supported are {known} (docs/models.md); a server can have it: --server"
    )


def lines_of(
    config: "PretrainedConfig", size: tuple[int, int], pixel_limits: tuple[int, int], processor: Mapping[str, Any]
) -> tuple[int, ...]:
    """How many image tokens an image of (width, height) becomes, for each line of them.

    pixel_limits: image_max_pixels and image_min_pixels of LLaMA-Factory. processor: the settings of the image
    processor, or {} for those of the family. Raises ValueError for an image that the family cannot take.
    """
    family = family_of(config)
    width, height = image_tokens.within(size, pixel_limits)
    return family.token_lines(config, width, height, {**family.processor, **processor})


def tokens_of(
    config: "PretrainedConfig", size: tuple[int, int], pixel_limits: tuple[int, int], processor: Mapping[str, Any]
) -> int:
    """lines_of() in all, with what stands between the lines."""
    lines = lines_of(config, size, pixel_limits, processor)
    return sum(lines) + len(lines) - 1


def patches_of(
    config: "PretrainedConfig", size: tuple[int, int], pixel_limits: tuple[int, int], processor: Mapping[str, Any]
) -> float:
    """How many patches the vision tower sees of an image, padding too. Arguments and errors as of lines_of()."""
    family, lines = family_of(config), lines_of(config, size, pixel_limits, processor)
    width, height = image_tokens.within(size, pixel_limits)
    padded = family.padded_patches(config, width, height, {**family.processor, **processor})
    return max(sum(lines) * family.patches_per_token(config), padded)


def config(name: str) -> "PretrainedConfig":
    """The configuration of a local model folder, or of a model of `SHAPES`. Asks no network.

    Raises ValueError naming the model and the fix.
    """
    from transformers import AutoConfig

    if (file := Path(name) / "config.json").is_file():
        try:
            return AutoConfig.from_pretrained(name, local_files_only=True)
        # For a damaged file transformers raises many types: OSError, ValueError, KeyError, TypeError ...
        except Exception as error:
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            if "does not recognize this architecture" in why:
                kind = "a model that this version of transformers does not have"
                raise ValueError(
                    f"{name}: {kind} (docs/models.md); ask it through a server (docs/servers.md)"
                ) from None
            raise ValueError(f"{file}: not the configuration of a model ({why}); download or train it again") from None
    if Path(name).is_dir():
        raise ValueError(f"{name}: no config.json in it, so it is not a model folder (did its training finish?)")
    if name in SHAPES:
        return SHAPES[name]()
    if Path(name).parts[:1] == ("saves",):
        raise ValueError(f"{name}: no such model folder; {_maker(Path(name).parts[-1])}")
    try:
        return AutoConfig.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError):
        raise ValueError(f"{name}: no such model folder, and not in the download cache: hf download {name}") from None


def _maker(stem: str) -> str:
    """The command that makes saves/<stem>."""
    if stem == "demo_base":
        return "make it: python -m demo.model"
    if (RECIPES / f"{stem}.yaml").exists():
        return f"make it: llamafactory-cli train recipes/{stem}.yaml"
    return "train it first"
