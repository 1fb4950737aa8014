"""One prediction run: which rows are asked for, by which process, and where their answers go."""

import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from tqdm import tqdm

from eval.inference import resume
from eval.inference.quiet import quiet
from eval.inference.settings import Settings, provenance_of
from storm.custom_scale import load as load_scale
from storm.datasets import SCALES
from storm.files import append_jsonl, locked
from storm.rows import Example, read_examples
from storm.scales import Scale

if TYPE_CHECKING:
    from eval.inference.rater import Rater

LOG = "output.log"  # in the output folder
BATCH = {"cuda": 32, "cpu": 8}  # rows at once by device; our choice: out of memory halves it


class Asked(NamedTuple):
    """Which rows of a file are asked for."""

    file: Path
    order: list[str]  # the ids of all rows of the file
    ids: list[str]  # without excluded rows, and the first --limit of the others


class Done(NamedTuple):
    """What a run did with a file."""

    name: str
    rows: int  # of the file
    before: int  # rows that had an answer before
    answered: int  # rows since then, with those that have an error
    errors: int  # rows whose image could not be read
    seconds: float


def scales_of(settings: Settings) -> dict[str, Scale]:
    """All scales that the data files may be of, by name or dataset. Raises ValueError for a damaged --scale."""
    custom = [load_scale(settings.scale).scale] if settings.scale else []
    return SCALES | {scale.name: scale for scale in custom}


def blocks(rows: Iterable[Example], size: int) -> Iterator[list[Example]]:
    """Rows in blocks of one scale and strategy, `size` at most: the same ones in every process."""
    for _, same in groupby(rows, key=lambda row: (row.scale.name, row.strategy)):
        while block := list(islice(same, size)):
            yield block


def rank_and_world() -> tuple[int, int]:
    """(this process's number, how many there are), as torchrun sets them."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def predict(settings: Settings) -> list[Done]:
    """Answer what is left of all files. Returns what was done with each file; [] in all processes but the first.

    Raises ValueError in one line for what stands in the way of all of it; Locked if another command writes there.
    """
    names = [file.stem for file in settings.data]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"--data: two files of one name would write one {twice[0]}.jsonl; use two --out")
    provenance_of(settings)  # raises ValueError for a file that is not there
    scales = scales_of(settings)
    excluded = {(row.dataset, row.id) for file in settings.excluded for row in read_examples(file, scales)}
    # All rows are read before the first is asked: a fault in the last one must not show after hours.
    asked = [_asked(file, scales, excluded, settings.limit) for file in settings.data]
    rank, _ = rank_and_world()
    with locked(settings.out) if rank == 0 else nullcontext():
        if rank == 0:
            resume.claim(settings)
            for file in settings.data:
                resume.tidy(settings.out, file.stem)
        _wait_for_all()
        before = [resume.finished(settings.out, file.stem) for file in settings.data]
        _wait_for_all()  # nobody writes while another one reads
        if all(ids.issuperset(file.ids) for file, ids in zip(asked, before)):
            return [_end(settings, file, len(ids), 0.0) for file, ids in zip(asked, before)] if rank == 0 else []
        with quiet(settings.out / LOG) as terminal:
            return _predict(settings, list(zip(asked, before)), terminal)


def _asked(file: Path, scales: Mapping[str, Scale], excluded: Collection, limit: int | None) -> Asked:
    order, ids = [], []
    for row in read_examples(file, scales):
        order.append(row.id)
        if (row.dataset, row.id) not in excluded:
            ids.append(row.id)
    return Asked(file, order, ids[:limit])


def _predict(settings: Settings, files: list[tuple[Asked, set[str]]], terminal: TextIO) -> list[Done]:
    """Load the model and answer. files: with the ids that have an answer. terminal: for the progress."""
    import torch

    from eval.inference.model import load
    from eval.inference.rater import Rater

    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    settings = replace(settings, batch_size=settings.batch_size or BATCH[device.type])
    rater, done = Rater(load(settings, device), settings), []
    for asked, before in files:
        start = time.perf_counter()
        answer_file(rater, settings, asked, before, terminal)
        seconds = time.perf_counter() - start
        _wait_for_all()
        if rank_and_world()[0] == 0:
            done.append(_end(settings, asked, len(before), seconds))
    return done


def answer_file(rater: "Rater", settings: Settings, asked: Asked, before: Collection, terminal: TextIO) -> None:
    """Answer what this process has to of a file, block by block. before: ids that have an answer."""
    rank, world = rank_and_world()
    path = settings.out / (f"{asked.file.stem}.jsonl" if world == 1 else f"{asked.file.stem}.{rank}.part")
    wanted = set(asked.ids)
    rows = (row for row in read_examples(asked.file, scales_of(settings)) if row.id in wanted)
    with tqdm(total=len(wanted), desc=asked.file.stem, unit="image", disable=rank > 0, file=terminal) as bar:
        for number, block in enumerate(blocks(rows, settings.batch_size)):
            if number % world == rank and any(row.id not in before for row in block):
                # A block cut short by a kill is asked whole again, so that its batch, and so its file, is the same.
                append_jsonl(path, [row for row in rater.rate(block) if row["id"] not in before])
            bar.update(len(block))


def _end(settings: Settings, asked: Asked, before: int, seconds: float) -> Done:
    rows, errors = resume.merge(settings.out, asked.file.stem, asked.order)
    return Done(asked.file.stem, len(asked.order), before, rows - before, errors, seconds)


def _wait_for_all() -> None:
    if rank_and_world()[1] > 1:
        import torch.distributed

        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo")
        torch.distributed.barrier()
