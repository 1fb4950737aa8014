"""One prediction run: which rows are predicted, by which process, and where the predictions go."""

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from tqdm import tqdm

from eval.inference import blocks, resume
from eval.inference.behind import behind
from eval.inference.quiet import quiet
from eval.inference.settings import Settings, provenance_of, scales_with, with_family
from eval.servers.options import refuse_closed
from storm.files import append_jsonl, locked
from storm.rows import Example, read_examples
from storm.scales import Scale

if TYPE_CHECKING:
    from eval.inference.rater import Rater

LOG = "output.log"  # in the output folder
# For other processes, which may need hours longer for their share: our choice, gloo's default is 30 minutes.
PATIENCE = timedelta(days=7)
MOST_WORKERS = 8  # for each GPU; our choice: so many cores decode as fast as one GPU rates


class Request(NamedTuple):
    """Which rows of a file are to be predicted, or which images have no rating."""

    name: str  # of the file of predictions, without .jsonl
    rows: Callable[[], Iterable[Example]]  # all of them, in order
    order: list[str]  # their ids
    ids: list[str]  # the first --limit of them
    before: Collection[str] = ()  # the ids of rows that were finished before this run
    root: Path | None = None  # of images without a label: their predictions say none, but which file was read

    def as_written(self, row: dict) -> dict:
        """A row as it stands in the file of predictions."""
        if not self.root:
            return row
        return {key: value for key, value in row.items() if key != "label"} | {"file": resume.status_of(self.root, row)}


class FileResult(NamedTuple):
    name: str
    rows: int  # of the file
    before: int  # rows that were finished before this run
    written: int  # rows since then: answers, and errors of images that could not be read
    errors: int  # rows whose image could not be read
    seconds: float
    counts: Mapping[str, int] = {}  # of servers: requests, odd answers by kind, tokens
    models: Mapping[str, int] = {}  # of servers: answers by the model that they say they are of
    reasons: Mapping[str, int] = {}  # of servers: rows with an error by its reason


def scales_of(settings: Settings) -> dict[str, Scale]:
    """All scales that the data files may be of. Raises ValueError for a damaged --scale."""
    return scales_with(settings.scale)


