"""SPAQ: smartphone photographs with quality scores 0-100 (Fang et al., CVPR 2020).

Download: the SPAQ archive, from the page of h4nwei/SPAQ. Expected below data/raw/spaq:
    Annotations/MOS and Image attribute scores.xlsx     first column the file name, MOS a whole or broken number
    TestImage/00001.jpg ... 11125.jpg
Terms: education and research only. No owner's split. Other copies call the file "MOS Std and ..." (one more column),
write it with underscores, or as .csv: columns are found by name.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from data_prep.downloads import Files, table
from storm.datasets import Dataset, Sizes, equal_width
from data_prep.source import Row


def read(files: Files) -> Iterator[Row]:
    path = files.one("MOS*Image attribute scores.xlsx", "MOS*Image*attribute*scores.xlsx", "MOS*.csv")
    if path.suffix.lower() == ".csv":
        pairs = ((row["Image name"], row["MOS"]) for _, row in table(path, "Image name", "MOS"))
    else:
        pairs = _sheet(path)
    for image, score in pairs:
        yield Row(id=PurePosixPath(image).stem, images=(f"TestImage/{image}", image), score=score)


def _sheet(path: Path) -> Iterator[tuple[str, float | str]]:
    """(image name, MOS) of the first sheet. Raises ValueError, naming the file, if it is damaged or another one."""
    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (BadZipFile, InvalidFileException, KeyError) as error:
        raise ValueError(f"{path}: not a readable .xlsx file ({error}); unpack the archive again") from None
    with closing(book):
        cells = book.worksheets[0].iter_rows(values_only=True)
        header = [str(cell).strip() for cell in next(cells, ())]
        if not {"Image name", "MOS"} <= set(header):
            raise ValueError(f"{path}: no columns 'Image name' and 'MOS' (there are: {', '.join(header)})")
        name, mos = header.index("Image name"), header.index("MOS")
        for row in cells:
            row += (None,) * (len(header) - len(row))  # openpyxl may end a row after its last filled cell
            if row[name] is not None:
                yield str(row[name]).strip(), "" if row[mos] is None else row[mos]


DATASET = Dataset(
    name="spaq",
    read=read,
    label=equal_width,
    low=0,
    high=100,
    sizes=Sizes(train=8_900, lite=8_900, test=2_225),
    test=5,
    lite="train",
)
