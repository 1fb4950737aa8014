"""Which file a row means, and which cell: the one it names, or none."""

import os
import unicodedata
from pathlib import Path

import pytest

from data_prep.dataset_folders import folders
from data_prep.downloads import Files, base, image_id
from tests.helpers.downloads import best


def put(root: Path, *paths: str) -> Files:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return Files(root)


@pytest.mark.parametrize(
    ("paths", "end", "found"),
    [
        (("backup/images/0.jpg", "images/0.jpg"), "images/0.jpg", "images/0.jpg"),  # the least nested
        (("IMG.jpg", "img.jpg"), "img.jpg", "img.jpg"),  # the same case
        (("IMG.jpg", "img.jpg"), "IMG.jpg", "IMG.jpg"),
        (("IMG.jpg",), "img.JPG", "IMG.jpg"),
        (("x/y/a.png", "a.jpg"), "a.png", "x/y/a.png"),  # the extension counts most
        (("a.jpg", "x/A.PNG"), "a.png", "x/A.PNG"),
        (("x/b.jpg", "y/B.jpg"), "B.jpg", "y/B.jpg"),
        (("x/b.jpg", "a/x/b.jpg"), "./x//b.jpg", "x/b.jpg"),
        (("x/b.jpg",), "../b.jpg", None),
        (("1.jpg", "1.5.jpg"), "1.5", "1.5.jpg"),  # what stands behind a dot need not be an extension
        (("1.jpg",), "1.5", None),
        (("x/b.jpg",), "", None),
    ],
)
def test_of_several_files_the_one_most_like_the_name_is_found(tmp_path, paths, end, found):
    assert best(put(tmp_path, *paths), end) == found


def test_an_exact_name_is_a_whole_path_and_nothing_else(tmp_path):
    files = put(
        tmp_path / "raw", "images/é.jpg", "images/a.jpg", "images/B.jpg", "images/mug.jpg", "backup/images/c.jpg"
    )
    for name in (
        "images/a.jpg",
        "./images/a.jpg",
        "images\\a.jpg",
        "x/../images//a.jpg",
        f"{tmp_path}/raw/images/a.jpg",
    ):
        assert files.exact(name) == "images/a.jpg", name
    assert files.exact(unicodedata.normalize("NFD", "images/é.jpg")) == "images/é.jpg"
    for name in ("a.jpg", "images/a.png", "images/b.jpg", "images/mug.front", "images/c.jpg", "images", ""):
        assert files.exact(name) is None, name
    put(tmp_path, "secret.jpg")
    for name in ("../secret.jpg", f"{tmp_path}/secret.jpg", f"{tmp_path}/raw/../secret.jpg"):
        assert files.exact(name) is None, name


def test_an_absolute_path_may_go_through_a_link_to_the_root(tmp_path):
    put(tmp_path / "disk", "images/a.jpg")
    (tmp_path / "raw").symlink_to("disk")
    files = Files(tmp_path / "raw")
    assert files.exact(f"{tmp_path}/raw/images/a.jpg") == files.exact(f"{tmp_path}/disk/images/a.jpg") == "images/a.jpg"


def test_a_relative_root_knows_absolute_paths(tmp_path, monkeypatch):
    put(tmp_path, "images/a.jpg")
    monkeypatch.chdir(tmp_path)
    assert Files(Path(".")).exact(os.path.abspath("images/a.jpg")) == "images/a.jpg"


def test_label_files_of_the_same_bytes_count_once_and_others_are_listed(tmp_path):
    files = put(tmp_path, "a/b/train.csv", "z/train.csv")
    assert files.label_file("train.csv") == tmp_path / "z/train.csv" and files.label_paths == ["z/train.csv"]
    (tmp_path / "z/train.csv").write_text("other")
    with pytest.raises(ValueError, match=r"a/b/train\.csv, .*z/train\.csv: which"):
        Files(tmp_path).label_file("train.csv")
    assert [path.parent.name for path in Files(tmp_path).label_files("train.csv")] == ["b", "z"]


def test_a_pattern_is_of_a_name_or_of_the_end_of_a_path(tmp_path):
    files = put(tmp_path, "MOS/notes.csv", "MOS/x/MOS 1.csv", "merge/train.csv", "x/merge/Train.CSV", "MOS.jpg")
    assert files.all("MOS*.csv") == ["MOS/x/MOS 1.csv"] and files.all("MOS*") == ["MOS/x/MOS 1.csv"], "no image"
    assert files.all("merge/train.csv") == ["merge/train.csv", "x/merge/Train.CSV"] and files.all("e/train.csv") == []


def test_what_is_missing_is_said_with_what_is_there_and_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file train\.csv .*there is nothing"):
        put(tmp_path).label_file("train.csv")
    with pytest.raises(FileNotFoundError, match=r"there is labels/trian\.csv, .*rename"):
        put(tmp_path, "labels/trian.csv", "x.jpg", "readme.txt").label_file("train.csv")
    with pytest.raises(FileNotFoundError, match=r"unpack a/data\.zip, b\.tar\.gz, c\.7z\.001 and 1 more"):
        put(tmp_path, "a/data.zip", "b.tar.gz", "c.7z.001", "d.z01").label_file("train.csv")


def test_a_cell_may_hold_a_path_and_an_extension_or_not():
    for cell in ("a.b/10_left.jpeg", r"\x\10_left.PNG", "/kaggle/input/x/10_left", " 10_left.webp "):
        assert image_id(cell.strip()) == "10_left"
    assert base(r"\regular\1\1_l1.jpg") == "1_l1.jpg" and image_id("no.image") == "no.image"


def test_datasets_are_found_under_other_names_in_any_case(tmp_path):
    for name in ("koniq10k", "UTKFace", "HCI", "KonIQ", "imagenet", "utk"):
        (tmp_path / name).mkdir()
    (tmp_path / "spaq").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    found = folders(tmp_path)
    assert (found["koniq"], found["utk"], found["hci"]) == (["KonIQ", "koniq10k"], ["utk", "UTKFace"], ["HCI"])
    assert found["spaq"] == [] and folders(tmp_path / "nowhere")["hci"] == []


def test_a_table_saved_in_another_format_counts_if_no_other_is_there(tmp_path):
    for name in ("train.xlsx", "~$train.csv", ".train.csv"):  # the last two are of Excel and of macOS
        (tmp_path / name).write_text(name)
    assert Files(tmp_path).label_file("train.csv").name == "train.xlsx"
    (tmp_path / "train.csv").write_text("x")
    assert Files(tmp_path).label_file("train.csv").name == "train.csv"
    with pytest.raises(FileNotFoundError):
        Files(tmp_path).label_file("train.mat")
