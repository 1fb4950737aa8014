"""What the folder of a trained run says of its training; what nothing says stays unknown."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from storm import provenance
from storm.families import FAMILIES
from storm.files import read_json
from storm.options import describe
from storm.prompts import strategy_of
from train.cards.host_card import contradiction, read_host_card
from train.cards.texts import front_matter, read_text
from train.checks.finding import names
from train.plan import files_of
from train.recipe import load
from train.steps import DONE

CHECKPOINT = re.compile(r"checkpoint-\d+")
BOARD = "training_args.yaml"  # LLaMA Board keeps the keys of its trainings there


@dataclass(frozen=True)
class Trained:
    folder: Path
    run: Path  # the output_dir of the training; of a checkpoint-N, the folder around it
    recipe: dict  # keys and values; {} if nothing says them
    source: str  # where the recipe is from, in words
    whole: bool  # whether that is all of the recipe
    data: dict[str, str]  # stanza -> hash of its file of rows, "" if unknown
    hashed: str  # when those hashes were taken, in words
    base: str  # model_name_or_path of the training; "" if unknown
    adapter: bool  # LoRA: the folder holds no whole model
    model_type: str  # of config.json; "" if unknown
    numbers: dict  # of train_results.json and trainer_state.json
    step: str  # which step's weights these are, in words; "" if it goes without saying
    commit: str | None
    versions: dict[str, str]

    @property
    def name(self) -> str:
        """That of the run; with -checkpoint-N behind it for one of its checkpoints."""
        names = [self.run.resolve().name, self.folder.resolve().name]
        return "-".join(dict.fromkeys(names))

    @property
    def family(self) -> str:
        """The title of the model's family, or its model_type."""
        titles = [family.title for family in FAMILIES.values() if family.model_type == self.model_type]
        return titles[0] if len(titles) == 1 else self.model_type

    @property
    def strategies(self) -> list[str]:
        """Prompt strategies of the training rows, as the names of the stanzas say them."""
        return list(dict.fromkeys(strategy_of(stanza).name for stanza in self.data))

    @property
    def local_base(self) -> bool:
        """Whether the base model is a folder rather than a name on the hub: then it is no link."""
        path = Path(self.base)
        beside = self.run.resolve().parent / path.name
        same_place = path.parent.name == self.run.resolve().parent.name  # saves/demo_base of saves/demo
        hub = re.fullmatch(r"[\w.-]+/[\w.-]+", self.base) and not self.base.startswith(".")
        return bool(self.base) and (not hub or path.is_dir() or beside.is_dir() or same_place)


