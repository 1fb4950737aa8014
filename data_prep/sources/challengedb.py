"""ChallengeDB (LIVE In the Wild): photographs with real distortions, rated 0-100 (Ghadiyaram & Bovik, TIP 2016).

Download: ChallengeDB_release, on request from the LIVE lab, UT Austin. Expected below data/raw/challengedb:
    Data/AllImages_release.mat      names          Data/AllMOS_release.mat     MOS 0-100, in the same order
    Images/3.bmp ... 1164.JPG       1,162 photographs, .bmp or upper-case .JPG
    Images/trainingImages/t1.bmp ... t7.bmp        practice images of the study; the paper counts them, too
Terms: any purpose; keep the copyright notice and cite the papers. No owner's split. Instead of the .mat files, a table
is enough: meta_info_LIVEChallengeDataset.csv or another *challenge*.csv with columns img_name and mos.
"""

from pathlib import Path
from typing import Any

from data_prep.downloads import Files, read_csv, stem
from data_prep.source import Items, Row


def read(files: Files) -> Items:
    path = files.label_file("AllImages_release.mat", "*challenge*.csv")
    if path.suffix.lower() == ".csv":
        pairs = [(row["img_name"], row["mos"]) for _, row in read_csv(path, "img_name", "mos")]
    else:
        images = _values(path, "AllImages_release")
        scores = _values(files.label_file("AllMOS_release.mat"), "AllMOS_release")
        if len(images) != len(scores):
            raise ValueError(f"{path}: {len(images)} names but {len(scores)} ratings; take both files of one release")
        pairs = [(str(image).strip(), score) for image, score in zip(images, scores)]
    for image, score in pairs:
        yield Row(stem(image), images=(f"Images/{image}", f"Images/trainingImages/{image}", image), score=score)


def _values(path: Path, variable: str) -> list[Any]:
    """A MATLAB variable, flat: rows and columns differ between the files. Raises ValueError naming the file."""
    import numpy as np
    from scipy.io import loadmat

    try:
        return np.ravel(loadmat(path, squeeze_me=True)[variable]).tolist()
    except Exception as error:  # for a damaged file scipy raises OSError, TypeError, IndexError and more
        raise ValueError(f"{path}: cannot read MATLAB variable {variable!r} ({error}); download it again") from error
