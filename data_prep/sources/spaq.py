"""SPAQ: smartphone photographs with quality scores 0-100 (Fang et al., CVPR 2020).

Download: the SPAQ archive, from the page of h4nwei/SPAQ. Expected below data/raw/spaq:
    Annotations/MOS and Image attribute scores.xlsx     first column: file name; MOS: a whole number or a fraction
    TestImage/00001.jpg ... 11125.jpg
Terms: education and research only. No owner's split. Some archives call the file "MOS Std and ..." (one more column),
write its name with underscores, or have a .csv, such as meta_info_SPAQDataset.csv (img_name, mos, mos_std): columns are
found by name. A standard deviation of the MOS gives votes. MOS_train.csv and MOS_test.csv are read together.
"""

import math

from data_prep.downloads import Files, base, image_id
from data_prep.source import Items, Row
from data_prep.tables import decimal, read_together

COLUMNS = {"image": ("Image name", "img_name", "image", "file_name", "filename", "name"), "mos": ("MOS",)}
SD = {"sd": ("MOS Std", "MOS_std", "std", "SD")}


def read(files: Files) -> Items:
    paths = files.label_files("MOS*Image*attribute*scores.xlsx", "MOS*.csv", "*SPAQ*.csv", "*SPAQ*.xlsx", "MOS*.xlsx")
    for _, row in read_together(paths, COLUMNS, SD, files.notes):
        sd = standard_deviation(row.get("sd", ""))
        yield Row(image_id(row["image"]), (base(row["image"]),), decimal(row["mos"]), sd=sd)


def standard_deviation(text: str) -> float | None:
    """A standard deviation from a cell, None if it is not a number, or NaN."""
    try:
        value = float(decimal(text))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
