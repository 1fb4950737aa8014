"""Ratings and columns that can be read in two ways are refused, or read in the one right way."""

import pandas
import pyarrow
import pytest
from pyarrow import parquet

from tests.helpers.downloads import write
from tests.helpers.own_files import images, labels, lines, numbers, own, refused


@pytest.mark.parametrize("scale", [("--levels", "3", "--by", "quantiles"), ("--levels", "3", "--range", "0,1500")])
def test_thousands_beside_plain_numbers_are_refused(tmp_path, capsys, scale):
    cells = ["1,200", "850", "430", "1,100"] * 6
    assert "1,200" in refused(tmp_path, capsys, numbers(tmp_path, cells), *scale)
    cells = ["1,200", "2,850", "4,430", "9,100"] * 6
    assert "1,200" in refused(tmp_path, capsys, numbers(tmp_path, cells), *scale)


def test_where_thousands_are_off_the_scale_the_comma_is_for_decimals(tmp_path):
    cells = ["1,333", "4,667", "3", "2,5"] * 6
    assert own(tmp_path, numbers(tmp_path, cells), "--levels", "2", "--range", "1,5", "--by", "equal-width") == 0
    assert [labels(tmp_path)[f"{n}.png"][0] for n in range(4)] == ["0", "1", "1", "0"]


def test_percents_beside_fractions_are_refused(tmp_path, capsys):
    error = refused(
        tmp_path, capsys, numbers(tmp_path, ["50%", "0.5", "90%", "0"] * 6), "--levels", "2", "--range", "0,100"
    )
    assert "50%" in error and "0.5" in error


def test_cells_without_a_value_are_dropped_and_counted(tmp_path, capsys):
    name = numbers(tmp_path, [*["0", "1", "2"] * 7, "NA", "nan", "n/a"])
    assert own(tmp_path, name) == 0
    assert len(labels(tmp_path)) == 21 and "rating is empty" in capsys.readouterr().out


def test_a_first_row_that_is_data_is_not_a_header(tmp_path, capsys):
    images(tmp_path, *(f"p{n:02}.png" for n in range(20)))
    rows = "".join(f"p{n:02},{n % 3}\n" for n in range(20))
    write(tmp_path / "a.csv", rows)
    assert "--no-header" in refused(tmp_path, capsys, "a.csv", "--image-column", "p00", "--rating-column", "0")
    columns = ["--image-column", "1", "--rating-column", "2"]
    assert own(tmp_path, "a.csv", "--no-header", *columns) == 0 and len(labels(tmp_path)) == 20


def test_a_header_with_digits_is_a_header(tmp_path):
    images(tmp_path, *(f"p{n:02}.png" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"p{n:02}.png", n % 3, n % 3) for n in range(20)], "image,1,2"))
    assert own(tmp_path, "a.csv", "--rating-column", "1,2") == 0 and len(labels(tmp_path)) == 20


def test_a_column_may_have_a_comma_in_its_name(tmp_path):
    images(tmp_path, *(f"p{n:02}.png" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"p{n:02}.png", n % 3, n) for n in range(20)], 'image,"Score, mean",day'))
    assert own(tmp_path, "a.csv", "--rating-column", "Score, mean") == 0 and len(labels(tmp_path)) == 20


def test_who_uploaded_a_photograph_is_not_its_rater(tmp_path, capsys):
    """As in Adience, whose user_id is the person shown."""
    images(tmp_path, *(f"p{n:02}.png" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"p{n:02}.png", n % 3, f"u{n // 2}") for n in range(20)], "image,rating,user_id"))
    assert own(tmp_path, "a.csv") == 0
    printed = capsys.readouterr().out
    assert "'user_id' is not taken for raters" in printed and "--subject-column user_id" in printed
    assert own(tmp_path, "a.csv", "--subject-column", "user_id") == 0
    assert labels(tmp_path)["p07.png"] == ("1", "u3")


def test_fractions_on_a_scale_of_whole_numbers_name_the_fix(tmp_path, capsys):
    name = numbers(tmp_path, ["1.4", "2", "3.5", "5"] * 6)
    assert "--by equal-width" in refused(tmp_path, capsys, name, "--levels", "5", "--range", "1,5")
    assert "--range 1.4,5 --by equal-width" in refused(tmp_path, capsys, name)


def test_the_ends_of_levels_are_the_same_in_every_form(tmp_path):
    """2.6 is at the start of the third level as text, in single precision, as a mean, and as a third."""
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    cells = [1, 2.6, 4.2, 3.4]
    wide = ("--levels", "5", "--range", "1,5", "--by", "equal-width", "--allow-empty-levels")
    table = pyarrow.table(
        {"image": [f"{n}.png" for n in range(20)], "rating": pyarrow.array(cells * 5, pyarrow.float32())}
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    for name in ("a.parquet", numbers(tmp_path, [repr(cell) for cell in [1, (2.4 + 2.8) / 2, 4.2, 3.4]] * 5)):
        assert own(tmp_path, name, *wide) == 0
        assert [labels(tmp_path)[f"{n}.png"][0] for n in range(4)] == ["0", "2", "4", "3"]
        for path in (tmp_path / "out/manifest").glob("*.csv"):
            path.unlink()
    rows = [(f"{n}.png", vote, f"r{r}") for n in range(20) for r, vote in enumerate((1, 2, 2) if n % 2 else (1, 3, 3))]
    write(tmp_path / "b.csv", lines(rows, "image,rating,rater"))
    assert own(tmp_path, "b.csv", "--levels", "3", "--range", "1,3", "--by", "equal-width", "--allow-empty-levels") == 0
    assert labels(tmp_path)["1.png"][0] == "1"  # 5/3, where the second third begins


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        (["1 - Bad", "2 - Fair", "3 - Good", "1"], "Bad"),
        (["Bad", "Fair", "Good", "1"], "Bad"),
        (["1 - Bad", "1 - Fair", "2 - Good", "3 - Good"], "1 - Fair"),
        (["1", "2", *["1", "2", "0"] * 60, "3"], "from 1 to 3"),
    ],
)
def test_a_list_of_words_counts_in_one_way(tmp_path, capsys, cells, row):
    name = numbers(tmp_path, cells * (1 if len(cells) > 9 else 6))
    error = refused(tmp_path, capsys, name, "--levels", "Bad,Fair,Good", "--allow-off-scale")
    assert row in error or "yours are 1 to 3" in error


