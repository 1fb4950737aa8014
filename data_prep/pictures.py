"""What is known of the images of a split, and the tables of those that show the same picture."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from data_prep.build import Built
from data_prep.split import Rated
from data_prep.write import write_csv
from storm.files import whole_files

# Our choice. A picture has a few duplicates; a hash that more different files share shows a kind of picture (an eye on
# black), not one picture.
CROWD = 10
DIGITS = 16  # of the hash of a whole picture, the first of its hashes


class Pair(NamedTuple):
    """A train image and a test image (or just two images) that may show the same picture: part `part_one` of one, as
    it is, and part `part_other` of the other in hashes.POSITIONS[position]. Paths are below the image root."""

    one: str
    other: str
    part_one: int = 0
    part_other: int = 0
    position: int = 0


# For each group of pairs, the place of the first that shows the same picture, None if none does: alike.first_alike.
Check = Callable[[Sequence[Sequence[Pair]]], Iterator[int | None]]
Row = TypeVar("Row", bound=tuple)


class Picture(NamedTuple):
    """One image of a split. `test`: it is in a test split, else in a train or validation split. `digest`: hex digest of
    the file's bytes, equal for the same file. `hashes`: of hashes.hash_image, "" if unknown. `image`: its path below
    the image root."""

    dataset: str
    id: str
    test: bool
    digest: str
    hashes: str
    image: str = ""


def pictured(b: Built, row: Rated, test: bool) -> Picture:
    """What is known of a row's image. A file that was not read is known by its path."""
    seen = b.checked.get(row.image)
    digest, hashes = (seen.digest, seen.hashes) if seen else ("", "")
    return Picture(b.name, row.id, test, digest or row.image, hashes, row.image)


def uninformative(pictures: Iterable[Picture]) -> set[str]:
    """The hashes of whole pictures that say too little to compare pictures by them: flat, or of more than CROWD
    different files.

    The crowd depends on which pictures are given: ask about the same ones as find_leaks.
    """
    files = Counter(phash for phash, _ in {(picture.hashes[:DIGITS], picture.digest) for picture in pictures})
    del files[""]
    return {phash for phash, count in files.items() if count > CROWD or not int(phash, 16)}


def read_table(path: Path, kind: type[Row]) -> list[Row]:
    """The rows of leaks.csv or conflicts.csv; [] if there is none. Raises ValueError, naming the file, if it is another
    table."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        try:
            return [kind(**row | {"distance": int(row["distance"])}) for row in csv.DictReader(file)]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a table of duplicates ({error}); remove it") from None


def write_table(path: Path, kind: type[Row], rows: list[Row], compared: bool) -> None:
    """Write rows to path as CSV with a header, all or nothing. Without rows, and not `compared`, the file is removed:
    an empty table would say that there is none."""
    if not rows and not compared:
        path.unlink(missing_ok=True)
        return
    with whole_files() as open_:
        write_csv(open_(path), kind._fields, rows)
