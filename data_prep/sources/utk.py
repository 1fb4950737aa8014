"""UTK: faces with the age in years (UTKFace; Zhang et al., CVPR 2017).

Download: the in-the-wild faces, part1.tar.gz to part3.tar.gz. Expected below data/raw/utk, in any folder:
    part1/36_0_1_20170117163203851.jpg ...     <age>_<gender>_<race>_<time>.jpg; the landmark lists are not needed
    UTKFace/36_0_1_20170117163203851.jpg.chip.jpg ...     the aligned set, used if there are clearly more of it
The label is the age, the digits before the first "_", which are there even if gender or race is missing (53__0_2017...)
or a blank precedes the dot. Two of the 24,108 files do not end in .jpg (...357jpg, .pg) and are not read, which is how
the paper has 24,106; the aligned set has 23,708. The id is the name without extension; images that share it, in
whatever folders (crop_part1), are one photograph. Other names, such as 00001_26_1_0_..., are dropped.
Terms: non-commercial research only. No owner's split.
"""

import re

from data_prep.downloads import Files, base
from data_prep.source import FULL, Drop, Items, Row
from storm.images import suffixes

EXTENSION = f"(?:{'|'.join(map(re.escape, suffixes()))})"
NAME = re.compile(
    rf"(?P<id>(?P<age>[1-9]\d{{0,2}})(?:_\d?){{0,2}}_\d{{17}})(?:jpg)?\s*(?P<aligned>{EXTENSION}?\.chip)?{EXTENSION}",
    re.IGNORECASE,
)


def read(files: Files) -> Items:
    named = {name: NAME.fullmatch(name) for name in map(base, files.images)}
    if not named:
        raise FileNotFoundError(f"{files.root}: no image in it or below it; {files.hint()}")
    sets: tuple[dict[str, list[str]], dict[str, list[str]]] = {}, {}  # id -> its names: folders may differ in them
    for name, match in named.items():
        if match is None:
            what = "is not a name of UTKFace, <age>_<gender>_<race>_<17 digits>.jpg"
            yield Drop(name, name, "rule", f"{name!r} {what}")
        else:
            sets[bool(match["aligned"])].setdefault(match["id"], []).append(name)
    wild, aligned = sets
    taken = wild if len(wild) >= FULL * len(aligned) else aligned
    if wild and aligned:
        kinds = ("in the wild", "aligned (.chip)") if taken is wild else ("aligned (.chip)", "in the wild")
        counts = (len(taken), len(aligned if taken is wild else wild))
        files.notes.append(f"faces {kinds[0]} are used ({counts[0]:,}), not those {kinds[1]} ({counts[1]:,})")
    for id, names in taken.items():
        yield Row(id, tuple(names), int(id.partition("_")[0]))
