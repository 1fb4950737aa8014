"""Which image belongs to which row. All rows of a dataset take their images from the same folders, never a mixture.

People have the same photographs in several folders (cropped/ beside part1/, 512x384/ beside 1024x768/). Folders that
hold images of the same rows are alternatives: one is taken and named. Folders of different rows belong together.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from os.path import commonprefix

from data_prep.downloads import Files, Match
from data_prep.source import FULL, Drop, Row
from storm.text import folded, printable

ALIKE = 0.05  # our choice: folders that share more of the smaller one's rows than this are alternatives
MADE = ("augment", "mask", "heatmap", "saliency", "segment", "vessel", "flip")  # in names of folders of made images


@dataclass
class Located:
    """Path below the dataset's folder -> its row, the rows without an image of their own, and the folders used."""

    rows: dict[str, Row] = field(default_factory=dict)
    drops: list[Drop] = field(default_factory=list)
    used: dict[str, int] = field(default_factory=dict)  # image folder -> rows with an image of it
    unused: dict[str, int] = field(default_factory=dict)  # alternatives to those, with the same rows

    @property
    def missing(self) -> list[str]:
        """The names of the images that are not there."""
        missing = (drop for drop in self.drops if drop.kind == "missing")
        return [drop.file if drop.id in drop.file else f"{drop.id} ({drop.file})" for drop in missing]


def locate(files: Files, rows: Sequence[Row], preferred: Sequence[str]) -> Located:
    """Find each row's image. preferred: names of image folders, the one to take first if several hold the same rows."""
    matches = [files.find(*row.images) for row in rows]
    files.forget_names()
    used, unused = _folders(matches, [folded(name) for name in preferred])
    located = Located(unused=unused)
    counts: Counter[str] = Counter()
    for row, places in zip(rows, matches, strict=True):
        place = next((place for place in places if place.folder in used), None)
        if place is None:
            elsewhere = f", only in {places[0].folder}, which is not used" if places else ""
            reason = f"no such image below {files.root.name or files.root}{elsewhere}"
            located.drops.append(Drop(row.id, row.images[0], "missing", reason))
        elif place.path in located.rows:
            reason = f"its image is that of {located.rows[place.path].id!r}"
            located.drops.append(Drop(row.id, place.path, "duplicate", reason))
        else:
            located.rows[place.path] = row
            counts[place.folder] += 1
    located.used = dict(counts.most_common())
    return located


def _folders(matches: list[list[Match]], preferred: Sequence[str]) -> tuple[set[str], dict[str, int]]:
    """The image folders to use, and the alternatives that are not used with the rows they have images of.

    Where two folders hold images of the same rows, the choice is between the whole trees in which they differ: of
    a/train, a/test, b/train and b/test, those of a or those of b.
    """
    numbers: dict[str, set[int]] = defaultdict(set)
    shared: Counter[tuple[str, str]] = Counter()
    for number, places in enumerate(matches):
        for place in places:
            numbers[place.folder].add(number)
        if len(places) > 1:
            shared.update(combinations(sorted(place.folder for place in places), 2))
    unused: dict[str, int] = {}
    for (one, other), count in sorted(shared.items(), key=lambda pair: (-pair[1], pair[0])):
        if one in unused or other in unused or count <= ALIKE * min(len(numbers[one]), len(numbers[other])):
            continue
        trees = [_below(top, avoid, set(numbers) - set(unused)) for top, avoid in _differing(one, other)]
        worse = max(trees, key=lambda tree: _rank(tree, trees, numbers, preferred))
        unused |= {folder: len(numbers[folder]) for folder in worse}
    return set(numbers) - set(unused), dict(sorted(unused.items(), key=lambda item: (-item[1], item[0])))


def _differing(one: str, other: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """The tops of the two trees in which two folders differ, each with the other; of a folder and one below it, the
    folder itself and the branch."""
    first, second = (folder.split("/") if folder else [] for folder in (one, other))
    same = len(commonprefix([first, second]))
    tops = ["/".join(parts[: same + 1]) for parts in (first, second)]
    return (tops[0], tops[1]), (tops[1], tops[0])


def _below(top: str, avoid: str, folders: Iterable[str]) -> list[str]:
    """The folders of a tree. If the other tree is a branch of it, only its top."""
    if avoid.startswith(f"{top}/") or not top:
        return [top]
    return [folder for folder in folders if folder == top or folder.startswith(f"{top}/")]


def _rank(
    tree: list[str], trees: Sequence[list[str]], numbers: Mapping[str, set[int]], preferred: Sequence[str]
) -> tuple:
    """The tree to take has the least: not augmented, nearly as full as the other, preferred, fuller, less nested."""
    sizes = [len(set().union(*(numbers[folder] for folder in one))) for one in (tree, *trees)]
    names = {folded(part) for folder in tree for part in folder.split("/")}
    place = next((place for place, name in enumerate(preferred) if name in names), len(preferred))
    made, short = any(word in name for name in names for word in MADE), sizes[0] < FULL * max(sizes)
    return made, short, place, -sizes[0], min(folder.count("/") for folder in tree), min(tree)


def unmatched(files: Files, located: Located) -> list[str]:
    """The images without a row in the folders that are used (in all, if none is), but for alternatives that lie in
    them; other folders hold other things."""
    images = [path for path in files.images if path not in located.rows]
    folders = tuple(f"{folder}/" if folder else "" for folder in located.used)
    within = tuple(f"{folder}/" for folder in located.unused if folder and f"{folder}/".startswith(folders))
    if not folders:
        return images
    return [path for path in images if path.startswith(folders) and not path.startswith(within or ("\0",))]


def other_naming(located: Located, unmatched: Sequence[str], share: float) -> str:
    """A line if many rows have no image and many images have no row, "" if not: the images then have other names, and
    a row that finds one may find another's (AVA saved as <row number>.jpg). share: of rows that may lack an image."""
    rows, images = len(located.rows) + len(located.drops), len(located.rows) + len(unmatched)
    names = located.missing
    if not unmatched or len(names) <= share * rows or len(unmatched) <= share * images:
        return ""
    return (
        f"{len(names):,} of {rows:,} rows have no image, and {len(unmatched):,} of {images:,} images have no row: "
        f"are the images named otherwise? Rows name {_three(names)}; images without a row are {_three(unmatched)}; "
        "rename the images as the label file names them (or take the owner's label file, if a spreadsheet program has "
        "changed the ids), choose their folder with --images, or move images of other rows away"
    )


def too_many_missing(files: Files, located: Located, share: float) -> str:
    """A line if more rows lack an image than the share that is usual for the dataset, "" if not."""
    rows = len(located.rows) + len(located.drops)
    names = located.missing
    if len(names) <= share * rows:
        return ""
    others = "".join(
        f"; {printable(folder)} has {count:,}: --images {printable(folder)} takes that folder"
        for folder, count in list(located.unused.items())[:2]
        if count > len(located.rows)
    )
    return (
        f"{len(names):,} of {rows:,} rows have no image ({share:.0%} would be usual), such as {_three(names)}"
        f"{others}; {files.unpack() or 'complete the images'}, or --allow-missing builds the part that is there"
    )


def _three(names: Sequence[str]) -> str:
    return ", ".join(printable(name) for name in sorted(names)[:3])
