"""EyePACS: fundus photographs graded for diabetic retinopathy (Kaggle's Diabetic Retinopathy Detection, 2015).

Download: train.zip.001-005 and trainLabels.csv.zip of that competition. Expected below data/raw/eyepacs:
    trainLabels.csv          image,level; level is the stage, 0 (no retinopathy) to 4 (proliferative)
    train/10_left.jpeg ...   <patient>_<left|right>, 35,126 images; resized images as .jpg or .png are fine
Terms: rules of the competition. No owner's split: the paper's test set is the last of ten folds made class by class.
The paper's 35,127 (Table 1) counts the header. Files with ";" or CRLF, trainLabels_cropped.csv (with an
index column) and trainLabels15.csv are in circulation and can be read. The
competition's test images (graded later) are not used; their numbers differ.
"""

from data_prep.downloads import Files, image_id
from data_prep.source import Drop, Items, Row
from data_prep.tables import read_together

COLUMNS = {
    "image": ("image", "image_name", "img_name", "id_code", "filename"),
    "level": ("level", "label", "diagnosis"),
}


def read(files: Files) -> Items:
    paths = files.label_files("trainLabels.csv", "trainLabels15.csv", "trainLabels_cropped.csv", "trainLabels*.csv")
    for place, row in read_together(paths, COLUMNS, {"usage": ("Usage",)}, files.notes):
        if "usage" in row:
            raise ValueError(f"{files.root}, {place}: labels of the test images (column Usage); take trainLabels.csv")
        image = image_id(row["image"])
        patient, _, eye = image.rpartition("_")
        if patient.isdecimal() and eye in ("left", "right"):
            yield Row(image, (f"{image}.jpeg",), row["level"], subject=patient)
        else:
            yield Drop(image, paths[0].name, "rule", f"{place}: image {image!r} is not <patient>_left or _right")
