"""Training pictures that are also, exactly or nearly, test pictures: within a dataset and across all of them.

Several datasets are crawls of the same sites, and a random split puts a picture that was uploaded twice on both sides.
"""

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from data_prep.build import Built, without
from data_prep.options import Options
from data_prep.write import write_csv
from storm.files import whole_files

# Our choice. imagehash.phash sets 32 of its 64 bits, so two hashes differ by an even number and 3 would mean 2.
# bench/duplicates.py says what is found within 2 bits; 4 find a little more, and more that is no copy.
BITS = 2

# Our choice. A picture has a few copies; a hash that more different files share shows a kind of picture (an eye on
# black), not one picture. A hash with few bits set is of a flat picture or one that varies in one direction only: up
# to 9 bits are set where we tried, since all other coefficients tie at their median.
CROWD = 10
FLAT = 16

BLOCK = 65_536  # hashes compared in one step: 0.5 MB, which stays in the cache


class Picture(NamedTuple):
    """One image of a split. `test`: it is in a test split, else in a train split. `digest`: hex digest of the file's
    bytes, equal for the same file. `phash`: imagehash.phash as 16 hex digits (64 bits), "" if unknown."""

    dataset: str
    id: str
    test: bool
    digest: str
    phash: str


class Leak(NamedTuple):
    """A training picture and the test picture it gives away. `kind` is "exact" (the same file) or "near"; `distance`
    is the number of bits by which the perceptual hashes differ, 0 for exact."""

    train_dataset: str
    train_id: str
    test_dataset: str
    test_id: str
    kind: str
    distance: int


def uninformative(pictures: Iterable[Picture]) -> set[str]:
    """The perceptual hashes that say too little to call two pictures near: flat, or of more than CROWD different files.

    The crowd depends on which pictures are given: ask about the same ones as find_leaks.
    """
    files = Counter(phash for phash, _ in {(picture.phash, picture.digest) for picture in pictures if picture.phash})
    return {phash for phash, count in files.items() if count > CROWD or int(phash, 16).bit_count() < FLAT}


def find_leaks(pictures: Iterable[Picture], *, bits: int = BITS) -> list[Leak]:
    """Every training picture that has a copy among the test pictures, of any dataset, once: with the same file if there
    is one, else with the nearest hash, at most `bits` away; of equals, the first by dataset and id. So dropping the
    training pictures named here removes the leaks, but not every pair of copies is listed.

    Uninformative hashes are only compared as files. Sorted by training dataset and id, whatever the order of
    `pictures`. Raises ValueError for a phash that is not hexadecimal.
    """
    pictures = sorted(pictures)
    skip = uninformative(pictures) | {""}
    files: dict[str, Picture] = {}
    hashes: dict[int, Picture] = {}
    for picture in pictures:
        if picture.test:
            files.setdefault(picture.digest, picture)
            if picture.phash not in skip:
                hashes.setdefault(int(picture.phash, 16), picture)
    train = [picture for picture in pictures if not picture.test]
    unseen = {int(picture.phash, 16) for picture in train if picture.digest not in files and picture.phash not in skip}
    near = _nearest(unseen, hashes, bits)

    leaks = []
    for picture in train:
        if test := files.get(picture.digest):
            leaks.append(Leak(picture.dataset, picture.id, test.dataset, test.id, "exact", 0))
        elif picture.phash not in skip and (found := near.get(int(picture.phash, 16))):
            test = hashes[found[0]]
            leaks.append(Leak(picture.dataset, picture.id, test.dataset, test.id, "near", found[1]))
    return leaks


def _nearest(train: Iterable[int], test: Iterable[int], bits: int) -> dict[int, tuple[int, int]]:
    """Hash of train -> the nearest hash of test, the first of equals, and its distance, where that is at most `bits`.

    Compares all with all: half a minute for 575,000 x 80,000, little beside decoding the images, whatever `bits` is and
    however the hashes crowd. Looking up bands of the hash would be faster, for few bits, but takes more code.
    """
    import numpy as np

    near: dict[int, tuple[int, int]] = {}
    queries = np.fromiter(train, np.uint64)
    candidates = np.fromiter(test, np.uint64)
    for start in range(0, len(queries), BLOCK):
        block = queries[start : start + BLOCK]
        best = np.full(len(block), bits + 1)
        for candidate in candidates:
            distance = np.bitwise_count(block ^ candidate)
            if distance.min() <= bits:
                for place in np.flatnonzero(distance < best):
                    best[place] = distance[place]
                    near[int(block[place])] = int(candidate), int(distance[place])
    return near


def compared(built: list[Built], hashed: bool) -> list[str]:
    """The datasets whose images were compared with each other, as summary.json says it; [] if none was."""
    return sorted(b.name for b in built) if hashed else []


def compare(built: list[Built], options: Options) -> str:
    """Write leaks.csv and, if wanted, take the leaked rows out of train. Returns the lines that say what was found.

    Not `hashed`: only the same path in train and test is found. Rows that leaks.csv has from earlier runs stay if
    neither of their datasets was built now; what this run did not compare, they cannot say.
    """
    pictures = [
        # A file that was not read is known by its path.
        Picture(b.name, row.id, test, b.checked[row.image].digest or row.image, b.checked[row.image].phash)
        for b in built
        for test, rows in ((False, b.split.train), (True, b.split.test))
        for row in rows
    ]
    out, hashed, drop = options.out, options.hashed, options.drop_leaks
    names, path, found = {b.name for b in built}, out / "leaks.csv", find_leaks(pictures)
    earlier = [leak for leak in read_leaks(path) if not names & {leak.train_dataset, leak.test_dataset}]
    if hashed or earlier or found:
        write_leaks(path, sorted(earlier + found))
    else:  # an empty table would say that there is none
        path.unlink(missing_ok=True)
    for b in built if drop else ():
        leaks = [leak for leak in found if leak.train_dataset == b.name]
        without(b, "leak", {leak.train_id: f"{leak.kind} copy of {leak.test_dataset} {leak.test_id}" for leak in leaks})
    if not hashed:
        twice = f"{len(found)} images are in train and in test: {path}\n" if found else ""
        return f"{twice}no look for copies between train and test: that takes --check decode"
    exact = sum(leak.kind == "exact" for leak in found)
    done = "taken out of train" if drop else "left in train (--drop-leaks takes them out)"
    plain = uninformative(pictures)
    unseen = sum(picture.phash in plain for picture in pictures)
    among = f"compared datasets: {', '.join(compared(built, hashed))} (copies in any other are not seen)"
    return (
        f"{exact} exact and {len(found) - exact} near copies of test images, {done}: {path}\n{among}\n"
        f"{unseen} images are too plain, or too much alike, to be compared by look; only their bytes were"
    )


def read_leaks(path: Path) -> list[Leak]:
    """What leaks.csv holds; [] if there is none. Raises ValueError, naming the file, if it is another table."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        try:
            return [Leak(**row | {"distance": int(row["distance"])}) for row in csv.DictReader(file)]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a table of leaks ({error}); remove it") from None


def write_leaks(path: Path, leaks: list[Leak]) -> None:
    """Write leaks to path as CSV with a header, all or nothing."""
    with whole_files() as open_:
        write_csv(open_(path), Leak._fields, leaks)
