"""CACD: faces of 2,000 celebrities with their age in years (CACD2000; Chen et al., ECCV 2014).

Download: CACD2000.tar.gz and celebrity2000_meta.mat (optional), from the CARC page. Expected below data/raw/cacd:
    CACD2000/45_Peter_Mullan_0001.jpg ...     <age>_<name>_<number>.jpg, 163,446 images, in any folder
    celebrity2000_meta.mat                    optional, MATLAB v5 or v7.3 (HDF5)
The label is the age, 14..62, estimated: year of the photograph less year of birth. The file name holds it. The .mat
lists the images and must agree with their names. Ids and subjects always come from the file names, so that the splits
are the same with and without the .mat. Names hold accents (in either Unicode form, on disk and in the tar),
apostrophes, dots and digits; ids are NFC.
Terms: research only. The owner's split, by rank of celebrity, is used neither by the paper nor here.
"""

import re
import unicodedata
from pathlib import Path

from data_prep.downloads import Files
from data_prep.source import Drop, Items, Row

NAME = re.compile(r"(?:.*/)?((\d+)_([^/]+)_\d{4})\.jpg", re.IGNORECASE)


def read(files: Files) -> Items:
    path = files.label_file("celebrity2000_meta.mat", "*.jpg")
    listed = _meta(path) if path.suffix.lower() == ".mat" else ((image, None) for image in files.all("*.jpg"))
    for image, age in listed:
        name = unicodedata.normalize("NFC", image)
        match = NAME.fullmatch(name)
        if match is None:
            yield Drop(name, image, "rule", f"{name!r} is not <age>_<name>_<four digits>.jpg")
        elif age is not None and age != int(match[2]):
            yield Drop(match[1], image, "rule", f"age {age:g} in {path.name}, but {match[2]} in the name of the file")
        else:
            yield Row(id=match[1], images=(image,), score=int(match[2]), subject=match[3])


def _meta(path: Path) -> list[tuple[str, float]]:
    """(file name, age in years) of each image. Raises ValueError if the file is damaged or another one."""
    import h5py
    import numpy as np
    from scipy.io import loadmat

    def text(cell: h5py.Reference) -> str:  # UTF-16; low-level calls, since file[cell][()] takes three times as long
        codes = h5py.h5r.dereference(cell, file.id)
        letters = np.empty(codes.shape, "<u2")
        codes.read(h5py.h5s.ALL, h5py.h5s.ALL, letters)
        return letters.tobytes().decode("utf-16-le")

    try:
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                data = file["celebrityImageData"]
                names = [text(cell) for cell in data["name"][()].ravel()]
                ages = data["age"][()]
        else:
            data = loadmat(path, variable_names=["celebrityImageData"], simplify_cells=True)["celebrityImageData"]
            names, ages = np.ravel(data["name"]).tolist(), data["age"]
        return list(zip(names, np.ravel(ages).tolist(), strict=True))
    except Exception as error:  # a damaged file makes h5py and scipy raise nearly anything
        what = f"cannot read name and age of celebrityImageData ({error})"
        raise ValueError(f"{path}: {what}; download it again, or remove it to use the file names alone") from error
