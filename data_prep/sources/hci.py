"""HCI: color photographs to be dated by decade (historical color images; Palermo et al., ECCV 2012).

Download: HistoricalColor-ECCV2012-DecadeDatabase.tar. Expected below data/raw/hci, in any folder:
    1930s/*.jpg ... 1970s/*.jpg     265 in each; the folder is the label, 1930s..1970s -> 0..4
Terms: the page names none; academic. No owner's split, no label file. The tar also holds 1940s/._decade_....jpg, which
macOS wrote and which is not an image (hidden files are never read).
"""

from data_prep.downloads import Files, stem
from data_prep.source import Drop, Items, Row

DECADES = ("1930s", "1940s", "1950s", "1960s", "1970s")
PARTS = ("train", "test", "val", "valid")  # of dlordinal's copy, which has folders 0..4 in them


def read(files: Files) -> Items:
    dated: dict[str, Row] = {}
    numbered = False
    for path in files.images:
        *folders, name = path.split("/")
        place = next((place for place in reversed(range(len(folders))) if _decade(folders[place])), None)
        decade = "" if place is None else _decade(folders[place])
        if not decade and len(folders) > 1 and folders[-1] in tuple("01234") and folders[-2].lower() in PARTS:
            decade, place, numbered = DECADES[int(folders[-1])], len(folders) - 1, True
        if decade:
            id = f"{decade}/{stem(path)}"
            dated.setdefault(id, Row(id, ("/".join([*folders[place:], name]),), DECADES.index(decade)))
        else:
            yield Drop(stem(path), path, "rule", "not below a folder 1930s, 1940s, 1950s, 1960s or 1970s")
    if not dated:
        raise FileNotFoundError(f"{files.root}: no image below a folder {', '.join(DECADES)}; {files.hint()}")
    if numbered:
        files.notes.append("folders 0..4 below train and test are taken for 1930s..1970s: dlordinal's copy, 224 x 224")
    yield from dated.values()


def _decade(folder: str) -> str:
    """The decade that a folder names: 1930s, 1930 or "1930S"."""
    name = folder.lower().removesuffix("s") + "s"
    return name if name in DECADES else ""
