"""Duplicates: hashes and their look-up against brute force, leaks and conflicts, and no false alarms."""

import csv
import hashlib
import random
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from bench.duplicates import disc
from data_prep.alike import alike, first_alike
from data_prep.candidates import kind
from data_prep.conflicts import Labeled, find_conflicts, pairs
from data_prep.hashes import PARTS, POSITIONS, hash_image, numbers, positions, shrink
from data_prep.leaks import Leak, find_leaks
from data_prep.lookup import within
from data_prep.pictures import CROWD, Picture, read_table, uninformative, write_table
from data_prep.pixels import sketch
from demo.photographs import PARTS as PHOTOGRAPHS
from demo.photographs import load

NAMES = [photo for photos in PHOTOGRAPHS.values() for photo in photos]


def always(groups):
    """Confirms the first candidate of each group."""
    return [0] * len(groups)


@pytest.mark.parametrize("bits", [0, 2, 5])
@pytest.mark.parametrize("entries", [1 << 20, 1 << 10])  # compared at once: all, or those of a look-up
def test_the_look_up_finds_what_comparing_all_with_all_finds(bits, entries, monkeypatch):
    monkeypatch.setattr("data_prep.lookup.ENTRIES", entries)
    rng = np.random.default_rng(bits)
    hashes = rng.integers(0, 1 << 63, 400, np.uint64)
    queries = rng.integers(0, 1 << 63, 300, np.uint64)
    for place in range(200):
        flipped = sum(1 << int(bit) for bit in rng.choice(63, place % 8, replace=False))
        queries[place] = hashes[place] ^ np.uint64(flipped)
    found = {(int(a), int(b)): int(d) for block in within(hashes, queries, bits) for a, b, d in zip(*block)}
    distances = np.bitwise_count(hashes[:, None] ^ queries)
    assert found == {(a, b): int(distances[a, b]) for a, b in zip(*np.nonzero(distances <= bits))}
    assert len(found) >= 25 * (bits + 1)


