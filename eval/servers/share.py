"""Rows shared among servers: each takes the next row when it is free; the rows of one that dies go to the others."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from eval.servers import chat, decisions
from eval.servers.chat import together
from eval.servers.connection import Server, check_model
from eval.servers.faults import DEADLINE, Fault
from eval.servers.reply import Question, Reply

Row = TypeVar("Row")
Ask = Callable[[Server, Any], Awaitable[bool]]  # whether the server was asked: not for an image that cannot be read
ASK: dict[tuple[str, str], Callable[[Server, Question], Awaitable[Reply]]] = {
    ("chat", "generate"): chat.generate,
    ("chat", "exact"): chat.exact,
    ("decisions", "exact"): decisions.decisions,
    ("systemone", "exact"): decisions.systemone,
}
TRIES = 3  # of a row, each with the SDK's own retries; our choice
LATE = 2  # times that a row gets no answer in time, of one server or of two, after which it is given up; our choice
STRIKES = 10  # rows in a row without an answer, after which a server is left out; our choice


async def share(
    rows: Iterable[Row],
    servers: Sequence[Server],
    concurrency: int,
    ask: Ask,
    give_up: Callable[[Row, str], None],
    say: Callable[[str], None],
) -> None:
    """Ask for each row until it is answered, or given up. say: gets a line for each server that is left out.

    Raises ValueError in one line if no server is left.
    """
    todo, tries, late = iter(rows), Counter(), Counter()
    while True:
        again: list[Row] = []
        work = _Work(todo, again, tries, late, ask, give_up, say if len(servers) > 1 else None)
        # A row that got no answer in time goes to another server, which takes its rows first.
        alive = sorted((server for server in servers if not server.left_out), key=lambda server: server.late)
        await together([_serve(server, work, concurrency) for server in alive])
        if all(server.left_out for server in servers):
            kept = "; what is answered is kept: the same command goes on" * any(server.tried for server in servers)
            raise ValueError("; ".join(dict.fromkeys(server.left_out for server in servers)) + kept)
        if not again:
            return
        todo = chain(again, todo)


class _Work(NamedTuple):
    """What the servers of one round share."""

    todo: Iterator
    again: list  # rows for the next round
    tries: Counter  # of each id
    late: Counter  # of each id: how often no answer came in time
    ask: Ask
    give_up: Callable[[Any, str], None]
    say: Callable[[str], None] | None  # None: of one server, the error that ends the run says it


async def _serve(server: Server, work: _Work, concurrency: int) -> None:
    try:
        if not server.tried:  # one row alone: what is wrong with all of them shows before the second request
            await check_model(server)
            await _lane(server, work)
        await together([_lane(server, work) for _ in range(concurrency)])
    except Fault as fault:
        server.left_out = str(fault)
        if work.say:
            work.say(f"left out: {fault}")


async def _lane(server: Server, work: _Work) -> None:
    """Row after row, one at a time; the first one of a server only. Raises Fault for a server that can answer none."""
    first = not server.tried
    for row in work.todo:
        try:
            if await work.ask(server, row):
                server.tried, server.strikes, server.refused = True, 0, 0
        except asyncio.CancelledError:
            work.again.append(row)
            raise
        except Fault as fault:
            if fault.kind == "late":
                _late(server, work, row, fault)
                continue
            if fault.kind == "server" or not server.tried:
                work.again.append(row)
                raise
            _fail(server, work, row, fault)
        if first and server.tried:
            return


def _late(server: Server, work: _Work, row: Row, fault: Fault) -> None:
    """Put a row back that got no answer in time, or give it up.

    Raises the fault for a server that is stuck, and not only on this row: it has answered nothing for long, and others
    wait as well, or have waited in vain.
    """
    work.late[row.id] += 1
    server.late, server.silent = server.late + 1, server.silent + 1
    if work.late[row.id] >= LATE:
        return work.give_up(row, f"{LATE} times in vain: {fault}")
    work.again.append(row)
    if time.monotonic() - server.last > DEADLINE / 2 and (server.waiting or server.silent > 1):
        raise fault
    return None


def _fail(server: Server, work: _Work, row: Row, fault: Fault) -> None:
    """Put a row back, or give it up. Raises Fault for a server whose turn is over."""
    if fault.kind == "row":
        work.give_up(row, str(fault))
        server.refused += 1
        if server.refused >= STRIKES:
            raise Fault(f"{fault} ({STRIKES} rows in a row)", "server")
        return
    work.tries[row.id] += 1
    server.strikes += work.tries[row.id] == 1  # a row that no server can answer does not end them all
    if work.tries[row.id] >= TRIES:
        work.give_up(row, str(fault))
    else:
        work.again.append(row)
    if server.strikes >= STRIKES:
        raise fault
    return
