"""What a run with a `storm:` block knows beside the host's arguments: its rows, their votes, the val parts."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eval.inference.settings import scales_with
from storm.rows import Example, read_examples, sibling
from storm.scales import Scale
from train.checks.finding import names
from train.plan import files_of
from train.stanzas import maker
from train.training.block import FIT, Block
from train.training.width import fit_width


@dataclass(frozen=True)
class Setting:
    block: Block
    recipe: Mapping[str, Any]
    model_args: Any
    data_args: Any
    scales: Sequence[Scale]  # that a row may be of
    votes: Mapping[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)  # (path, scale) -> shares
    val: Mapping[str, Sequence[Example]] = field(default_factory=dict)  # stanza -> rows that are scored


def check(recipe: Mapping[str, Any], block: Block) -> None:
    """Raises ValueError in one line for a recipe that cannot be run with its block."""
    if not recipe.get("do_train") or recipe.get("stage", "sft") != "sft":
        raise ValueError("storm: is for trainings of stage: sft; leave the block out")
    if block.objective:
        for key in ("packing", "neat_packing", "enable_liger_kernel", "streaming", "train_on_prompt", "mask_history"):
            if recipe.get(key):
                raise ValueError(f"storm.objective={block.objective}: does not work with {key}; {key}: false")
    if (block.objective or block.evaluate) and recipe.get("flash_attn", "auto") not in ("auto", "sdpa"):
        asked = f"storm.objective={block.objective}" if block.objective else "storm.evaluate"
        raise ValueError(f"{asked}: needs a mask that only sdpa takes; flash_attn: sdpa")


def rows_of(recipe: Mapping[str, Any], block: Block, stanzas: Sequence[str]) -> dict[str, list[Example]]:
    """Stanza -> its rows. Raises ValueError naming a damaged row, or a missing file with the command that writes it."""
    scales, files = (
        scales_with(Path(block.scale) if block.scale else None),
        files_of(stanzas, Path(recipe["dataset_dir"])),
    )
    if gone := {name: path for name, path in files.items() if not path.is_file()}:
        first = next(iter(gone.values()))
        raise ValueError(f"{first}: no such file; {maker(gone)}")
    return {name: list(read_examples(path, scales)) for name, path in files.items()}


def setting_of(recipe: Mapping[str, Any], block: Block, model_args: Any, data_args: Any) -> Setting:
    """Reads the rows that the block needs. Raises ValueError as rows_of(), and for rows without votes.

    The width of its block is a number.
    """
    trained, media = names(recipe.get("dataset")), Path(recipe.get("media_dir") or recipe["dataset_dir"])
    scales = list(dict.fromkeys(scales_with(Path(block.scale) if block.scale else None).values()))
    votes: dict[tuple[str, str], tuple[float, ...]] = {}
    if block.objective and block.target == "votes":
        for stanza, rows in rows_of(recipe, block, trained).items():
            for row in rows:
                if not row.votes:
                    text = "has no votes, which storm.target=votes needs"
                    raise ValueError(f"{stanza}: {row.id} {text}; storm.target=laplace, or other datasets")
                votes[str(media / row.image), row.scale.name] = row.votes
    val: dict[str, Sequence[Example]] = {}
    stanzas = list(dict.fromkeys(sibling(stanza, "val") for stanza in trained))
    if block.objective and block.width == FIT:
        rows = [row for part in rows_of(recipe, block, stanzas).values() for row in part]
        block = replace(block, width=fit_width(block.target, rows))
        if os.environ.get("RANK", "0") == "0":
            about = f"the votes of {len(rows):,} val rows are likeliest under {block.target}"
            print(f"storm.width: {block.width:.3f} levels; with it, {about}", file=sys.stderr)
    if block.evaluate:
        parts = rows_of(recipe, block, stanzas)
        share = max(1, block.evaluate.rows // len(parts))
        val = {stanza: rows[:share] for stanza, rows in parts.items()}
    return Setting(block, recipe, model_args, data_args, scales, votes, val)
