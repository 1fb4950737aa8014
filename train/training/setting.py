"""What a run with a `storm:` block knows beside the host's arguments: its rows, their votes, the val parts."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from eval.inference.settings import scales_with
from storm.datasets import CARVE, DATASETS
from storm.images import ImageFault, header_size, locate
from storm.options import describe
from storm.rows import Example, build_command, dataset_and_part, read_examples, sibling
from storm.scales import Scale
from train.checks.finding import names
from train.plan import files_of
from train.stanzas import maker
from train.training import keys
from train.training.block import FIT, Block
from train.training.width import fit_width


@dataclass(frozen=True)
class Data:
    """What the block needs of the rows."""

    block: Block  # its width is a number
    scales: Sequence[Scale]  # that a row may be of
    votes: Mapping[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)  # (path, scale) -> shares
    val: Mapping[str, Sequence[Example]] = field(default_factory=dict)  # stanza -> rows that are scored


@dataclass(frozen=True)
class Setting(Data):
    recipe: Mapping[str, Any] = field(default_factory=dict)
    model_args: Any = None
    data_args: Any = None


def check(recipe: Mapping[str, Any], block: Block) -> None:
    """Raises ValueError in one line for a recipe that cannot be run with its block. Reads no rows."""
    keys.refuse(recipe, block)
    _scales(block.scale)


@cache
def _scales(file: str) -> dict[str, Scale]:
    try:
        return scales_with(Path(file) if file else None)
    except OSError as error:
        raise ValueError(f"storm.scale={file}: {describe(error)}; name the SCALE.yaml of your rows") from None


def _folder(recipe: Mapping[str, Any]) -> str:
    return str(recipe.get("dataset_dir") or "data")  # the host's default


def media_of(recipe: Mapping[str, Any]) -> str:
    """The image root, as the host joins it with the names of images."""
    return str(recipe.get("media_dir") or _folder(recipe))


def rows_of(recipe: Mapping[str, Any], block: Block, stanzas: Sequence[str]) -> dict[str, list[Example]]:
    """Stanza -> its rows. Raises ValueError naming a damaged row, or a missing or empty file with the command that
    writes it."""
    scales, files = _scales(block.scale), files_of(stanzas, Path(_folder(recipe)))
    if gone := {name: path for name, path in files.items() if not path.is_file()}:
        first = next(iter(gone.values()))
        raise ValueError(f"{first}: no such file; {maker(gone)}")
    rows = {}
    for name, path in files.items():
        try:
            rows[name] = list(read_examples(path, scales))
        except ValueError as error:  # the option of other commands is a key of the block
            raise ValueError(str(error).replace("--scale ", "storm.scale=")) from None
        if not rows[name]:
            raise ValueError(f"{path}: holds no rows; {maker([name])}")
    return rows


def val_stanzas(recipe: Mapping[str, Any]) -> list[str]:
    """The val parts of what is trained on."""
    return list(dict.fromkeys(sibling(stanza, "val") for stanza in names(recipe.get("dataset"))))


def data_of(recipe: Mapping[str, Any], block: Block) -> Data:
    """Read the rows that the block needs.

    Raises ValueError as rows_of(), for rows without votes, and for val rows that are trained on or whose image cannot
    be read.
    """
    scales = list(dict.fromkeys(_scales(block.scale).values()))
    votes: dict[tuple[str, str], tuple[float, ...]] = {}
    if block.objective:  # read for any target: a row of an unknown scale would end the training at its first step
        for stanza, rows in rows_of(recipe, block, names(recipe.get("dataset"))).items():
            for row in rows if block.target == "votes" else ():
                if not row.votes:
                    text = "has no votes, which storm.target=votes needs"
                    raise ValueError(f"{stanza}: {row.id} {text}; storm.target=laplace, or other datasets")
                votes[os.path.join(media_of(recipe), row.image), row.scale.name] = row.votes
    if block.objective and block.width == FIT:
        rows = [row for part in rows_of(recipe, block, val_stanzas(recipe)).values() for row in part]
        block = replace(block, width=fit_width(block.target, rows))
    return Data(block, scales, votes, _scored(recipe, block) if block.evaluate else {})


def _scored(recipe: Mapping[str, Any], block: Block) -> dict[str, Sequence[Example]]:
    """The val rows that are scored while it trains. Raises ValueError as data_of()."""
    parts = rows_of(recipe, block, val_stanzas(recipe))
    trained = {
        os.path.normpath(row.image): row
        for rows in rows_of(recipe, block, names(recipe.get("dataset"))).values()
        for row in rows
    }
    for stanza, rows in parts.items():
        for row in rows:
            if other := trained.get(os.path.normpath(row.image)):
                what = f"{row.file}: {row.id}: its image {row.image} is trained on, too ({other.file}: {other.id})"
                raise ValueError(f"{what}, so its score would be too good; {_val_command(stanza)}")
    share = max(1, block.evaluate.rows // len(parts))
    val = {stanza: rows[:share] for stanza, rows in parts.items()}
    media = Path(media_of(recipe))
    for row in (row for rows in val.values() for row in rows):
        try:
            header_size(locate(media, row.image, row.file))
        except (ImageFault, OSError) as fault:
            what = f"{row.file}: {row.id}: {media / row.image}: {describe(fault)}"
            raise ValueError(f"{what}; media_dir=IMAGE_ROOT, or build the rows again: {maker(val)}") from None
    return val


def _val_command(stanza: str) -> str:
    dataset = dataset_and_part(stanza)[0]
    return build_command(dataset, val=CARVE if dataset in DATASETS else "")


def setting_of(recipe: Mapping[str, Any], block: Block, model_args: Any, data_args: Any) -> Setting:
    """data_of() with the host's arguments."""
    data = data_of(recipe, block)
    if block.width == FIT and os.environ.get("RANK", "0") == "0":
        about = f"the votes of the val rows are likeliest under {block.target}"
        print(f"storm.width: {data.block.width:.3f} levels; with it, {about}", file=sys.stderr)
    return Setting(data.block, data.scales, data.votes, data.val, recipe, model_args, data_args)
