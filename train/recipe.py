"""A recipe as LLaMA-Factory reads it, and what its header promises."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from storm.options import describe, did_you_mean


class Header(NamedTuple):
    """What the comment at a recipe's top says; None where it says nothing."""

    title: str = ""  # line 1: the paper's table, row and numbers
    command: str = ""  # line 2, up to the batch
    gpus: int | None = None  # GPUs x batch of one GPU x accumulation = global batch
    batch: int | None = None
    accumulation: int | None = None
    memory: int | None = None  # GB of one GPU
    parameters: int | None = None  # trainable ones


def load(path: Path, settings: Sequence[str] = ()) -> dict:
    """The recipe's keys, overridden by "key=value" settings, as LLaMA-Factory merges them (hparams/parser.py).

    Raises ValueError naming the file, or the setting, that cannot be read.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    for setting in settings:
        if not re.fullmatch(r"\w+=\S*", setting):
            raise ValueError(f"setting {setting!r}: write key=value, without spaces (torchrun splits at them)")
    try:
        recipe = OmegaConf.to_container(OmegaConf.merge(OmegaConf.load(path), OmegaConf.from_cli(list(settings))))
    except FileNotFoundError:
        names = sorted(map(str, path.parent.glob("*.yaml"))) or sorted(map(str, Path("recipes").glob("*.yaml")))
        fix = did_you_mean(str(path), names) if names else "run this from the repository's root"
        raise ValueError(f"{path}: no such recipe; {fix}") from None
    except (OmegaConfBaseException, YAMLError, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a recipe: {describe(error).splitlines()[0]}") from None
    if not isinstance(recipe, dict) or not recipe:
        raise ValueError(f"{path}: not a recipe: it holds no keys")
    return recipe


def header(path: Path) -> Header:
    """The header of a recipe file, see Header."""
    top = path.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    lines = [line.removeprefix("#").strip() for line in top if line.startswith("#")]
    text = " ".join(lines)
    batch = re.search(r"(\d+) GPUs? x (\d+) x (\d+) = \d+", text)
    gpus, per_gpu, accumulation = (int(number) for number in batch.groups()) if batch else (None, None, None)
    memory = re.search(r"GPUs? of (\d+) GB", text)
    parameters = re.search(r"Trains ([\d,]+) parameters", text)
    return Header(
        title=lines[0] if lines else "",
        command=re.split(r"\s{2,}", lines[1])[0] if len(lines) > 1 else "",
        gpus=gpus,
        batch=per_gpu,
        accumulation=accumulation,
        memory=int(memory.group(1)) if memory else None,
        parameters=int(parameters.group(1).replace(",", "")) if parameters else None,
    )