def test_a_number_with_its_fraction_is_the_same_subject(tmp_path):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    write(
        tmp_path / "a.csv",
        lines([(f"{n}.png", n % 3, f"{n // 2}{'.0' * (n % 2)}") for n in range(20)], "image,rating,subject"),
    )
    assert own(tmp_path, "a.csv") == 0 and labels(tmp_path)["7.png"][1] == labels(tmp_path)["6.png"][1] == "3"


@pytest.mark.parametrize("cells", [["150", "500", "900", "1.300", "1.900"], ["50", "70", "1.200", "1.100", "90"]])
def test_points_of_thousands_beside_plain_numbers_are_refused(tmp_path, capsys, cells):
    scale = ("--levels", "low,high", "--range", "0,2000")
    first = next(cell for cell in cells if "." in cell)
    assert first in refused(tmp_path, capsys, numbers(tmp_path, cells * 6), *scale)


def test_three_decimals_are_decimals_where_thousands_cannot_be(tmp_path):
    cells = ["1.333", "4.667", "3", "2.500"] * 6
    assert own(tmp_path, numbers(tmp_path, cells), "--levels", "2", "--range", "1,5", "--by", "equal-width") == 0
    assert [labels(tmp_path)[f"{n}.png"][0] for n in range(4)] == ["0", "1", "1", "0"]


def test_columns_that_are_not_used_are_named_and_half_a_split_is_refused(tmp_path, capsys):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"{n}.png", n % 3, 1) for n in range(20)], "image,rating,sd"))
    assert own(tmp_path, "a.csv") == 0 and "not used: sd" in capsys.readouterr().out
    for name, cells in (("is_test", "True False"), ("Usage", "PublicTest Training")):
        rows = [(f"{n}.png", n % 3, cells.split()[n % 2]) for n in range(20)]
        write(tmp_path / "b.csv", lines(rows, f"image,rating,{name}"))
        assert own(tmp_path, "b.csv") == 1 and "--split-column none" in capsys.readouterr().err
        assert own(tmp_path, "b.csv", "--split-column", "none", "--name", "a") == 0


def test_subjects_that_differ_in_case_are_one(tmp_path, capsys):
    images(tmp_path, *(f"{n}.png" for n in range(40)))
    rows = [(f"{n}.png", n % 2, f"{'Pp'[n // 8 % 2]}{n % 8}") for n in range(40)]
    write(tmp_path / "a.csv", lines(rows, "image,rating,subject"))
    assert own(tmp_path, "a.csv") == 0
    assert len({subject for _, subject in labels(tmp_path).values()}) == 8
    assert "differ only in case" in capsys.readouterr().out


def test_the_line_of_excel_that_names_the_delimiter(tmp_path):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    write(tmp_path / "a.csv", "sep=;\n" + lines([(f"{n}.png", n % 3) for n in range(20)]).replace(",", ";"))
    assert own(tmp_path, "a.csv") == 0 and labels(tmp_path)["4.png"][0] == "1"


@pytest.mark.parametrize("orient", ["columns", "index", "list"])
def test_the_json_of_pandas(tmp_path, orient):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    table = pandas.DataFrame({"image": [f"{n}.png" for n in range(20)], "rating": [n % 3 for n in range(20)]})
    if orient == "list":
        write(tmp_path / "a.json", str(table.to_dict("list")).replace("'", '"'))
    else:
        (table.set_index("image").assign(sd=1) if orient == "index" else table).to_json(
            tmp_path / "a.json", orient=orient
        )
    assert own(tmp_path, "a.json", *(["--rating-column", "rating"] if orient == "index" else [])) == 0
    assert labels(tmp_path)["4.png"][0] == "1" and len(labels(tmp_path)) == 20


def test_a_file_called_as_a_dataset_of_the_paper_gets_another_name(tmp_path):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    write(tmp_path / "koniq.csv", lines([(f"{n}.png", n % 3) for n in range(20)]))
    assert own(tmp_path, "koniq.csv") == 0
    assert (tmp_path / "out/cot/my_koniq_train.jsonl").is_file()


def test_a_long_cell_is_not_taken_for_a_quote_that_never_ends(tmp_path):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"{n}.png", n % 3, "x" * 140_000) for n in range(20)], "image,rating,note"))
    assert own(tmp_path, "a.csv") == 0
