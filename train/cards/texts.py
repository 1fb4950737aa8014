"""Markdown that a file's words cannot break, and that names no place, user or key of this machine."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from storm.files import open_regular
from storm.options import describe
from storm.text import Cell, printable, table

UNKNOWN = "unknown"
# Keys of a recipe that hold a secret or name an account, and how tokens of the hub, OpenAI and wandb begin.
SECRET = re.compile(r"token|secret|password|passwd|credential|api_?key|access_?key|hub_model_id|hub_organization", re.I)
TOKENS = re.compile(r"\b(hf_|sk-|wandb_|ghp_)[A-Za-z0-9_-]{12,}")
# An absolute path, a path from the home folder, or one that climbs, up to what ends it in a list or a setting.
PLACES = re.compile(r"(?:\bfile:/*|(?<![\w.:/\\])(?:~|/|[A-Za-z]:[\\/]|\\\\|\.\.[\\/]))[^,;'\"=]*")
LOGIN = re.compile(r"//[^/@\s]*@")  # in a URL
MARK = "<!-- Written by train/card.py of STORM-recipes, sha256 of the rest: {}; it overwrites no edits -->"
OURS = re.compile(re.escape(MARK).replace(re.escape("{}"), "([0-9a-f]{16})"))


def placeless(value: object) -> object:
    """A value of a recipe, or text of a file, without folders that say where on this machine a file lies."""
    if isinstance(value, Mapping):
        return {str(key): placeless(part) for key, part in value.items() if not SECRET.search(str(key))}
    if isinstance(value, (list, tuple)):
        return [placeless(part) for part in value]
    if not isinstance(value, str):
        return value
    text = TOKENS.sub("[removed]", LOGIN.sub("//", value))
    return PLACES.sub(lambda match: re.split(r"[\\/]", match[0].rstrip("\\/ "))[-1], text)


def code(value: object) -> str:
    """A text of a user's file as a code span, in which neither Markdown nor HTML means anything."""
    text = printable(placeless(str(value)))
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    edge = " " if not text.strip() or text[0] in "` " or text[-1] in "` " else ""
    return f"{ticks}{edge}{text}{edge}{ticks}"


def block(text: str, language: str = "text") -> str:
    """Lines as they are, in a fence that none of them can close."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def rows(cells: Sequence[Sequence[Cell]]) -> str:
    """A Markdown table; the first row is the head."""
    return table(cells, "markdown")


def bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def page(front: Mapping, parts: Sequence[str]) -> str:
    """The whole file: YAML front matter, the mark by which the command knows it again, and the parts."""
    head = yaml.safe_dump(placeless(dict(front)), sort_keys=False, allow_unicode=True, width=1000)
    body = "\n\n".join(part for part in parts if part)
    rest = f"---\n{head}---\n\n", f"\n\n{body}\n"
    return rest[0] + MARK.format(_digest(*rest)) + rest[1]


def _digest(*parts: str) -> str:
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


def untouched(text: str) -> bool:
    """Whether a file is a page of this command that nobody has edited."""
    mark = OURS.search(text)
    return bool(mark) and _digest(text[: mark.start()], text[mark.end() :]) == mark[1]


def front_matter(text: str) -> dict:
    """The YAML front matter of a card, {} if it has none that can be read."""
    match = re.match(r"---\r?\n(.*?)\r?\n---\r?\n", text, re.DOTALL)
    try:
        front = yaml.safe_load(match[1]) if match else {}
    except yaml.YAMLError:
        return {}
    return front if isinstance(front, dict) else {}


def read_text(path: Path) -> str:
    """A text file, "" if there is none. Raises ValueError naming a file that is not UTF-8, OSError."""
    try:
        with open_regular(path) as file:
            return file.read().decode()
    except FileNotFoundError:
        return ""
    except ValueError as error:
        raise ValueError(f"{path}: not UTF-8 ({describe(error)}); save it again as UTF-8") from None
