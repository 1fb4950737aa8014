"""Adience: faces in Flickr photographs with age groups (Eidinger et al., IEEE TIFS 2014).

Download: aligned.tar.gz (or faces.tar.gz) and the five fold files, from the authors' Adience page. Expected below
data/raw/adience, in any folder:
    fold_0_data.txt ... fold_4_data.txt     tabs: user_id, original_image, face_id, age, ...; all five are needed
    aligned/<user_id>/landmark_aligned_face.<face_id>.<original_image>
    faces/<user_id>/coarse_tilt_aligned_face.<face_id>.<original_image>     used for all rows if there are more of them
The label is the age group 0..7. Only rows with one of the eight ranges of GROUPS are kept, (25,32) without the blank,
too: ages such as None, 35 or (25, 23) are dropped. The files repeat 103 of the kept rows. That leaves the paper's
17,321. Terms: research only; the authors give a password on request. The owner's split is five folds; no user is in two
of them: by subject, folds 0-3 are for training and fold 4 is for testing (our choice).
"""

import re
from pathlib import Path

from data_prep.downloads import Files, image_id
from data_prep.source import FULL, Drop, Items, Row
from data_prep.tables import read_table

FOLDS = tuple(f"fold_{fold}_data" for fold in range(5))
COLUMNS = {name: (name,) for name in ("user_id", "original_image", "face_id", "age")}
GROUPS = ("(0, 2)", "(4, 6)", "(8, 12)", "(15, 20)", "(25, 32)", "(38, 43)", "(48, 53)", "(60, 100)")
ALIGNED, TILTED = "landmark_aligned_face.", "coarse_tilt_aligned_face."
RANGE = re.compile(r"\(?\s*(\d+)\s*[,-]\s*(\d+)\s*\)?")


def read(files: Files) -> Items:
    paths = {name: _fold(files, name) for name in FOLDS}
    if missing := [f"{name}.txt" for name, path in paths.items() if path is None]:
        hint = files.hint([*missing])
        raise FileNotFoundError(f"{files.root}: no {', '.join(missing)} in it or below it; all five are needed; {hint}")
    seen: dict[str, str] = {}  # id -> fold
    prefix = _prefix(files)
    for name, path in paths.items():
        for line, row in read_table(path, COLUMNS, notes=files.notes):
            user, image, face, age = (row[column] for column in COLUMNS)
            photo, match = image_id(image), RANGE.fullmatch(age)
            id = f"{user}/{face}.{photo}"
            group = f"({match[1]}, {match[2]})" if match else age
            if group not in GROUPS:
                yield Drop(id, f"{path.name}, line {line}", "rule", f"age {age!r} is none of the eight groups")
            elif id not in seen:
                seen[id] = name
                part = "test" if name == FOLDS[-1] else "train"
                yield Row(id, (f"{user}/{prefix}{face}.{photo}.jpg",), GROUPS.index(group), subject=user, part=part)
            elif seen[id] == name:
                reason = "user_id, face_id and original_image are repeated"
                yield Drop(id, f"{path.name}, line {line}", "duplicate", reason)
            else:
                what = f"{id!r} is in {seen[id]}, too, but no user is in two folds"
                raise ValueError(f"{path}, line {line}: {what}; download the five files again")


def _fold(files: Files, name: str) -> Path | None:
    return files.label_file(f"{name}.txt", f"{name}.csv") if files.all(f"{name}.*") else None


def _prefix(files: Files) -> str:
    """How the names of the faces begin that are taken for all rows: aligned ones, or those that are there."""
    names = [path.rpartition("/")[2] for path in files.images]
    aligned, tilted = (sum(name.startswith(prefix) for name in names) for prefix in (ALIGNED, TILTED))
    chosen, other = (ALIGNED, TILTED) if aligned >= FULL * tilted else (TILTED, ALIGNED)
    if aligned and tilted:
        files.notes.append(f"images are {chosen}* ({max(aligned, tilted):,} are there), not {other}*, for all rows")
    return chosen
