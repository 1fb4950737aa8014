"""APTOS: fundus photographs graded for diabetic retinopathy (Kaggle's APTOS 2019 Blindness Detection).

Download: train.csv and train_images of that competition. Expected below data/raw/aptos:
    train.csv                             id_code,diagnosis; diagnosis is the stage, 0 (no retinopathy) to 4
    train_images/000c1434d8d7.png ...     3,662 images
Mirrors with several label files (train_1.csv, valid.csv, test.csv, all with labels) are read together.
Terms: rules of the competition. No owner's split with labels: test.csv has none, sample_submission.csv always has 0. An
id_code is text, even 232549883508 or 0709652336e2: a file that a spreadsheet program has saved no longer names the
images. It has 143 groups of identical images, 96 of them with different stages; the paper keeps them, and so do we.
"""

from data_prep.downloads import Files, image_id
from data_prep.source import Drop, Items, Row
from data_prep.tables import has_columns, read_together

COLUMNS = {"id": ("id_code", "image", "image_id", "filename"), "stage": ("diagnosis", "level", "label")}
PARTS = ("train*.csv", "val*.csv", "test*.csv")  # of mirrors; the owner's test.csv has no labels and is not read


def read(files: Files) -> Items:
    paths = [files.root / path for pattern in PARTS for path in files.all(pattern)]
    labeled = [path for path in paths if has_columns(path, COLUMNS)]
    names = [path.name for path in labeled] or ["train.csv"]
    if len(labeled) > 1 and not files.all("train.csv"):
        files.notes.append(f"the owner has one label file, train.csv; here they are {', '.join(names)}")
    paths = [path for name in dict.fromkeys(names) for path in files.label_files(name.replace("[", "[[]"))]
    for place, row in read_together(paths, COLUMNS, notes=files.notes):
        if image_id(row["id"]).endswith(("_left", "_right")):
            raise ValueError(f"{place}: {row['id']!r} is an id of EyePACS; move its label file out of {files.root}")
        if id := image_id(row["id"]):
            yield Row(id, (f"{id}.png",), row["stage"])
        else:
            yield Drop(id, paths[0].name, "rule", f"{place}: id_code is empty")
