"""ShareGPT rows as LLaMA-Factory reads them."""

from collections.abc import Iterable
from pathlib import Path

import jsonlines

from data_prep.questions import Scale, answer, question
from data_prep.together import together


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
    """Write rows to path, all or nothing. Returns how many there were."""
    with together() as open_:
        writer, count = jsonlines.Writer(open_(path)), 0
        for row in rows:
            writer.write(row)
            count += 1
    return count
