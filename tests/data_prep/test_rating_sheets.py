"""Excel workbooks, read as a person sees them."""

from datetime import date
from pathlib import Path

import openpyxl
import pytest

from tests.helpers.own_files import images, labels, own, refused


def workbook(path: Path, **sheets: list[list]) -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return book


def rated(first: int, count: int) -> list[list]:
    return [["image", "rating"], *([f"{n}.png", n % 3] for n in range(first, first + count))]


def test_rows_of_other_sheets_are_not_lost(tmp_path, capsys):
    images(tmp_path, *(f"{n}.png" for n in range(40)))
    workbook(tmp_path / "a.xlsx", train=rated(0, 25), test=rated(25, 15), empty=[])
    error = refused(tmp_path, capsys, "a.xlsx")
    assert "train, test" in error and "--sheet" in error
    assert own(tmp_path, "a.xlsx", "--sheet", "train") == 0 and len(labels(tmp_path)) == 25
    assert own(tmp_path, "a.xlsx", "--sheet", "tset") == 1 and "train, test" in capsys.readouterr().err


def test_merged_cells_count_for_each_row(tmp_path, capsys):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    rows = [["image", "rating", "subject"], *([f"{n}.png", n % 3, f"s{n // 4}"] for n in range(20))]
    book = workbook(tmp_path / "a.xlsx", ratings=rows)
    book["ratings"].merge_cells("C2:C5")
    book.save(tmp_path / "a.xlsx")
    assert own(tmp_path, "a.xlsx") == 0
    assert {labels(tmp_path)[f"{n}.png"][1] for n in range(4)} == {"s0"}
    assert "C2:C5" in capsys.readouterr().out


def test_dates_and_percents_of_excel(tmp_path, capsys):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    head, *rows = rated(0, 20)
    workbook(tmp_path / "a.xlsx", ratings=[head, *rows[:19], ["19.png", date(2024, 9, 3)]])
    assert "(a date of Excel)" in refused(tmp_path, capsys, "a.xlsx", "--levels", "0,1,2")
    when = [["when", *head], *([date(2024, 9, 3), *row] for row in rows)]  # as forms of Google have it
    workbook(tmp_path / "form.xlsx", ratings=when)
    assert own(tmp_path, "form.xlsx") == 0 and len(labels(tmp_path)) == 20


@pytest.mark.parametrize(("form", "level"), [("0%", "2"), ('0.0"%"', "0"), (r"0.00\%", "0")])
def test_a_percent_is_what_excel_shows(tmp_path, form, level):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    book = workbook(tmp_path / "b.xlsx", ratings=[["image", "rating"], *([f"{n}.png", n / 19] for n in range(20))])
    for row in range(2, 22):
        book["ratings"].cell(row, 2).number_format = form
    book.save(tmp_path / "b.xlsx")
    assert own(tmp_path, "b.xlsx", "--levels", "4", "--range", "0,100", "--allow-empty-levels") == 0
    assert labels(tmp_path)["10.png"][0] == level  # 0.526


def test_a_formula_without_a_value_is_not_an_empty_cell(tmp_path, capsys):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    head, *rows = rated(0, 20)
    workbook(tmp_path / "a.xlsx", ratings=[head, *rows[:19], ["19.png", "=1+1"]])
    assert "B21" in refused(tmp_path, capsys, "a.xlsx")
