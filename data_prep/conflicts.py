"""Pictures that a dataset holds twice with different labels, in one part of the split or across parts."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from data_prep.build import Built, without
from data_prep.options import Options
from data_prep.pictures import DIGITS, Check, Pair, Picture, pictured, read_table, uninformative, write_table

BITS = 2  # our choice: enough for pictures that were encoded or resized again; changed ones are not looked for


class Conflict(NamedTuple):
    """Two rows of one dataset with the same picture and different labels (levels, or years). `split`: train, val or
    test; a validation row that is also in train says train. `kind` is "exact" (the same file) or "near"; `distance` is
    the number of bits by which the hashes differ. Of a group of more than two rows, each is in one line at least."""

    dataset: str
    id: str
    label: str
    split: str
    other_id: str
    other_label: str
    other_split: str
    kind: str
    distance: int


class Labeled(NamedTuple):
    """A row of a dataset with what is known of its image."""

    id: str
    label: int
    split: str
    picture: Picture


def drop_conflicts(built: Sequence[Built], options: Options, check: Check) -> str:
    """Write conflicts.csv and, if wanted, take all rows of such pictures out. Returns a line that says what was found,
    "" if the images were not read."""
    path, names = options.out / "conflicts.csv", {b.name for b in built}
    conflicts: list[Conflict] = []
    rows = pictures = 0
    for b in built if options.hashed else ():
        groups = find_conflicts(labeled(b), check)
        lines = [line for group in groups for line in pairs(group)]
        conflicts += lines
        rows, pictures = rows + sum(map(len, groups)), pictures + len(groups)
        if dropped := [line for line in lines if line.kind in options.drop_conflicts]:
            text = "{} duplicate of {!r}, which has the label {}, not {}"
            reasons = {line.other_id: text.format(line.kind, line.id, line.label, line.other_label) for line in dropped}
            reasons |= {
                line.id: text.format(line.kind, line.other_id, line.other_label, line.label) for line in dropped
            }
            without(b, "conflict", reasons, b.split._fields)
    earlier = [conflict for conflict in read_table(path, Conflict) if conflict.dataset not in names]
    write_table(path, Conflict, sorted(earlier + conflicts), options.hashed)
    if not conflicts:
        return "no picture has different labels in one dataset"
    left = sum(line.kind not in options.drop_conflicts for line in conflicts)
    done = "all are taken out"
    if left:
        done = f"{left} of {len(conflicts)} pairs are left in (--drop-conflicts takes them out)"
    return f"{pictures} pictures have different labels in one dataset, {rows} rows; {done}: {path}"


def labeled(b: Built) -> list[Labeled]:
    """The rows of a dataset, each once, with the part they are in."""
    split = b.split
    in_order = ("val", split.val), ("train", split.train), ("test", split.test)
    parts = {row: part for part, of_part in in_order for row in of_part}
    rows = []
    for row, part in sorted(parts.items()):
        picture = pictured(b, row, part == "test")
        rows.append(Labeled(row.id, row.label, part, picture))
    return rows


def find_conflicts(rows: Iterable[Labeled], check: Check) -> list[list[Labeled]]:
    """Groups of rows that show the same picture and have several labels, in order of their first ids."""
    files: dict[str, list[Labeled]] = defaultdict(list)
    for row in sorted(rows):
        files[row.picture.digest].append(row)
    firsts = [of_file[0].picture for of_file in files.values()]
    group = {digest: digest for digest in files}  # -> another file of its group, or itself

    def root(digest: str) -> str:
        while group[digest] != digest:
            digest = group[digest]
        return digest

    labels = {digest: {row.label for row in of_file} for digest, of_file in files.items()}
    for one, other in _near(firsts, labels, check):
        group[root(other)] = root(one)
    groups: dict[str, list[Labeled]] = defaultdict(list)
    for digest, of_file in files.items():
        groups[root(digest)] += of_file
    return sorted(sorted(rows) for rows in groups.values() if len({row.label for row in rows}) > 1)


def _near(pictures: list[Picture], labels: dict[str, set[int]], check: Check) -> list[tuple[str, str]]:
    """Digests of pictures that look the same and do not have one and the same label."""
    from data_prep.hashes import numbers
    from data_prep.lookup import within

    skip = uninformative(pictures) | {""}
    pictures = [picture for picture in pictures if picture.hashes[:DIGITS] not in skip]
    if not pictures:
        return []
    hashes = numbers([picture.hashes for picture in pictures])[:, 0].copy()
    candidates = []
    for ones, others, _ in within(hashes, hashes, BITS):
        once = ones < others
        for one, other in zip(ones[once].tolist(), others[once].tolist()):
            if len(labels[pictures[one].digest] | labels[pictures[other].digest]) > 1:
                candidates.append((pictures[one], pictures[other]))
    candidates.sort()
    confirmed = check([[Pair(one.image, other.image)] for one, other in candidates])
    return [(one.digest, other.digest) for (one, other), place in zip(candidates, confirmed) if place is not None]


def pairs(group: list[Labeled]) -> list[Conflict]:
    """Lines of a group: each row that is in no line before it, with the row of another label that is most like it. The
    same files first, so that each row with such a partner is in a line with it."""
    nearest = []
    for row in group:
        others = [(*_difference(row.picture, other.picture), other) for other in group if other.label != row.label]
        kind, distance, other = min(others)
        nearest.append((kind, distance, row, other))
    lines, done = [], set()
    for kind, distance, row, other in sorted(nearest):
        if row.id not in done:
            ends = (str(end) for one in (row, other) for end in one[:3])
            lines.append(Conflict(row.picture.dataset, *ends, kind, distance))
            done |= {row.id, other.id}
    return lines


def _difference(one: Picture, other: Picture) -> tuple[str, int]:
    """Kind, "exact" before "near", and distance."""
    if one.digest == other.digest:
        return "exact", 0
    return "near", (int(one.hashes[:DIGITS], 16) ^ int(other.hashes[:DIGITS], 16)).bit_count()
