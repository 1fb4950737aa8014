"""Folders and images that are missing, broken or hostile: what is built, refused and said."""

import csv
import json
import os
import shutil

import pytest

from storm.datasets import DATASETS
from tests.helpers.building import build, exists, manifest
from tests.helpers.hostile_images import HOSTILE, write_hostile
from tests.helpers.pictures import encoded, picture


def test_missing_images_are_counted_and_the_rest_gets_the_same_rule(raw, tmp_path, capsys):
    images = sorted(raw.glob("hci/**/*.jpg")) + sorted(raw.glob("aptos/**/*.png"))
    gone = [path for path in images if path.parts[-2] == "train_images"][:3]
    for path in gone:
        path.unlink()
    assert exists(raw, tmp_path / "out", "aptos") == 1, "3 of 50 are more than is usual"
    assert not (tmp_path / "out" / "cot").exists()
    assert len((tmp_path / "out" / "quarantine" / "aptos.csv").read_text().splitlines()) == 4
    assert "--allow-missing" in capsys.readouterr().err
    assert exists(raw, tmp_path / "out", "aptos", "--allow-missing") == 0
    numbers = json.loads((tmp_path / "out" / "summary.json").read_text())["aptos"]
    assert numbers["dropped"]["missing"] == 3 and numbers["read"] - 3 == numbers["sizes"]["all"]
    assert numbers["sizes"]["test"] == numbers["sizes"]["all"] // 10
    quarantine = (tmp_path / "out" / "quarantine" / "aptos.csv").read_text().splitlines()
    assert quarantine[0] == "id,file,reason" and [line.split(",")[0] for line in quarantine[1:]] == [
        p.stem for p in gone
    ]
    assert "missing: no such image" in quarantine[1]
    printed = capsys.readouterr().out
    assert str(tmp_path / "out" / "quarantine" / "aptos.csv") in printed
    assert f"{3:>9}  missing: no such image" in printed, "drops are grouped by kind of reason"


def test_hostile_images_are_rows_with_a_reason(tmp_path, capsys):
    """200 files that no decoder should be given, as images of a dataset that goes by file names."""
    folder = tmp_path / "raw" / "challengedb"
    folder.mkdir(parents=True)
    write_hostile(folder)
    names = [name for name in HOSTILE if "\0" not in name]
    for number, name in enumerate(names):  # several differ only in their extension, which is no part of an id
        names[number] = f"{number}_{name}" if len(name) < 240 else name
        if os.path.lexists(folder / name):
            (folder / name).rename(folder / names[number])
    sound = 20
    for number in range(sound):
        (folder / f"sound_{number}.png").write_bytes(encoded(picture(60, 40, number), "PNG"))
    names += [f"sound_{number}.png" for number in range(sound)]
    lines = "".join(f"{name},{4 + number % 88}\n" for number, name in enumerate(names))
    (folder / "challenge.csv").write_text(f"img_name,mos\n{lines}")
    for more in ([], ["--resize", "1024"]):
        out = tmp_path / f"out{len(more)}"
        assert build(tmp_path / "raw", out, *more) == 1, "most images cannot be used"
        assert build(tmp_path / "raw", out, *more, "--allow-missing", "--allow-empty-levels") == 0
        listed = {row["id"] for row in manifest(out, "challengedb")}
        with (out / "quarantine" / "challengedb.csv").open(newline="") as file:
            dropped = list(csv.DictReader(file))
        assert len(listed) + len(dropped) == len(names), "none is lost"
        assert listed >= {f"sound_{number}" for number in range(sound)}
        assert len(dropped) >= 100 and all(len(row["reason"].splitlines()) == 1 for row in dropped)
    assert "Traceback" not in capsys.readouterr().err


def test_a_missing_folder_is_one_line_with_the_owners_page(raw, tmp_path, capsys):
    shutil.rmtree(raw / "hci")
    assert exists(raw, tmp_path / "out", "hci", "aptos") == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert f"{raw}/hci" in line and DATASETS["hci"].url in line
    assert manifest(tmp_path / "out", "aptos")


def test_a_link_to_itself_costs_only_itself(all_raw, tmp_path):
    for place in (all_raw / "loop", all_raw / "aptos" / "loop", all_raw / "hci" / "loop.jpg"):
        place.symlink_to(place)
    (all_raw / "spaq_link").symlink_to(all_raw)
    (all_raw / "aptos" / "up").symlink_to(all_raw)
    assert exists(all_raw, tmp_path / "out", "aptos", "hci", "spaq") == 0
    assert exists(all_raw, tmp_path / "all") == 0


@pytest.mark.parametrize(("name", "there"), [("hci", "HCI"), ("eyepacs", "EyePACS"), ("koniq", "KonIQ-10k")])
def test_a_folder_of_another_name_is_found(all_raw, tmp_path, capsys, name, there):
    (all_raw / name).rename(all_raw / there)
    assert exists(all_raw, tmp_path / "out", name) == 0
    image = manifest(tmp_path / "out", name)[0]["image"]
    assert image.startswith(f"{there}/") and (all_raw / image).is_file()
    (all_raw / f"{there}_").mkdir()
    assert exists(all_raw, tmp_path / "out", name) == 1
    assert f"{there}, {there}_" in capsys.readouterr().err, "two folders could be meant"
    (all_raw / there).rename(all_raw / name)
    assert exists(all_raw, tmp_path / "out", name) == 0
    assert f"{name} is used" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["../hci", "/etc", "train_images/../../hci"])
def test_images_stay_below_the_datasets_folder(raw, tmp_path, capsys, folder):
    assert exists(raw, tmp_path / "out", "aptos", "--images", folder) == 1
    assert "--images" in capsys.readouterr().err


def test_missing_and_unreadable_images_count_together(raw, tmp_path, capsys):
    images = sorted(path for path in raw.glob("aptos/**/*.png") if "train" in str(path.parent))
    images[0].unlink()
    images[1].unlink()
    assert exists(raw, tmp_path / "out", "aptos") == 0, "2 of 50 are usual"
    for path in images[2:4]:
        path.unlink()
        path.write_bytes(b"")
    assert exists(raw, tmp_path / "out", "aptos") == 1, "4 of 50 are not, though each of the two kinds is"
    error = capsys.readouterr().err
    assert "4 of 50" in error and images[2].name in error and "--allow-missing" in error
