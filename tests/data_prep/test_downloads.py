"""Which file a row means, and which cell: the one it names, or none."""

import os
import unicodedata
from pathlib import Path

import pytest

from data_prep.downloads import Files, read_csv


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
        (("x/b.jpg",), "", None),
    ],
)
def test_of_several_files_the_one_most_like_the_name_is_found(tmp_path, paths, end, found):
    assert put(tmp_path, *paths).find(end) == found


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


def test_of_label_files_the_least_nested_is_taken(tmp_path):
    assert put(tmp_path, "a/b/train.csv", "z/train.csv").label_file("train.csv") == tmp_path / "z/train.csv"


def test_a_cell_too_many_is_refused_by_line(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("image,rating\na.jpg,1\nb.jpg,1,5\n")
    with pytest.raises(ValueError, match=r"ratings\.csv, line 3: 3 cells for 2 columns \(b\.jpg,1,5\); write .* 1\.5"):
        list(read_csv(path, "image", "rating"))
    path.write_text("image,rating\na.jpg,1,, \nb.jpg\n,,\n")
    assert list(read_csv(path)) == [(2, {"image": "a.jpg", "rating": "1"}), (3, {"image": "b.jpg", "rating": ""})]
    path.write_text('image;rating\na.jpg;1,5\n"b;c.jpg";2\n')
    assert [row["rating"] for _, row in read_csv(path)] == ["1,5", "2"]
