"""Which train image may show what a test image shows, by the hashes of both and of their parts."""

import numpy as np

from data_prep.hashes import BORDERED, PARTS, POSITIONS, WHOLE, positions
from data_prep.lookup import within

# Our choice: with 5 bits nearly all of the changes in bench/README.md are found, and what else is found is compared by
# pixels. 2 bits are enough for what was only encoded or resized again.
BITS = 5
NEAREST = 12  # candidates of a train image that are compared by pixels
HELD = 4_000_000  # candidates held before all but the nearest are let go

COLUMNS = ("train", "test", "part_train", "part_test", "position", "distance")
CAPTIONED = tuple(place for place, part in enumerate(PARTS) if part.kind == "captioned")


def nearest(train: np.ndarray, test: np.ndarray, bits: int = BITS) -> np.ndarray:
    """Candidates, COLUMNS, sorted by train image and, for each, the likeliest first; at most NEAREST for each.

    train, test: hashes as hashes.numbers gives them. The whole train image is compared with all parts of the test image
    in all positions, all parts of the train image with the whole test image in all positions, and parts without a
    border or a caption with each other.
    """
    held, count = [np.zeros((0, len(COLUMNS)), np.int32)], 0
    for block in _blocks(train, test, bits):
        held.append(np.stack(np.broadcast_arrays(*block), axis=1).astype(np.int32))
        count += len(held[-1])
        if count > HELD:
            held = [_likeliest(np.concatenate(held))]
            count = 0
    return _likeliest(np.concatenate(held))


def _blocks(train: np.ndarray, test: np.ndarray, bits: int):
    """Candidates as they are found, a tuple of COLUMNS at a time."""
    turns, places = positions(test), len(POSITIONS)
    own = test[:, BORDERED] != test[:, WHOLE]  # else the part without a border is the whole
    use = np.ones(turns.shape, bool)
    use[:, BORDERED] = own[:, None]
    kept = np.flatnonzero(use)
    for found, query, distance in within(turns.ravel()[kept], train[:, WHOLE], bits):
        found = kept[found]
        yield query, found // (places * len(PARTS)), WHOLE, found // places % len(PARTS), found % places, distance

    bordered = train[:, BORDERED] != train[:, WHOLE]
    use = np.ones(train.shape, bool)
    use[:, WHOLE], use[:, BORDERED] = False, bordered
    kept = np.flatnonzero(use)
    for found, query, distance in within(train.ravel()[kept], turns[:, WHOLE].ravel(), bits):
        found = kept[found]
        yield found // len(PARTS), query // places, found % len(PARTS), WHOLE, query % places, distance

    for part in (BORDERED, *CAPTIONED):
        ours = np.flatnonzero(bordered) if part == BORDERED else np.arange(len(train))
        theirs = np.flatnonzero(own) if part == BORDERED else np.arange(len(test))
        for found, query, distance in within(train[ours, part], test[theirs, part], bits):
            yield ours[found], theirs[query], part, part, 0, distance


def _likeliest(rows: np.ndarray) -> np.ndarray:
    """The NEAREST rows of each train image: unchanged ones first, then by distance; of equals, by test image."""
    train, test, part_train, part_test, position, distance = rows.T
    changed = (part_train > 0) | (part_test > 0) | (position > 0)
    rows = rows[np.lexsort((position, part_test, part_train, test, distance, changed, train))]
    starts = np.flatnonzero(np.diff(rows[:, 0], prepend=-1))
    rank = np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))
    return rows[rank < NEAREST]


def kind(part_train: int, part_test: int, position: int) -> str:
    """What was done to a picture, in words: "near" (encoded or resized again), "mirrored", "turned and cropped" ..."""
    mirrored, quarters = POSITIONS[position]
    words = ["mirrored"] * mirrored + ["turned"] * bool(quarters)
    words += [PARTS[part].kind for part in {part_train, part_test} - {WHOLE}]
    return " and ".join(words) or PARTS[WHOLE].kind
