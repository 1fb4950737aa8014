"""The authors' jsonl, in each form their code uses, keeps its split and loses nothing silently."""

import json
from pathlib import Path

import pytest
from PIL import Image

from data_prep.__main__ import main
from data_prep.release import dataset_of, part_of

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
    return main(["release", *map(str, paths), "--raw", str(raw), "--out", str(out), "--workers", "1", *more]), out


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
    (morph,) = rows(out / "text/morph_train.jsonl")
    assert morph["conversations"][1]["value"] == "Coarse Answer: Elder, Predicted Age: fifty-four years old"
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
    quarantine = (out / "quarantine/spaq.csv").read_text()
    assert "no label of spaq in 'rate9'" in quarantine and "missing: no such image below" in quarantine
    assert "duplicate: id 'TestImage/00001' is there twice in train" in quarantine
    printed = capsys.readouterr().out
    assert "5 rows of no dataset, for example train.jsonl, line 2" in printed


def test_the_part_must_be_said(raw, capsys):
    assert release(raw, ("ord.jsonl", [PLAIN]))[0] == 1
    assert "ord.jsonl: is it train, lite or test? Say --part" in capsys.readouterr().err
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
    assert dataset_of(image) == dataset


def test_nothing_usable_is_one_line(raw, tmp_path, capsys):
    assert release(raw, ("train.jsonl", [PLAIN | {"image_path": "/x/1.jpg"}]))[0] == 1
    assert "no usable row" in capsys.readouterr().err
    assert main(["release", str(tmp_path / "absent_train.jsonl"), "--raw", str(raw)]) == 1
    assert "absent_train.jsonl" in capsys.readouterr().err
