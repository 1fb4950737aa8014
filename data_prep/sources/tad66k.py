"""TAD66K: Flickr photographs of 47 themes with aesthetic scores 0-10 (He et al., IJCAI 2022).

Download: images and labels, from the page of woshidandan/TANet. Expected below data/raw/tad66k:
    dataset/merge/train.csv, dataset/merge/test.csv     image,score; train.csv and test.csv may lie elsewhere
    TAD66K/<image>                                      in any folder
Names are text: 136 begin with "-" or "_", 99 are all digits. The owner's split is that of merge/: in unmerge/, which is
by theme, 478 of these test images are for training. Terms: labels and code Apache-2.0; the photographs are from Flickr.
"""

from data_prep.downloads import Files, base, image_id
from data_prep.source import Items, Row
from data_prep.tables import decimal, read_table

COLUMNS = {"image": ("image", "image_name", "img", "img_name", "file_name", "filename"), "score": ("score", "MOS")}


def read(files: Files) -> Items:
    if files.all("val.csv") or files.all("valid*.csv"):
        files.notes.append("there is a table of validation rows, which the owner's data has not: it is not read")
    for part in ("train", "test"):
        path = files.label_file(f"merge/{part}.csv", f"{part}.csv")
        for _, row in read_table(path, COLUMNS, notes=files.notes):
            yield Row(image_id(row["image"]), (base(row["image"]),), decimal(row["score"]), part=part)
