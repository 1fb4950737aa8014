"""What is done behind the model, in a thread: its numbers become rows of a file while it has the next block."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

BLOCKS = 2  # that wait at most; our choice: a GPU needs the next one only, and a kill loses those that wait
T = TypeVar("T")


@contextmanager
def behind(write: Callable[[T], None]) -> Iterator[Callable[[T], None]]:
    """Yields put(item): write(item) runs in a thread, in order, BLOCKS behind at most.

    At the end, also after an error or Ctrl-C, everything that was put is written. An error of write() is raised by the
    next put() or at the end; nothing is written after it.
    """
    waiting: deque[Future] = deque()
    failed = False

    def step(item: T) -> None:
        nonlocal failed
        if failed:
            return
        failed = True
        write(item)
        failed = False

    def put(item: T) -> None:
        waiting.append(pool.submit(step, item))
        while waiting and (len(waiting) > BLOCKS or waiting[0].done()):
            waiting.popleft().result()

    with ThreadPoolExecutor(1, "behind") as pool:
        yield put
        while waiting:
            waiting.popleft().result()
