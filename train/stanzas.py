"""The stanzas of dataset_info.json, which LLaMA-Factory knows datasets by, and what their names say."""

from collections.abc import Iterable
from pathlib import Path

from data_prep.options import Options
from storm.datasets import DATASETS, DatasetFacts
from storm.files import read_json
from storm.options import describe
from storm.prompts import strategy_of
from storm.rows import build_command, dataset_and_part


def registry(folder: Path) -> dict:
    """The dataset_info.json of a dataset_dir. Raises ValueError naming the file and the fix."""
    path = folder / "dataset_info.json"
    try:
        stanzas = read_json(path)
        if not isinstance(stanzas, dict):
            raise ValueError(f"{path}: it holds no stanzas")
    except (OSError, ValueError) as error:
        fix = "dataset_dir=. is ours, and python -m data_prep own writes one for your own ratings"
        raise ValueError(f"{describe(error)}; {fix}") from None
    return stanzas


def facts_of(stanza: str) -> DatasetFacts | None:
    """The dataset of a stanza, if it is one of the 14."""
    return DATASETS.get(dataset_and_part(stanza)[0]) if stanza.startswith("storm_") else None


def maker(stanzas: Iterable[str]) -> str:
    """The command that writes the files of these stanzas, with their prompt strategies if `cot` is not the only one."""
    stanzas = list(stanzas)
    if all(stanza.startswith("demo_") for stanza in stanzas):
        return build_command("demo")
    carved = {facts.name: facts.carve for name in stanzas if (facts := facts_of(name)) and _part(name) == "val"}
    datasets: dict[str, list[str]] = {}  # the option that takes validation rows out of train -> datasets
    for facts in dict.fromkeys(filter(None, map(facts_of, stanzas))):
        datasets.setdefault(carved.get(facts.name, ""), []).append(facts.name)
    strategies = list(dict.fromkeys(strategy_of(stanza).name for stanza in stanzas))
    option = f" --strategy {' '.join(strategies)}" if strategies not in ([], list(Options.strategies)) else ""
    words = [(" ".join(some), carve) for carve, some in datasets.items()] or [("csv", "")]
    return " && ".join(f"python -m data_prep {some}{option}{carve}" for some, carve in words)


def _part(stanza: str) -> str:
    return dataset_and_part(stanza)[1]
