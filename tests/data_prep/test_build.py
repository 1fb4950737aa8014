"""python -m data_prep, from 14 folders as the owners have them: what is written, counted and refused."""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers.stand_ins import SOURCES, make
from data_prep.__main__ import main
from storm.parse import parse
from storm.prompts import STRATEGIES
from data_prep.registry import dataset_info
from storm.datasets import SCALES
from storm.files import together

SMALL = 0.004  # of the originals: ten rows at least
NAMES = [source.__name__ for source in SOURCES]  # the datasets that have stand-ins, the paper's 14 at least


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("originals")
    make(root, SMALL)
    return root


@pytest.fixture
def raw(originals, tmp_path) -> Path:
    """A copy to break; images are links to the same bytes."""
    return Path(shutil.copytree(originals, tmp_path / "raw", copy_function=copy_or_link))


def copy_or_link(source: str, target: str) -> None:
    text = Path(source).suffix.lower() in (".csv", ".tsv", ".txt", ".xlsx", ".mat")
    shutil.copy2(source, target) if text else Path(target).hardlink_to(source)


def build(raw: Path, out: Path, *more: str) -> int:
    return main([*more, "--raw", str(raw), "--out", str(out), "--workers", "1"])


def exists(raw: Path, out: Path, *more: str) -> int:
    return build(raw, out, "--check", "exists", *more)


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def manifest(out: Path, name: str) -> list[dict]:
    with (out / "manifest" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file() and ".checked" not in path.parts)
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def built(originals, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built")
    assert exists(originals, out) == 0
    return out


def test_every_registered_file_is_written_and_no_other(built):
    files = [i["file_name"] for name, i in dataset_info().items() if name.startswith("storm_")]
    registered = {file.removeprefix("data/storm/") for file in files if Path(file).stem.rpartition("_")[0] in NAMES}
    assert {path for path in contents(built) if path.endswith(".jsonl")} == registered
    assert len(registered) >= 4 * (14 + 9 + 14)


@pytest.mark.parametrize("name", NAMES)
def test_rows_manifest_and_summary_agree(built, originals, name):
    scale, listed = SCALES[name], {row["id"]: row for row in manifest(built, name)}
    sizes = json.loads((built / "summary.json").read_text())[name]["sizes"]
    assert list(listed) == sorted(listed) and len(listed) == sizes["all"] == sizes["train"] + sizes["test"] > 0
    for strategy in STRATEGIES:
        seen = {}
        for part in ("train", "test"):
            for row in rows(built / strategy / f"{name}_{part}.jsonl"):
                known = listed[row["id"]]
                assert (known["split"], known["image"], int(known["label"])) == (part, row["images"][0], row["label"])
                assert (float(known["score"]), known["subject"]) == (row["score"], row["subject"])
                assert row["dataset"] == name and (originals / row["images"][0]).is_file()
                assert parse(scale, strategy, row["conversations"][1]["value"]).label == row["label"]
                seen[row["id"]] = part
        assert len(seen) == len(listed)
        lite = built / strategy / f"{name}_lite.jsonl"
        assert [row["id"] for row in (rows(lite) if lite.exists() else [])] == [
            row["id"] for row in rows(built / strategy / f"{name}_train.jsonl")[: sizes["lite"]]
        ]
    assert sum(int(row["lite"]) for row in listed.values()) == sizes["lite"]


def test_the_same_input_gives_the_same_bytes_wherever_it_lies(raw, built, tmp_path):
    assert exists(raw, tmp_path / "again") == 0
    assert contents(tmp_path / "again") == contents(built)


def test_one_dataset_at_a_time_gives_the_same_files(originals, built, tmp_path):
    for name in reversed(NAMES):
        assert exists(originals, tmp_path / "out", name) == 0
    assert contents(tmp_path / "out") == contents(built)


def test_subject_split_shares_nobody_and_says_how_many_the_papers_shares(originals, tmp_path, capsys):
    assert exists(originals, tmp_path / "out", "--split", "subject") == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert {name: numbers["shared_subjects"] for name, numbers in summary.items()} == dict.fromkeys(NAMES, 0)
    for name in ("adience", "cacd", "morph", "eyepacs", "deepdr"):
        people = [
            {r["subject"] for r in manifest(tmp_path / "out", name) if r["split"] == p} for p in ("train", "test")
        ]
        assert people[0] and people[1] and not people[0] & people[1]
    capsys.readouterr()


def test_missing_images_are_counted_and_the_rest_gets_the_same_rule(raw, tmp_path, capsys):
    images = sorted(raw.glob("hci/**/*.jpg")) + sorted(raw.glob("aptos/**/*.png"))
    gone = [path for path in images if path.parts[-2] == "train_images"][:3]
    for path in gone:
        path.unlink()
    assert exists(raw, tmp_path / "out", "aptos") == 0
    numbers = json.loads((tmp_path / "out" / "summary.json").read_text())["aptos"]
    assert numbers["dropped"]["missing"] == 3 and numbers["read"] - 3 == numbers["sizes"]["all"]
    assert numbers["sizes"]["test"] == numbers["sizes"]["all"] // 10
    quarantine = (tmp_path / "out" / "quarantine" / "aptos.csv").read_text().splitlines()
    assert quarantine[0] == "id,file,reason" and [line.split(",")[0] for line in quarantine[1:]] == [
        p.stem for p in gone
    ]
    assert "missing: no such image" in quarantine[1]
    assert "aptos" in capsys.readouterr().out


def test_bad_ratings_and_repeated_ids_are_counted_by_reason(raw, tmp_path):
    labels = next(raw.glob("aptos/**/train.csv"))
    first, second = labels.read_text().splitlines()[1:3]
    id, grade = second.split(",")
    torn = f"{id},{(int(grade) + 1) % 5}"
    bad = "".join(f"{'0' * 11}{i},{rating}\n" for i, rating in enumerate(("5", "-1", "2.5", "two", "nan", "")))
    labels.write_text(labels.read_text() + f"{first}\n{torn}\n{bad}")
    assert exists(raw, tmp_path / "out", "aptos") == 0
    dropped = json.loads((tmp_path / "out" / "summary.json").read_text())["aptos"]["dropped"]
    assert dropped == {"rule": 6, "missing": 0, "unreadable": 0, "duplicate": 3, "leak": 0}
    assert id not in {row["id"] for row in manifest(tmp_path / "out", "aptos")}, "neither rating is taken"
    text = (tmp_path / "out" / "quarantine" / "aptos.csv").read_text()
    for reason in (
        "rating 5 is not in 0..4",
        "rating 2.5 is not a whole number",
        "could not convert",
        "several ratings",
    ):
        assert reason in text


def test_a_rating_written_in_two_ways_is_one(raw, tmp_path):
    labels = next(raw.glob("aptos/**/train.csv"))
    first = labels.read_text().splitlines()[1]
    labels.write_text(labels.read_text() + f"{first}.0\n")
    assert exists(raw, tmp_path / "out", "aptos") == 0
    assert first.split(",")[0] in {row["id"] for row in manifest(tmp_path / "out", "aptos")}


def test_levels_are_equal_parts_of_what_the_label_file_holds(tmp_path):
    """The contract's rule: over the observed lowest and highest rating, though the scale is 0-100 and though the image
    of the lowest is not there."""
    scores = {f"{score}": score for score in (*range(21, 70), 70)} | {"lowest": 20}
    folder = tmp_path / "raw/challengedb"
    folder.mkdir(parents=True)
    table = "".join(f"{name}.bmp,{score}\n" for name, score in scores.items())
    (folder / "meta_info_LIVEChallengeDataset.csv").write_text(f"img_name,mos\n{table}")
    for name in scores:
        if name != "lowest":
            (folder / f"{name}.bmp").write_bytes(b"x")
    assert exists(tmp_path / "raw", tmp_path / "out", "challengedb") == 0
    labels = {row["id"]: int(row["label"]) for row in manifest(tmp_path / "out", "challengedb")}
    assert [labels[score] for score in ("29", "30", "39", "40", "50", "60", "70")] == [0, 1, 1, 2, 3, 4, 4]
    assert Counter(labels.values()) == {0: 9, 1: 10, 2: 10, 3: 10, 4: 11}


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


def test_unknown_names_and_an_empty_root_are_refused(tmp_path, capsys):
    for arguments in (["imagenet"], []):
        with pytest.raises(SystemExit) as stop:
            exists(tmp_path, tmp_path / "out", *arguments)
        assert stop.value.code == 2
    assert "no dataset 'imagenet'" in capsys.readouterr().err


def test_dropping_leaks_without_looking_is_refused(raw, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        exists(raw, tmp_path / "out", "hci", "--drop-leaks")
    assert stop.value.code == 2 and "leave --check exists out" in capsys.readouterr().err


def test_a_damaged_summary_is_one_line(raw, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.json").write_text("{oops")
    assert exists(raw, tmp_path / "out", "hci") == 1
    assert f"error: {tmp_path}/out: " in capsys.readouterr().err
    assert manifest(tmp_path / "out", "hci")


def test_fewer_strategies_remove_those_of_the_build_before(raw, tmp_path):
    out = tmp_path / "out"
    assert exists(raw, out, "spaq") == 0 and (out / "num" / "spaq_train.jsonl").exists()
    assert exists(raw, out, "spaq", "--split", "subject", "--prompts", "cot") == 0
    assert sorted(path.parent.name for path in out.rglob("spaq_train.jsonl")) == ["cot"]


def test_a_full_disk_leaves_the_build_before_intact(raw, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert exists(raw, out, "spaq", "hci") == 0
    before = contents(out)
    monkeypatch.setattr(
        "data_prep.write._quarantine", lambda built, file: (_ for _ in ()).throw(OSError(28, "No space"))
    )
    assert exists(raw, out, "spaq", "hci", "--split", "subject") == 1
    assert contents(out) == before
    assert capsys.readouterr().err.count("No space") == 2


def test_files_written_together_appear_together(tmp_path):
    with pytest.raises(ValueError, match="stop"), together() as open_:
        open_(tmp_path / "a").write("1")
        raise ValueError("stop")
    assert list(tmp_path.iterdir()) == []


def test_decoding_quarantines_what_is_no_image_and_copies_are_pointed_to(raw, tmp_path, capsys):
    images = sorted(raw.glob("hci/**/*.jpg"))
    for path, data in zip(images, (b"", b"not an image")):
        path.unlink()
        path.write_bytes(data)
    assert build(raw, tmp_path / "out", "hci", "--resize", "1024") == 0
    numbers = json.loads((tmp_path / "out" / "summary.json").read_text())["hci"]
    assert numbers["dropped"]["unreadable"] == 2
    for row in rows(tmp_path / "out" / "cot" / "hci_train.jsonl"):
        copy = raw / row["images"][0]
        assert copy.resolve().is_relative_to((tmp_path / "out" / "images").resolve())
        with Image.open(copy) as image:
            assert image.mode == "RGB" and image.width * image.height <= 1024
    capsys.readouterr()


def test_leaks_of_a_partial_run_stand_beside_those_of_others(raw, tmp_path, capsys):
    def pairs() -> set[tuple[str, str]]:
        path = tmp_path / "out/leaks.csv"
        with path.open(newline="") as file:
            return {(leak["train_dataset"], leak["test_dataset"]) for leak in csv.DictReader(file)}

    assert build(raw, tmp_path / "out", "hci") == 0
    assert "compared datasets: hci (copies in any other are not seen)" in capsys.readouterr().out
    assert build(raw, tmp_path / "out", "aptos") == 0
    assert pairs() == {("aptos", "aptos"), ("hci", "hci")}
    assert exists(raw, tmp_path / "out", "hci") == 0
    assert pairs() == {("aptos", "aptos")}, "nobody looked at what hci now is"
    assert exists(raw, tmp_path / "out", "aptos") == 0
    assert not (tmp_path / "out/leaks.csv").exists()
    capsys.readouterr()


def test_leaks_are_reported_and_dropped_within_and_across_datasets(raw, tmp_path, capsys):
    assert build(raw, tmp_path / "out", "hci", "aptos") == 0
    assert "left in train" in capsys.readouterr().out
    with (tmp_path / "out" / "leaks.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert {leak["kind"] for leak in found} == {"exact"}, "the stand-ins are all the same image"
    assert build(raw, tmp_path / "out", "hci", "aptos", "--drop-leaks") == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [summary[name]["sizes"]["train"] for name in ("hci", "aptos")] == [0, 0]
    assert [summary[name]["settings"]["compared"] for name in ("hci", "aptos")] == [["aptos", "hci"]] * 2
    assert sum(summary[name]["dropped"]["leak"] for name in ("hci", "aptos")) == len(found)
    assert "leak: exact copy of" in (tmp_path / "out" / "quarantine" / "hci.csv").read_text()
