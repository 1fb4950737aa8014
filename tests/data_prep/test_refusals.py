"""Labels and rows that data_prep refuses or drops, what it says of them, and how it is allowed."""

import json
import shutil
from dataclasses import replace

from data_prep.build import prepare
from data_prep.options import Options
from data_prep.source import reader
from storm.datasets import DATASETS
from tests.helpers.building import build, contents, exists, manifest, scored
from tests.helpers.pictures import encoded, picture


def test_bad_ratings_and_repeated_ids_are_counted_by_reason(raw, tmp_path):
    labels = next(raw.glob("aptos/**/train.csv"))
    first, second = labels.read_text().splitlines()[1:3]
    id, grade = second.split(",")
    torn = f"{id},{(int(grade) + 1) % 5}"
    bad = "".join(f"{'0' * 11}{i},{rating}\n" for i, rating in enumerate(("5", "2.5", "two", "nan", "")))
    labels.write_text(labels.read_text() + f"{first}\n{torn}\n{bad}")
    assert exists(raw, tmp_path / "out", "aptos") == 0
    dropped = json.loads((tmp_path / "out" / "summary.json").read_text())["aptos"]["dropped"]
    assert dropped == {"rule": 5, "missing": 0, "unreadable": 0, "duplicate": 3, "leak": 0, "conflict": 0}
    assert id not in {row["id"] for row in manifest(tmp_path / "out", "aptos")}, "neither rating is taken"
    text = (tmp_path / "out" / "quarantine" / "aptos.csv").read_text()
    for reason in (
        "rating 5 is not in 0..4",
        "rating 2.5 is not a whole number",
        "'two' is not a number",
        "several ratings",
    ):
        assert reason in text


def test_a_rating_written_in_two_ways_is_one(raw, tmp_path):
    labels = next(raw.glob("aptos/**/train.csv"))
    first = labels.read_text().splitlines()[1]
    labels.write_text(labels.read_text() + f"{first}.0\n")
    assert exists(raw, tmp_path / "out", "aptos") == 0
    assert first.split(",")[0] in {row["id"] for row in manifest(tmp_path / "out", "aptos")}


def test_scores_of_another_scale_are_refused_and_nothing_is_written(tmp_path, capsys):
    scored(tmp_path / "raw/challengedb", {f"{score}": score / 10 for score in range(10, 81)})
    assert exists(tmp_path / "raw", tmp_path / "out", "challengedb") == 1
    assert "divided by 10" in capsys.readouterr().err and not list((tmp_path / "out").rglob("*.jsonl"))


def test_a_level_without_rows_is_refused_or_allowed(tmp_path, capsys):
    scored(tmp_path / "raw/challengedb", {f"{score}": score for score in range(30, 90)})
    assert exists(tmp_path / "raw", tmp_path / "out", "challengedb") == 1
    assert "level 0" in capsys.readouterr().err and not list((tmp_path / "out").rglob("*.jsonl"))
    assert exists(tmp_path / "raw", tmp_path / "out", "challengedb", "--allow-empty-levels") == 0


def test_no_row_for_testing_is_refused_or_allowed(tmp_path, capsys):
    """Nine rows: a fifth, rounded down, is one; of four rows it is none."""
    scored(tmp_path / "raw/challengedb", {"1": 10, "2": 30, "3": 50, "4": 70})
    options = ["challengedb", "--allow-empty-levels"]
    assert exists(tmp_path / "raw", tmp_path / "out", *options) == 1
    assert "testing" in capsys.readouterr().err
    assert exists(tmp_path / "raw", tmp_path / "out", *options, "--allow-missing") == 0


def test_a_dataset_that_fails_is_one_line_and_the_others_are_built(raw, tmp_path, capsys):
    next(raw.glob("aptos/**/train.csv")).write_text("id,grade\n1,2\n")
    shutil.rmtree(raw / "hci")
    (raw / "hci").mkdir()
    assert exists(raw, tmp_path / "out", "aptos", "hci", "spaq") == 1
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("error")]
    assert "Traceback" not in captured.err
    assert len(lines) == 2 and lines[0].startswith("error: aptos: ") and "no column 'id_code'" in lines[0]
    assert lines[1].startswith("error: hci: ") and "1930s" in lines[1]
    assert manifest(tmp_path / "out", "spaq") and "spaq" in captured.out
    assert not list(tmp_path.rglob("*.part"))


