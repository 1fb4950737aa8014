"""HCI: colour photographs to be dated by decade (historical color images; Palermo et al., ECCV 2012).

Download: HistoricalColor-ECCV2012-DecadeDatabase.tar. Expected below data/raw/hci, in any folder:
    1930s/*.jpg ... 1970s/*.jpg     265 in each; the folder is the label, 1930s..1970s -> 0..4
Terms: none found; academic. No owner's split, no label file. The tar also holds 1940s/._decade_....jpg, which macOS
made and which is no image (hidden files are never read).
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from data_prep.downloads import Files
from storm.datasets import Dataset, Sizes, as_is
from data_prep.source import Drop, Row

DECADES = ("1930s", "1940s", "1950s", "1960s", "1970s")


def read(files: Files) -> Iterator[Row | Drop]:
    dated = False
    for path in files.all("*.jpg"):
        image = PurePosixPath(path)
        decade = next((folder.name.lower() for folder in image.parents if folder.name.lower() in DECADES), None)
        if decade:
            dated = True
            yield Row(id=f"{decade}/{image.stem}", images=(path,), score=DECADES.index(decade))
        else:
            yield Drop(image.stem, path, "rule", "not below a folder 1930s, 1940s, 1950s, 1960s or 1970s")
    if not dated:
        raise FileNotFoundError(f"{files.root}: no .jpg below a folder {', '.join(DECADES)}; unpack the tar file here")


DATASET = Dataset(
    name="hci",
    read=read,
    label=as_is,
    low=0,
    high=4,
    sizes=Sizes(train=1_193, lite=None, test=132),
    test=10,
)
