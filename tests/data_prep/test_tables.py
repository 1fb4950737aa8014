"""Strict tables: what is not sound is refused with its file, line and fix, and nothing vanishes inside a cell."""

import pytest
from openpyxl import Workbook

from data_prep.tables import decimal, has_columns, read_table, read_together

COLUMNS = {"image": ("image", "image_name"), "rating": ("rating", "MOS")}


def read(path, text: str | bytes = b"", **more) -> list:
    if text:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(read_table(path, COLUMNS, **more))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ratings.csv"


@pytest.mark.parametrize(
    "text",
    [
        "image,rating\na.jpg,1\nb.jpg,2\n",
        "\ufeffimage;rating\r\na.jpg;1\r\nb.jpg;2\r\n",
        "image\trating\na.jpg\t1\n\n\t\nb.jpg\t2",
        '"image","rating"\n"a.jpg","1"\n" b.jpg "," 2"\n',
        "#image_name,Unnamed: 0,mos\na.jpg,0,1\nb.jpg,1,2\n",
        "RATING,Image Name\n1,a.jpg\n2,b.jpg\n",
        "image,rating,,\na.jpg,1,,\nb.jpg,2,,\n",
        "image,rating\na.jpg,1,, \nb.jpg,2\n,,\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_the_forms_that_tables_have(path, text, encoding):
    if encoding == "utf-16" and text.startswith("\ufeff"):
        text = text[1:]
    assert [row for _, row in read(path, text.encode(encoding))] == [
        {"image": "a.jpg", "rating": "1"},
        {"image": "b.jpg", "rating": "2"},
    ]


def test_lines_are_counted_and_optional_columns_may_be_missing(path):
    assert read(path, "image,rating\n\na.jpg,1\n", optional={"who": ("who",)}) == [
        (3, {"image": "a.jpg", "rating": "1"})
    ]
    assert read(path, "image,rating,who\na.jpg\n", optional={"who": ("who",)}) == [
        (2, {"image": "a.jpg", "rating": "", "who": ""})
    ]


def rows(count: int) -> str:
    return "".join(f"{number}.jpg,3\n" for number in range(count))


@pytest.mark.parametrize(
    ("bad", "line"),
    [
        (rows(100) + '"100.jpg,3\n' + rows(199), 102),  # never closed: 199 rows in one cell
        (rows(100) + '"100.jpg,3\n' + rows(50) + 'a".jpg,4\n' + rows(5), 102),  # closed by another stray quote
        (rows(100) + '"100.jpg,3\n' + rows(50) + 'a",4\n' + rows(5), 102),
        (rows(3) + '"x"y.jpg,3\n', 5),
        (rows(3) + '"' + "long" * 100_000 + "\n", 5),
    ],
)
def test_a_quote_that_does_not_end_is_refused_with_its_line(path, bad, line):
    with pytest.raises(ValueError, match=rf"ratings\.csv, line {line}: .*quote"):
        read(path, "image,rating\n" + bad)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,rating,Rating\na.jpg,1,2\n", "line 1: column 'Rating' is there twice"),
        ("file,rating\na.jpg,1\n", "no column 'image' or 'image_name' .there are: file, rating."),
        ("image,rating\na.jpg,1\nb.jpg,1,5\n", "line 3: 3 cells for 2 columns .*1.5"),
        ("image,rating\na.jpg,1\nb\0.jpg,2\n", "line 3: a NUL"),
        ("  \n", "empty"),
        ("<!DOCTYPE html>\n<title>Sign in</title>", "a web page"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"PK\x03\x04rest", "a zip"),
        (b"\x1f\x8brest", "gunzip"),
        (b"\xd0\xcf\x11\xe0rest", "save it as .xlsx"),
    ],
)
def test_what_is_no_sound_table_is_refused_with_the_fix(path, text, message):
    with pytest.raises(ValueError, match=f"ratings.csv.*{message}"):
        read(path, text)


def test_another_encoding_is_found_and_noted(path):
    names = [f"Fotografía_{n}_año_corazón_niño.jpg" for n in range(50)]
    notes: list[str] = []
    text = "image,rating\n" + "".join(f"{name},3\n" for name in names)
    found = read(path, text.encode("cp1252"), notes=notes)
    assert [row["image"] for _, row in found] == names and "ratings.csv is read as" in notes[0]


