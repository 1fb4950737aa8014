"""The stanzas of dataset_info.json, which LLaMA-Factory knows datasets by, and what their names say."""

from collections.abc import Iterable
from pathlib import Path

from storm.datasets import DATASETS, DatasetFacts
from storm.files import read_json
from storm.options import describe
from storm.prompts import strategy_of


def registry(folder: Path) -> dict:
    """The dataset_info.json of a dataset_dir. Raises ValueError naming the file and the fix."""
    path = folder / "dataset_info.json"
    try:
        stanzas = read_json(path)
        if not isinstance(stanzas, dict):
            raise ValueError(f"{path}: it holds no stanzas")
    except (OSError, ValueError) as error:
        fix = "dataset_dir=. is ours, and python -m data_prep csv writes one for your own ratings"
        raise ValueError(f"{describe(error)}; {fix}") from None
    return stanzas


def split(stanza: str) -> tuple[str, str]:
    """(dataset, part): storm_spaq_test_num -> (spaq, test), demo_train -> (demo, train)."""
    name = stanza.removesuffix(strategy_of(stanza).suffix).removeprefix("storm_")
    dataset, _, part = name.rpartition("_")
    return (dataset, part) if part in ("train", "lite", "test") else (name, "")


def facts_of(stanza: str) -> DatasetFacts | None:
    """The dataset of a stanza, if it is one of the 14."""
    return DATASETS.get(split(stanza)[0]) if stanza.startswith("storm_") else None


def maker(stanzas: Iterable[str]) -> str:
    stanzas = list(stanzas)
    if all(stanza.startswith("demo_") for stanza in stanzas):
        return "python -m demo.photographs"
    datasets = dict.fromkeys(facts.name for stanza in stanzas if (facts := facts_of(stanza)))
    return f"python -m data_prep {' '.join(datasets) or 'csv'}"
