"""Which family a served model is of, by its name: what a server is sent beside the question depends on it."""

import re
from collections.abc import Iterator

from eval.servers.options import NONE
from storm.families import FAMILIES, Family


def family_in(name: str) -> str:
    """The family whose title, or name of several words, is in a served model's name; NONE if there is none, or if there
    are two. The longest one counts: "llava-next-mistral-7b" is of LLaVA-NeXT (Mistral)."""
    lengths: dict[str, int] = {}
    for family in FAMILIES.values():
        for words in _spellings(family):
            # A digit may follow a word (InternVL3), but not a number (Gemma 3n, Qwen3.5B).
            end = "(?![a-z])" if words[-1].isalpha() else "(?![a-z0-9])"
            if re.search("(?<![a-z0-9])" + "[^a-z0-9]?".join(words) + end, name.lower()):
                lengths[family.name] = max(lengths.get(family.name, 0), len("".join(words)))
    longest = [name for name, length in lengths.items() if length == max(lengths.values())]
    return longest[0] if len(longest) == 1 else NONE


def _spellings(family: Family) -> Iterator[list[str]]:
    """Each as words in lower case: the title with and without what is in brackets, and a name of several words."""
    names = [family.title, family.title.partition(" (")[0]] + [family.name] * ("_" in family.name)
    for name in names:
        yield re.findall("[a-z0-9]+", name.lower())


def explained(family: str, name: str) -> str:
    """A line for the screen: how a model of this name is asked, after family_in()."""
    if family == NONE:
        about = f"no family of docs/models.md is in the name {name!r}, so the server is sent no system message"
        return f"{about}; for a model that was trained with one: --family NAME"
    row = FAMILIES[family]
    system = f"the system message {row.system!r}" if row.system else "no system message"
    return f"the name {name!r} is of {row.title}, so the server is sent {system}; --family NAME changes it"