def rank_and_world() -> tuple[int, int]:
    """(this process's number, how many there are), as torchrun sets them."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def predict(settings: Settings) -> list[FileResult]:
    """Predict what is left of all files. Returns and raises as answer() does."""
    names = [file.stem for file in settings.data]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"--data: two files of one name would write one {twice[0]}.jsonl; use two --out")
    provenance_of(settings)  # raises ValueError for a file that is not there
    scales = scales_of(settings)
    # All rows are read before the first prediction: a fault in the last one must not show after hours.
    requests = [_request(file, scales, settings.limit) for file in settings.data]
    first = [row.image for file in settings.data for row in islice(read_examples(file, scales), 1)]
    # The copies of `data_prep --resize`, whose paths begin with "../", need no image root.
    if not settings.media.is_dir() and not all(image.startswith("../") for image in first):
        raise ValueError(f"--media {settings.media}: no such folder; name the image root of the test files")
    return answer(settings, requests)


def answer(settings: Settings, requests: Sequence[Request], facts: Mapping[str, str] | None = None) -> list[FileResult]:
    """Predict what is left. Returns what was done with each request; [] in all processes but the first.

    facts: what the provenance of these predictions says beside the settings. Raises ValueError in one line for what
    stands in the way of all of it; Locked if another command writes there.
    """
    rank, _ = rank_and_world()
    settings, note = with_family(settings)
    if settings.servers:
        refuse_closed(settings.servers, (row.dataset for part in requests for row in part.rows()))
    with locked(settings.out) if rank == 0 else nullcontext():
        if rank == 0:
            resume.check_or_write_provenance(settings, facts)
            for part in requests:
                resume.merge_parts_before_run(settings.out, part.name, part.root)
        _wait_for_all()
        requests = [part._replace(before=resume.finished(settings.out, part.name)) for part in requests]
        _wait_for_all()  # nobody writes while another one reads
        if all(part.before.issuperset(part.ids) for part in requests):
            return [_result(settings, part, 0.0) for part in requests] if rank == 0 else []
        with quiet(settings.out / LOG) as terminal:
            return (partial(_ask_servers, note) if settings.servers else _predict)(settings, requests, terminal)


def _request(file: Path, scales: Mapping[str, Scale], limit: int | None) -> Request:
    ids = [row.id for row in read_examples(file, scales)]
    return Request(file.stem, lambda: read_examples(file, scales), ids, ids[:limit])


def _ask_servers(note: str, settings: Settings, requests: Sequence[Request], terminal: TextIO) -> list[FileResult]:
    from eval.inference import served

    done = served.predict(settings, requests, terminal, note)
    return [_result(settings, part, seconds)._replace(**facts) for part, (seconds, facts) in zip(requests, done)]


def _predict(settings: Settings, requests: Iterable[Request], terminal: TextIO) -> list[FileResult]:
    """Load the model and predict. terminal: for the progress."""
    import torch

    from eval.inference.exact import UNREAD
    from eval.inference.model import load
    from eval.inference.one_by_one import keep_memory
    from eval.inference.rater import Rater

    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if settings.workers is None:
        settings = replace(settings, workers=default_workers(cuda))
    if not settings.workers:  # else they do it
        keep_memory()
    memory = resume.max_tokens(settings.out), partial(resume.write_max_tokens, settings.out)
    rater, results = Rater(load(settings, device), settings, *memory), []
    for request in requests:
        start = time.perf_counter()
        predict_file(rater, settings, request, terminal)
        seconds = time.perf_counter() - start
        _wait_for_all()
        if rank_and_world()[0] == 0:
            results.append(_result(settings, request, seconds))
    if results and any(trie.tails for trie in rater.tries.values()):
        text = "the tails of answers that have less of the mass together were not read"
        print(f"probabilities are exact within {UNREAD:.9f}: {text}", file=terminal)
    return results


def default_workers(cuda: bool) -> int:
    """With a GPU, the cores that each of the processes on this machine has, less the one that feeds the GPU; without,
    none: the model needs the cores."""
    if not cuda:
        return 0
    return max(0, min(MOST_WORKERS, len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")) - 1))


def predict_file(rater: "Rater", settings: Settings, request: Request, terminal: TextIO) -> None:
    """Predict this process's share of a file, block by block."""
    rank, world = rank_and_world()
    name, wanted = request.name, set(request.ids)
    if request.root:  # images may be added anywhere between others: only what is left makes up the blocks
        wanted -= set(request.before)
    path = settings.out / (f"{name}.jsonl" if world == 1 else f"{name}.{rank}.part")

    def mine() -> Iterator[list[Example]]:
        """The blocks of this process that have a row to predict: the same ones every time."""
        rows = (row for row in request.rows() if row.id in wanted)
        for number, block in enumerate(_blocks(rater, settings, rows)):
            if number % world == rank and any(row.id not in request.before for row in block):
                yield block

    if settings.workers:
        from eval.inference.ahead import prepared

        started = map(rater.begin, prepared(rater, mine(), settings.workers))
    else:
        started = map(rater.start, mine())
    progress = {"total": len(request.ids), "initial": len(request.ids) - len(wanted.difference(request.before))}

    def write(rows: Callable[[], list[dict]]) -> None:
        # A block cut short by a kill is predicted whole again, so that its batch, and so its file, is the same.
        done = [row for row in rows() if row["id"] not in request.before]
        append_jsonl(path, map(request.as_written, done))
        bar.update(len(done) * world)  # the others are about as fast

    with tqdm(desc=name, unit="image", disable=rank > 0, file=terminal, **progress) as bar, behind(write) as put:
        for rows in started:
            put(rows)


def _blocks(rater: "Rater", settings: Settings, rows: Iterable[Example]) -> Iterator[list[Example]]:
    if settings.batch_size:
        return blocks.of_rows(rows, settings.batch_size)
    kind = rater.device.type
    return blocks.of_tokens(rows, blocks.prompt_tokens(rater), blocks.TOKENS[kind], blocks.ROWS[kind])


def _result(settings: Settings, request: Request, seconds: float) -> FileResult:
    rows, errors = resume.merge(settings.out, request.name, request.order)
    before = len(request.before)
    return FileResult(request.name, len(request.order), before, rows - before, errors, seconds)


def _wait_for_all() -> None:
    if rank_and_world()[1] > 1:
        import torch.distributed

        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo", timeout=PATIENCE)
        torch.distributed.barrier()
