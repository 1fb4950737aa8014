"""What a click on the page asks: its body, of which every file must be an upload of ours.

Gradio would fetch a file whose path is a URL, and, mounted, read any file of this machine.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from eval.serving.admission import bad
from storm.text import printable

FILE = "/gradio_api/file="  # and the path: where the page sees a file
STRICT = ConfigDict(extra="forbid", strict=True)
SESSION = r"^[a-z0-9]{1,32}$"  # as the page draws them


class _Meta(BaseModel):
    model_config = STRICT
    type: Literal["gradio.FileData"] = Field(alias="_type")


class _File(BaseModel):
    """A file as the page sends it."""

    model_config = STRICT
    path: str
    meta: _Meta
    url: str | None = None
    orig_name: str | None = None
    size: int | None = None
    mime_type: str | None = None
    is_stream: Literal[False] = False


class Ask(BaseModel):
    """The body of a click."""

    model_config = STRICT
    data: list[Any]
    fn_index: int
    session_hash: str = Field(pattern=SESSION)
    trigger_id: int | None = None
    event_data: None = None


def own(uploads: Path, path: str) -> bool:
    """Whether this is the path of a file in the folder of uploads, written as it is, without links or dots."""
    try:
        real = Path(path).resolve(strict=True)
        return path == str(real) and real.is_relative_to(uploads) and real.is_file()
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, a circle of links
        return False


def checked(raw: bytes, host: str, uploads: Path, inputs: Mapping[int, int]) -> bytes:
    """The body, written anew from what was checked. Raises Refused.

    host: of the page. inputs: how many values each function of the page takes.
    """
    try:
        ask = Ask.model_validate(json.loads(raw))
    except ValidationError as error:
        fault = error.errors()[0]
        raise bad(f"{'.'.join(map(str, fault['loc']))[:60]}: {fault['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise bad(f"the body is not JSON ({printable(error)[:80]})") from None
    if inputs.get(ask.fn_index) != len(ask.data):
        raise bad(f"fn_index {ask.fn_index}: the page has no such function of {len(ask.data)} values")
    rest = list(ask.data)
    while rest:
        value = rest.pop()
        if isinstance(value, list):
            rest += value
        elif isinstance(value, dict):
            _check(value, host, uploads)
    try:
        return json.dumps(ask.model_dump(), allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise bad(f"the body is not JSON ({printable(error)[:80]})") from None


def _check(value: dict, host: str, uploads: Path) -> None:
    try:
        file = _File.model_validate(value)
    except ValidationError as error:
        raise bad(f"a file of the request: {error.errors()[0]['msg']}") from None
    urls = {None, *(f"{scheme}://{host}{FILE}{file.path}" for scheme in ("http", "https"))}
    if not own(uploads, file.path) or file.url not in urls:
        raise bad("a file of the request is not an upload of this page; upload it again")
