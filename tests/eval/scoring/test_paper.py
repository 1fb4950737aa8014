"""The paper's tables agree with their own arithmetic, with each other, and with what recipes and their table repeat."""

import math
import re

import pytest

from eval.scoring.paper import DATASETS, DOMAINS, LEVELS, OVER, SINGLE, SLIPS, TABLES, UNSURE, YEARS, Line, average
from eval.scoring.paper_tables import paper_table, values_of_line, with_averages
from storm.datasets import SCALES
from tests.helpers.paths import ROOT

LINES = [(table, line) for table, lines in TABLES.items() for line in lines]
METRICS = ("acc", "mae")
# Rows that the paper prints more than once, each with the first.
REPEATED = {
    ("table4", "w/o CoT"): ("table2", "Qwen2.5-VL-3B Lite"),
    ("table4", "Num. + Text"): ("table2", "STORM-3B Lite"),
    ("table8", "STORM-3B Lite"): ("table2", "STORM-3B Lite"),
    ("table5", "FFT"): ("table5", "Full"),
}
# Cells found from the average alone, and the metric's number of datasets: all the average says is a window.
WINDOWS = {
    ("table2", "LLaVA-1.5-7B Lite", "acc", "ava"): 11,
    ("table2", "LLaVA-1.5-7B Lite", "mae", "ava"): 14,
    ("table2", "Qwen2.5-VL-3B Zero", "mae", "challengedb"): 14,
    ("table4", "Only Text", "mae", "hci"): 14,
}


def line(table: str, name: str) -> Line:
    (found,) = [line for line in TABLES[table] if line.name == name]
    return found


def value(table: str, name: str, metric: str, column: str) -> float | None:
    row = line(table, name)
    return getattr(row, f"{metric}_average") if column == "average" else getattr(row, metric)[column]


def cut(mean: float) -> float:
    """Three digits, the rest cut off; the paper's way with averages. Before that, what binary fractions add goes."""
    return math.floor(round(mean * 1000, 6)) / 1000


def means(row: Line) -> tuple[float | None, ...]:
    """ACC and MAE as the paper averages them."""
    return tuple(average(getattr(row, metric), metric) for metric in METRICS)


def mean_of_domains(metric: str, cells: dict[str, float | None]) -> float:
    sizes = {domain: len([name for name in names if name in OVER[metric]]) for domain, names in DOMAINS.items()}
    return sum(cells[domain] * size for domain, size in sizes.items()) / sum(sizes.values())


def contradictions() -> dict[tuple[str, str, str, str], float]:
    """Every printed number that its row, its domain or its repetition contradicts -> what that gives, as SLIPS."""
    found = {}
    for table, row in LINES:
        if table != "table5":
            for metric, mean in zip(METRICS, means(row)):
                if mean is not None and cut(mean) != getattr(row, f"{metric}_average"):
                    found[table, row.name, metric, "average"] = round(mean, 4)
    for name in ("Full", "FFT"):
        for metric in METRICS:
            for domain in DOMAINS:
                mean = average(getattr(line("table2", "STORM-3B Lite"), metric), metric, DOMAINS[domain])
                if abs(mean - value("table5", name, metric, domain)) >= 1e-3:
                    found["table5", name, metric, domain] = round(mean, 4)
    for (table, name), first in REPEATED.items():
        for metric in METRICS:
            for column, again in getattr(line(table, name), metric).items():
                if again != value(*first, metric, column):
                    found[*first, metric, column] = again
    return found


def test_the_rows_there_are():
    assert {table: len(lines) for table, lines in TABLES.items()} == {
        "table2": 6,
        "table4": 4,
        "table5": 4,
        "table8": 2,
    }
    assert len({(table, row.name) for table, row in LINES}) == 16, "a name twice in a table"


def test_the_columns_are_the_14_datasets_or_the_5_domains():
    columns = [name for names in DOMAINS.values() for name in names]
    assert len(set(columns)) == len(columns) == 14
    assert set(columns) == set(DATASETS) <= set(SCALES), "a 15th is not the paper's"
    assert {name for name in columns if SCALES[name].unit == "years"} == set(YEARS)
    for domain in ("IQA", "IAA", "MDG", "HDE"):
        assert {SCALES[name].name for name in DOMAINS[domain]} == {domain.lower()}
    for table, row in LINES:
        want = list(DOMAINS) if table == "table5" else columns
        assert list(row.mae) == want
        assert list(row.acc) == [name for name in want if name not in YEARS]


def test_printed_numbers_hold_but_for_the_known_slips():
    assert contradictions() == {key: computed for key, (computed, _) in SLIPS.items()}


