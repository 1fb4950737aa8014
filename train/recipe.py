"""A recipe as LLaMA-Factory reads it, what its header promises, and its DeepSpeed file."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from storm.files import read_json
from storm.options import describe, did_you_mean

TOO_LONG_A_NUMBER = "integer string conversion"  # of Python's message about a whole number of more than 4,300 digits
MANY_DIGITS = "a whole number of thousands of digits; write a smaller one"
MAX_GRAD_NORM = 1.0  # transformers' default, which the paper's recipes leave as it is


class Header(NamedTuple):
    """What the comment at a recipe's top says; None where it says nothing."""

    title: str = ""  # line 1: the paper's table, row and numbers
    command: str = ""  # line 2, up to the batch
    gpus: int | None = None  # GPUs x batch of one GPU x accumulation = global batch
    batch: int | None = None
    accumulation: int | None = None
    memory: int | None = None  # GB of one GPU
    parameters: int | None = None  # trainable ones

    @property
    def global_batch(self) -> int:
        """0 if the header promises none."""
        return self.gpus * self.batch * self.accumulation if self.gpus else 0


def share(batch: int, processes: int, most: int) -> tuple[int, int]:
    """(batch of one GPU, accumulation) that give a global batch on so many GPUs.

    The batch of one GPU is `most`, or the largest below it that divides. Raises ValueError with the number of GPUs that
    would do.
    """
    if batch % processes:
        few = max(number for number in range(1, processes) if batch % number == 0)
        fix = f"use {few} GPUs (--gpus {few}; by hand CUDA_VISIBLE_DEVICES, too)"
        raise ValueError(f"{processes} GPUs cannot share a batch of {batch} evenly; {fix}")
    size = max(size for size in range(1, max(most, 1) + 1) if batch // processes % size == 0)
    return size, batch // processes // size


def clipping(recipe: dict, accumulation: int) -> str:
    """The setting that limits the gradient at another accumulation as the recipe does at its own; "" with DeepSpeed.

    Without DeepSpeed, transformers 5.2.0 (Trainer.training_step) and accelerate 1.11.0 (Accelerator.backward) both
    divide the loss of N accumulated batches by N: max_grad_norm is compared with a gradient that is N times too small.
    """
    if recipe.get("deepspeed"):
        return ""
    accumulated = recipe.get("gradient_accumulation_steps", 1)
    limit = recipe["max_grad_norm"] * accumulated if "max_grad_norm" in recipe else MAX_GRAD_NORM
    return f"max_grad_norm={limit / accumulation:.6g}"


def load(path: Path, settings: Sequence[str] = ()) -> dict:
    """The recipe's keys, overridden by "key=value" settings, as LLaMA-Factory merges them (hparams/parser.py).

    Raises ValueError naming the file, or the setting, that cannot be read.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    for setting in settings:
        if not re.fullmatch(r"\w+(\.\w+)*=\S*", setting):
            raise ValueError(f"setting {setting!r}: write key=value, without spaces (torchrun splits at them)")
        if setting.endswith("=???"):
            raise ValueError(f"setting {setting}: OmegaConf leaves out such a placeholder; write the value")
        try:
            OmegaConf.from_cli([setting])
        # ValueError: a whole number of more digits than Python reads.
        except (OmegaConfBaseException, YAMLError, ValueError) as error:
            reason = MANY_DIGITS if TOO_LONG_A_NUMBER in str(error) else str(error).splitlines()[0]
            raise ValueError(f"setting {setting[:40]}: not a value: {reason}") from None
    if path.exists() and not path.is_file():  # a pipe would wait for ever, and is empty when it is read again
        raise ValueError(f"{path}: a folder, pipe or device, not a file; save the recipe as a file")
    try:
        recipe = OmegaConf.to_container(OmegaConf.merge(OmegaConf.load(path), OmegaConf.from_cli(list(settings))))
    except FileNotFoundError:
        names = sorted(map(str, path.parent.glob("*.yaml"))) or sorted(map(str, Path("recipes").glob("*.yaml")))
        fix = did_you_mean(str(path), names) if names else "run this from the repository's root"
        raise ValueError(f"{path}: no such recipe; {fix}") from None
    except (TypeError, AttributeError):  # what omegaconf raises for a list
        raise ValueError(f"{path}: not a recipe: it holds a list; write lines of the form key: value") from None
    # ValueError: a whole number of more digits than Python reads, or bytes that are not UTF-8.
    except (OmegaConfBaseException, YAMLError, OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a recipe: {_reason(error)}; see recipes/storm_lite.yaml") from None
    if not isinstance(recipe, dict) or not recipe:
        raise ValueError(f"{path}: not a recipe: it holds no keys; write lines of the form key: value")
    if odd := [key for key in recipe if not isinstance(key, str)]:
        raise ValueError(f"{path}: not a recipe: the key {odd[0]} is not a word; write lines of the form key: value")
    return recipe


def _reason(error: Exception) -> str:
    """Why a file is not YAML, in one line, with the place in the file if the parser names one."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark and problem:
        return f"line {mark.line + 1}: {problem}"
    return MANY_DIGITS if TOO_LONG_A_NUMBER in str(error) else describe(error).splitlines()[0]


def header(path: Path) -> Header:
    top = path.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    lines = [line.removeprefix("#").strip() for line in top if line.startswith("#")]
    text = " ".join(lines)

    def numbers(pattern: str) -> list[int]:
        match = re.search(pattern, text)
        return [int(digits.replace(",", "")) for digits in match.groups()] if match else [None] * 3

    command = re.split(r"\s{2,}", lines[1])[0] if len(lines) > 1 else ""
    batch, memory = numbers(r"(\d+) GPUs? x (\d+) x (\d+) = \d+"), numbers(r"GPUs? of (\d+) GB")
    return Header(lines[0] if lines else "", command, *batch, memory[0], numbers(r"Trains ([\d,]+) parameters")[0])


class Zero(NamedTuple):
    """The part of a DeepSpeed configuration that memory depends on."""

    stage: int = 0  # 0: no DeepSpeed
    offloads: bool = False  # the optimizer is kept out of the GPU
    offloads_weights: bool = False
    gathers: bool = False  # the first process collects all weights in its memory to save them


def read_zero(recipe: dict) -> Zero:
    """Read the recipe's DeepSpeed file. Raises ValueError naming the file and the fix."""
    if not (value := recipe.get("deepspeed")):
        return Zero()
    try:
        if not isinstance(value, dict) and Path(value).exists() and not Path(value).is_file():
            raise ValueError("it is a folder, pipe or device")
        config = value if isinstance(value, dict) else read_json(Path(value))
        config = config.get("zero_optimization", {})
        offloads = ((config.get(f"offload_{part}") or {}).get("device", "none") for part in ("optimizer", "param"))
        gathers = bool(config.get("stage3_gather_16bit_weights_on_model_save"))
        return Zero(int(config.get("stage", 0)), *(device != "none" for device in offloads), gathers)
    except FileNotFoundError:
        files = ", ".join(sorted(map(str, Path("ds_configs").glob("*.json")))) or "none in the folder ds_configs/"
        raise ValueError(f"deepspeed={value}: no such file; there are {files}") from None
    except (OSError, ValueError, TypeError, AttributeError, OverflowError) as error:
        text = f"deepspeed={value}: not a DeepSpeed configuration ({describe(error)}); see ds_configs/"
        raise ValueError(text) from None
