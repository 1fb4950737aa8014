"""The rows of an Excel workbook of ratings, as a person sees them: percents, merged cells, and no sheet left out."""

import datetime
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from data_prep.tables import check_size
from storm.files import open_regular
from storm.text import printable

if TYPE_CHECKING:
    from openpyxl.cell import Cell
    from openpyxl.worksheet.worksheet import Worksheet


def sheet_rows(path: Path, notes: list[str], name: str = "") -> list[tuple[int, list[str]]]:
    """(row, cells as text) of the one sheet that has rows, or of the sheet of this name, from its first filled row.

    Merged cells have the value of the first one in all rows, as a person reads them, which `notes` says. A date stays
    recognizable, as Excel may have made it of a text such as 3-9. Raises ValueError naming the file and the fix.
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
    if any(cell is None for row in sheet.values for cell in row):
        _refuse_formulas(path, sheet)
    merged = {}
    for area in sheet.merged_cells.ranges:
        if area.max_row > area.min_row:
            first = _text(sheet.cell(area.min_row, area.min_col))
            merged |= {(row, area.min_col): first for row in range(area.min_row, area.max_row + 1)}
            notes.append(f"{path.name}: the merged cells {area.coord} count as {printable(first)!r} in each row")
    if hidden := [number for number, shape in sheet.row_dimensions.items() if shape.hidden]:
        notes.append(f"{path.name}: rows that Excel hides are read, too: {len(hidden):,}, the first is {min(hidden)}")
    rows = []
    for row in sheet.iter_rows():
        cells = [merged.get((cell.row, cell.column), _text(cell)) for cell in row]
        if rows or any(cells):
            rows.append((row[0].row, cells))
    return rows


def _refuse_formulas(path: Path, sheet: "Worksheet") -> None:
    """Raises ValueError naming a formula without a value: a program wrote it, and nothing computed it."""
    from openpyxl import load_workbook

    with open_regular(path) as file:
        formulas = load_workbook(file)[sheet.title]
    for row in formulas.iter_rows():
        for cell in row:
            if cell.data_type == "f" and sheet[cell.coordinate].value is None:
                raise ValueError(f"{path}: cell {cell.coordinate} is a formula without a value; save it in Excel")


def _text(cell: "Cell") -> str:
    value = cell.value
    if isinstance(value, (datetime.date, datetime.time)):
        return f"{value} (a date of Excel)"
    # A % in quotes or behind a backslash is a letter; else the cell shows 100 times its value.
    percent = "%" in re.sub(r'"[^"]*"|\\.', "", cell.number_format or "")
    if percent and isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value * 100:.10g}%"
    return "" if value is None else str(value).strip()