def test_enough_is_legible_for_the_arithmetic_to_say_something():
    found = [mean for table, row in LINES if table != "table5" for mean in means(row)]
    assert (len(found), found.count(None)) == (24, 2), "STORM-3B Full and STORM-7B have MAEs that nobody can read"


def test_table_5_averages_weigh_a_domain_by_its_datasets():
    for row in TABLES["table5"]:
        assert mean_of_domains("acc", row.acc) == pytest.approx(row.acc_average, abs=1e-3)
        assert mean_of_domains("mae", row.mae) == pytest.approx(row.mae_average, abs=1e-3)


def test_qwen_lite_holds_with_table_4s_deepdr():
    row = line("table2", "Qwen2.5-VL-3B Lite")
    found = means(row._replace(acc=row.acc | {"deepdr": 0.385}, mae=row.mae | {"deepdr": 1.348}))
    assert tuple(map(cut, found)) == (row.acc_average, row.mae_average) == (0.466, 2.155)


def test_only_num_holds_if_an_age_error_is_one_year_less():
    row = line("table4", "Only Num.")
    for name in YEARS:
        assert cut(average(row.mae | {name: row.mae[name] - 1}, "mae")) == row.mae_average


@pytest.mark.parametrize("slip", SLIPS, ids="-".join)
def test_a_slip_is_of_a_printed_number_and_has_a_reason(slip):
    computed, reason = SLIPS[slip]
    assert value(*slip) is not None
    assert cut(computed) != value(*slip)
    assert len(reason) > 20


@pytest.mark.parametrize("key", UNSURE, ids="-".join)
def test_an_unsure_cell_is_there_or_says_that_nothing_is(key):
    missing = "nowhere else" in UNSURE[key] or "the sum with" in UNSURE[key]
    assert (value(*key) is None) == missing


def test_every_missing_number_is_unsure():
    gaps = []
    for table, row in LINES:
        for metric in METRICS:
            cells = getattr(row, metric) | {"average": getattr(row, f"{metric}_average")}
            gaps += [(table, row.name, metric, name) for name, cell in cells.items() if cell is None]
    assert len(gaps) == 10
    assert [gap for gap in gaps if gap not in UNSURE] == []


def test_cells_from_an_average_are_the_middle_of_what_it_leaves_open():
    assert [key for key, reason in UNSURE.items() if reason.startswith("recovered from the average")] == sorted(
        WINDOWS, key=list(UNSURE).index
    )
    for key, datasets in WINDOWS.items():
        cells = getattr(line(*key[:2]), key[2])
        thousandths = [round(cell * 1000) for name, cell in cells.items() if name != key[3]]
        low = round(value(*key[:3], "average") * 1000) * datasets - sum(thousandths)
        high = low + datasets - 1
        assert f"{low / 1000:.3f} to {high / 1000:.3f}" in UNSURE[key]
        assert abs(value(*key) * 1000 - (low + high) / 2) <= 0.5 + 1e-9


def test_the_sum_of_storm_fulls_missing_two():
    row = line("table2", "STORM-3B Full")
    low = round(row.mae_average * 1000) * 14 - sum(round(cell * 1000) for cell in row.mae.values() if cell is not None)
    for name in ("challengedb", "ava"):
        assert f"{low / 1000:.3f} to {(low + 13) / 1000:.3f}" in UNSURE["table2", "STORM-3B Full", "mae", name]


@pytest.mark.parametrize(("table", "row"), LINES, ids=lambda part: getattr(part, "name", part))
def test_numbers_are_possible(table, row):
    for name, cell in row.acc.items():
        assert cell is None or 0 < cell < 1, name
    for name, cell in row.mae.items():
        scales = [SCALES[dataset] for dataset in DOMAINS.get(name, (name,))]
        assert cell is None or 0 < cell <= max(scale.fine[-1].hi - scale.fine[0].lo for scale in scales), name
    for name in set(row.acc) - {"FAE"}:
        if row.acc[name] is not None and row.mae[name] is not None:
            assert row.mae[name] >= 1 - row.acc[name] - 1e-3, f"{name}: a miss is at least a level off"


def test_average_is_the_plain_mean_and_nothing_if_one_is_missing():
    assert average({"spaq": 1.0, "koniq": 2.0, "ava": 9.0}, "acc", ("spaq", "koniq")) == 1.5
    assert average({"spaq": 1.0, "koniq": None}, "acc", ("spaq", "koniq")) is None
    assert average({"spaq": 1.0}, "acc", ("spaq", "koniq")) is None
    assert average({"spaq": 0.0}, "mae", ("spaq",)) == 0