def read_trained(folder: Path, recipe: Path | None = None, settings: Sequence[str] = ()) -> Trained:
    """Read a run, or one of its checkpoints. recipe, settings: the user's, for a run that records none.

    Raises ValueError with the fix, OSError.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; name the folder of a trained run, such as saves/demo")
    run = folder.parent if CHECKPOINT.fullmatch(folder.name) else folder
    if not (run / DONE).is_file():
        raise ValueError(f"{run}: no {DONE}, so no training has finished in it; name the output_dir of a training")
    stated, versions = read_host_card(run)
    facts, commit, whole = {}, None, True
    if provenance.exists(run):
        facts = provenance.read(run)
        if recipe:
            raise ValueError(f"{folder} has a {provenance.FILE} with its recipe; leave --recipe out")
        keys = dict(facts.get("recipe") or {}) | ({"seed": facts["seed"]} if "seed" in facts else {})
        source, versions, commit = f"`{provenance.FILE}` of the run", facts["versions"], facts.get("commit")
    elif recipe:
        keys, source = load(recipe, settings), "the recipe file named for this card, as the run records none"
        if other := contradiction(keys, stated):
            raise ValueError(f"{recipe}: not the recipe of {folder}: {other}")
    elif (run / BOARD).exists():
        keys, source = _board(run / BOARD), f"`{BOARD}` of the run"
    else:
        keys, source, whole = stated, "LLaMA-Factory's card of the run, which names only these", False
    data, hashed = _data(facts, keys)
    config = _json(folder / "adapter_config.json")
    base = config.get("base_model_name_or_path") or keys.get("model_name_or_path") or stated.get("model_name_or_path")
    configs = [_json(place / "config.json") for place in (folder, Path(str(base)))]
    model_type = next((config["model_type"] for config in configs if config.get("model_type")), "")
    if not config and not (folder / "config.json").is_file():
        raise ValueError(f"{folder}: neither config.json nor adapter_config.json, so no model; name a trained run")
    state, results = _state(folder), _json(run / DONE) if run == folder else {}
    numbers = {"steps": state.get("global_step"), "epochs": results.get("epoch", state.get("epoch"))}
    numbers |= {"loss": results.get("train_loss"), "seconds": results.get("train_runtime")}
    return Trained(
        folder, run, keys, source if keys else "", whole, data, hashed, str(base or ""), bool(config),
        str(model_type or ""), numbers, _step(folder, run, keys), commit,
        {str(name): str(value) for name, value in versions.items()},
    )  # fmt: skip


def _data(facts: dict, keys: dict) -> tuple[dict[str, str], str]:
    """({stanza: hash}, when they were taken). Files of today say nothing sure of a training that recorded no hash."""
    if facts.get("data"):
        return facts["data"], "taken before the training"
    stanzas = names(keys.get("dataset"))
    try:
        files = files_of(stanzas, Path(str(keys.get("dataset_dir") or "data")))
        hashes = {name: provenance.file_hash(file) for name, file in files.items()}
        return hashes, "of the files as they were for this card: the training recorded none"
    except (ValueError, OSError):
        return dict.fromkeys(stanzas, ""), ""


def _state(folder: Path) -> dict:
    """trainer_state.json, which may hold NaN, {} if it is not there. Raises ValueError naming it if it is damaged."""
    path = folder / "trainer_state.json"
    try:
        state = json.loads(read_text(path) or "{}")
    except ValueError:
        state = None
    if not isinstance(state, dict):
        raise ValueError(f"{path}: not an object; is it damaged?")
    return state


def _step(folder: Path, run: Path, keys: dict) -> str:
    """Which step's weights a folder holds, and whether they were the best of the training's own evaluations."""
    state = _state(run)
    best, metric = Path(str(state.get("best_model_checkpoint") or "")).name, state.get("best_metric")
    chosen = isinstance(metric, (int, float)) and CHECKPOINT.fullmatch(best)
    value = f"the best of the evaluations while training ({metric:.4g})" if chosen else ""
    if folder != run:
        text = f"The weights of {folder.name}, of {state.get('global_step') or 'an unknown number of'} steps."
        kept = f" It was kept as {value}: its scores on those rows are too good."
        return text + (kept if chosen and folder.name == best else "")
    # A full training without DeepSpeed keeps the last step's weights all the same (huggingface/transformers#43701).
    loaded = keys.get("load_best_model_at_end") and (keys.get("deepspeed") or keys.get("finetuning_type") != "full")
    if not chosen or loaded or best == f"checkpoint-{state.get('global_step')}":
        return ""
    return f"The weights of the last step; {best} was {value}."


def _board(path: Path) -> dict:
    try:
        keys = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML ({' '.join(describe(error).split())}); move it away") from None
    if not isinstance(keys, dict):
        raise ValueError(f"{path}: it holds no keys; move it away")
    return keys


def _json(path: Path) -> dict:
    """The object in a file, {} if there is no file. Raises ValueError naming a file that holds something else."""
    if not path.is_file():
        return {}
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path}: not an object; is it damaged?")
    return value


def license_of(base: str) -> tuple[str, str]:
    """(license, where it is from) of the base model's card, in its folder or in the hub's cache; unknown if neither."""
    path = Path(base) / "README.md"
    if not Path(base).is_dir():
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            cached = try_to_load_from_cache(base, "README.md")
        except HFValidationError:  # a folder that is gone
            cached = None
        path = Path(cached) if isinstance(cached, str) else path
    stated = front_matter(read_text(path)).get("license") if path.is_file() else None
    if not isinstance(stated, str) or stated in ("other", "unknown"):
        return "unknown", ""
    return stated, "the base model's own card"
