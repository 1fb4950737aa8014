"""The parts of a split by the words that people have for them, in split columns, folders and names of files."""

import re
from collections.abc import Sequence

PARTS = ("train", "val", "test")
WORDS = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}  # other names


def part_of(word: str) -> str:
    """train, val or test, as a word says it, in any case; "" if it says none."""
    word = word.strip().lower()
    word = WORDS.get(word, word)
    return word if word in PARTS else ""


def part_in(name: str) -> str:
    """The part that the name of a file says, "" if none or several: test of NNEW_test_0, train of labels-trainval."""
    words = re.split(r"[^a-z]+", name.lower())
    parts = {part for word in words if (part := "train" if word == "trainval" else part_of(word))}
    return parts.pop() if len(parts) == 1 else ""


def folder_part(folders: Sequence[str]) -> str:
    """The part that the folder next to a file says, of those of its path that say one: test of "b. Testing Set"."""
    return next((part for folder in reversed(folders) if (part := part_in(folder))), "")
