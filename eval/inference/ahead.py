"""What is done ahead of the model, in processes of their own: images are read, resized and made into its inputs.

A GPU that waits for one process to decode photographs is idle most of the time. With workers, it gets the next block
when it is done with one; the blocks, and so the answers, are the same as without.
"""

from collections.abc import Iterable, Iterator

from torch.utils.data import DataLoader, Dataset

from eval.inference.one_by_one import keep_memory
from eval.inference.rater import Prepared, Rater
from storm.rows import Example

PREFETCH = 2  # blocks that each worker has ready; torch's default


class _Blocks(Dataset):
    """Prepares a block of rows, which takes the place of an index."""

    def __init__(self, rater: Rater):
        self.rater = rater

    def __getitem__(self, block: list[Example]) -> Prepared:
        return self.rater.prepare(block)


def prepared(rater: Rater, blocks: Iterable[list[Example]], workers: int) -> Iterator[Prepared]:
    """The blocks in their order, each prepared by one of the workers. They are taken as the workers need them."""
    cuda = rater.device.type == "cuda"
    more = {"prefetch_factor": PREFETCH, "pin_memory": cuda, "multiprocessing_context": "fork"}
    more |= {"collate_fn": _as_it_is, "worker_init_fn": keep_memory}
    yield from DataLoader(_Blocks(rater), sampler=blocks, batch_size=None, num_workers=workers, **more)


def _as_it_is(block: Prepared) -> Prepared:
    return block
