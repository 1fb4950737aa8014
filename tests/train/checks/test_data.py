"""Rows and images that would stop a training or spoil it are named before it begins."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storm.files import write_jsonl
from tests.helpers.hostile_images import HOSTILE, write_hostile
from tests.helpers.tiny_recipe import GOOD, check_data, rewrite, row, the_one, tiny_job
from train.checks import images
from train.checks.data import check_datasets, check_rows
from train.checks.finding import Finding
from train.checks.held_out import check_held_out


def test_sound_rows_and_images_are_counted(work):
    findings = check_data()
    assert {finding.level for finding in findings} == {"ok"}
    assert [finding.text for finding in findings] == [
        "1 in dataset_info.json, all written",
        "20 in 1 files",
        "20 are there, 20 decoded: 56 x 112 to 75 x 112 pixels",
    ]


def test_a_misspelt_dataset(work):
    text = the_one(check_data("dataset=demo_trian"))
    assert "'demo_trian'" in text and "demo_train?" in text


def test_no_registry(work):
    assert the_one(check_data("dataset_dir=nowhere")).startswith("nowhere/dataset_info.json: ")


def test_rows_that_were_not_written(work):
    text = the_one(check_data("dataset=storm_spaq_lite,storm_hci_train_num,demo_train"))
    assert text.startswith("data/storm/cot/spaq_lite.jsonl: ") and text.endswith(
        "; python -m data_prep spaq hci --strategy cot num"
    )
    text = the_one(check_data("eval_dataset=storm_hci_val,storm_spaq_val"))  # lite is all of spaq's train
    assert text.endswith("; python -m data_prep hci && python -m data_prep spaq --val 0.1")
    (work / "data/demo/demo_train.jsonl").unlink()
    text = the_one(check_data())
    assert text.startswith("data/demo/demo_train.jsonl: ") and text.endswith("; python -m demo.photographs")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"columns": {"messages": "conversations"}}, "columns name messages, not both"),
        ({"tags": {"role_tag": "from"}}, "tags lack assistant_tag"),
        ({"formatting": "alpaca"}, "ShareGPT"),
        ({"columns": ["conversations", "images"]}, "not of the form"),
        ({"file_name": 5}, "not a file"),
    ],
)
def test_a_stanza_that_llamafactory_reads_otherwise(work, change, fault):
    info = json.loads((work / "dataset_info.json").read_text())
    info["demo_train"] |= change
    (work / "dataset_info.json").write_text(json.dumps(info))
    assert fault in the_one(check_data())


@pytest.mark.parametrize("stanza", [["demo_train.jsonl"], "demo_train.jsonl", 5, None])
def test_a_stanza_that_is_none(work, stanza):
    info = json.loads((work / "dataset_info.json").read_text()) | {"demo_train": stanza}
    (work / "dataset_info.json").write_text(json.dumps(info))
    assert the_one(check_data()).startswith("dataset_info.json, stanza demo_train: ")


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        ('{"conversations": ', "not JSON"),
        ("null", "not "),
        ("\udcff", "not UTF-8"),
        ("[]", "not a row"),
        (row(1, conversations=[]), "no turns in 'conversations'"),
        (row(1, conversations=GOOD[::-1]), "roles gpt, human do not alternate"),
        (row(1, conversations=GOOD[:1]), "roles human do not alternate"),
        (row(1, conversations=[GOOD[0], {"from": "gpt", "value": " "}]), "an empty answer"),
        (row(1, conversations=[{"from": "human", "value": "Rate."}, GOOD[1]]), "0 <image> for 1 images"),
        (row(1, images=["1.png", "2.png"]), "1 <image> for 2 images"),
        (row(1, images=[]), "no images in 'images'"),
        (row(0), "an id that an earlier row has, too"),
    ],
)
def test_a_bad_row_is_named(work, bad, fault):
    rewrite(work, row(0), bad, row(2))
    text = the_one(check_data())
    assert text.startswith(f"data/demo/demo_train.jsonl, line 2: {fault}"), text
    assert text.endswith("python -m demo.photographs")


def test_equal_faults_are_one_line(work):
    rewrite(work, row(0), *(row(number, images=[]) for number in range(1, 5)))
    assert "line 2: no images in 'images'" in the_one(check_data()) and "(4 such rows)" in the_one(check_data())


def test_an_empty_file(work):
    (work / "data/demo/demo_train.jsonl").write_text("")
    assert the_one(check_data()).startswith("data/demo/demo_train.jsonl: is empty")


def sizes(work: Path, rows: int, **numbers) -> list[Finding]:
    """The findings if HCI's train set, 1,193 rows in the paper, has so many."""
    write_jsonl(work / "data/storm/cot/hci_train.jsonl", (row(number, images=["0.png"]) for number in range(rows)))
    (work / "data/storm/summary.json").write_text(json.dumps({"hci": numbers} if numbers else {}))
    return check_data("dataset=storm_hci_train")


