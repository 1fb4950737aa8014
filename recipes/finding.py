"""What a check of recipes/preflight.py finds, and what all of the checks need."""

import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import NamedTuple


class Finding(NamedTuple):
    """One line of the report. The text of a warning or an error names the place and ends with the fix."""

    level: str  # "ok", "warning" or "error"
    check: str  # "images", "cutoff_len", ...
    text: str


def names(value: str | list[str] | None) -> list[str]:
    """The names in a key like dataset, as LLaMA-Factory splits it."""
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else list(value or [])


@contextmanager
def quiet() -> Iterator[None]:
    """Without what LLaMA-Factory, transformers and DeepSpeed print and log; nothing of them stays switched off."""
    known = os.environ.get("LLAMAFACTORY_VERBOSITY")
    os.environ["LLAMAFACTORY_VERBOSITY"] = "ERROR"  # else its parser sets transformers to say everything
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
        if known is None:
            del os.environ["LLAMAFACTORY_VERBOSITY"]
        else:
            os.environ["LLAMAFACTORY_VERBOSITY"] = known
