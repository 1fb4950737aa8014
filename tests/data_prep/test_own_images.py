"""Which photograph a row is of: its own, or none."""

import csv
import shutil

import pytest

from data_prep.__main__ import main
from tests.helpers.downloads import write
from tests.helpers.own_files import images, labels, lines, own, refused


def test_a_file_in_val_is_not_the_missing_one_of_train(tmp_path, capsys):
    images(tmp_path, *(f"val/{n}.png" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"train/{n}.png", n % 3) for n in range(20)]))
    error = refused(tmp_path, capsys, "a.csv")
    assert "20 of 20 rows have no image" in error and "lies in another folder" in error


OTHERS = ["a/1.png", "/data/a/1.png", "https://host/a/1.png", "1.png", "b/1.PNG", "20240101-1.png"]
OTHERS += ["C:\\me\\a\\1.png"]


@pytest.mark.parametrize("other", OTHERS)
def test_two_names_never_share_a_photograph(tmp_path, other):
    """Only b/1.png is there: it must not get the rating of another name."""
    images(tmp_path, *(f"b/{n}.png" for n in range(30)))
    rows = [("b/" + f"{n}.png", n % 3) for n in range(30)]
    write(tmp_path / "a.csv", lines([*rows, (other, 2)]))
    assert own(tmp_path, "a.csv", "--allow-missing") == 0
    assert labels(tmp_path)["b/1.png"][0] == "1" and len(labels(tmp_path)) == 30
    assert other in (tmp_path / "out/quarantine/a.csv").read_text()


def test_images_that_only_their_names_find_are_counted(tmp_path, capsys):
    images(tmp_path, *(f"photos/{n}.png" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"/home/me/old/{n}.png", n % 3) for n in range(20)]))
    assert own(tmp_path, "a.csv") == 0
    printed = capsys.readouterr().out
    assert ": 20; /home/me/old/0.png is photos/0.png" in printed


def test_the_letters_that_label_studio_puts_before_a_name(tmp_path):
    images(tmp_path, *(f"p{n}.png" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"/data/upload/1/{n:04x}abcd-p{n}.png", n % 3) for n in range(20)]))
    assert own(tmp_path, "a.csv") == 0
    assert labels(tmp_path)["p5.png"][0] == "2"


def test_the_nearest_names_stand_in_the_message(tmp_path, capsys):
    images(tmp_path, *(f"p{n:02}.jpg" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"p{n:02}.jpeg", n % 3) for n in range(20)]))
    assert "near: p00.jpg" in refused(tmp_path, capsys, "a.csv")
    write(tmp_path / "a.csv", lines([(f"https://host/q{n:02}.jpg", n % 3) for n in range(20)]))
    assert "download the images first" in refused(tmp_path, capsys, "a.csv")


FOLDERS = {"train": range(20), "test": range(20)}  # the same names, and other photographs


