"""ShareGPT rows as LLaMA-Factory reads them, and the registry (dataset_info.json) that names the files.

Run `python -m data_prep.sharegpt` to write dataset_info.json anew; a test says when that is due.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import jsonlines

from data_prep.questions import Scale, answer, question

# LLaMA-Factory resets every column that is not named (data/parser.py), so each stanza names both.
_COLUMNS = {"messages": "conversations", "images": "images"}


def conversation(scale: Scale, strategy: str, *, id: str, dataset: str, image: str, label: int) -> dict:
    """One training or test row: question and answer, plus what scoring needs (LLaMA-Factory ignores it).

    `image` is relative to the recipe's media_dir. Raises ValueError for a label off the scale.
    """
    return {
        "conversations": [
            {"from": "human", "value": question(scale, strategy)},
            {"from": "gpt", "value": answer(scale, strategy, label)},
        ],
        "images": [image],
        "id": id,
        "dataset": dataset,
        "label": label,
    }


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


def dataset_info() -> dict[str, dict]:
    """What dataset_info.json must hold: stanza name -> file, relative to the repository's root."""
    files = {f"demo_{split}": f"data/demo/demo_{split}.jsonl" for split in ("train", "test")}
    return {
        name: {"file_name": file, "formatting": "sharegpt", "columns": dict(_COLUMNS)} for name, file in files.items()
    }


def main() -> None:
    path = Path(__file__).resolve().parent.parent / "dataset_info.json"
    path.write_text(json.dumps(dataset_info(), indent=2) + "\n", encoding="utf-8")
    print(f"{path}: {len(dataset_info())} stanzas")


if __name__ == "__main__":
    main()
