"""HCI: color photographs to be dated by decade (historical color images; Palermo et al., ECCV 2012).

Download: HistoricalColor-ECCV2012-DecadeDatabase.tar. Expected below data/raw/hci, in any folder:
    1930s/*.jpg ... 1970s/*.jpg     265 in each; the folder is the label, 1930s..1970s -> 0..4
Terms: the page names none; academic. No owner's split, no label file. The tar also holds 1940s/._decade_....jpg, which
macOS wrote and which is not an image (hidden files are never read).
"""

from data_prep.downloads import Files, stem
from data_prep.source import Drop, Items, Row

DECADES = ("1930s", "1940s", "1950s", "1960s", "1970s")


def read(files: Files) -> Items:
    dated = False
    for path in files.all("*.jpg"):
        folders = path.lower().split("/")[:-1]
        if decade := next((folder for folder in reversed(folders) if folder in DECADES), None):
            dated = True
            yield Row(id=f"{decade}/{stem(path)}", images=(path,), score=DECADES.index(decade))
        else:
            yield Drop(stem(path), path, "rule", "not below a folder 1930s, 1940s, 1950s, 1960s or 1970s")
    if not dated:
        raise FileNotFoundError(f"{files.root}: no .jpg below a folder {', '.join(DECADES)}; unpack the tar file here")
