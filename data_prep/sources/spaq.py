"""SPAQ: smartphone photographs with quality scores 0-100 (Fang et al., CVPR 2020).

Download: the SPAQ archive, from the page of h4nwei/SPAQ. Expected below data/raw/spaq:
    Annotations/MOS and Image attribute scores.xlsx     first column: file name; MOS: a whole number or a fraction
    TestImage/00001.jpg ... 11125.jpg
Terms: education and research only. No owner's split. Some archives call the file "MOS Std and ..." (one more column),
write its name with underscores, or have a .csv: columns are found by name.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from zipfile import BadZipFile

from data_prep.downloads import Files, read_csv, stem
from data_prep.source import Items, Row


def read(files: Files) -> Items:
    path = files.label_file("MOS*Image attribute scores.xlsx", "MOS*Image*attribute*scores.xlsx", "MOS*.csv")
    if path.suffix.lower() == ".csv":
        pairs = ((row["Image name"], row["MOS"]) for _, row in read_csv(path, "Image name", "MOS"))
    else:
        pairs = _sheet(path)
    for image, score in pairs:
        yield Row(id=stem(image), images=(f"TestImage/{image}", image), score=score)


def _sheet(path: Path) -> Iterator[tuple[str, float | str]]:
    """(image name, MOS) of the first sheet. Raises ValueError, naming the file, if it is damaged or another one."""
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

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