def gray(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"))


def distance(one: str, other: int) -> int:
    return (int(one[:16], 16) ^ int(other)).bit_count()


@pytest.mark.parametrize("place", range(len(POSITIONS)))
def test_the_hashes_of_all_positions_come_from_one(place):
    mirrored, quarters = POSITIONS[place]
    for name in NAMES[::4]:
        photo = gray(load(*name))
        turned = np.ascontiguousarray(np.rot90(photo[:, ::-1] if mirrored else photo, quarters))
        made = positions(numbers([hash_image(photo)]))[0, 0, place]
        assert distance(hash_image(turned), made) <= 4, name


def test_a_flat_image_says_nothing():
    flat = [np.full((80, 60), 9, np.uint8), np.zeros((50, 50), np.uint8), gray(Image.linear_gradient("L"))]
    hashes = [hash_image(image) for image in flat]
    assert hashes == ["0" * 16 * len(PARTS)] * 3
    assert not any(set(hash_image(gray(load(*name)))[:16]) == {"0"} for name in NAMES)


def test_a_crowd_is_more_than_ten_files_and_one_file_many_times_is_none():
    same = f"{1 << 40 | 7:016x}" * len(PARTS)
    files = [Picture("a", str(number), False, f"file{number}", same) for number in range(CROWD + 1)]
    assert uninformative(files[:CROWD]) == set() and uninformative(files) == {same[:16]}
    assert uninformative([files[0]._replace(id=str(number)) for number in range(50)]) == set()


def test_thousands_of_equal_hashes_are_compared_as_files_only():
    same = f"{1 << 40 | 7:016x}" * len(PARTS)
    blank = [Picture("a", f"{number:05d}", number % 2 == 0, f"file{number}", same) for number in range(20_000)]
    blank[7] = blank[7]._replace(digest="file4")
    assert find_leaks(blank, always) == [Leak("a", "00007", "a", "00004", "exact", 0)]


def test_files_that_were_not_read_are_compared_as_files_only_and_order_does_not_matter():
    rows = [
        Picture("a", "1", True, "same", ""),
        Picture("a", "2", False, "same", ""),
        Picture("b", "3", False, "other", ""),
    ]
    expected = [Leak("a", "2", "a", "1", "exact", 0)]
    assert find_leaks(rows, always) == find_leaks(rows[::-1], always) == expected and find_leaks([], always) == []


CHANGES = {
    "near": lambda image: image.resize((image.width // 2, image.height // 2)),
    "mirrored": ImageOps.mirror,
    "turned": lambda image: image.rotate(90, expand=True),
    "bordered": lambda image: ImageOps.expand(image, 8, "black"),
    "cropped": lambda image: ImageOps.crop(image, tuple(side * 5 // 100 for side in image.size * 2)),
}


def pictured(folder: Path, image: Image.Image, dataset: str, id: str, test: bool) -> Picture:
    """The image as the JPEG file that a dataset would ship."""
    path = folder / f"{dataset}_{id}.jpg"
    image.convert("RGB").save(path, "JPEG", quality=85)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Picture(dataset, id, test, digest, hash_image(sketch(path.read_bytes())), path.name)


@pytest.mark.slow
def test_changed_duplicates_are_found_and_other_photographs_are_not(tmp_path):
    rows, expected = [], set()
    for number, name in enumerate(NAMES):
        photo = load(*name)
        photo.thumbnail((400, 400))
        rows.append(pictured(tmp_path, photo, "test", str(number), True))
        for change, make in CHANGES.items():
            rows.append(pictured(tmp_path, make(photo), change, str(number), False))
            expected.add((change, str(number)))
    leaks = find_leaks(rows, partial(first_alike, tmp_path, workers=1))
    assert all(leak.train_id == leak.test_id for leak in leaks), "no false alarm"
    found = {(leak.train_dataset, leak.train_id) for leak in leaks}
    assert len(found & expected) >= 0.9 * len(expected), sorted(expected - found)
    kinds = [(leak.train_dataset, leak.kind) for leak in leaks]
    for change in CHANGES:
        said = [kind for dataset, kind in kinds if dataset == change]
        # A narrow border may also be cropped off.
        assert sum(change in kind for kind in said) >= 0.7 * len(said), (change, said)


def test_crops_of_one_photograph_that_do_not_overlap_are_no_duplicates(tmp_path):
    rows = []
    for name in NAMES:
        photo = load(*name)
        width, height = photo.width // 3, photo.height // 3
        for place in range(9):
            x, y = place % 3 * width, place // 3 * height
            crop = photo.crop((x, y, x + width, y + height))
            rows.append(pictured(tmp_path, crop, name[1].replace("/", "_"), str(place), place % 2 == 0))
    assert find_leaks(rows, partial(first_alike, tmp_path, workers=1)) == []


def test_discs_on_black_that_differ_inside_are_no_duplicates(tmp_path):
    """As fundus photographs do: their outlines are all alike."""
    discs = [disc(np.random.default_rng(number)) for number in range(16)]
    rows = [pictured(tmp_path, image, "disc", str(number), number % 2 == 0) for number, image in enumerate(discs)]
    squares = [shrink(sketch((tmp_path / row.image).read_bytes())) for row in rows]
    assert not any(alike(one, other) for one, other in combinations(squares, 2)), "whatever their hashes are"
    again = pictured(tmp_path, discs[0].resize((200, 200)), "again", "0", False)
    (leak,) = find_leaks([*rows, again], partial(first_alike, tmp_path, workers=1))
    assert leak[:5] == ("again", "0", "disc", "0", "near")


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (3, 400), (7, 7), (97, 5)])
def test_an_image_of_any_size_has_hashes(size):
    noise = np.random.default_rng(0).integers(0, 256, size[::-1]).astype(np.uint8)
    for image in (noise, np.pad(noise, 2)):
        assert len(hash_image(image)) == 16 * len(PARTS)


def test_what_was_done_is_said_in_words():
    assert kind(0, 0, 0) == "near" and kind(0, 0, POSITIONS.index((True, 0))) == "mirrored"
    assert kind(2, 0, POSITIONS.index((False, 1))) == "turned and cropped" and kind(1, 1, 0) == "bordered"


def labeled(id: str, label: int, digest: str, phash: int, split: str = "train") -> Labeled:
    hashes = f"{phash:016x}" * len(PARTS)
    return Labeled(id, label, split, Picture("toy", id, split == "test", digest, hashes, f"{id}.jpg"))


def test_one_picture_with_two_labels_is_a_conflict_within_and_across_parts():
    rng = random.Random(0)
    base = [rng.getrandbits(63) for _ in range(6)]
    rows = [
        labeled("a", 1, "file1", base[0]),
        labeled("b", 2, "file1", base[0], "test"),  # the same file
        labeled("c", 3, "file2", base[1]),
        labeled("d", 4, "file3", base[1] ^ 5),  # 2 bits off
        labeled("e", 1, "file4", base[2]),
        labeled("f", 1, "file4", base[2]),  # the same label
        labeled("g", 0, "file5", base[3]),
        labeled("h", 0, "file6", base[3] ^ 1),
        labeled("i", 4, "file7", base[3] ^ 2),  # with g and h
    ]
    groups = find_conflicts(rows[::-1], always)
    assert [[row.id for row in group] for group in groups] == [["a", "b"], ["c", "d"], ["g", "h", "i"]]
    lines = [line for group in groups for line in pairs(group)]
    assert lines[0] == ("toy", "a", "1", "train", "b", "2", "test", "exact", 0)
    assert (lines[1].id, lines[1].other_id, lines[1].kind, lines[1].distance) == ("c", "d", "near", 2)
    assert {row.id for row in groups[2]} <= {id for line in lines for id in (line.id, line.other_id)}
    assert find_conflicts(rows, lambda groups: [None] * len(groups)) == groups[:1], "pixels decide what is near"


def test_rows_with_the_same_file_are_in_a_line_of_that_kind_whatever_else_is_near():
    base = random.Random(1).getrandbits(63)
    rows = [labeled("c", 1, "same", base), labeled("d", 2, "same", base)]
    rows += [labeled("a", 3, "near", base ^ 1), labeled("b", 1, "other", base ^ 2)]
    (group,) = find_conflicts(rows, always)
    lines = pairs(group)
    assert [(line.id, line.other_id, line.kind) for line in lines if line.kind == "exact"] == [("c", "d", "exact")]
    assert {id for line in lines for id in (line.id, line.other_id)} == set("abcd")


def test_a_table_is_written_whole_read_back_and_says_nothing_if_nothing_was_compared(tmp_path):
    path, leaks = tmp_path / "new" / "leaks.csv", [Leak("ava", "1,5", "tad66k", "é", "turned and cropped", 2)]
    write_table(path, Leak, leaks, True)
    assert read_table(path, Leak) == leaks and read_table(tmp_path / "absent.csv", Leak) == []
    with pytest.raises(csv.Error):
        write_table(path, Leak, [*leaks, None], True)
    assert read_table(path, Leak) == leaks and [file.name for file in path.parent.iterdir()] == ["leaks.csv"]
    write_table(path, Leak, [], False)
    assert not path.exists()
    (tmp_path / "leaks.csv").write_text("id,file\n1,2\n")
    with pytest.raises(ValueError, match=r"leaks\.csv: not a table of duplicates .*; remove it"):
        read_table(tmp_path / "leaks.csv", Leak)