def test_a_damaged_summary_is_one_line(raw, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.json").write_text("{oops")
    assert exists(raw, tmp_path / "out", "hci") == 1
    assert f"error: {tmp_path}/out: " in capsys.readouterr().err
    assert manifest(tmp_path / "out", "hci")


def test_a_full_disk_leaves_the_build_before_intact(raw, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert exists(raw, out, "spaq", "hci") == 0
    before = contents(out)
    monkeypatch.setattr(
        "data_prep.write.quarantine", lambda drops, file: (_ for _ in ()).throw(OSError(28, "No space"))
    )
    assert exists(raw, out, "spaq", "hci", "--split", "subject") == 1
    assert contents(out) == before
    assert capsys.readouterr().err.count("No space") == 2


def test_more_rows_than_the_owner_has_are_rows_of_others(raw, tmp_path, capsys):
    """Such as a submission file beside the labels; APTOS has 3,662."""
    path = next(raw.glob("aptos/**/train.csv"))
    path.write_text("id_code,diagnosis\n" + "".join(f"{n:012x},{n % 5}\n" for n in range(4_000)))
    assert exists(raw, tmp_path / "out", "aptos", "--allow-missing") == 1
    error = capsys.readouterr().err
    assert "4,000 rows" in error and "3,662" in error and not list((tmp_path / "out").rglob("*.jsonl"))


def test_a_part_of_the_split_with_one_label_is_refused_or_allowed(all_raw, tmp_path, capsys):
    for part, scores in (("train", range(2, 9)), ("test", (5,))):
        path = next(all_raw.glob(f"tad66k/**/{part}.csv"))
        lines = path.read_text().splitlines()
        rated = [f"{line.rpartition(',')[0]},{scores[n % len(scores)]}" for n, line in enumerate(lines[1:])]
        path.write_text("\n".join([lines[0], *rated, ""]))
    options = ["tad66k", "--allow-empty-levels"]
    assert exists(all_raw, tmp_path / "out", "tad66k") == 1 and "tad66k" in capsys.readouterr().err
    assert exists(all_raw, tmp_path / "out", *options) == 0


def test_ratings_that_are_mostly_empty_are_refused(raw, tmp_path, capsys):
    labels = next(raw.glob("aptos/**/train.csv"))
    head, *lines = labels.read_text().splitlines()
    few = [line if number < 20 else line.partition(",")[0] + "," for number, line in enumerate(lines)]
    labels.write_text("\n".join([head, *few]) + "\n")
    assert exists(raw, tmp_path / "out", "aptos") == 1
    assert "30 of 50 rows cannot be used" in capsys.readouterr().err


def test_a_level_that_is_lost_with_duplicates_is_refused(tmp_path, capsys):
    folder = tmp_path / "raw/aptos"
    (folder / "train_images").mkdir(parents=True)
    grades = [place % 4 for place in range(40)] + [4, 0]
    for place in range(41):
        (folder / f"train_images/i{place}.png").write_bytes(encoded(picture(seed=place), "PNG"))
    shutil.copy(folder / "train_images/i40.png", folder / "train_images/i41.png")
    rows = "".join(f"i{place},{grade}\n" for place, grade in enumerate(grades))
    (folder / "train.csv").write_text(f"id_code,diagnosis\n{rows}")
    assert build(tmp_path / "raw", tmp_path / "out", "aptos") == 0
    capsys.readouterr()
    assert build(tmp_path / "raw", tmp_path / "new", "aptos", "--drop-conflicts") == 1
    assert "level 4" in capsys.readouterr().err and not (tmp_path / "new/cot").exists()
    assert "conflict: exact duplicate of" in (tmp_path / "new/quarantine/aptos.csv").read_text()


def test_shifted_grades_are_refused_whatever_is_allowed(raw, tmp_path, capsys):
    labels = next(raw.glob("aptos/**/train.csv"))
    head, *lines = labels.read_text().splitlines()
    cells = [line.split(",") for line in lines]
    labels.write_text("\n".join([head, *(f"{id},{int(grade) + 1}" for id, grade in cells)]) + "\n")
    for more in ((), ("--allow-empty-levels",)):
        assert exists(raw, tmp_path / "out", "aptos", *more) == 1
        error = capsys.readouterr().err
        assert "aptos: " in error and not (tmp_path / "out/cot").exists()
    few = [f"{id},{min(int(grade) + 1, 4)}" for id, grade in cells[:48]] + [f"{id},5" for id, _ in cells[48:]]
    labels.write_text("\n".join([head, *few]) + "\n")
    assert exists(raw, tmp_path / "out", "aptos", "--allow-empty-levels") == 1
    assert "shifted by one" in capsys.readouterr().err


def test_many_ids_with_several_ratings_are_refused(raw, tmp_path, capsys):
    labels = next(raw.glob("aptos/**/train.csv"))
    _, *lines = labels.read_text().splitlines()
    other = [f"{id},{(int(grade) + 1) % 5}" for id, grade in (line.split(",") for line in lines[:10])]
    labels.write_text(labels.read_text() + "\n".join(other) + "\n")
    assert exists(raw, tmp_path / "out", "aptos") == 1
    assert "10 of 50 ids have several ratings" in capsys.readouterr().err


def test_that_there_are_no_validation_rows_is_said(raw, tmp_path, capsys):
    assert exists(raw, tmp_path / "out", "spaq") == 0
    assert "no validation rows: lite is all of train; --val 0.1 takes some out" in capsys.readouterr().out
    assert exists(raw, tmp_path / "out", "spaq", "--val", "0.01") == 0
    assert "no validation rows: --val 0.01 of 36 rows is none" in capsys.readouterr().out
    assert exists(raw, tmp_path / "out", "spaq", "--val", "0.1") == 0
    assert "no validation rows" not in capsys.readouterr().out


def test_rows_that_a_rule_leaves_out_make_no_part(originals, tmp_path):
    """Of a whole Adience, 2,166 of 19,487 rows have no age group."""
    options, facts = Options(originals, tmp_path / "out", check="exists"), DATASETS["adience"]
    for whole in (False, True):
        built = prepare(facts, reader("adience"), "adience", options)
        assert any("a part" in note for note in built.source.notes) is not whole
        assert sum(drop.kind in ("rule", "duplicate") for drop in built.drops) > 0.05 * built.read
        facts = replace(facts, rows=built.read)


def test_a_part_of_a_dataset_is_called_a_part(raw, tmp_path, capsys):
    assert exists(raw, tmp_path / "out", "hci") == 0
    assert "50 of the 1,325 rows" in capsys.readouterr().out
