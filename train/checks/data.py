"""Is every dataset of a recipe registered and written, and would LLaMA-Factory take each of its rows?"""

import json
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from storm.datasets import DATASETS
from storm.prompts import STRATEGIES
from train.checks.finding import Finding, folder, names

SIZES = {dataset.name: dataset for dataset in DATASETS}
# LLaMA-Factory's own (data/parser.py). A stanza that names some of them unsets the others.
TAGS = {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt", "system_tag": "system"}


class Stanza(NamedTuple):
    """Where a dataset lies and how its rows are spelt."""

    name: str
    file: Path
    messages: str  # the column of the turns
    images: str
    tags: dict[str, str]


class Text(NamedTuple):
    """What is said in a row; most rows of a dataset say one of a few."""

    question: str  # all turns before the last, without <image>
    answer: str
    images: int


class Scanned(NamedTuple):
    """What a file of rows holds."""

    stanza: Stanza
    rows: int
    images: dict[str, int]  # each image and the first line that names it
    texts: set[Text]


def maker(*stanzas: str) -> str:
    """The command that writes the rows of these stanzas."""
    if all(stanza.startswith("demo_") for stanza in stanzas):
        return "python -m demo.photographs"
    ours = dict.fromkeys(name for name, _ in map(split, stanzas) if name in SIZES)
    return f"python -m data_prep {' '.join(ours) or 'csv'}"


def split(stanza: str) -> tuple[str, str]:
    """(dataset, part) of storm_<dataset>_<part>[_<strategy>]; (the stanza, "") if it is not one of ours."""
    words = stanza.split("_")
    if words[0] != "storm" or len(words) - (words[-1] in STRATEGIES) != 3:
        return stanza, ""
    return words[1], words[2]


def stanzas(recipe: dict, tests: Sequence[str] = ()) -> tuple[list[Stanza], list[Finding]]:
    """The datasets of a recipe, and the test sets, that can be read, and what is wrong with the others."""
    wanted = dict.fromkeys([*names(recipe.get("dataset")), *names(recipe.get("eval_dataset")), *tests])
    registry = folder(recipe.get("dataset_dir"), "data") / "dataset_info.json"
    try:
        known = json.loads(registry.read_text(encoding="utf-8"))
        if not isinstance(known, dict):
            raise ValueError("it holds no stanzas")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        fix = "dataset_dir=. is ours, and python -m data_prep csv writes one for ratings of your own"
        return [], [Finding("error", "datasets", f"{registry}: cannot be read ({why}); {fix}")]
    good, found, missing = [], [], []
    for name in wanted:
        if name not in known:
            near = get_close_matches(name, known, 1)
            fix = f"is it {near[0]}?" if near else f"there are {', '.join(list(known)[:3])} ..."
            found.append(Finding("error", "datasets", f"dataset {name!r} is not in {registry}; {fix}"))
            continue
        stanza = _stanza(name, known[name], registry)
        if isinstance(stanza, str):
            fix = "python -m data_prep.registry writes ours"
            found.append(Finding("error", "datasets", f"{registry}, stanza {name}: {stanza}; {fix}"))
        elif stanza.file.is_file():
            good.append(stanza)
        else:
            missing.append(stanza)
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        made = maker(*(stanza.name for stanza in missing))
        found.append(Finding("error", "datasets", f"{missing[0].file}: no such file{more}; {made}"))
    if good and not found:
        found.append(Finding("ok", "datasets", f"{len(good)} in {registry}, all written"))
    return good, found


def _stanza(name: str, stanza: object, registry: Path) -> Stanza | str:
    """A stanza of dataset_info.json, or why this check, or LLaMA-Factory, cannot use it."""
    if not isinstance(stanza, dict) or not all(isinstance(stanza.get(key, {}), dict) for key in ("columns", "tags")):
        return "not of the form {file_name, formatting, columns: {...}, tags: {...}}"
    columns, tags = stanza.get("columns", {}), stanza.get("tags", TAGS)
    if not isinstance(stanza.get("file_name"), str) or stanza.get("formatting") != "sharegpt":
        return "not a file in ShareGPT form, the only one that is checked here"
    if not {"messages", "images"} <= set(columns):
        return (
            f"columns name {', '.join(columns) or 'nothing'}, not both messages and images, and there are no defaults"
        )
    if not set(TAGS) <= set(tags):
        return f"tags lack {', '.join(sorted(set(TAGS) - set(tags)))}, and there are no defaults once some are named"
    return Stanza(name, registry.parent / stanza["file_name"], columns["messages"], columns["images"], tags)


def scan(stanza: Stanza) -> tuple[Scanned, list[Finding]]:
    """Read all rows of a file: 100,000 rows in about 3 s. A line for each kind of fault, with the first place."""
    images: dict[str, int] = {}
    texts: set[Text] = set()
    ids: dict[str, int] = {}
    first: dict[str, int] = {}
    faults: Counter[str] = Counter()
    rows = 0
    with stanza.file.open("rb") as file:
        for number, line in enumerate(tqdm(file, stanza.file.stem, unit="row", disable=None, leave=False), 1):
            if line.isspace():
                continue
            rows += 1
            try:
                row = json.loads(line)
                texts.add(_text(row, stanza))
                for image in row[stanza.images]:
                    images.setdefault(image, number)
                if isinstance(id := row.get("id"), str) and ids.setdefault(id, number) != number:
                    raise ValueError("an id that an earlier row has, too")
            except ValueError as error:
                reason = "not JSON" if isinstance(error, json.JSONDecodeError) else str(error)
                reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else reason
                faults[reason] += 1
                first.setdefault(reason, number)
    found = [
        Finding(
            "error",
            "rows",
            f"{stanza.file}, line {first[reason]}: {reason}{f' ({count:,} such rows)' if count > 1 else ''}; "
            f"write the file anew: {maker(stanza.name)}",
        )
        for reason, count in faults.items()
    ]
    if not rows:
        found.append(Finding("error", "rows", f"{stanza.file}: is empty; write it anew: {maker(stanza.name)}"))
    return Scanned(stanza, rows, images, texts), found


def _text(row: dict, stanza: Stanza) -> Text:
    """What a row says. Raises ValueError for what LLaMA-Factory skips, dies on, or learns nothing from."""
    if not isinstance(row, dict):
        raise ValueError("not a row, which is {...}")
    turns, images, tags = row.get(stanza.messages), row.get(stanza.images), stanza.tags
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise ValueError(f"no turns in {stanza.messages!r}")
    if not isinstance(images, list) or not images or not all(isinstance(image, str) and image for image in images):
        raise ValueError(f"no images in {stanza.images!r}, and a row of text only hangs ZeRO-3")
    roles = [turn.get(tags["role_tag"]) for turn in turns]
    said = [turn.get(tags["content_tag"]) for turn in turns]
    if roles[0] == tags["system_tag"]:
        roles = roles[1:]
    if not roles or roles != [tags["user_tag"], tags["assistant_tag"]] * (len(roles) // 2):
        raise ValueError(f"roles {', '.join(map(str, roles))} do not alternate, so LLaMA-Factory skips the row")
    if not all(isinstance(text, str) for text in said):
        raise ValueError("a turn without text")
    if not said[-1].strip():
        raise ValueError("an empty answer")
    marks = sum(text.count("<image>") for text in said)
    if marks != len(images):
        raise ValueError(f"{marks} <image> for {len(images)} images, which ends LLaMA-Factory")
    return Text("\n".join(said[:-1]).replace("<image>", ""), said[-1], marks)