def test_two_folders_of_levels_are_read_each_from_its_own(tmp_path):
    images(tmp_path, *(f"{part}/{n % 3}/{n}.png" for part, numbers in FOLDERS.items() for n in numbers))
    out = ["--out", str(tmp_path / "out"), "--workers", "1", "--val", "0"]
    assert main(["own", f"{tmp_path}/train", f"{tmp_path}/test", *out]) == 0
    [path] = (tmp_path / "out/manifest").glob("*.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40 and all(row["id"].split("/")[0] == row["split"] for row in rows)
    assert all(row["id"].split("/")[1] == row["label"] for row in rows)


def test_two_tables_name_images_from_their_own_folders(tmp_path):
    for part, more in (("a", 0), ("b", 1)):
        images(tmp_path, *(f"{part}/{n}.png" for n in range(15)))
        write(tmp_path / part / "r.csv", lines([(f"{n}.png", (n + more) % 3) for n in range(15)]))
    assert own(tmp_path, "a/r.csv", "b/r.csv") == 0
    assert len(labels(tmp_path)) == 30
    assert (labels(tmp_path)["a/4.png"][0], labels(tmp_path)["b/4.png"][0]) == ("1", "2")


def test_images_in_the_folder_of_the_part_and_beside_that_of_the_file(tmp_path):
    images(tmp_path, *(f"{part}/{n}.png" for part in ("train", "test") for n in range(15)))
    for part, more in (("train", 0), ("test", 1)):
        write(tmp_path / f"{part}.csv", lines([(f"{n}.png", (n + more) % 3) for n in range(15)]))
    out = ["--out", f"{tmp_path}/out", "--workers", "1", "--val", "0"]
    assert main(["own", f"{tmp_path}/train.csv", f"{tmp_path}/test.csv", *out]) == 0
    assert (labels(tmp_path)["train/4.png"][0], labels(tmp_path)["test/4.png"][0]) == ("1", "2")
    shutil.rmtree(tmp_path / "out")
    write(tmp_path / "lists" / "c.csv", lines([(f"../train/{n}.png", n % 3) for n in range(15)]))
    assert own(tmp_path, "lists/c.csv") == 0 and labels(tmp_path)["train/4.png"][0] == "1"


@pytest.mark.parametrize("before", ["/old/x/", "https://host/x/"])
def test_a_missing_file_of_another_machine_is_missing(tmp_path, before):
    """a/0.png is not there; b/0.png is another photograph."""
    images(tmp_path, *(f"a/{n}.png" for n in range(1, 30)), "b/0.png")
    write(tmp_path / "a.csv", lines([(f"{before}a/{n}.png", n % 3) for n in range(30)]))
    assert own(tmp_path, "a.csv", "--allow-missing") == 0
    assert "b/0.png" not in labels(tmp_path) and len(labels(tmp_path)) == 29


def test_a_file_that_is_there_outside_of_the_image_root_is_no_other(tmp_path, capsys):
    images(tmp_path, *(f"{folder}/{n}.png" for folder in ("real", "mine/thumbs") for n in range(20)))
    write(tmp_path / "mine/a.csv", lines([(tmp_path / f"real/{n}.png", n % 3) for n in range(20)]))
    assert "--media" in refused(tmp_path / "mine", capsys, "a.csv")


def test_the_split_that_folders_or_an_unnamed_column_say(tmp_path, capsys):
    images(tmp_path, *(f"{part}/{n}.png" for part in ("train", "test") for n in range(15)))
    rows = [(f"{part}/{n}.png", n % 3, part) for part in ("train", "test") for n in range(15)]
    for head, cut in (("image,rating,partition", 3), ("image,rating", 2)):
        write(tmp_path / "a.csv", lines([row[:cut] for row in rows], head))
        assert main(["own", f"{tmp_path}/a.csv", "--out", f"{tmp_path}/out", "--workers", "1", "--val", "0"]) == 0
        [path] = (tmp_path / "out/manifest").glob("*.csv")
        with path.open(newline="") as file:
            assert all(row["id"].split("/")[0] == row["split"] for row in csv.DictReader(file))


def test_a_column_called_set_need_not_be_a_split(tmp_path, capsys):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"{n}.png", n % 3, f"album {n % 4}") for n in range(20)], "image,rating,set"))
    assert "--split-column none" in refused(tmp_path, capsys, "a.csv")
    assert own(tmp_path, "a.csv", "--split-column", "none") == 0 and len(labels(tmp_path)) == 20


def test_a_file_of_the_test_photographs_is_not_the_missing_one_of_train(tmp_path):
    """Bare names: the part that the rating file is for, or that its name says, must be that of the folder."""
    images(tmp_path, *(f"train/{n}.png" for n in range(30) if n != 5), "test/5.png")
    images(tmp_path, *(f"test/{n}.png" for n in range(30, 42)))
    write(tmp_path / "train.csv", lines([(f"{n}.png", n % 3) for n in range(30)]))
    write(tmp_path / "test.csv", lines([(f"{n}.png", n % 3) for n in range(30, 42)]))
    sources = [str(tmp_path / name) for name in ("train.csv", "test.csv")]
    assert (
        main(["own", *sources, "--out", str(tmp_path / "out"), "--workers", "1", "--allow-missing", "--name", "a"]) == 0
    )
    found = labels(tmp_path)
    assert "test/5.png" not in found and len(found) == 41
    write(tmp_path / "train_labels.csv", lines([(f"{n}.png", n % 3) for n in range(30)]))
    assert own(tmp_path, "train_labels.csv", "--allow-missing", "--name", "a") == 0
    assert "test/5.png" not in labels(tmp_path)


def test_folders_whose_names_say_a_part_in_words(tmp_path):
    images(tmp_path, *(f"a. Training Set/{n}.png" for n in range(30) if n != 5), "b. Testing Set/5.png")
    write(tmp_path / "a. Training Labels.csv", lines([(f"{n}.png", n % 3) for n in range(30)]))
    assert own(tmp_path, "a. Training Labels.csv", "--allow-missing") == 0
    assert len(labels(tmp_path)) == 29 and not any("Testing" in name for name in labels(tmp_path))


def test_a_photograph_beside_another_rating_file_is_not_the_missing_one(tmp_path):
    for site, there in (("A", set(range(20)) - {5}), ("B", {5, *range(20, 40)})):
        images(tmp_path, *(f"site{site}/{n}.png" for n in there))
        write(
            tmp_path / f"site{site}/r.csv",
            lines([(f"{n}.png", n % 3) for n in sorted(there | {5}) if n != 5 or site == "A"]),
        )
    assert own(tmp_path, "siteA/r.csv", "siteB/r.csv", "--allow-missing", "--name", "r") == 0
    assert "siteB/5.png" not in labels(tmp_path) and len(labels(tmp_path)) == 39


def test_the_folders_of_bare_names_are_said(tmp_path, capsys):
    images(tmp_path, *(f"part{n % 2}/{n}.png" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"{n}.png", n % 3) for n in range(20)]))
    assert own(tmp_path, "a.csv") == 0
    assert "part0 (10), part1 (10)" in capsys.readouterr().out
