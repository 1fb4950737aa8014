"""What a check of train/preflight.py reports, and what all of the checks need."""

import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple


class Finding(NamedTuple):
    """One line of the report. The text of a warning or an error names the place and ends with the fix."""

    level: str  # "ok", "warning" or "error"
    check: str  # "images", "cutoff_len", ...
    text: str


def names(value: object) -> list[str]:
    """The names in a key like dataset, as LLaMA-Factory splits it; of a number, which it refuses, its digits."""
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return [] if value is None else [str(item) for item in value] if isinstance(value, list) else [str(value)]


def folder(value: object, default: str) -> Path:
    """A folder that a recipe names, or the default if it names none. LLaMA-Factory takes one called 5 for a number."""
    return Path(default if value is None or value == "" else str(value))


@contextmanager
def quiet() -> Iterator[None]:
    """Without what LLaMA-Factory, transformers and DeepSpeed print and log; nothing of them stays switched off."""
    key = "LLAMAFACTORY_VERBOSITY"
    before = os.environ.get(key)
    os.environ[key] = "ERROR"  # else its parser lets transformers log everything
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
        os.environ.pop(key)
        os.environ.update({} if before is None else {key: before})
