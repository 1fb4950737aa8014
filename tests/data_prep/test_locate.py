"""All rows take their images from the same folders: one photograph once, and never another row's photograph."""

import time
from pathlib import Path

import pytest

from data_prep.downloads import Files
from data_prep.locate import locate, other_naming, too_many_missing, unmatched
from data_prep.source import Row
from tests.helpers.downloads import write


def files(root: Path, **folders: list[str]) -> Files:
    """Empty images; the name of a folder has "__" for "/", "_" alone for the root."""
    for folder, names in folders.items():
        for name in names:
            write(root / folder.replace("__", "/").strip("_") / name)
    return Files(root)


def rows(names: list[str]) -> list[Row]:
    return [Row(name, (name,), 1) for name in names]


def names(count: int, first: int = 0, end: str = "jpg") -> list[str]:
    return [f"{number}.{end}" for number in range(first, first + count)]


def test_folders_of_different_rows_belong_together(tmp_path):
    there = files(tmp_path, part1=names(10), part2=names(10, 10), deep__part3=names(5, 20))
    located = locate(there, rows(names(25)), ())
    assert located.used == {"part1": 10, "part2": 10, "deep/part3": 5} and not located.unused and not located.drops


def test_the_folder_with_most_of_the_images_is_taken_for_all_rows(tmp_path):
    located = locate(files(tmp_path, centered=names(8), original=names(10)), rows(names(10)), ())
    assert located.used == {"original": 10} and located.unused == {"centered": 8}
    assert {path.split("/")[0] for path in located.rows} == {"original"}


def test_two_folders_are_never_mixed_though_each_lacks_images(tmp_path):
    located = locate(files(tmp_path, one=names(8), two=names(7, 3)), rows(names(10)), ())
    assert located.used == {"one": 8} and located.unused == {"two": 7} and len(located.missing) == 2


def test_of_two_trees_one_is_taken_though_each_is_fuller_somewhere(tmp_path):
    there = files(tmp_path, a__t1=names(100), a__t2=names(90, 100), b__t1=names(99), b__t2=names(100, 100))
    located = locate(there, rows(names(200)), ())
    assert set(located.used) in ({"a/t1", "a/t2"}, {"b/t1", "b/t2"}) and len(located.unused) == 2
    assert set(located.used) == {"b/t1", "b/t2"}, "the fuller one"


@pytest.mark.slow
def test_a_tree_of_thousands_of_folders_is_chosen_at_once(tmp_path):
    folders = {f"{top}__{number}": [f"{number}.jpg"] for top in ("faces", "aligned") for number in range(1500)}
    there = files(tmp_path, **folders)
    start = time.perf_counter()
    located = locate(there, [Row(str(n), (f"{n}.jpg",), 1) for n in range(1500)], ("aligned",))
    assert time.perf_counter() - start < 3
    assert {folder.split("/")[0] for folder in located.used} == {"aligned"} and len(located.rows) == 1500


def test_of_folders_that_are_as_full_the_preferred_one_is_taken(tmp_path):
    there = files(tmp_path, small=names(100), LARGE=names(97, 3))
    assert locate(there, rows(names(100)), ("large", "small")).used == {"LARGE": 97}
    assert locate(there, rows(names(100)), ()).used == {"small": 100}


def test_augmented_images_are_taken_only_if_there_are_no_others(tmp_path):
    there = files(tmp_path, a_augmented=names(20), b_original=names(20))
    assert locate(there, rows(names(20)), ()).used == {"b_original": 20}


def test_a_preferred_folder_that_is_half_there_is_not_taken(tmp_path):
    located = locate(files(tmp_path, large=names(50), small=names(100)), rows(names(100)), ("large",))
    assert located.used == {"small": 100} and located.unused == {"large": 50}


def test_parts_that_share_a_few_names_are_parts_and_the_name_counts_once(tmp_path):
    located = locate(files(tmp_path, part1=names(100), part2=names(100, 99)), rows(names(199)), ())
    assert set(located.used) == {"part1", "part2"} and len(located.rows) == 199


