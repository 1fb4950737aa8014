"""python -m data_prep, from 14 folders as the owners have them: what is written, counted and refused."""

import csv
import gc
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from data_prep import own_ratings, release
from data_prep.__main__ import arguments, main
from data_prep.build import no_collection
from data_prep.registry import dataset_info
from storm.datasets import DATASETS, SCALES
from storm.files import LOCK, locked, whole_files
from storm.parse import parse
from storm.prompts import STRATEGIES
from storm.rows import read_examples, to_row
from tests.helpers.hostile_images import HOSTILE, write_hostile
from tests.helpers.paths import ROOT
from tests.helpers.pictures import encoded, picture
from tests.helpers.stand_ins import SOURCES, make

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
    return main([*more, "--media", str(raw), "--out", str(out), "--workers", "1"])


def exists(raw: Path, out: Path, *more: str) -> int:
    return build(raw, out, "--check", "exists", *more)


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def manifest(out: Path, name: str) -> list[dict]:
    with (out / "manifest" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file() and not {".checked", LOCK} & set(path.parts))
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
    assert sum(int(row["lite"]) for row in listed.values()) == sizes["lite"]


def test_the_same_input_gives_the_same_bytes_wherever_it_lies(raw, built, tmp_path):
    assert exists(raw, tmp_path / "again") == 0
    assert contents(tmp_path / "again") == contents(built)


def test_one_dataset_at_a_time_gives_the_same_files(originals, built, tmp_path):
    for name in reversed(NAMES):
        assert exists(originals, tmp_path / "out", name) == 0
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
    for names in (["imagenet"], []):
        with pytest.raises(SystemExit) as stop:
            exists(tmp_path, tmp_path / "out", *names)
        assert stop.value.code == 2
        assert (names or [str(tmp_path)])[0] in capsys.readouterr().err


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
    assert exists(raw, out, "spaq", "--split", "subject", "--strategy", "cot") == 0
    assert sorted(path.parent.name for path in out.rglob("spaq_train.jsonl")) == ["cot"]


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


def test_a_row_is_what_storm_reads_and_writes(built):
    path = built / "num" / "utk_test.jsonl"
    examples = list(read_examples(path, SCALES))
    assert rows(path) == [
        to_row(example, score=row["score"]) for example, row in zip(examples, rows(path), strict=True)
    ]
    assert list(rows(path)[0]) == [
        *("conversations", "images", "id", "dataset", "scale", "strategy", "label", "score", "subject")
    ]


def test_options_by_their_old_names_warn_and_work(raw, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out"), "--check", "exists"]
    assert main(["hci", "--raw", str(raw), *out, "--prompts", "cot", "direct"]) == 0
    warnings = capsys.readouterr().err
    assert "--media" in warnings and "--strategy" in warnings
    assert {path.parent.name for path in (tmp_path / "out").rglob("hci_test.jsonl")} == {"cot", "direct"}


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["spak"], "spaq"),
        (["relaese"], "release"),
        (["--strategy", "kot"], "cot"),
        (["--check", "exist"], "exists"),
        (["--split", "subjects"], "subject"),
        (["release", "a.jsonl", "--part", "tets"], "test"),
        (["--strateg=cot", "--medai=x"], "--media"),
    ],
)
def test_a_misspelled_name_is_answered_with_the_one_that_was_meant(tmp_path, capsys, arguments, meant):
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--media", str(tmp_path)])
    assert stop.value.code == 2 and f"did you mean {meant}?" in capsys.readouterr().err


def test_a_missing_folder_is_one_line_with_the_owners_page(raw, tmp_path, capsys):
    shutil.rmtree(raw / "hci")
    assert exists(raw, tmp_path / "out", "hci", "aptos") == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert f"{raw}/hci" in line and DATASETS["hci"].url in line
    assert manifest(tmp_path / "out", "aptos")


def test_two_builds_do_not_write_one_folder_at_once(raw, tmp_path, capsys):
    with locked(tmp_path / "out"):
        assert exists(raw, tmp_path / "out", "hci") == 1
    assert f"{tmp_path}/out" in capsys.readouterr().err and not list(tmp_path.rglob("*.jsonl"))


@pytest.mark.parametrize("command", [[], ["release"], ["csv"], ["registry"]])
def test_help_only_prints_help_at_once(command, tmp_path):
    code = (
        "import resource, sys; from data_prep.__main__ import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert not {'numpy', 'PIL', 'pandas', 'torch', 'scipy', 'openpyxl'} & set(sys.modules), sys.modules\n"
        "assert resource.getrusage(resource.RUSAGE_SELF).ru_utime < 0.5"
    )
    run = [sys.executable, "-c", code, *command, "--help"]
    shown = subprocess.run(
        run, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    assert "usage: python -m data_prep" in shown.stdout and not list(tmp_path.iterdir())


@pytest.mark.parametrize("parser", [arguments, release.arguments, own_ratings.arguments])
def test_every_option_has_a_help_text(parser):
    assert [action.dest for action in parser()._actions if not action.help] == []


def test_hostile_images_are_rows_with_a_reason(tmp_path, capsys):
    """200 files that no decoder should be given, as images of a dataset that goes by file names."""
    folder = tmp_path / "raw" / "challengedb"
    folder.mkdir(parents=True)
    write_hostile(folder)
    names = [name for name in HOSTILE if "\0" not in name]
    sound = 20
    for number in range(sound):
        (folder / f"sound_{number}.png").write_bytes(encoded(picture(60, 40, number), "PNG"))
    names += [f"sound_{number}.png" for number in range(sound)]
    lines = "".join(f"{name},{number % 100}\n" for number, name in enumerate(names))
    (folder / "challenge.csv").write_text(f"img_name,mos\n{lines}")
    for more in ([], ["--resize", "1024"]):
        out = tmp_path / f"out{len(more)}"
        assert build(tmp_path / "raw", out, *more) == 0
        listed = {row["id"] for row in manifest(out, "challengedb")}
        with (out / "quarantine" / "challengedb.csv").open(newline="") as file:
            dropped = list(csv.DictReader(file))
        assert len(listed) + len(dropped) == len(names), "none is lost"
        assert listed >= {f"sound_{number}" for number in range(sound)}
        assert len(dropped) >= 100 and all(len(row["reason"].splitlines()) == 1 for row in dropped)
    assert "Traceback" not in capsys.readouterr().err


def test_the_registry_is_written_as_it_is_in_the_repository(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("data_prep.registry.__file__", str(tmp_path / "data_prep" / "registry.py"))
    assert main(["registry"]) == 0
    written = (tmp_path / "dataset_info.json").read_bytes()
    assert written == (ROOT / "dataset_info.json").read_bytes(), "run: python -m data_prep registry"
    assert json.loads(written) == dataset_info() and str(tmp_path) in capsys.readouterr().out


def test_collection_of_garbage_stays_as_it_was():
    for switch in (gc.disable, gc.enable):
        switch()
        before = gc.isenabled()
        with no_collection():
            assert not gc.isenabled()
        assert gc.isenabled() == before


def test_every_reader_has_facts():
    readers = {path.stem for path in (ROOT / "data_prep" / "sources").glob("*.py")} - {"__init__"}
    assert readers == set(DATASETS)