def test_averages_are_over_11_and_14():
    number = {name: float(i) for i, name in enumerate(DATASETS)}  # adience 3, then cacd, morph and utk 4, 5 and 6
    assert (average(number, "acc"), average(number, "mae")) == ((91 - 15) / 11, 91 / 14)
    assert average(number | {"utk": None}, "acc") == (91 - 15) / 11
    assert average(number | {"utk": None}, "mae") is None


# The paper and ours, side by side.


def cells(text: str) -> dict[str, list[str]]:
    """Name of a row -> its cells, of a table in Markdown."""
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in text.splitlines()]
    return {name: row for name, *row in rows}


def test_ours_stands_below_the_paper_and_other_rows_at_the_end():
    ours = {name: 0.5 for name in LEVELS}
    rows = {"STORM-3B Lite": with_averages(ours, "acc"), "mine": {"spaq": "0.400 (0.300, 0.500)"}}
    table = cells(paper_table("table2", "acc", rows, "markdown"))
    names = list(table)
    assert names[names.index("STORM-3B Lite, paper") + 1] == "STORM-3B Lite, ours" and names[-1] == "mine"
    assert table["STORM-3B Lite, paper"][0] == "0.583" and table["STORM-3B Lite, paper"][-1] == "0.533"
    assert set(table["STORM-3B Lite, ours"]) == {"0.500"} and len(table["STORM-3B Lite, ours"]) == 12
    assert table["mine"] == ["0.400 (0.300, 0.500)", *[""] * 11]
    assert table["LLaVA-1.5-7B Lite"][5] == "~0.60", "recovered from the average"
    assert len(table["Table 2, ACC"]) == 12 and len(cells(paper_table("table2", "mae", {}, "markdown"))) == 2 + 6


def test_table_5_is_by_domain_and_single_is_five_runs():
    results = {run: {name: 1.0 + i for name in DATASETS} for i, run in enumerate(SINGLE.values())}
    single = values_of_line(line("table5", "Single"), results)
    assert [single[names[0]] for names in DOMAINS.values()] == [1, 2, 3, 4, 5]
    del results["ablation_single_hde"]
    row = with_averages(values_of_line(line("table5", "Single"), results), "mae")
    table = cells(paper_table("table5", "mae", {"Single": row}, "markdown"))
    assert table["Table 5, MAE"] == [*DOMAINS, "average"]
    assert table["Single, ours"] == ["1.000", "2.000", "3.000", "4.000", "", ""]
    full = values_of_line(line("table5", "Full"), {"storm_lite": {"spaq": 0.25}})
    assert full["spaq"] == 0.25 and full["hci"] is None


# What recipes' headers and the table of recipes repeat.


def promised() -> dict[str, tuple[float | None, float | None]]:
    """Recipe -> (ACC, MAE) that its header and its line in recipes/README.md print."""
    found = {}
    for _, row in LINES:
        if row.run:
            pair = (row.acc_average, row.mae_average)
            assert found.setdefault(row.run, pair) == pair, f"{row.run}: two rows, two averages"
    single = line("table5", "Single")
    return found | {run: (single.acc[domain], single.mae[domain]) for domain, run in SINGLE.items()}


def numbers(text: str) -> tuple[float | None, float | None]:
    found = [re.search(rf"{metric} (\d\.\d{{3}})", text) for metric in ("ACC", "MAE")]
    return tuple(float(match[1]) if match else None for match in found)


def test_recipes_headers_say_the_papers_numbers():
    titles = {path.stem: path.read_text(encoding="utf-8").split("\n")[0] for path in ROOT.glob("recipes/*.yaml")}
    printed = {stem: numbers(title) for stem, title in titles.items() if "Paper" in title}
    assert printed == promised()
    assert len(printed) == 15
    for table, row in LINES:
        for run in [row.run] if row.run else SINGLE.values():
            assert row.name in titles[run], f"{table}: the header of {run} does not name the row"
    for domain, run in SINGLE.items():
        assert f"Table 5, Single, {domain}." in titles[run]


def test_the_table_of_recipes_prints_the_papers_numbers():
    page = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
    table = page.split("<!-- table: recipes -->")[1].split("<!-- end -->")[0].strip()
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]
    columns = [rows[0].index(name) for name in ("paper ACC", "paper MAE")]
    printed = {row[0].strip("`"): tuple(float(row[i]) if row[i] else None for i in columns) for row in rows[2:]}
    assert {stem: pair for stem, pair in printed.items() if pair != (None, None)} == promised()
