"""Training pictures that are also, changed or not, test pictures: within a dataset and across all of them.

Several datasets are crawls of the same sites, and a random split puts a picture that was uploaded twice on both sides.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

from data_prep.pictures import DIGITS, Check, Pair, Picture, uninformative


class Leak(NamedTuple):
    """A training picture and the test picture it gives away. `kind` is "exact" (the same file), "near" (encoded or
    resized again), or what was done to it: "mirrored", "turned", "cropped", "bordered", "captioned", joined by " and ".
    `distance` is the number of bits by which the hashes of what both show differ, 0 for exact."""

    train_dataset: str
    train_id: str
    test_dataset: str
    test_id: str
    kind: str
    distance: int


def find_leaks(pictures: Iterable[Picture], check: Check) -> list[Leak]:
    """Every training picture that has a duplicate among the test pictures, of any dataset, once: with the same file if
    there is one, else with the likeliest candidate that `check` confirms; of equals, the first by dataset and id. So
    dropping the training pictures named here removes the leaks, but not every pair of duplicates is listed.

    check: alike.first_alike for an image root. Uninformative pictures are only compared as files. Sorted by training
    dataset and id, whatever the order of `pictures`. Raises ValueError for hashes that are not hexadecimal.
    """
    pictures = sorted(pictures)
    skip = uninformative(pictures) | {""}
    files: dict[str, Picture] = {}
    unseen: dict[str, Picture] = {}
    for picture in pictures:
        if picture.test:
            files.setdefault(picture.digest, picture)
    for picture in pictures:
        if not picture.test and picture.digest not in files and picture.hashes[:DIGITS] not in skip:
            unseen.setdefault(picture.digest, picture)
    tests = [picture for picture in files.values() if picture.hashes[:DIGITS] not in skip]
    changed = _changed(list(unseen.values()), tests, check)

    leaks = []
    for picture in pictures:
        if picture.test:
            continue
        if test := files.get(picture.digest):
            leaks.append(Leak(picture.dataset, picture.id, test.dataset, test.id, "exact", 0))
        elif found := changed.get(picture.digest):
            test, kind, distance = found
            leaks.append(Leak(picture.dataset, picture.id, test.dataset, test.id, kind, distance))
    return leaks


def _changed(train: list[Picture], tests: list[Picture], check: Check) -> dict[str, tuple[Picture, str, int]]:
    """Digest of a train picture -> the test picture that shows the same, what was done to it, and the distance."""
    if not train or not tests:
        return {}
    from data_prep.candidates import kind, nearest
    from data_prep.hashes import numbers

    rows = nearest(*(numbers([picture.hashes for picture in some]) for some in (train, tests))).tolist()
    groups = [list(of_one) for _, of_one in groupby(rows, key=lambda row: row[0])]
    pairs = [[Pair(train[row[0]].image, tests[row[1]].image, *row[2:5]) for row in group] for group in groups]
    confirmed = {}
    for group, place in zip(groups, check(pairs)):
        if place is not None:
            one, other, *change, distance = group[place]
            confirmed[train[one].digest] = tests[other], kind(*change), distance
    return confirmed
