"""HCI: color photographs to be dated by decade (historical color images; Palermo et al., ECCV 2012).

Download: HistoricalColor-ECCV2012-DecadeDatabase.tar. Expected below data/raw/hci, in any folder:
    1930s/*.jpg ... 1970s/*.jpg     265 in each; the folder is the label, 1930s..1970s -> 0..4
Terms: the page names none; academic. No owner's split, no label file. The tar also holds 1940s/._decade_....jpg, which
macOS wrote and which is not an image (hidden files are never read).
"""

from data_prep.downloads import Files, stem
from data_prep.source import FULL, Drop, Items, Row

DECADES = ("1930s", "1940s", "1950s", "1960s", "1970s")
PARTS = ("train", "test", "val", "valid")  # of dlordinal's copy, which has folders 0..4 in them


def read(files: Files) -> Items:
    sets: tuple[dict[str, dict[str, None]], dict[str, dict[str, None]]] = {}, {}  # id -> its names in all folders
    five = False  # a folder that a copy with 0..4 does not have
    for path in files.images:
        *folders, name = path.split("/")
        place = next((place for place in reversed(range(len(folders))) if _decade(folders[place])), None)
        numbered = place is None
        five = five or (numbered and len(folders) > 1 and folders[-1] == "5" and folders[-2].lower() in PARTS)
        if not numbered:
            decade = _decade(folders[place])
        elif len(folders) > 1 and folders[-1] in tuple("01234") and folders[-2].lower() in PARTS:
            decade, place = DECADES[int(folders[-1])], len(folders) - 1
        else:
            yield Drop(stem(path), path, "rule", "not below a folder 1930s, 1940s, 1950s, 1960s or 1970s")
            continue
        sets[numbered].setdefault(f"{decade}/{stem(path)}", {})["/".join([*folders[place:], name])] = None
    owners, numbers = sets
    taken = owners if len(owners) >= FULL * len(numbers) else numbers
    if not taken:
        raise FileNotFoundError(f"{files.root}: no image below a folder {', '.join(DECADES)}; {files.hint()}")
    if taken is numbers and five:
        raise ValueError(f"{files.root}: a folder 5 below train or test; name the folders by their decades, 1930s ..")
    if taken is numbers:
        files.notes.append("folders 0..4 below train and test are taken for 1930s..1970s: dlordinal's copy, 224 x 224")
    elif numbers:
        files.notes.append(f"folders 0..4 below train and test ({len(numbers):,} images) are not used: a smaller copy")
    if taken is numbers and owners:
        files.notes.append(f"the {len(owners):,} images below folders 1930s..1970s are not used: they are too few")
    for id, names in taken.items():
        yield Row(id, tuple(names), DECADES.index(id.partition("/")[0]))


def _decade(folder: str) -> str:
    """The decade that a folder names: 1930s, 1930 or "1930S"."""
    name = folder.lower().removesuffix("s") + "s"
    return name if name in DECADES else ""
