"""All pairs of 63-bit hashes that differ by few bits, of many hashes without comparing all with all."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np

BANDS, WIDTH = 3, 21  # hashes are cut into bands; bits: 3 x 21 = 63
BLOCK = 1 << 15  # queries looked up in one step: their arrays stay in the cache
ENTRIES = 1 << 20  # pairs compared in one step, since many hashes may share a band


def within(hashes: np.ndarray, queries: np.ndarray, bits: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Every pair that differs by at most `bits`, once, in blocks: places in `hashes`, in `queries`, and the distance.

    hashes, queries: uint64 below 2**63. Two hashes that differ by at most 5 bits differ by at most 1 in one of three
    bands, so each band of a query is looked up as it is and with each of its bits flipped. The more bits, the slower:
    5 take 66 look-ups, 2 take 3, 8 take 696. Fastest if `queries` is the shorter one.
    """
    if len(hashes) * len(queries) <= ENTRIES:  # few: the tables below have 2 million places each
        distance = np.bitwise_count(hashes[:, None] ^ queries)
        place, query = np.nonzero(distance <= bits)
        if len(place):
            yield place, query, distance[place, query]
        return
    few = bits // BANDS
    masks = [sum(1 << bit for bit in chosen) for n in range(few + 1) for chosen in combinations(range(WIDTH), n)]
    for band in range(BANDS if len(hashes) and len(queries) else 0):
        keys = _band(hashes, band)
        order = np.argsort(keys, kind="stable").astype(np.uint32)
        starts = np.zeros((1 << WIDTH) + 1, np.uint32)
        np.cumsum(np.bincount(keys, minlength=1 << WIDTH), out=starts[1:])
        ordered = hashes[order]
        for start in range(0, len(queries), BLOCK):
            block = queries[start : start + BLOCK]
            keys = _band(block, band)
            for mask in masks:
                for place, query in _entries(starts, keys ^ np.uint32(mask)):
                    difference = ordered[place] ^ block[query]
                    near = np.flatnonzero(np.bitwise_count(difference) <= bits)
                    for earlier in range(band):  # found there already
                        near = near[np.bitwise_count(_band(difference[near], earlier)) > few]
                    if len(near):
                        yield order[place[near]], start + query[near], np.bitwise_count(difference[near])


def _entries(starts: np.ndarray, keys: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of a table's entries under some keys, and which of the keys each is of; ENTRIES at a time, or one key."""
    first = starts[keys]
    count = (starts[keys + np.uint32(1)] - first).astype(np.int64)
    hit = np.flatnonzero(count)
    count, first = count[hit], first[hit].astype(np.int64)
    ends = np.cumsum(count)
    low = 0
    while low < len(hit):
        before = ends[low - 1] if low else 0
        high = max(low + 1, int(np.searchsorted(ends, before + ENTRIES, "right")))
        some = slice(low, high)
        offset = first[some] - (ends[some] - count[some] - before)
        yield np.arange(ends[high - 1] - before) + np.repeat(offset, count[some]), np.repeat(hit[some], count[some])
        low = high


def _band(hashes: np.ndarray, band: int) -> np.ndarray:
    return ((hashes >> np.uint64(WIDTH * band)) & np.uint64((1 << WIDTH) - 1)).astype(np.uint32)
