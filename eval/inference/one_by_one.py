"""The model's inputs for a block, made one image at a time: an image's buffers are used again for the next one.

The image processor takes a block's images at once through buffers of all of them, which the C library gets anew from
the system for each block: 26,000 page faults an image of a megapixel in blocks of eight, two thirds of the time. The
inputs are the same (tested).
"""

import ctypes
import platform
from collections.abc import Sequence

import torch
from torch.utils.data import get_worker_info

# mallopt(3): numbers of its parameters in malloc.h of glibc.
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
# Buffers of an image of a megapixel have 12 to 24 MB. Those of blocks, which are larger, go back to the system: if the
# heap kept them, too, it would grow to 7 GB, as each one needs a bit more room than the last one left.
LARGE = 32 << 20
KEPT = 1 << 30  # bytes at the end of the heap
PADDED = {"input_ids", "attention_mask"}  # on the left


def keep_memory(_worker: int = 0) -> None:
    """Let this process keep freed memory of images for the next ones, where the C library is glibc."""
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        for parameter, value in ((MMAP_THRESHOLD, LARGE), (TRIM_THRESHOLD, KEPT), (TOP_PAD, LARGE)):
            library.mallopt(parameter, value)


def joined(rows: Sequence[dict[str, torch.Tensor]], pad: int) -> dict[str, torch.Tensor] | None:
    """The inputs of a block from those of each row: left-padded tokens, the rest one behind the other.

    None if a family gives images of different shapes, which only its own processor can put together. In a worker of a
    DataLoader the tensors are in shared memory, where they would be copied to.
    """
    names = rows[0].keys()
    if any(row.keys() != names for row in rows):
        return None
    longest = max(row["input_ids"].shape[1] for row in rows)
    block = {}
    for name in names:
        parts = [row[name] for row in rows]
        if name in PADDED:
            filler = pad if name == "input_ids" else 0
            parts = [torch.nn.functional.pad(part, (longest - part.shape[1], 0), value=filler) for part in parts]
        if len({part.shape[1:] for part in parts}) > 1:
            return None
        block[name] = _stacked(parts)
    return block


def _stacked(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    if get_worker_info() is None:
        return torch.cat(list(parts)) if len(parts) > 1 else parts[0]
    first, length = parts[0], sum(len(part) for part in parts)
    shape = (length, *first.shape[1:])
    storage = torch.UntypedStorage._new_shared(length * first[0].numel() * first.itemsize)
    return torch.cat(list(parts), out=torch.empty(0, dtype=first.dtype).set_(storage, 0, shape))
