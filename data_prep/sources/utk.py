"""UTK: faces with the age in years (UTKFace; Zhang et al., CVPR 2017).

Download: the in-the-wild faces, part1.tar.gz to part3.tar.gz. Expected below data/raw/utk, in any folder:
    part1/36_0_1_20170117163203851.jpg ...     <age>_<gender>_<race>_<time>.jpg; the landmark lists are not needed
    UTKFace/36_0_1_20170117163203851.jpg.chip.jpg ...     the aligned set, used only if there is no in-the-wild image
The label is the age, the digits before the first "_", which are there even if gender or race is missing (53__0_2017...)
or a blank precedes the dot. Two of the 24,108 files do not end in .jpg (...357jpg, .pg) and are not read, which is how
the paper has 24,106; the aligned set has 23,708. The id is the name without extension, with the folder before it
(part2/36_0_...) if several in-the-wild images share the name; aligned images that share one (crop_part1) are the same.
Terms: non-commercial research only. No owner's split.
"""

import re
from collections import Counter

from data_prep.downloads import Files
from data_prep.source import Drop, Items, Row

NAME = re.compile(r"(?:.*/)?(?P<id>(?P<age>\d+)_[^/]*?)\s*(?P<aligned>(?:\.jpg)?\.chip)?\.jpg", re.IGNORECASE)


def read(files: Files) -> Items:
    named = [(path, NAME.fullmatch(path)) for path in files.all("*.jpg")]
    if not named:
        raise FileNotFoundError(f"{files.root}: no .jpg in it or below it; unpack part1.tar.gz to part3.tar.gz there")
    wild = Counter(match["id"] for _, match in named if match and not match["aligned"])
    for path, match in named:
        if match is None:
            yield Drop(path, path, "rule", f"{path!r} does not begin with an age and '_'")
        elif not (wild and match["aligned"]):
            folder = f"{path.rpartition('/')[0].rpartition('/')[2]}/" if wild[match["id"]] > 1 else ""
            yield Row(id=folder + match["id"], images=(path,), score=int(match["age"]))
