"""What is done ahead of the model, in processes of their own: images are read, resized and made into its inputs.

A GPU that waits for one process to decode photographs is idle most of the time. With workers, it gets the next block
when it is done with one; the blocks, and so the answers, are the same as without.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from eval.inference.rater import Prepared, Rater
from storm.rows import Example

PREFETCH = 2  # blocks that each worker has ready; torch's default


class _Blocks(IterableDataset):
    """Every so many-th block of rows, prepared: each worker has its own."""

    def __init__(self, rater: Rater, blocks: Callable[[], Iterable[list[Example]]]):
        self.rater, self.blocks = rater, blocks

    def __iter__(self) -> Iterator[Prepared]:
        worker = get_worker_info()
        for block in islice(self.blocks(), worker.id, None, worker.num_workers):
            yield self.rater.prepare(block)


def prepared(rater: Rater, blocks: Callable[[], Iterable[list[Example]]], workers: int) -> Iterator[Prepared]:
    """The blocks in their order, each prepared by one of the workers. blocks: gives them, the same ones every time."""
    cuda = rater.device.type == "cuda"
    more = {"prefetch_factor": PREFETCH, "pin_memory": cuda, "multiprocessing_context": "fork"}
    yield from DataLoader(_Blocks(rater, blocks), batch_size=None, collate_fn=_as_it_is, num_workers=workers, **more)


def _as_it_is(block: Prepared) -> Prepared:
    return block
