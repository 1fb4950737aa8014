"""Aesthetics (beauty-icwsm15): Flickr photographs with 5 to 17 votes each (Schifanella et al., ICWSM 2015). Zero-shot.

Download: beauty-icwsm15-dataset.tsv, from R. Schifanella's page at the University of Turin, and each photograph from
Flickr by its id, as far as it still is there. Expected below data/raw/aesthetics:
    beauty-icwsm15-dataset.tsv      photo id, category, votes as "3,3,4"; the header begins with "#" and is no comment
    <photo id>.jpg                  in any folder
A vote is 1 (unacceptable) to 5 (exceptional), the rating their mean. Flickr may answer with a picture "unavailable":
delete those. Terms: the photographs are under Creative Commons licences, votes for research. No owner's split.
"""

import math
import re
from collections.abc import Iterator

from data_prep.downloads import Files, table
from storm.datasets import Dataset, Sizes
from data_prep.source import Drop, Row

_VOTES = re.compile("[1-5](,[1-5])*")


def read(files: Files) -> Iterator[Row | Drop]:
    path = files.one("beauty-icwsm15-dataset.tsv", "beauty*.tsv")
    for line, row in table(path, "#flickr_photo_id", "beauty_scores"):
        photo, text = row["#flickr_photo_id"], row["beauty_scores"]
        image = f"{photo}.jpg"
        if _VOTES.fullmatch(text):
            votes = [int(vote) for vote in text.split(",")]
            yield Row(id=photo, images=(image,), score=sum(votes) / len(votes))
        else:
            yield Drop(photo, image, "rule", f"{path.name}, line {line}: {text!r} is not a list of votes 1 to 5")


def rounded(score: float, lo: float, hi: float) -> int:
    """The mean vote 1..5, rounded half up, as level 0..4; lo and hi do not matter.

    Section 3.2: "compute the MOS values of all raters and convert [them] to five text-defined rating levels". How is
    not said; to round, and a half up, is our choice.
    """
    return (math.floor(2 * score) + 1) // 2 - 1  # doubling is exact, adding a half to a float need not be


DATASET = Dataset(
    name="aesthetics",
    read=read,
    label=rounded,
    low=1,
    high=5,
    sizes=Sizes(train=12_336, lite=None, test=1_370),
    test=10,
    difference="15,686 rows in the label file; the paper's 13,706 are the photographs still on Flickr then",
)