def test_rows_are_compared_with_the_paper(work):
    file = "data/storm/cot/hci_train.jsonl"
    assert {finding.level for finding in sizes(work, 1193)} == {"ok"}
    missing = the_one(sizes(work, 1190, dropped={"missing": 2, "rule": 1}, sizes={"train": 1190}), "warning")
    assert missing.startswith(f"{file}: 1,190 rows, ") and all(
        part in missing for part in ("(-3)", "2 missing", "1 rule", "data/storm/quarantine/hci.csv")
    )
    other = the_one(sizes(work, 1190, dropped={}, sizes={"train": 1193}), "warning")
    assert other.endswith("data/storm/summary.json says 1,193: python -m data_prep hci")
    assert "is the download whole?" in the_one(sizes(work, 1190), "warning")


def test_rows_taken_out_of_train_for_validation_are_no_fault(work):
    numbers = {"dropped": {}, "sizes": {"train": 1074, "all": 1325}, "settings": {"val": 0.1}}
    findings = sizes(work, 1074, **numbers)
    assert {finding.level for finding in findings} == {"ok"} and any("--val 0.1" in f.text for f in findings)
    assert "warning" in {finding.level for finding in sizes(work, 1070, **numbers)}
    numbers["sizes"] = {"train": 1070, "all": 1321}
    assert "warning" in {finding.level for finding in sizes(work, 1070, **numbers)}, "four are missing, too"


@pytest.mark.parametrize(("first", "shared"), [(20, 0), (15, 5)])
def test_validation_rows_that_are_trained_on_are_an_error(work, first, shared):
    write_jsonl(work / "data/demo/demo_val.jsonl", (row(n, images=[f"./{n}.png"]) for n in range(first, first + 20)))
    _, findings = check_held_out(check_rows(check_datasets(tiny_job("eval_dataset=demo_val"))[0])[0])
    assert len(findings) == (shared > 0)
    for finding in findings:
        assert finding.level == "error" and "5 of its 20" in finding.text and "'./15.png'" in finding.text
        assert "data/demo/demo_train.jsonl, line 16" in finding.text


def test_an_explained_difference_is_reported_but_no_warning(work):
    def findings(count: int) -> list[Finding]:
        write_jsonl(work / "data/storm/cot/morph_test.jsonl", (row(n, images=["0.png"]) for n in range(count)))
        summary = {"morph": {"dropped": {"rule": 0}, "sizes": {"test": count}}}
        (work / "data/storm/summary.json").write_text(json.dumps(summary))
        return check_data("dataset=storm_morph_test")

    more = findings(11_027)
    assert {finding.level for finding in more} == {"ok"}
    assert any("(+1,024)" in finding.text for finding in more)
    assert "is the download whole?" in the_one(findings(12), "warning")


def test_a_missing_image_names_row_and_file(work):
    (work / "images/7.png").unlink()
    text = the_one(check_data())
    assert text.startswith("data/demo/demo_train.jsonl, line 8: image '7.png'")


