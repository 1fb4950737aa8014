"""dataset_info.json, the registry by which LLaMA-Factory finds the files of rows.

Run `python -m data_prep.registry` to write it anew; a test says when that is due.
"""

import json
from pathlib import Path

from storm.datasets import DATASETS
from storm.prompts import STRATEGIES, suffix
from storm.files import together

# LLaMA-Factory resets every column that is not named (data/parser.py), so each stanza names both.
_COLUMNS = {"messages": "conversations", "images": "images"}


def stanza(file: str) -> dict:
    """How dataset_info.json describes a file of rows."""
    return {"file_name": file, "formatting": "sharegpt", "columns": dict(_COLUMNS)}


def dataset_info() -> dict[str, dict]:
    """What dataset_info.json must hold: stanza name -> file, relative to the repository's root.

    storm_<dataset>_<train|lite|test>, with _num, _text or _direct behind it for the strategies that are not cot.
    """
    demo = [f"demo_{split}{suffix(strategy)}" for strategy in STRATEGIES for split in ("train", "test")]
    info = {name: stanza(f"data/demo/{name}.jsonl") for name in demo}
    for strategy in STRATEGIES:
        for dataset in DATASETS:
            for part in ("train", "test") if dataset.lite == "none" else ("train", "lite", "test"):
                file = f"data/storm/{strategy}/{dataset.name}_{part}.jsonl"
                info[f"storm_{dataset.name}_{part}{suffix(strategy)}"] = stanza(file)
    return info


def write_info(path: Path, stanzas: dict[str, dict]) -> None:
    """Write a registry, all or nothing."""
    with together() as open_:
        open_(path).write(json.dumps(stanzas, indent=2) + "\n")


def main() -> None:
    path = Path(__file__).resolve().parent.parent / "dataset_info.json"
    write_info(path, dataset_info())
    print(f"{path}: {len(dataset_info())} stanzas")


if __name__ == "__main__":
    main()
