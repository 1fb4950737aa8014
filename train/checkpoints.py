"""Whole and broken checkpoints of a training, as transformers 5.2.0, DeepSpeed 0.19.8 and accelerate's FSDP write them.

LLaMA-Factory 0.9.5 goes on from the checkpoint-N of the highest N in output_dir, whole or not: one that a kill or a
full disk left half-written is what every later start dies of.
"""

import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from storm.files import locked, read_json
from storm.options import Parser, print_errors
from train.tensor_names import (
    FSDP_MODEL,
    INDEX,
    OTHER_NAMES,
    WEIGHTS,
    rename_tensors,
    renamed_tensors,
    sharded_names,
)

STATES = ("optimizer*", "scheduler.pt", "rng_state*.pth", "latest", "global_step*")  # none with save_only_model
OPTIMIZER = r".*_rank_(\d+)_mp_rank_00_optim_states\.pt"  # DeepSpeed's, a file for each GPU


def tensors(path: Path) -> None:
    """Opening compares the header with the size of the file, and loads nothing."""
    with safe_open(path, framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118 (not a dict)
            if 0 in file.get_slice(name).get_shape():
                raise ValueError(f"tensor {name} has no numbers")


def pickled(path: Path) -> None:
    """torch.save writes a zip archive, whose directory comes last: whatever was cut off has none.

    The sums of its entries stay unchecked: that reads all of a file (30 GB for the optimizer of a 3B) to find what a
    disk lost in the middle of it.
    """
    with zipfile.ZipFile(path) as archive:
        spans = [(entry.header_offset, entry.header_offset + entry.compress_size) for entry in archive.infolist()]
        if not spans or min(spans)[0] < 0 or max(end for _, end in spans) > archive.start_dir:
            raise ValueError("its directory does not fit its size")


def _numbers(folder: Path, pattern: str) -> set[int]:
    return {int(match.group(1)) for path in folder.iterdir() if (match := re.fullmatch(pattern, path.name))}


def _parts(folder: Path) -> Iterator[tuple[Path, Callable]]:
    """The files that make a checkpoint whole, each with what raises if it is damaged.

    Without DeepSpeed, a training whose optimizer, scheduler or random state is gone would silently go on with new ones.
    """
    # Written last. By json: it may hold NaN, which orjson does not read.
    yield folder / "trainer_state.json", lambda path: json.loads(path.read_bytes())["global_step"]
    adapter, index = (folder / "adapter_config.json").exists(), folder / INDEX
    of_fsdp = sorted(folder.glob(FSDP_MODEL))
    yield from map(_of_fsdp, of_fsdp)
    if index.exists():
        yield index, lambda path: read_json(path)["weight_map"].values()
    if not any(path.is_dir() for path in of_fsdp):  # that training writes neither these nor the configuration
        for name in sorted(set(read_json(index)["weight_map"].values())) if index.exists() else [WEIGHTS[adapter]]:
            yield folder / name, tensors
        yield folder / ("adapter_config.json" if adapter else "config.json"), read_json
    if not any(any(folder.glob(name)) for name in STATES):
        return  # model_only
    ranks = _numbers(folder, r"rng_state_(\d+)\.pth")  # of one process: rng_state.pth
    if (folder / "latest").exists() or any(folder.glob("global_step*")):  # DeepSpeed
        yield folder / "latest", lambda path: (folder / (path.read_text() or "?")).resolve(strict=True)
        states = folder / (folder / "latest").read_text()
        written = _numbers(states, OPTIMIZER)
        ranks |= written if len(written) > 1 else set()
        bf16 = "bf16_" if any(states.glob("bf16_*")) else ""
        zero3 = any(states.glob("zero_pp_rank_*_model_states.pt"))
        for rank in range(max(ranks, default=0) + 1):
            yield states / f"{bf16}zero_pp_rank_{rank}_mp_rank_00_optim_states.pt", pickled
            yield states / f"{f'zero_pp_rank_{rank}_' if zero3 else ''}mp_rank_00_model_states.pt", pickled
    elif of_fsdp:
        yield from map(_of_fsdp, sorted(folder.glob("optimizer*")) or [folder / "optimizer.bin"])
    else:
        yield folder / "optimizer.pt", pickled
    random = [f"rng_state_{rank}.pth" for rank in range(max(ranks) + 1)] if ranks else ["rng_state.pth"]
    yield from ((folder / name, pickled) for name in ["scheduler.pt", *random])


def _of_fsdp(path: Path) -> tuple[Path, Callable]:
    """Of a folder of shards, what torch.distributed.checkpoint writes last."""
    return (path / ".metadata", Path.read_bytes) if path.is_dir() else (path, pickled)


def fault(checkpoint: Path) -> str | None:
    """Why a training should not go on from a checkpoint, in one line, or None. Takes milliseconds whatever its size.

    Other processes are missed only if they left some file: theirs may be on the disk of another machine.
    """
    return next((reason for path, check in _parts(checkpoint) if (reason := damage(path, check))), None)


def damage(path: Path, check: Callable) -> str | None:
    """Why a file is not whole, if it is not: `check`, like `tensors`, raises."""
    if not path.exists():
        return f"{path.name} is missing"
    try:
        check(path)
    except (ValueError, LookupError, TypeError, AttributeError, OSError, zipfile.BadZipFile, SafetensorError) as e:
        return f"{path.name} ({path.stat().st_size:,} bytes) is damaged: {e}"
    return None


def last(output_dir: Path) -> Path | None:
    """The checkpoint-N of the highest N, whole or not."""
    steps = _numbers(output_dir, r"checkpoint-(\d+)") if output_dir.is_dir() else ()
    return output_dir / f"checkpoint-{max(steps)}" if steps else None


def other_ranks(checkpoint: Path, processes: int) -> str | None:
    """Why a training with DeepSpeed cannot go on from a checkpoint with so many GPUs, in one line, or None."""
    ranks = {rank for states in checkpoint.glob("global_step*") for rank in _numbers(states, OPTIMIZER)}
    if not ranks or max(ranks) + 1 == processes:
        return None
    folder, gpus = checkpoint.parent, max(ranks) + 1
    about = f"{checkpoint} is of {gpus} GPU{'s' * (gpus > 1)}, this run of {processes}"
    return f"{about}, and DeepSpeed goes on with the same number only; use {gpus}, or mv {folder} {folder}.old"


def model_only(checkpoint: Path) -> str | None:
    """Why no training can go on from a checkpoint of save_only_model, in one line with the fix; None for others.

    trainer_state.json is written last: without it, the others may be missing because of a kill.
    """
    if not (checkpoint / "trainer_state.json").exists() or any(any(checkpoint.glob(name)) for name in STATES):
        return None
    out = checkpoint.parent
    about = f"{checkpoint} has no optimizer (save_only_model), so no training can go on from it"
    return f"{about}; to begin anew: mv {out} {out}.old, and save_only_model=false for a training that can go on"


def wrong_start(step: Path) -> str | None:
    """Why a training must not go on from a checkpoint as it is, in one line with the fix; or None."""
    reason = fault(step)
    if not reason and (final := model_only(step) or sharded_names(step)):
        return final
    if not reason and renamed_tensors(step):
        reason = OTHER_NAMES
    return f"{step}: {reason}; python -m train.checkpoints {step.parent}" if reason else None


class Broken(NamedTuple):
    path: Path  # what it was called
    reason: str
    now: Path


def discard_broken(output_dir: Path) -> list[Broken]:
    """Rename each broken checkpoint-N to broken-checkpoint-N, or broken-checkpoint-N.2 and so on if that is taken.

    LLaMA-Factory then goes on from the last sound one, whose tensors get the names that it needs for that. Without one
    it starts over, whatever else lies there (and appends to trainer_log.jsonl), but with weights beside it refuses:
    ValueError. So for a last one from which no training can go on; then nothing is renamed. Only for an output_dir that
    nothing is writing to: hold its lock. Nothing reads what was renamed: delete it when the disk is full.
    """
    checkpoints = [output_dir / f"checkpoint-{step}" for step in sorted(_numbers(output_dir, r"checkpoint-(\d+)"))]
    faults = {path: reason for path in checkpoints if (reason := fault(path))}
    sound = [path for path in checkpoints if path not in faults]
    if sound and (reason := model_only(sound[-1]) or sharded_names(sound[-1])):
        raise ValueError(reason)
    broken = []
    for path, reason in faults.items():
        name = f"broken-{path.name}"
        names = (output_dir / (name if number == 1 else f"{name}.{number}") for number in count(1))
        broken.append(Broken(path, reason, path.rename(next(new for new in names if not new.exists()))))
    weights = [name for name in (*WEIGHTS, INDEX) if (output_dir / name).is_file()]
    if sound:
        rename_tensors(sound[-1])
    elif weights:
        raise ValueError(f"{output_dir} holds {weights[0]} but no sound checkpoint: mv {output_dir} {output_dir}.old")
    return broken


def report(output_dir: Path, broken: Sequence[Broken]) -> list[str]:
    """What was renamed, and where the training goes on from, a line each; none if nothing was."""
    lines = [f"{path} is broken ({reason}) and was renamed {now}" for path, reason, now in broken]
    step = last(output_dir)
    start = f"goes on from {step.name}" if step else "begins from step 0"
    return [*lines, f"{output_dir}: {start}"] if lines else []


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m train.checkpoints", description="Rename the broken checkpoints of a training.")
    parser.add_argument("folder", type=Path, metavar="OUTPUT_DIR", help="its output_dir; it need not exist")
    folder = parser.parse_args(argv).folder
    try:
        if folder.is_dir():
            with locked(folder):
                for line in report(folder, discard_broken(folder)):
                    print(line)
    except (ValueError, OSError) as error:
        print_errors([error])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