def test_the_folder_on_the_command_line_is_taken(tmp_path):
    files(tmp_path, original=names(10), centered=names(10))
    for chosen in ("centered", "original/", "./centered"):
        located = locate(Files(tmp_path, images=chosen), rows(names(10)), ())
        assert set(located.used) == {chosen.strip("./")} and len(located.rows) == 10
    with pytest.raises(NotADirectoryError, match="nowhere"):
        Files(tmp_path, images="nowhere")


def test_images_of_an_earlier_build_are_left_out(tmp_path):
    files(tmp_path, original=names(10), out__images=names(10))
    there = Files(tmp_path, skip=str(tmp_path / "out" / "images"))
    assert len(there.images) == 10


def test_any_extension_of_an_image_is_found_and_no_other_file(tmp_path):
    there = files(tmp_path, a=["1.PNG", "2.jpeg", "3.webp", "4.txt", "4.json"])
    located = locate(there, rows(names(5)), ())
    assert sorted(located.rows) == ["a/1.PNG", "a/2.jpeg", "a/3.webp"]
    assert [drop.id for drop in located.drops] == ["0.jpg", "4.jpg"] and len(located.missing) == 2


def test_the_same_extension_goes_before_another(tmp_path):
    located = locate(files(tmp_path, a=["1.png", "1.jpg", "1.JPG"]), rows(["1.jpg"]), ())
    assert list(located.rows) == ["a/1.jpg"]


def test_two_rows_of_one_image_are_a_duplicate_not_two_rows(tmp_path):
    located = locate(files(tmp_path, a=["1.jpg"]), rows(["1.jpg", "1.png"]), ())
    assert len(located.rows) == 1 and [drop.kind for drop in located.drops] == ["duplicate"]


def test_other_names_on_both_sides_are_refused_with_three_of_each(tmp_path):
    """AVA's images saved by row number: a few numbers are ids, too, and each would show another photograph."""
    there = files(tmp_path, images=names(100))
    located = locate(there, rows(names(40, 90)), ())
    line = other_naming(located, unmatched(there, located), 0.05)
    assert "30 of 40 rows" in line and "90 of 100 images" in line
    assert "100.jpg, 101.jpg, 102.jpg" in line and "images/0.jpg, images/1.jpg, images/10.jpg" in line


@pytest.mark.parametrize(
    ("have", "label_rows"), [((100, 0), (120, 0)), ((100, 0), (50, 0)), ((100, 0), (100, 0))],
    ids=["images are missing", "other images, too", "complete"],
)  # fmt: skip
def test_a_part_of_one_side_is_no_other_naming(tmp_path, have, label_rows):
    there = files(tmp_path, images=names(*have))
    located = locate(there, rows(names(*label_rows)), ())
    assert other_naming(located, unmatched(there, located), 0.05) == ""


def test_images_in_folders_that_are_not_used_are_no_sign_of_another_naming(tmp_path):
    there = files(tmp_path, train=names(80), test=names(500, 1000))
    located = locate(there, rows(names(100)), ())
    assert unmatched(there, located) == [] and "20 of 100" in too_many_missing(there, located, 0.05)
    assert too_many_missing(there, located, 0.2) == ""


def test_other_versions_within_the_folder_that_is_used_are_not_images_without_a_row(tmp_path):
    there = files(tmp_path, train=names(80), train__thumbs=names(60))
    located = locate(there, rows(names(100)), ())
    assert located.used == {"train": 80} and located.unused == {"train/thumbs": 60}
    assert unmatched(there, located) == [] and other_naming(located, [], 0.05) == ""


def test_a_fuller_folder_that_is_not_used_is_named(tmp_path):
    there = files(tmp_path, large=names(96), small=names(100))
    located = locate(there, rows(names(110)), ("large",))
    assert located.used == {"large": 96} and "--images small" in too_many_missing(there, located, 0.05)


def test_archives_that_are_not_unpacked_are_named(tmp_path):
    there = files(tmp_path, train=names(50), _=["train.zip.001", "labels.csv"])
    assert "unpack train.zip.001 there" in too_many_missing(there, locate(there, rows(names(100)), ()), 0.05)
