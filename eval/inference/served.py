"""Answers rows through servers: images go out, rows are appended as their answers come, in any order.

eval/inference/run.py puts them in the order of the data at the end, as it does with those of several processes.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tqdm import tqdm

from eval.inference import resume
from eval.inference.output_rows import answer_of, row_of
from eval.inference.settings import Settings
from eval.servers.connection import Server, connect
from eval.servers.faults import DEADLINE, Fault
from eval.servers.images import data_url
from eval.servers.options import remote
from eval.servers.reply import Question, Reply
from eval.servers.share import ASK, share
from storm.files import append_jsonl
from storm.images import ImageFault, load_rgb, locate
from storm.rows import Example
from storm.text import printable

if TYPE_CHECKING:
    from eval.inference.run import Request

NAMES = 20  # of models that are kept and shown; our choice: a server may answer each request under another one
QUIET = 60  # seconds without an answer after which the screen says so; our choice


@dataclass
class Part:
    """One file while it is predicted."""

    settings: Settings
    rows: asyncio.Queue  # rows to be written; None ends them
    progress: tqdm
    say: Callable[[str], None]  # shows a line above the progress
    notes: list[str]  # lines to show once a server has answered, of all files
    counts: Counter = field(default_factory=Counter)  # of odd answers, by kind
    reasons: Counter = field(default_factory=Counter)  # why rows have an error
    models: set[str] = field(default_factory=set)  # that answered in this folder, see resume.answered_by


def predict(
    settings: Settings, requests: Sequence["Request"], terminal: TextIO, note: str = ""
) -> list[tuple[float, dict]]:
    """(seconds, counts as in FileResult) of each request, whose rows are then in files.

    note: is shown once a server has answered. Raises ValueError if no server is left.
    """
    return _run(_predict(settings, requests, terminal, [note] if note else []))


def _run(work: Coroutine) -> list:
    """The result of a coroutine; in a thread of its own where an event loop runs, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def _predict(
    settings: Settings, requests: Sequence["Request"], terminal: TextIO, notes: list[str]
) -> list[tuple[float, dict]]:
    done, servers = [], connect(settings.servers)
    if away := remote(settings.servers):
        print(f"images go to {', '.join(away)}", file=terminal)
    try:
        for request in requests:
            start = time.perf_counter()
            facts = await _predict_file(settings, request, servers, terminal, notes)
            done.append((time.perf_counter() - start, facts))
    finally:
        for server in servers:
            await server.client.close()
    return done


async def _predict_file(
    settings: Settings, request: "Request", servers: list[Server], terminal: TextIO, notes: list[str]
) -> dict:
    wanted = set(request.ids) - set(request.before)
    path, initial = settings.out / f"{request.name}.jsonl", len(request.ids) - len(wanted)
    for server in servers:
        server.counts.clear(), server.models.clear()
    bar = {"total": len(request.ids), "initial": initial, "unit": "image", "file": terminal, "delay": 2}
    with tqdm(desc=request.name, **bar) as progress:
        say = partial(_say, terminal)
        part = Part(settings, asyncio.Queue(), progress, say, notes, models=set(resume.answered_by(settings.out)))
        left = (row for row in request.rows() if row.id in wanted)
        ask, give_up = partial(_ask, part), partial(_give_up, part)
        asking = asyncio.ensure_future(share(left, servers, settings.servers.concurrency, ask, give_up, say))
        asking.add_done_callback(lambda _: part.rows.put_nowait(None))
        watching = asyncio.ensure_future(_watch(part, servers))
        try:
            await _write(path, part.rows, request)  # to the end, also of what came before an error
        finally:
            asking.cancel(), watching.cancel()
        await asking
    counts = sum((server.counts for server in servers), part.counts)
    return {"counts": counts, "models": sum((server.models for server in servers), Counter()), "reasons": part.reasons}


def _say(terminal: TextIO, line: str) -> None:
    tqdm.write(printable(line), file=terminal)


async def _watch(part: Part, servers: Sequence[Server]) -> None:
    """Say once of each standstill how many requests wait for an answer. Without end."""
    before, shown = part.progress.n, False
    while True:
        await asyncio.sleep(QUIET)
        still, before = part.progress.n == before, part.progress.n
        waiting = {server.name: len(server.waiting) for server in servers if server.waiting}
        if still and waiting and not shown:
            where = ", ".join(f"{count} at {name}" for name, count in waiting.items())
            part.say(f"no answer for {QUIET} s; requests that wait: {where}; each ends after {DEADLINE} s")
        shown = still and (shown or bool(waiting))


async def _write(path: Path, rows: asyncio.Queue, request: "Request") -> None:
    """Append rows as they come: those that came during one write go together into the next."""
    ended = False
    while not ended:
        batch = [await rows.get()]
        while not rows.empty():
            batch.append(rows.get_nowait())
        ended = batch[-1] is None
        if batch := [request.as_written(row) for row in batch if row is not None]:
            await asyncio.to_thread(append_jsonl, path, batch)


def _finish(part: Part, example: Example, answer: dict, reason: str = "") -> None:
    """reason: why it is an error, if that is not the error's own text."""
    if "error" in answer:
        part.reasons[reason or answer["error"]] += 1
    part.rows.put_nowait(row_of(example) | answer)
    part.progress.update()


def _give_up(part: Part, example: Example, text: str) -> None:
    part.counts["given up"] += 1
    _finish(part, example, {"predict": "", "error": text})


async def _ask(part: Part, server: Server, example: Example) -> bool:
    """Ask for one row and keep its answer. Returns whether the server was asked. Raises Fault."""
    settings = part.settings
    try:
        image = await asyncio.to_thread(_image, settings, example)
    except ImageFault as fault:
        _finish(part, example, {"predict": "", "error": f"{settings.media / example.image}: {fault}"}, str(fault))
        return False
    question = Question(example.scale, example.strategy, image, settings.max_new_tokens)
    try:
        reply = await ASK[settings.servers.api, settings.decode](server, question)
    except Fault as fault:
        if fault.kind != "filtered":
            raise
        reply = Reply(odd="content filter")
    while part.notes:
        part.say(part.notes.pop(0))
    _note_models(part, server)
    if reply.odd:
        part.counts[reply.odd] += 1
    if reply.warning:
        if not part.counts["warning"]:
            part.say(f"{server.name} warns, first at {example.id}: {reply.warning}")
        part.counts["warning"] += 1
    _finish(part, example, answer_of(reply, example, settings.decode))
    return True


def _note_models(part: Part, server: Server) -> None:
    """Keep which models a server says its answers are of, and show a name that was not asked for."""
    new = set(server.models) - part.models
    if not new or len(part.models) >= NAMES:
        return
    resume.add_answered_by(part.settings.out, new)
    earlier = f"; earlier rows: {', '.join(sorted(part.models)[:3])}" if part.models else ""
    for name in sorted(new):
        if name != server.model or earlier:
            part.say(f"{server.name}: answers as the model {name!r}, asked for as {server.model!r}{earlier}")
    part.models |= new


def _image(settings: Settings, example: Example) -> str:
    path = locate(settings.media, example.image, example.file)
    return data_url(load_rgb(path, settings.upright), settings.image_max_pixels)
