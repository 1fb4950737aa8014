"""APTOS: fundus photographs graded for diabetic retinopathy (Kaggle's APTOS 2019 Blindness Detection).

Download: train.csv and train_images of that competition. Expected below data/raw/aptos:
    train.csv                             id_code,diagnosis; diagnosis is the stage, 0 (no retinopathy) to 4
    train_images/000c1434d8d7.png ...     3,662 images
Terms: rules of the competition. No owner's split with labels: test.csv has none, sample_submission.csv always has 0. An
id_code is text, even 232549883508 or 0709652336e2: a file that a spreadsheet program has saved no longer names the
images. It has 143 groups of identical images, 96 of them with different stages; the paper keeps them, and so do we.
"""

from data_prep.downloads import Files, read_csv
from data_prep.source import Drop, Items, Row


def read(files: Files) -> Items:
    path = files.label_file("train.csv")
    for line, row in read_csv(path, "id_code", "diagnosis"):
        id = row["id_code"]
        if id:
            yield Row(id=id, images=(f"train_images/{id}.png", f"{id}.png"), score=row["diagnosis"])
        else:
            yield Drop(id, path.name, "rule", f"line {line}: id_code is empty")
