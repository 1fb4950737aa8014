"""Adience: faces in Flickr photographs with age groups (Eidinger et al., IEEE TIFS 2014).

Download: aligned.tar.gz (or faces.tar.gz) and the five fold files, from the authors' Adience page. Expected below
data/raw/adience, in any folder:
    fold_0_data.txt ... fold_4_data.txt     tabs: user_id, original_image, face_id, age, ...; all five are needed
    aligned/<user_id>/landmark_aligned_face.<face_id>.<original_image>
    faces/<user_id>/coarse_tilt_aligned_face.<face_id>.<original_image>     used if there is no aligned image
The label is the age group 0..7. Only rows with exactly one of the eight texts of GROUPS are kept: ages such as None, 35
or (25, 23) are dropped. The files repeat 103 of the kept rows. That leaves the paper's 17,321.
Terms: research only; the authors give a password on request. The owner's split is five folds; no user is in two of
them: by subject, folds 0-3 are for training and fold 4 is for testing (our choice).
"""

from data_prep.downloads import Files, read_csv
from data_prep.source import Drop, Items, Row

FOLDS = tuple(f"fold_{fold}_data.txt" for fold in range(5))
COLUMNS = ("user_id", "original_image", "face_id", "age")
GROUPS = ("(0, 2)", "(4, 6)", "(8, 12)", "(15, 20)", "(25, 32)", "(38, 43)", "(48, 53)", "(60, 100)")


def read(files: Files) -> Items:
    if missing := [name for name in FOLDS if not files.all(name)]:
        raise FileNotFoundError(f"{files.root}: no {', '.join(missing)} in it or below it; all five folds are needed")
    seen: set[str] = set()
    for name in FOLDS:
        for line, row in read_csv(files.label_file(name), *COLUMNS):
            user, image, face, age = (row.get(column, "") for column in COLUMNS)
            id = f"{user}/{face}.{image.rpartition('.')[0]}"
            if age not in GROUPS:
                yield Drop(id, f"{name}, line {line}", "rule", f"age {age!r} is none of the eight groups")
            elif id in seen:
                yield Drop(id, f"{name}, line {line}", "duplicate", "user_id, face_id and original_image are repeated")
            else:
                seen.add(id)
                aligned = f"aligned/{user}/landmark_aligned_face.{face}.{image}"
                tilted = f"faces/{user}/coarse_tilt_aligned_face.{face}.{image}"
                part = "test" if name == FOLDS[-1] else "train"
                yield Row(id, (aligned, tilted), score=GROUPS.index(age), subject=user, part=part)