def test_a_wrong_media_dir_is_one_line(work):
    text = the_one(check_data("media_dir=data"))
    assert "19 more of 20" in text and "media_dir=data" in text


@pytest.mark.parametrize("image", ["../secret.png", "/etc/hostname", "a/../../secret.png"])
def test_an_image_outside_of_media_dir(work, image):
    (work / "secret.png").write_bytes((work / "images/0.png").read_bytes())
    rewrite(work, row(0), row(1, images=[image]))
    text = the_one(check_data())
    assert text.startswith(f"data/demo/demo_train.jsonl, line 2: image {image!r}") and "leads out" in text


def test_copies_of_resize_lie_outside_of_media_dir_and_are_right(work):
    (work / "data/images").mkdir()
    shutil.copy(work / "images/0.png", work / "data/images/0.png")
    rewrite(work, row(0, images=["../data/images/0.png"]), row(1, images=[str(work / "images/1.png")]))
    assert {finding.level for finding in check_data()} == {"ok"}
    (work / "data/images/0.png").unlink()
    assert "../data/images/0.png" in the_one(check_data())


def broken(kind: str, path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "text": b"<html>", "empty": b""}[kind])


@pytest.mark.parametrize(("kind", "reason"), [("cut", "decoded"), ("text", "decoded"), ("empty", "0 bytes")])
def test_an_image_that_does_not_decode(work, kind, reason):
    broken(kind, work / "images/7.png")
    text = the_one(check_data())
    assert "7.png" in text and reason in text and "python -m demo.photographs" in text


def test_hostile_images_are_errors_with_their_place(work):
    write_hostile(work / "images")
    rewrite(work, *(row(number, images=[name]) for number, name in enumerate(HOSTILE)))
    findings = check_data(all_images=True)
    images = [finding for finding in findings if finding.check == "images"]
    assert len(images) > 3 and {finding.level for finding in images} == {"error"}
    assert all("\n" not in finding.text for finding in images)
    line = HOSTILE.index("fifo.jpg") + 1
    assert any(f"line {line}: image 'fifo.jpg'" in finding.text for finding in images)


def test_an_image_that_pillow_refuses_in_the_training(work, monkeypatch):
    monkeypatch.setattr(images, "PIXELS", 112 * 70)
    assert "4 more of the 20" in the_one(check_data())


def test_a_cut_jpeg_is_noticed_though_decoded_small(work):
    Image.fromarray(np.zeros((600, 800, 3), np.uint8)).save(work / "images/7.jpg")
    broken("cut", work / "images/7.jpg")
    rewrite(work, row(0, images=["7.jpg"]))
    assert "images/7.jpg cannot be decoded" in the_one(check_data())


def test_all_images_are_decoded_if_asked(work, monkeypatch):
    monkeypatch.setattr(images, "SAMPLE", 1)
    assert any("20 are there, 1 decoded" in finding.text for finding in check_data())
    assert any("20 are there, 20 decoded" in finding.text for finding in check_data(all_images=True))


def test_images_that_llamafactory_would_read_as_white_are_counted(work, monkeypatch):
    for name, kind in (("3.png", np.uint16), ("5.png", np.float32)):
        Image.fromarray(np.full((60, 112), 9000, kind)).save(work / "images" / name, "TIFF")
    text = the_one(check_data())
    assert "2 of 20" in text and "images/3.png" in text and text.endswith("--resize 1003520")
    monkeypatch.setattr(images, "SAMPLE", 1)
    assert "2 of 20" in the_one(check_data(all_images=True))


def test_an_image_turned_by_exif_is_a_warning(work):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(work / "images/3.png").save(work / "images/3.png", exif=exif)
    text = the_one(check_data(), "warning")
    assert "1 of 20" in text and "images/3.png" in text and text.endswith("--resize 1003520")
