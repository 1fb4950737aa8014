"""The authors' jsonl, in each form their code uses, keeps its split and loses nothing silently."""

import csv
import json
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from PIL import Image

from data_prep.__main__ import main
from data_prep.release import part_of
from storm.datasets import dataset_in

IMAGES = ("spaq/TestImage/00001.jpg", "spaq/TestImage/00002.jpg", "morph/Album2/009055_1M54.JPG", "hci/1950s/a.jpg")


@pytest.fixture
def raw(tmp_path) -> Path:
    for i, name in enumerate(IMAGES):
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (60 * i, 90, 200)).save(path, "JPEG")
    return tmp_path / "raw"


def release(raw: Path, *files: tuple[str, list], more: tuple[str, ...] = ()) -> tuple[int, Path]:
    paths = []
    for name, rows in files:
        paths.append(raw.parent / name)
        paths[-1].write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    out = raw.parent / "out"
    return main(["release", *map(str, paths), "--media", str(raw), "--out", str(out), "--workers", "1", *more]), out


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


PLAIN = {
    "query": "<image> ...",
    "response": "rate3-4(Above Fair), rate3(Good)",
    "image_path": "/data/SPAQ/TestImage/00001.jpg",
}
SWIFT = {
    "messages": [
        {"role": "user", "content": "<image> ..."},
        {"role": "assistant", "content": "Coarse Answer: Elder(48+ years old), Predicted Age: 54 years old"},
    ],
    "images": ["/mnt/MORPH/Album2/009055_1M54.JPG"],
}
OTHER = {
    "query": "...",
    "response": "rate0-1(Below Fair), rate1(Poor)",
    "images": [{"path": "SPAQ\\TestImage\\00002.jpg"}],
}


def test_all_forms_are_read_and_the_split_is_kept(raw, capsys):
    done, out = release(raw, ("STORM_train_123k.jsonl", [PLAIN, SWIFT]), ("test.jsonl", [OTHER]))
    assert done == 0
    (train,), (test,) = rows(out / "cot/spaq_train.jsonl"), rows(out / "cot/spaq_test.jsonl")
    assert rows(out / "cot/spaq_lite.jsonl") == [train]
    assert (train["label"], train["images"]) == (3, ["spaq/TestImage/00001.jpg"])
    assert (test["label"], test["images"]) == (1, ["spaq/TestImage/00002.jpg"])
    (morph,) = rows(out / "cot/morph_train.jsonl")
    assert morph["conversations"][1]["value"] == "Coarse Answer: Elder(48+ years old), Predicted Age: 54 years old"
    assert not (out / "cot/morph_test.jsonl").exists()
    assert (out / "manifest/spaq.csv").read_text().count("\n") == 3
    assert "morph" in capsys.readouterr().out


def test_what_does_not_say_its_dataset_or_label_is_counted(raw, capsys):
    bad = [
        "{oops",
        "[]",
        PLAIN | {"image_path": "/data/photos/00001.jpg"},
        PLAIN | {"response": "rate9"},
        PLAIN | {"image_path": "/data/SPAQ/TestImage/99999.jpg"},
        {"query": "...", "response": "rate1"},
        PLAIN | {"image_path": ["a.jpg", "b.jpg"]},
        PLAIN,
    ]
    done, out = release(raw, ("train.jsonl", [PLAIN, *bad]))
    assert done == 0
    assert len(rows(out / "cot/spaq_train.jsonl")) == 1
    kinds = {drop["id"]: drop["reason"].split(":")[0] for drop in quarantined(out, "spaq")}
    assert kinds == {"train.jsonl, line 5": "rule", "train.jsonl, line 6": "missing", "TestImage/00001": "duplicate"}
    lines = [drop["id"] for drop in quarantined(out, "no_dataset")]
    assert lines == [f"train.jsonl, line {number}" for number in (2, 3, 4, 7, 8)]
    printed = capsys.readouterr().out
    assert "train.jsonl, line 2" in printed and f"{out}/quarantine/no_dataset.csv" in printed


