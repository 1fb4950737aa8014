"""python -m data_prep registry: dataset_info.json, by which LLaMA-Factory finds the files of rows. A test says when it
is out of date."""

from pathlib import Path

from storm.datasets import DATASETS
from storm.files import write_json
from storm.options import Parser
from storm.prompts import STRATEGIES


def stanza(file: str) -> dict:
    """How dataset_info.json describes a file of rows."""
    # LLaMA-Factory resets every column that is not named (data/parser.py), so each stanza names both.
    columns = {"messages": "conversations", "images": "images"}
    return {"file_name": file, "formatting": "sharegpt", "columns": columns}


def dataset_info() -> dict[str, dict]:
    """What dataset_info.json must hold: storm_<dataset>_<train|lite|val|test><suffix of the strategy> -> stanza."""
    demo = [f"demo_{part}{strategy.suffix}" for strategy in STRATEGIES.values() for part in ("train", "val", "test")]
    info = {name: stanza(f"data/demo/{name}.jsonl") for name in demo}
    for strategy in STRATEGIES.values():
        for dataset in DATASETS.values():
            for part in ("train", "val", "test") if dataset.lite == "none" else ("train", "lite", "val", "test"):
                file = f"data/storm/{strategy.name}/{dataset.name}_{part}.jsonl"
                info[f"storm_{dataset.name}_{part}{strategy.suffix}"] = stanza(file)
    return info


def main(argv: list[str]) -> int:
    """Write the repository's dataset_info.json."""
    description = "Write dataset_info.json, the registry of LLaMA-Factory: a stanza for each file of rows."
    Parser(prog="python -m data_prep registry", description=description).parse_args(argv)
    path = Path(__file__).resolve().parent.parent / "dataset_info.json"
    write_json(path, dataset_info())
    print(f"{path}: {len(dataset_info())} stanzas")
    return 0
