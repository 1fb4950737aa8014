"""Morph: police photographs with the age in years (MORPH II, Album 2; Ricanek and Tesafaye, FG 2006).

Download: the 2008 non-commercial release, from UNC Wilmington. Expected below data/raw/morph:
    morph_2008_nonCommercial.csv     optional; the columns age and photo (Album2/009055_1M54.JPG) are used
    Album2/009055_1M54.JPG ...       <subject, six digits>_<picture><M|F><age>.JPG, 55,134 images, in any folder
The label is the age, 16..77. The file name holds it. The csv lists the images and must agree with their names. Ids and
subjects always come from the file names, so that the splits are the same with and without the csv. Names may be in
upper or lower case.
Terms: an academic or a paid license from UNC Wilmington. No owner's split.
"""

import re

from data_prep.downloads import Files, read_csv
from data_prep.source import Drop, Items, Row, same_rating

NAME = re.compile(r"(?:.*[/\\])?((\d{6})_\d{1,2}[MF](\d+))\.jpg", re.IGNORECASE)


def read(files: Files) -> Items:
    path = files.label_file("morph_2008_nonCommercial.csv", "*.jpg")
    if path.suffix.lower() == ".csv":
        listed = ((row.get("photo", ""), row.get("age", "")) for _, row in read_csv(path, "age", "photo"))
    else:
        listed = ((image, None) for image in files.all("*.jpg"))
    for image, age in listed:
        match = NAME.fullmatch(image)
        if match is None:
            yield Drop(image, image, "rule", f"{image!r} is not <six digits>_<picture><M|F><age>.jpg")
        elif age is not None and not same_rating(age, match[3]):
            yield Drop(match[1], image, "rule", f"age {age!r} in {path.name}, but {match[3]} in the name of the file")
        else:
            yield Row(match[1].upper(), (image, f"{match[1]}.jpg"), match[3], subject=match[2])
