"""What summary.json and the last tables say of a build."""

from data_prep.build import Built, Source
from data_prep.source import Drop
from data_prep.split import Rated, Split
from data_prep.summary import levels_table, read_from, reasons, sizes_table, summary
from storm.custom_scale import read
from storm.datasets import DATASETS


def row(id: str, label: int, score: float, subject: str = "") -> Rated:
    return Rated(id, f"{id}.jpg", label, score, subject, "")


def built(name: str, split: Split, drops: list[Drop] = ()) -> Built:
    files, folders = ["a/labels.csv"], {f"{name}/images": 4}
    source = Source(files, folders, {f"{name}/small": 3}, (2.0, 96.0), "of the whole file", ["a note"])
    return Built(name, DATASETS[name].scale, 9, 2, split, list(drops), facts=DATASETS[name], source=source)


TRAIN = [row("a", 0, 2.5), row("b", 0, 19.0), row("c", 2, 50.0), row("d", 4, 96.0)]


def test_levels_say_their_raw_scores_and_rows():
    numbers = summary(built("spaq", Split(TRAIN, TRAIN[:2], [row("e", 0, 20.5)], TRAIN[3:])))
    assert numbers["levels"] == [
        {"label": 0, "lowest": 2.5, "highest": 20.5, "train": 2, "lite": 2, "val": 0, "test": 1},
        {"label": 2, "lowest": 50.0, "highest": 50.0, "train": 1, "lite": 0, "val": 0, "test": 0},
        {"label": 4, "lowest": 96.0, "highest": 96.0, "train": 1, "lite": 0, "val": 1, "test": 0},
    ]
    assert numbers["val_in_train"] and numbers["sizes"]["all"] == 5
    table = levels_table({"spaq": numbers}, {"spaq": DATASETS["spaq"].scale})
    assert [line.split()[1:] for line in table.splitlines()[2:]] == [
        ["rate0(Bad)", "2.5", "20.5", "2", "2", "0", "1"],
        ["rate2(Fair)", "50", "50", "1", "0", "0", "0"],
        ["rate4(Excellent)", "96", "96", "1", "0", "1", "0"],
    ]


def test_ages_are_printed_by_coarse_group_and_kept_one_by_one():
    numbers = summary(built("morph", Split([row("a", 16, 16), row("b", 20, 20), row("c", 40, 40)], [], [])))
    assert [level["label"] for level in numbers["levels"]] == [16, 20, 40]
    lines = levels_table({"morph": numbers}, {"morph": DATASETS["morph"].scale}).splitlines()[2:]
    assert len(lines) == 2 and lines[0].split()[-6:] == ["16", "20", "2", "0", "0", "0"]


def test_rows_taken_out_of_train_count_to_all():
    numbers = summary(built("spaq", Split(TRAIN, TRAIN, [], [row("v", 1, 30.0)])))
    assert not numbers["val_in_train"] and numbers["sizes"]["all"] == 5
    assert "spaq: val was taken out of train" in sizes_table({"spaq": numbers})


def own(split: Split) -> dict[str, dict]:
    scale = read("{name: shine, rates: the shine of a pan, levels: [Dull, Fair, Good, Better, Best]}").scale
    return {"shine": summary(Built("shine", scale, 5, 2, split))}


def test_own_ratings_have_no_columns_of_the_paper():
    numbers = own(Split(TRAIN, [], [row("t", 1, 1.0)], [row("v", 1, 1.0)]))
    head, _, cells, *_ = sizes_table(numbers).splitlines()
    assert head.split() == ["dataset", "read", "unlabeled", "train", "val", "test", "subjects", "shared"]
    assert cells.split() == ["shine", "5", "2", "4", "1", "1", "0"]
    scale = DATASETS["spaq"].scale
    assert levels_table(numbers, {"shine": scale}).splitlines()[0].split()[-3:] == ["train", "val", "test"]
    both = numbers | {"spaq": summary(built("spaq", Split(TRAIN, TRAIN[:2], [], [])))}
    assert "lite" in sizes_table(both).splitlines()[0] and "difference" in sizes_table(both).splitlines()[0]


def test_val_of_ones_own_split_was_not_taken_out_of_train():
    assert "taken out of train" in sizes_table(own(Split(TRAIN, [], [], [row("v", 1, 1.0)])))
    given = own(Split(TRAIN, [], [], [row("v", 1, 1.0)._replace(part="val")]))
    assert given["shine"]["val_given"] and "taken out of train" not in sizes_table(given)


def test_drops_are_grouped_without_lines_and_values():
    drops = [Drop(str(n), "x", "rule", f"fold_1_data.txt, line {n}: age '{n}' is none of the eight") for n in range(5)]
    drops += [Drop("x", "x", "rule", f"rating {n}.5 is not in 0..4") for n in range(5, 8)]
    drops += [Drop("x", "x", "missing", "no such image below data/raw/koniq10k/1024x768")]
    leaks = ("f0N1ab", "45_O'Brien_0001")
    drops += [Drop("x", "x", "leak", f"exact duplicate of cacd {id!r}") for id in leaks]
    counts = reasons(drops)
    assert list(counts.values()) == [5, 3, 2, 1]
    assert "age ... is none of the eight" in list(counts)[0] and "rating N is not in" in list(counts)[1]


def test_what_was_read_is_said_with_the_way_to_choose_and_the_quarantine_file(tmp_path):
    numbers = summary(built("spaq", Split(TRAIN, [], []), [Drop("x", "x\n", "rule", "odd \x1b[31m 'value'")]))
    text = "\n".join(read_from("spaq", numbers, tmp_path / "spaq.csv"))
    for part in ("a/labels.csv", "spaq/images (4)", "spaq/small (3)", "--images", "2 to 96", "a note", "spaq.csv"):
        assert part in text
    assert "\x1b" not in text
