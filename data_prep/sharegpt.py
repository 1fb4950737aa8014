"""ShareGPT rows as LLaMA-Factory reads them."""

import os
from collections.abc import Iterable
from pathlib import Path

import jsonlines

from data_prep.questions import Scale, answer, question


def turns(scale: Scale, strategy: str, label: int) -> dict:
    """Question and answer. The same for all images of a label."""
    return {
        "conversations": [
            {"from": "human", "value": question(scale, strategy)},
            {"from": "gpt", "value": answer(scale, strategy, label)},
        ]
    }


def facts(*, id: str, dataset: str, image: str, label: int, **more: float | str) -> dict:
    """The image, relative to the recipe's media_dir, and what scoring needs (LLaMA-Factory ignores it)."""
    return {"images": [image], "id": id, "dataset": dataset, "label": label, **more}


def write_jsonl(path: Path, rows: Iterable[dict]) -> int:
    """Write rows to path, all or nothing (temporary file, then rename). Returns how many there were."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    count = 0
    with jsonlines.open(part, "w") as file:
        for row in rows:
            file.write(row)
            count += 1
    os.replace(part, path)
    return count
