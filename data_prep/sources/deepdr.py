"""DeepDR: DeepDRiD's regular fundus photographs graded for diabetic retinopathy, two of each eye (Liu et al., 2022).

Download: the repository deepdrdoc/DeepDRiD. Expected below data/raw/deepdr, in any folder:
    regular-fundus-training/regular-fundus-training.csv         1,200 rows, the paper's train set
    regular-fundus-validation/regular-fundus-validation.csv     400 rows, the paper's test set
    <either folder>/Images/<patient>/<image_id>.jpg     Images/ or <patient>/ may be missing
The label is the stage of the photographed eye, 0 to 4: left_eye_DR_Level or right_eye_DR_Level, whichever is filled.
The letter in image_id does not tell which eye it is (56_r3 is a left eye), patient_DR_Level is the worse of both eyes,
and image_path (Windows style) omits Images. Some images lack the patient in their name: l1.jpg for 1_l1.jpg.
Not used: the 400 evaluation images (the paper's Table 1 counts them), ultra-widefield images, *-source-*.csv.
Terms: CC BY-SA 4.0.
"""

from data_prep.downloads import Files, image_id
from data_prep.source import Drop, Items, Row
from data_prep.tables import read_table

LEFT, RIGHT = "left_eye_DR_Level", "right_eye_DR_Level"
COLUMNS = {name: (name,) for name in ("patient_id", "image_id", LEFT, RIGHT)}
EMPTY = ("", "nan", "none", "null", "na", "n/a", "<na>", "-")  # what programs write into an empty cell


def read(files: Files) -> Items:
    for part, folder in (("train", "regular-fundus-training"), ("test", "regular-fundus-validation")):
        path = files.label_file(f"{folder}.csv", f"{folder}.xlsx")
        for line, row in read_table(path, COLUMNS, notes=files.notes):
            patient, image = row["patient_id"], image_id(row["image_id"])
            left, right = ("" if row[eye].lower() in EMPTY else row[eye] for eye in (LEFT, RIGHT))
            if not (patient and image):
                reason = f"line {line}: patient_id {patient!r}, image_id {image!r}: one is empty"
                yield Drop(image, path.name, "rule", reason)
            elif bool(left) == bool(right):
                reason = f"line {line}: {LEFT} {left!r}, {RIGHT} {right!r}: not exactly one is filled"
                yield Drop(image, path.name, "rule", reason)
            else:
                short = image.removeprefix(f"{patient}_")
                ends = (f"{patient}/{image}.jpg", f"{patient}/{short}.jpg", f"{image}.jpg")
                yield Row(image, ends, left or right, subject=patient, part=part)