SECOND = PLAIN | {"image_path": "/data/SPAQ/TestImage/00002.jpg"}
BAD = PLAIN | {"response": "rate0-1(Below Fair), rate0(Bad)"}


def quarantined(out: Path, name: str) -> list[dict]:
    with (out / "quarantine" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("others", [[("test.jsonl", [BAD])], [("lite.jsonl", [BAD])], [("2_train.jsonl", [BAD])]])
def test_two_labels_of_an_image_drop_it_everywhere(raw, others, capsys):
    done, out = release(
        raw, ("train.jsonl", [PLAIN, SECOND]), *others, ("b_test.jsonl", [PLAIN, OTHER | {"images": []}])
    )
    assert done == 0
    (row,) = rows(out / "cot/spaq_train.jsonl")
    assert row["id"] == "TestImage/00002" and not (out / "cot/spaq_test.jsonl").exists()
    twice = [drop for drop in quarantined(out, "spaq") if drop["id"] == "TestImage/00001"]
    assert {drop["reason"].split(":")[0] for drop in twice} == {"duplicate"}
    for part in ("train", "test"):
        assert any("0 and 3" in drop["reason"] and drop["reason"].endswith(part) for drop in twice)
    numbers = json.loads((out / "summary.json").read_text())["spaq"]
    assert numbers["read"] == 4 and numbers["dropped"]["duplicate"] == 3
    capsys.readouterr()


@pytest.mark.parametrize("check", ["exists", "decode"])
def test_an_image_in_train_and_test_is_a_leak(raw, check, capsys):
    done, out = release(
        raw, ("train.jsonl", [PLAIN, SECOND]), ("test.jsonl", [PLAIN]), more=("--check", check, "--strategy", "cot")
    )
    assert done == 0
    (leak,) = (out / "leaks.csv").read_text().splitlines()[1:]
    assert leak == "spaq,TestImage/00001,spaq,TestImage/00001,exact,0"
    printed = capsys.readouterr().out
    assert f"{out}/leaks.csv" in printed and ("--drop-leaks" in printed) == (check == "decode")
    (row,) = rows(out / "cot/spaq_test.jsonl")
    assert row.pop("release") == "test.jsonl:1"
    assert row in [{key: row[key] for key in row if key != "release"} for row in rows(out / "cot/spaq_train.jsonl")]


def test_a_lite_row_is_in_train_once(raw):
    done, out = release(raw, ("train.jsonl", [PLAIN]), ("lite.jsonl", [PLAIN, SECOND]))
    assert done == 0
    assert [row["id"] for row in rows(out / "cot/spaq_train.jsonl")] == ["TestImage/00001", "TestImage/00002"]
    assert [row["id"] for row in rows(out / "cot/spaq_lite.jsonl")] == ["TestImage/00001", "TestImage/00002"]


def test_what_is_lost_stands_in_quarantine_and_is_counted(raw, capsys):
    lost = [
        {"query": "", "response": "rate1", "image_path": "/data/koniq/1.jpg"},
        PLAIN | {"image_path": "/data/x/1.jpg"},
        "[" * 100_000,
        '{"images": ' + "[" * 5_000 + "]" * 5_000 + "}",
    ]
    done, out = release(raw, ("train.jsonl", [PLAIN, *lost]))
    assert done == 0
    assert "missing: no such image below" in quarantined(out, "koniq")[0]["reason"]
    assert len(quarantined(out, "no_dataset")) == 3
    printed = capsys.readouterr().out
    for file, line in (("koniq", "train.jsonl, line 2"), ("no_dataset", "train.jsonl, line 3")):
        assert any(line in text and f"{out}/quarantine/{file}.csv" in text for text in printed.splitlines())
    assert release(raw, ("train.jsonl", [PLAIN]))[0] == 0
    assert quarantined(out, "no_dataset") == []
    capsys.readouterr()


def test_all_files_go_into_one_command(raw, capsys):
    train, test = ("a_train.jsonl", [PLAIN]), ("a_test.jsonl", [SECOND])
    done, out = release(raw, train, test)
    assert done == 0
    before = {path: path.read_bytes() for path in out.rglob("*.jsonl")}
    for again in (train, test, ("a_lite.jsonl", [PLAIN])):
        assert release(raw, again)[0] == 1
        error = capsys.readouterr().err
        assert str(out / "cot/spaq_") in error and "--out" in error
        assert {path: path.read_bytes() for path in out.rglob("*.jsonl")} == before
    assert release(raw, ("b_train.jsonl", [SWIFT]))[0] == 0, "another dataset"
    assert release(raw, test, ("lite.jsonl", [PLAIN]))[0] == 0, "a lite file is for training, too"
    assert len(rows(out / "cot/spaq_test.jsonl")) == 1
    capsys.readouterr()


def test_a_file_that_is_not_utf_8_is_named(raw, capsys):
    (raw.parent / "train.jsonl").write_bytes(json.dumps(PLAIN).encode() + b"\n\xff\xfe\n")
    assert main(["release", f"{raw.parent}/train.jsonl", "--media", str(raw), "--out", f"{raw.parent}/out"]) == 1
    assert f"{raw.parent}/train.jsonl, line 2: " in capsys.readouterr().err


def test_a_killed_worker_is_one_line(raw, monkeypatch, capsys):
    def killed(*args, **options):
        raise BrokenProcessPool("a worker was killed")

    monkeypatch.setattr("data_prep.release.check", killed)
    assert release(raw, ("train.jsonl", [PLAIN]))[0] == 1
    assert capsys.readouterr().err == "error: a worker was killed\n"


def test_the_part_must_be_said(raw, capsys):
    assert release(raw, ("ord.jsonl", [PLAIN]))[0] == 1
    error = capsys.readouterr().err
    assert "ord.jsonl" in error and "--part" in error
    done, out = release(raw, ("ord.jsonl", [PLAIN]), more=("--part", "test"))
    assert done == 0 and len(rows(out / "cot/spaq_test.jsonl")) == 1


@pytest.mark.parametrize(
    ("name", "part"),
    [("STORM_train_123k", "lite"), ("ORD_Lite_train", "lite"), ("train_full", "train"), ("spaq_test", "test")],
)
def test_parts_by_file_name(name, part):
    assert part_of(Path(f"{name}.jsonl")) == part


@pytest.mark.parametrize(
    ("image", "dataset"),
    [
        ("/data/UTKface_inthewild/part1/1.jpg", "utk"),
        ("koniq10k_1024x768/1024x768/1.jpg", "koniq"),
        ("ChallengeDB_release/Images/3.bmp", "challengedb"),
        ("CACD2000/45_Peter_Mullan_0001.jpg", "cacd"),
        ("HistoricalColor-ECCV2012/data/imgs/decade_database/1930s/a.jpg", "hci"),
        ("aptos2019-blindness-detection/train_images/0.png", "aptos"),
        ("/home/x/spaq_and_koniq/1.jpg", None),
        ("ava.jpg", None),
        ("/data/java/1.jpg", None),
    ],
)
def test_the_path_tells_the_dataset_or_nothing(image, dataset):
    if dataset:
        assert dataset_in(image) == dataset
    else:
        with pytest.raises(ValueError):
            dataset_in(image)


def test_nothing_usable_is_one_line(raw, tmp_path, capsys):
    assert release(raw, ("train.jsonl", [PLAIN | {"image_path": "/x/1.jpg"}]))[0] == 1
    assert "train.jsonl, line 1" in capsys.readouterr().err
    assert main(["release", str(tmp_path / "absent_train.jsonl"), "--media", str(raw)]) == 1
    assert "absent_train.jsonl" in capsys.readouterr().err
