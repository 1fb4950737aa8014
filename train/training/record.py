"""provenance.json of a training that train/run.py starts: written at step 0, compared where one goes on."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from storm import provenance
from storm.options import describe
from train.checkpoints import last
from train.checks.finding import names
from train.plan import OURS, files_of

# What the sweep, which writes provenance.json from the recipe alone, adds to the keys of a run.
ADDED = {*OURS, *provenance.GPU_KEYS, "logging_nan_inf_filter", "max_grad_norm"}
# Change no weight of a training that goes on: what is printed or saved, by how many processes; where the rows lie.
HARMLESS = {
    *("resume_from_checkpoint", "overwrite_output_dir", "dataset_dir", "overwrite_cache", "report_to", "run_name"),
    *("logging_steps", "logging_first_step", "logging_dir", "plot_loss", "include_num_input_tokens_seen"),
    *("save_steps", "save_strategy", "save_total_limit", "save_only_model", "ddp_timeout"),
    *("preprocessing_num_workers", "preprocessing_batch_size", "dataloader_num_workers", "dataloader_pin_memory"),
}
PRINTED = ("max_grad_norm", "media_dir")  # a sweep's limit depends on the number of GPUs; images may have moved
LONGER = {"num_train_epochs": 3.0, "max_steps": -1}  # with transformers' defaults


def record(recipe: Mapping[str, Any], name: str, settings: Sequence[str], step: Path | None) -> None:
    """step: the checkpoint that the training goes on from, None if it begins.

    Raises ValueError, with the fix, if that is of other settings or rows; a longer training is recorded as such.
    """
    out, keys = Path(str(recipe["output_dir"])), {k: v for k, v in recipe.items() if k not in provenance.GPU_KEYS}
    began_in = step.parent if step else out
    if step and not provenance.exists(began_in):
        if provenance.exists(out):
            provenance.refuse(out, "a record", f"another training than {step}")
        print(f"{out}: goes on from a training that recorded no {provenance.FILE}, nor does this one", file=sys.stderr)
        return
    try:
        files = files_of(names(recipe.get("dataset")), Path(str(recipe.get("dataset_dir") or "data")))
        data = {stanza: provenance.file_hash(file) for stanza, file in files.items()}
    except ValueError as error:  # rows that are not ours, such as of the hub: LLaMA-Factory may have them
        if provenance.exists(out) or step:
            provenance.refuse(began_in, "a training", f"other rows ({describe(error)})")
        print(f"no {provenance.FILE}: {describe(error)}", file=sys.stderr)
        return
    facts = {"run": name, "settings": list(settings), "recipe": keys, "seed": recipe.get("seed", provenance.SEED)}
    facts |= {"data": data} | provenance.tools()
    same_folder = bool(step) and began_in.resolve() == out.resolve()
    if not same_folder and last(out) and provenance.exists(out):  # a later start may go on from these checkpoints
        _compare(out, provenance.read(out), facts)
    if step:
        old = provenance.read(began_in)
        longer = _compare(began_in, old, facts)
        if same_folder and not longer:
            return
        facts = old | {"run": name, "settings": list(settings), "recipe": (old.get("recipe") or {}) | longer}
    out.mkdir(parents=True, exist_ok=True)
    provenance.write(out, facts)


def _compare(place: Path, old: dict, now: dict) -> dict:
    """The keys that make a training longer, {} if none does. Raises ValueError for another training."""
    before, keys = old.get("recipe") or {}, now["recipe"]
    longer = {key: keys[key] for key, default in LONGER.items() if _is_longer(key, default, before, keys)}
    ignored = {*ADDED, *HARMLESS, *PRINTED, *longer}

    def compared(facts: dict, recipe: dict) -> dict:
        block = {key: value for key, value in (recipe.get("storm") or {}).items() if key != "evaluate"}
        kept = {key: value for key, value in recipe.items() if key not in ignored}
        return facts | {"recipe": kept | {"storm": block}}

    changed = provenance.difference(compared(old, before), compared(now, keys), any_commit=True)
    provenance.refuse(place, "a training", changed)
    lines = [provenance.other_tools(old, now)]
    for key in PRINTED:
        if before.get(key) != keys.get(key):
            lines.append(f"another {key} ({before.get(key)} in {provenance.FILE}, now {keys.get(key)})")
    for line in filter(None, lines):
        print(f"{place}: goes on, with {line}", file=sys.stderr)
    return longer


def _is_longer(key: str, default: float, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """max_steps below 1 leaves the length to the epochs: what is longer then is not clear."""
    old, new = before.get(key, default), now.get(key, default)
    return all(type(value) in (int, float) and value > 0 for value in (old, new)) and new > old
