"""Aesthetics (beauty-icwsm15): Flickr photographs with 5 to 17 votes each (Schifanella et al., ICWSM 2015). Zero-shot.

Download: beauty-icwsm15-dataset.tsv, from R. Schifanella's page at the University of Turin, and each photograph that is
still on Flickr, by its id. Expected below data/raw/aesthetics:
    beauty-icwsm15-dataset.tsv      photo id, category, votes as "3,3,4"; the header begins with "#", too
    <photo id>.jpg                  in any folder
A vote is 1 (unacceptable) to 5 (exceptional), the rating is the mean vote. Flickr may send a picture "unavailable"
instead of a photograph: delete those.
Terms: the photographs are under Creative Commons licenses, the votes are for research. No owner's split.
"""

import re

from data_prep.downloads import Files, image_id
from data_prep.source import Drop, Items, Row
from data_prep.tables import read_together

_VOTES = re.compile("[1-5](,[1-5])*")
MANY = 10  # our choice: rows that are enough to tell another kind of file
PHOTO = ("flickr_photo_id", "photo_id", "image_id", "img_id", "image", "id")
COLUMNS = {"photo": PHOTO, "votes": ("beauty_scores", "scores", "votes")}


def read(files: Files) -> Items:
    paths = files.label_files("beauty-icwsm15-dataset.tsv", "beauty*.tsv", "beauty*.csv")
    zeros = fives = rows = several = 0
    for place, row in read_together(paths, COLUMNS, notes=files.notes):
        photo, text = image_id(row["photo"]), row["votes"].strip("[]()").replace(" ", "")
        image, numbers = f"{photo}.jpg", re.findall(r"\d+", text)
        zeros, fives = zeros + ("0" in numbers), fives + ("5" in numbers)
        rows, several = rows + 1, several + (len(numbers) > 1)
        if photo and _VOTES.fullmatch(text):
            votes = [int(vote) for vote in text.split(",")]
            counts = tuple(votes.count(vote) for vote in range(1, 6))
            yield Row(photo, (image,), sum(votes) / len(votes), votes=counts)
        else:
            yield Drop(photo, image, "rule", f"{place}: {row['votes']!r} is not a list of votes 1 to 5")
    if rows > MANY and not several:
        raise ValueError(f"{paths[0]}: one vote a row, the owner's have 5 and more; take the owner's file")
    if zeros > MANY and not fives:
        raise ValueError(f"{paths[0]}: votes are 0 to 4, the owner's are 1 to 5; add 1, or take the owner's file")