def test_a_file_that_is_too_large_is_not_read(path):
    path.touch()
    with path.open("r+b") as file:
        file.truncate(4_000_000_000)
    with pytest.raises(ValueError, match="4,000,000,000 bytes"):
        read(path)


def test_a_sheet_is_a_table(tmp_path):
    book = Workbook()
    for cells in (["Image name", "MOS"], ["a.jpg", 1.5], [None, None], ["b.jpg", 2]):
        book.active.append(cells)
    book.save(tmp_path / "ratings.xlsx")
    assert read(tmp_path / "ratings.xlsx") == [
        (2, {"image": "a.jpg", "rating": "1.5"}),
        (4, {"image": "b.jpg", "rating": "2"}),
    ]
    for data in (b"", b"PK\x03\x04cut", b"image,rating\n"):
        (tmp_path / "bad.xlsx").write_bytes(data)
        with pytest.raises(ValueError, match=r"bad\.xlsx: not a readable"):
            read(tmp_path / "bad.xlsx")
    (tmp_path / "old.xls").write_bytes(b"x")
    with pytest.raises(ValueError, match="save it as .xlsx"):
        read(tmp_path / "old.xls")


def test_files_are_read_together_if_they_do_not_overlap_and_have_the_same_columns(tmp_path):
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("image,rating\na.jpg,1\n")
    two.write_text("rating,image\n2,b.jpg\n")
    notes: list[str] = []
    assert [(place, row["rating"]) for place, row in read_together([one, two], COLUMNS, notes=notes)] == [
        ("one.csv, line 2", "1"),
        ("two.csv, line 2", "2"),
    ]
    assert "one.csv, two.csv" in notes[0]
    two.write_text("image,rating\na.jpg,2\n")
    with pytest.raises(ValueError, match=r"one\.csv, .*two\.csv: 'a\.jpg' is in one\.csv and in two\.csv"):
        list(read_together([one, two], COLUMNS))
    two.write_text("image,MOS\nb.jpg,2\n")
    with pytest.raises(ValueError, match="different columns"):
        list(read_together([one, two], COLUMNS))
    two.write_text("image,rating,sd\nb.jpg,2,1\n")
    with pytest.raises(ValueError, match="different columns"):
        list(read_together([one, two], COLUMNS, {"sd": ("sd",)}))


def test_a_table_has_columns_or_not(path):
    path.write_text("image,rating\n")
    assert has_columns(path, COLUMNS) and not has_columns(path, {"x": ("x",)})


@pytest.mark.parametrize("text", ["image,rating\n", "image,rating\n,\n\n"])
def test_a_table_without_rows_is_refused(path, text):
    with pytest.raises(ValueError, match=r"ratings\.csv: no rows"):
        read(path, text)


@pytest.mark.parametrize(
    ("text", "number"), [("47,35", "47.35"), ("-1,5", "-1.5"), ("47.35", "47.35"), ("3,4,5", "3,4,5"), ("", "")]
)
def test_a_decimal_comma_is_a_point(text, number):
    assert decimal(text) == number


def test_the_first_sheet_with_rows_is_read(tmp_path):
    book = Workbook()
    sheet = book.create_sheet("Blad2")  # behind the empty one that a workbook begins with
    for row in (("image", "rating"), ("a.jpg", 1)):
        sheet.append(row)
    book.save(tmp_path / "ratings.xlsx")
    assert [row for _, row in read(tmp_path / "ratings.xlsx")] == [{"image": "a.jpg", "rating": "1"}]


def test_cells_beyond_the_last_column_are_refused_though_the_header_was_padded(path):
    """Votes without quotes, and a header that a spreadsheet program made as long as the longest row."""
    with pytest.raises(ValueError, match="line 2: .* cells for 2 columns"):
        read(path, "image,rating,,\na.jpg,3,4,5\n")


@pytest.mark.parametrize("sign", ["\u2028", "\x85", "\x0b", "\x0c"])
def test_only_line_ends_end_a_line(path, sign):
    assert read(path, f"text,image,rating\na{sign}b,a.jpg,1\n") == [(2, {"image": "a.jpg", "rating": "1"})]
