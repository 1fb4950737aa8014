"""Which runs are several seeds of one recipe, in one row of the table of runs, and what other seeds would change.

Two rules, nothing else is averaged. By provenance: eval/predict.py's provenance.json names the model, whose own
provenance.json (of the sweep) says the recipe and the seed: runs with the same recipe, data and settings, and different
seeds. Of runs without those files, by name: paths that differ only in a word seed1, seed_2, seed-3 or seed=4.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.scoring import power
from eval.scoring.next_command import options_of
from eval.scoring.pairing import Paired
from eval.scoring.predictions import Predictions
from storm import provenance

WORD = re.compile(r"(?<![A-Za-z0-9])seed[_=-]?(\d+)(?![A-Za-z0-9])", re.IGNORECASE)
NOT_RECIPE = ("seed", "data_seed", "output_dir", "run_name", "logging_dir", "eval_dataset")  # may differ among seeds
NOT_SETTINGS = ("model", "adapter", "trained_on", "data", "commit", "versions", "command")  # of predictions


@dataclass(frozen=True)
class Entry:
    """A row of the table of runs: one run, or several seeds of one recipe."""

    name: str
    strategy: str
    decode: str
    keys: tuple[tuple[str, str, str], ...]  # of its runs, by seed
    seeds: tuple[int, ...] = ()  # as many as runs; none of a single run

    @property
    def title(self) -> str:
        return f"{self.name} ({len(self.seeds)} seeds)" if self.seeds else self.name


def entries(runs: Sequence[Predictions]) -> tuple[list[Entry], list[str]]:
    """The rows, in the order of the runs, and a line for each set of runs that look like seeds but are not averaged."""
    files = {}
    for predictions in runs:
        files.setdefault(predictions.key, predictions.path)
    groups, notes, recipes = {}, [], {}
    for key, path in files.items():
        try:
            facts = _training(path.parent)
        except (OSError, ValueError) as error:
            notes.append(f"{error}; not averaged with other seeds")
            facts = None
        word = WORD.search(key[0])
        if facts and word and int(word[1]) != facts["seed"]:
            notes.append(f"{key[0]}: its training says seed {facts['seed']}; not averaged with other seeds")
            facts = word = None
        seed = facts["seed"] if facts else int(word[1]) if word else None
        name = _without(key[0], word) if word else facts["run"] if facts else key[0]
        same = ("recipe", facts["same"]) if facts else ("name", name) if word else ("run", key[0])
        groups.setdefault((*same, *key[1:]), []).append((seed, key, name))
        if facts and word:
            recipes.setdefault((name, *key[1:]), {}).setdefault(facts["same"], key[0])
    for different in (list(paths.values()) for paths in recipes.values() if len(paths) > 1):
        notes.append(f"{' and '.join(different)}: their recipes or data differ in more than the seed; not averaged")
    rows = []
    for members in groups.values():
        rows += _rows(sorted(members, key=lambda member: (member[0] or 0, member[1])), notes)
    order = {key: place for place, key in enumerate(files)}
    return sorted(rows, key=lambda row: min(order[key] for key in row.keys)), notes


def _rows(members: Sequence[tuple], notes: list[str]) -> list[Entry]:
    """One row for different seeds; a row each for a single run, or for runs of which two have the same seed."""
    seeds, keys = (tuple(column) for column in list(zip(*members))[:2])
    if len(keys) > 1 and len(set(seeds)) == len(keys):
        return [Entry(members[0][2], *keys[0][1:], keys, seeds)]
    if len(keys) > 1:
        twice = next(seed for seed in seeds if seeds.count(seed) > 1)
        same = [key[0] for seed, key, _ in members if seed == twice]
        notes.append(f"{' and '.join(same[:2])} have the same recipe and seed ({twice}); not averaged")
    return [Entry(*key, (key,)) for key in keys]


def _training(folder: Path) -> dict | None:
    """Of the training of predictions in a folder: run, seed, and "same", which all seeds of one recipe have in common.

    None if no provenance says it. Raises OSError or ValueError for a damaged one.
    """
    options = options_of(folder)
    model = (options.get("--adapter") or options.get("--model") or [""])[0]
    trained = Path(model)
    checkpoint = trained.name if trained.name.startswith("checkpoint-") else ""
    trained = trained.parent if checkpoint else trained
    if not model or not provenance.exists(trained):
        return None
    facts, settings = provenance.read(trained), provenance.read(folder)
    if not isinstance(facts.get("recipe"), dict) or not isinstance(facts.get("seed"), int):
        return None
    recipe = {key: value for key, value in facts["recipe"].items() if key not in NOT_RECIPE}
    settings = {key: value for key, value in settings.items() if key not in NOT_SETTINGS}
    same = json.dumps([recipe, facts["data"], checkpoint, settings], sort_keys=True)
    return {"run": str(facts.get("run") or trained.name), "seed": facts["seed"], "same": same}


def _without(path: str, word: re.Match) -> str:
    """The path without the word of the seed, and without an empty folder or a separator that it leaves."""
    before, after = path[: word.start()], path[word.end() :]
    if not before.rstrip("/") or before.endswith("/"):
        return before + after.lstrip("/_-. ") if after.strip("/") else before.rstrip("/") or path
    return before.rstrip("_-. ") + after


def p_with_seeds(parts: Sequence[Paired], ours: Sequence[float], base: Sequence[float]) -> float:
    """p of no difference of two recipes, of which other seeds would have other values; 0 if there is one seed of each.

    ours, base: the values of the seeds. Student's t: the variance of the difference between subjects, and that of the
    seeds, pooled, with the degrees of freedom of Welch and Satterthwaite (1946). Our choice: a recipe with one seed is
    taken to vary as the other one.
    """
    from scipy.special import stdtr

    freedom = len(ours) + len(base) - 2
    if not freedom:
        return 0.0
    error, difference = power.standard_error(parts), np.mean([part.difference for part in parts])
    if error is None:
        return 1.0
    spread = sum(float(np.var(side)) * len(side) for side in (ours, base)) / freedom
    variances = np.array([error**2, spread * (1 / len(ours) + 1 / len(base))])
    if not variances.sum():
        return float(difference == 0)
    degrees = np.array([sum(len(part.sums) - 1 for part in parts), freedom])
    welch = variances.sum() ** 2 / (variances**2 / degrees).sum()
    return float(2 * stdtr(welch, -abs(difference) / np.sqrt(variances.sum())))
