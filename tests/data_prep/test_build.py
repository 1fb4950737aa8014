"""python -m data_prep, from 14 folders as the owners have them: what is written."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from data_prep.registry import dataset_info
from storm.datasets import DATASETS, SCALES
from storm.files import whole_files
from storm.parse import parse
from storm.prompts import STRATEGIES
from storm.rows import read_examples, to_row
from tests.helpers.building import NAMES, build, contents, exists, manifest, rows, scored


@pytest.fixture(scope="module")
def built(originals, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built")
    assert exists(originals, out, "--strategy", *STRATEGIES) == 0
    return out


def test_every_registered_file_is_written_and_no_other(built):
    files = [i["file_name"] for name, i in dataset_info().items() if name.startswith("storm_")]
    registered = {file.removeprefix("data/storm/") for file in files if Path(file).stem.rpartition("_")[0] in NAMES}
    lite_is_train = {f"{name}_val" for name in NAMES if DATASETS[name].lite == "train"}
    registered = {file for file in registered if Path(file).stem not in lite_is_train}
    assert {path for path in contents(built) if path.endswith(".jsonl")} == registered
    assert len(registered) >= 4 * (14 + 9 + 9 + 14)


@pytest.mark.parametrize("name", NAMES)
def test_rows_manifest_and_summary_agree(built, originals, name):
    scale, listed = SCALES[name], {row["id"]: row for row in manifest(built, name)}
    sizes = json.loads((built / "summary.json").read_text())[name]["sizes"]
    assert list(listed) == sorted(listed) and len(listed) == sizes["all"] == sizes["train"] + sizes["test"] > 0
    for strategy in STRATEGIES:
        seen = {}
        for part in ("train", "test"):
            for row in rows(built / strategy / f"{name}_{part}.jsonl"):
                cells = listed[row["id"]]
                assert (cells["split"], cells["image"], int(cells["label"])) == (part, row["images"][0], row["label"])
                assert (float(cells["score"]), cells["subject"]) == (row["score"], row["subject"])
                assert (row["dataset"], row["scale"], row["strategy"]) == (name, scale.name, strategy)
                assert (originals / row["images"][0]).is_file()
                assert parse(scale, strategy, row["conversations"][1]["value"]).label == row["label"]
                seen[row["id"]] = part
        assert len(seen) == len(listed)
        lite = built / strategy / f"{name}_lite.jsonl"
        assert [row["id"] for row in (rows(lite) if lite.exists() else [])] == [
            row["id"] for row in rows(built / strategy / f"{name}_train.jsonl")[: sizes["lite"]]
        ]
        val = built / strategy / f"{name}_val.jsonl"
        inside = [row["id"] for row in (rows(val) if val.exists() else [])]
        assert len(inside) == sizes["val"] and {seen[id] for id in inside} <= {"train"}
        assert {id for id, row in listed.items() if int(row["val"])} == set(inside)
    assert sum(int(row["lite"]) for row in listed.values()) == sizes["lite"]
    assert not any(int(row["lite"]) and int(row["val"]) for row in listed.values())


def test_the_same_input_gives_the_same_bytes_wherever_it_lies(all_raw, built, tmp_path):
    assert exists(all_raw, tmp_path / "again", "--strategy", *STRATEGIES) == 0
    assert contents(tmp_path / "again") == contents(built)


@pytest.mark.slow
def test_one_dataset_at_a_time_gives_the_same_files(originals, built, tmp_path):
    for name in reversed(NAMES):
        assert exists(originals, tmp_path / "out", name, "--strategy", *STRATEGIES) == 0
    assert contents(tmp_path / "out") == contents(built)


def test_subject_split_shares_no_subject(originals, tmp_path, capsys):
    assert exists(originals, tmp_path / "out", "--split", "subject") == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert {name: numbers["shared_subjects"] for name, numbers in summary.items()} == dict.fromkeys(NAMES, 0)
    for name in ("adience", "cacd", "morph", "eyepacs", "deepdr"):
        listed = manifest(tmp_path / "out", name)
        train, test = ({row["subject"] for row in listed if row["split"] == part} for part in ("train", "test"))
        assert train and test and not train & test
    capsys.readouterr()


def test_levels_divide_the_range_of_the_owners_whole_file(tmp_path):
    """3.42 to 92.43, not what is there (10 to 80): cuts at 21.2, 39.0, 56.8 and 74.6."""
    scored(tmp_path / "raw/challengedb", {f"{score}": score for score in range(10, 81)})
    assert exists(tmp_path / "raw", tmp_path / "out", "challengedb") == 0
    labels = {row["id"]: int(row["label"]) for row in manifest(tmp_path / "out", "challengedb")}
    cuts = ("10", "21", "22", "39", "40", "56", "57", "74", "75", "80")
    assert [labels[score] for score in cuts] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    summary = json.loads((tmp_path / "out/summary.json").read_text())["challengedb"]
    assert summary["score_range"] == [3.42, 92.4319526627219]
    assert [(row["label"], row["lowest"], row["highest"]) for row in summary["levels"]] == [
        (0, 10, 21), (1, 22, 39), (2, 40, 56), (3, 57, 74), (4, 75, 80)
    ]  # fmt: skip
    assert all(row["train"] + row["test"] == row["highest"] - row["lowest"] + 1 for row in summary["levels"])


def test_what_was_read_is_said_and_kept(raw, tmp_path, capsys):
    shutil.copytree(raw / "aptos" / "train_images", raw / "aptos" / "resized", copy_function=os.link)
    assert exists(raw, tmp_path / "out", "aptos") == 0
    numbers = json.loads((tmp_path / "out" / "summary.json").read_text())["aptos"]
    count = numbers["sizes"]["all"]
    assert numbers["label_files"] == ["train.csv"]
    assert numbers["image_folders"] == {"aptos/train_images": count}
    assert numbers["unused_folders"] == {"aptos/resized": count} and numbers["images_without_label"] == 0
    printed = capsys.readouterr().out
    assert "train.csv" in printed and "aptos/train_images" in printed and "aptos/resized" in printed
    assert exists(raw, tmp_path / "out", "aptos", "--images", "resized") == 0
    assert {Path(row["image"]).parent.name for row in manifest(tmp_path / "out", "aptos")} == {"resized"}


def test_a_part_of_train_is_taken_out_and_said(raw, tmp_path, capsys):
    assert exists(raw, tmp_path / "out", "spaq", "--val", "0.25") == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["spaq"]
    sizes = summary["sizes"]
    assert (
        (sizes["train"], sizes["val"]) == (27, 9) and not summary["val_in_train"] and summary["settings"]["val"] == 0.25
    )
    assert {row["split"] for row in manifest(tmp_path / "out", "spaq")} == {"train", "val", "test"}
    assert "taken out of train" in capsys.readouterr().out
    assert exists(raw, tmp_path / "out", "spaq") == 0
    assert not (tmp_path / "out" / "cot" / "spaq_val.jsonl").exists(), "of the build before"


def test_strategies_of_the_build_before_are_written_again(raw, tmp_path):
    out = tmp_path / "out"
    assert exists(raw, out, "spaq", "--strategy", "num", "text") == 0
    assert exists(raw, out, "spaq", "--val", "0.2") == 0
    assert sorted(path.parent.name for path in out.rglob("spaq_train.jsonl")) == ["cot", "num", "text"]
    counts = {len(rows(path)) for path in out.rglob("spaq_train.jsonl")}
    assert len(counts) == 1, "all of the same build"


def test_files_written_together_appear_together(tmp_path):
    with pytest.raises(ValueError, match="stop"), whole_files() as open_:
        open_(tmp_path / "a").write(b"1")
        raise ValueError("stop")
    assert list(tmp_path.iterdir()) == []


def test_decoding_quarantines_what_is_not_an_image_and_copies_are_pointed_to(raw, tmp_path, capsys):
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
    assert "compared datasets: hci (duplicates in any other are not seen)" in capsys.readouterr().out
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
    assert build(raw, tmp_path / "out", "hci", "aptos", "--drop-leaks") == 1, "nothing is left to train on"
    assert build(raw, tmp_path / "out", "hci", "aptos", "--drop-leaks", "--allow-missing") == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [summary[name]["sizes"]["train"] for name in ("hci", "aptos")] == [0, 0]
    assert [summary[name]["settings"]["compared"] for name in ("hci", "aptos")] == [["aptos", "hci"]] * 2
    assert sum(summary[name]["dropped"]["leak"] for name in ("hci", "aptos")) == len(found)
    assert "leak: exact duplicate of" in (tmp_path / "out" / "quarantine" / "hci.csv").read_text()


def test_a_row_is_what_storm_reads_and_writes(built):
    path = built / "num" / "utk_test.jsonl"
    examples = list(read_examples(path, SCALES))
    assert rows(path) == [
        to_row(example, score=row["score"]) for example, row in zip(examples, rows(path), strict=True)
    ]
    assert list(rows(path)[0]) == [
        *("conversations", "images", "id", "dataset", "scale", "strategy", "label", "score", "subject")
    ]


def test_votes_that_hardly_any_row_has_are_left_out_and_said(tmp_path, capsys):
    """LLaMA-Factory's loader takes the columns from the first rows of a file."""
    for count, kept in ((1, False), (2, True)):
        lines = [f"{n}.jpg,{2 + 94 * (n % 10) / 9:.2f},{'9.5' if n < count else ''}" for n in range(200)]
        folder = tmp_path / f"raw{count}" / "spaq"
        folder.mkdir(parents=True)
        (folder / "MOS.csv").write_text("\n".join(["image,MOS,std", *lines, ""]))
        for n in range(200):
            (folder / f"{n}.jpg").write_bytes(b"x")
        out = tmp_path / f"out{count}"
        assert exists(folder.parent, out, "spaq") == 0
        voted = sum("votes" in row for path in out.glob("cot/spaq_t*.jsonl") for row in rows(path))
        assert voted == count * kept and ("1 of 200 rows have votes" in capsys.readouterr().out) is not kept
