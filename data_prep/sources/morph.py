"""Morph: police photographs with the age in years (MORPH II, Album 2; Ricanek and Tesafaye, FG 2006).

Download: the 2008 non-commercial release, from UNC Wilmington. Expected below data/raw/morph:
    morph_2008_nonCommercial.csv     optional; the columns age and photo (Album2/009055_1M54.JPG) are used
    Album2/009055_1M54.JPG ...       <subject, six digits>_<picture><M|F><age>.JPG, 55,134 images, in any folder
The label is the age, 16..77. The file name holds it. The csv lists the images and must agree with their names. Ids and
subjects always come from the file names, so that the splits are the same with and without the csv. Names may be in
upper or lower case.
Kaggle's copy (Dataset/Images/{Train,Validation,Test}, Dataset/Index/*.csv) is read by its file names.
Terms: an academic or a paid license from UNC Wilmington. No owner's split.
"""

import re

from data_prep.downloads import Files, base, image_id
from data_prep.source import Drop, Items, Row, same_rating
from data_prep.tables import read_table

NAME = re.compile(r"((\d{6})_\d{1,2}[MF](\d+))(\.\w+)?", re.IGNORECASE)
FEW = 0.05  # our choice: with more contradictions, one of the two is of another release
COLUMNS = {"photo": ("photo", "filename", "image"), "age": ("age",)}


def read(files: Files) -> Items:
    names = {image_id(name).upper(): name for name in map(base, files.images)}  # one spelling: case does not matter
    if files.all("morph_2008_nonCommercial.csv"):
        path = files.label_file("morph_2008_nonCommercial.csv")
        listed = [(base(row["photo"]), row["age"]) for _, row in read_table(path, COLUMNS, notes=files.notes)]
    else:
        path, listed = None, [(image, None) for image in names.values()]
    if not listed:
        raise FileNotFoundError(f"{files.root}: no image in it or below it; {files.hint()}")
    named = ((image, age, NAME.fullmatch(image)) for image, age in listed if age)
    other = [image for image, age, match in named if match and not same_rating(age, match[3])]
    if len(other) > max(10, FEW * len(listed)):
        what = f"{len(other):,} of {len(listed):,} ages in {path.name} are not those in the names, {other[0]!r} first"
        raise ValueError(f"{files.root}: {what}; take the owner's files")
    for image, age in listed:
        match = NAME.fullmatch(image)
        if match is None:
            yield Drop(image, image, "rule", f"{image!r} is not <six digits>_<picture><M|F><age>.jpg")
        elif age is not None and not same_rating(age, match[3]):
            yield Drop(match[1], image, "rule", f"age {age!r} in {path.name}, but {match[3]} in the name of the file")
        else:
            yield Row(match[1].upper(), (image,), match[3], subject=match[2])
