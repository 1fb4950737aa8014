"""Rows are written behind the model: in order, all of them whatever happens, and a fault ends the run."""

import threading
import time

import pytest

from eval.inference.behind import BLOCKS, behind


def test_the_next_block_does_not_wait_for_the_disk():
    go, written = threading.Event(), []

    def write(number: int) -> None:
        assert go.wait(10)
        written.append(number)

    with behind(write) as put:
        for number in range(BLOCKS):
            put(number)
        assert written == []
        go.set()
    assert written == list(range(BLOCKS))


def test_no_more_blocks_wait_than_it_says():
    begun, most = [], 0

    def write(number: int) -> None:
        time.sleep(0.005)
        begun.append(number)

    with behind(write) as put:
        for number in range(12):
            put(number)
            most = max(most, number + 1 - len(begun))
    assert begun == list(range(12)) and 1 <= most <= BLOCKS + 1


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_was_answered_before_an_error_is_written(error):
    written = []
    with pytest.raises(error), behind(lambda number: (time.sleep(0.05), written.append(number))) as put:
        put(1)
        put(2)
        raise error
    assert written == [1, 2]


def test_a_full_disk_ends_the_run_and_nothing_is_written_after_it():
    written, asked = [], 0

    def write(number: int) -> None:
        written.append(number)
        if number == 3:
            raise OSError("full")

    with pytest.raises(OSError, match="full"), behind(write) as put:
        for asked in range(100):
            put(asked)
    assert written == [0, 1, 2, 3] and asked <= 3 + BLOCKS + 1


def test_a_fault_in_the_last_block_is_raised():
    def write(_: int) -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"), behind(write) as put:
        put(0)
