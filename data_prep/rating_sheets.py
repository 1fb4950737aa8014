"""The rows of an Excel workbook of ratings. What a person sees in it and a program does not is refused: rows in other
sheets, cells that are merged, dates that Excel made of something else."""

import datetime
import os
from pathlib import Path
from zipfile import BadZipFile

from data_prep.tables import check_size
from storm.files import open_regular
from storm.text import printable


def sheet_rows(path: Path, name: str = "") -> list[tuple[int, list[str]]]:
    """(row, cells as text) of the one sheet that has rows, or of the sheet of this name, from its first filled row.

    Raises ValueError naming the file, the sheet or row, and the fix.
    """
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    with open_regular(path) as file:
        check_size(path, os.fstat(file.fileno()).st_size)
        try:
            book = load_workbook(file, data_only=True)
        except (BadZipFile, InvalidFileException, KeyError, ValueError, OSError) as error:
            raise ValueError(f"{path}: not a readable .xlsx file ({error}); save it again") from None
    filled = {sheet.title: sheet for sheet in book.worksheets if any(any(row) for row in sheet.values)}
    if name and name not in filled:
        raise ValueError(f"{path}: --sheet {printable(name)}: no such sheet with rows ({printable(', '.join(filled))})")
    if len(filled) > 1 and not name:
        what = f"{len(filled)} sheets have rows ({printable(', '.join(filled))})"
        raise ValueError(f"{path}: {what}; --sheet NAME of `data_prep own` reads one, or save each as a file")
    if not filled:
        return []
    sheet = filled[name] if name else next(iter(filled.values()))
    rows = []
    for row in sheet.iter_rows():
        cells = [_text(path, cell) for cell in row]
        if rows or any(cells):
            rows.append((row[0].row, cells))
    for merged in sheet.merged_cells.ranges:
        if merged.max_row > merged.min_row and merged.max_row > rows[0][0]:
            raise ValueError(
                f"{path}: cells {merged.coord} are merged, so all but one are empty; unmerge and fill them"
            )
    return rows


def _text(path: Path, cell) -> str:
    value = cell.value
    if isinstance(value, (datetime.date, datetime.time)):
        what = f"cell {cell.coordinate} is a date, {value}, which Excel may have made of a text such as 3-9"
        raise ValueError(f"{path}: {what}; make the column text and write it again, or delete it")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and "%" in (cell.number_format or ""):
        return f"{value * 100:.10g}%"
    return "" if value is None else str(value).strip()
