"""Leaks between train and test splits: against brute force, on crowds of blank pictures and on real photographs."""

import csv
import hashlib
import io
import random
import time

import imagehash
import pytest
from PIL import Image, ImageEnhance

from data_prep.duplicates import BITS, CROWD, FLAT, Leak, Picture, find_leaks, read_leaks, uninformative, write_leaks
from demo.photographs import TEST, TRAIN, load


def balanced(rng: random.Random) -> int:
    """A random hash as imagehash.phash makes them: 32 of 64 bits are set."""
    return sum(1 << bit for bit in rng.sample(range(64), 32))


def text(phash: int) -> str:
    return f"{phash:016x}"


def planted(seed: int) -> list[Picture]:
    """Random pictures of three datasets; each of the first 140 has a copy at distance 0..6 in any dataset and split,
    and each of the next 30 the very same file."""
    rng = random.Random(seed)
    pictures = []

    def add(phash: int, digest: str) -> None:
        test = rng.random() < 0.5
        pictures.append(Picture(rng.choice("abc"), f"{len(pictures):04d}", test, digest, text(phash)))

    for number in range(300):
        phash, digest = balanced(rng), f"file{number}"
        add(phash, digest)
        if number < 140:
            copy = phash
            for bit in rng.sample(range(64), number % 7):
                copy ^= 1 << bit
            add(copy, f"copy{number}")
        elif number < 170:
            add(phash, digest)
    return pictures


def brute_force(pictures: list[Picture], bits: int) -> list[Leak]:
    leaks = []
    for train in (picture for picture in pictures if not picture.test):
        found = []
        for test in (picture for picture in pictures if picture.test):
            distance = (int(train.phash, 16) ^ int(test.phash, 16)).bit_count()
            if train.digest == test.digest:
                found.append((-1, test.dataset, test.id))
            elif distance <= bits:
                found.append((distance, test.dataset, test.id))
        if found:
            distance, dataset, id = min(found)
            kind = "exact" if distance < 0 else "near"
            leaks.append(Leak(train.dataset, train.id, dataset, id, kind, max(distance, 0)))
    return sorted(leaks)


@pytest.mark.parametrize("bits", [0, 1, 2, 3, 6, 20])
def test_agrees_with_brute_force_in_any_order(bits):
    pictures = planted(bits)
    expected = brute_force(pictures, bits)
    assert {leak.kind for leak in expected} == {"exact", "near"}
    assert {leak.train_dataset == leak.test_dataset for leak in expected} == {True, False}
    if bits <= 6:
        assert {leak.distance for leak in expected} == set(range(bits + 1))
    assert find_leaks(pictures, bits=bits) == expected
    random.Random(1).shuffle(pictures)
    assert find_leaks(iter(pictures), bits=bits) == expected


def test_dropping_the_named_training_pictures_removes_the_leaks():
    pictures = planted(7)
    named = {(leak.train_dataset, leak.train_id) for leak in find_leaks(pictures)}
    rest = [picture for picture in pictures if picture.test or (picture.dataset, picture.id) not in named]
    assert named and brute_force(rest, BITS) == []


def test_more_hashes_than_fit_in_one_block(monkeypatch):
    monkeypatch.setattr("data_prep.duplicates.BLOCK", 7)
    assert find_leaks(planted(8)) == brute_force(planted(8), BITS)


@pytest.mark.parametrize("test", [False, True])
def test_copies_within_a_split_are_no_leaks(test):
    assert find_leaks(picture._replace(test=test) for picture in planted(9)) == []


def test_an_exact_pair_is_not_also_near_and_beats_an_earlier_near_one():
    phash = text(balanced(random.Random(0)))
    pictures = [
        Picture("a", "1", True, "other", phash),
        Picture("b", "1", True, "same", phash),
        Picture("b", "2", True, "same", phash),
        Picture("c", "1", False, "same", phash),
        Picture("c", "2", False, "third", phash),
    ]
    assert find_leaks(pictures) == [Leak("c", "1", "b", "1", "exact", 0), Leak("c", "2", "a", "1", "near", 0)]


def test_unknown_hashes_are_compared_as_files_only():
    pictures = [
        Picture("a", "1", True, "same", ""),
        Picture("a", "2", False, "same", ""),
        Picture("a", "3", False, "other", ""),
    ]
    assert find_leaks(pictures) == [Leak("a", "2", "a", "1", "exact", 0)]


def test_a_bad_hash_raises():
    with pytest.raises(ValueError, match="not a hash"):
        find_leaks([Picture("a", "1", True, "file", "not a hash")])


def test_nothing_leaks_from_nothing():
    assert find_leaks([]) == []


@pytest.mark.parametrize("phash", [text(1 << 63), text(balanced(random.Random(0)))])
def test_thousands_of_equal_hashes_are_left_out_fast_but_equal_files_are_found(phash):
    blank = [Picture("a", f"{number:05d}", number % 2 == 0, f"file{number}", phash) for number in range(20_000)]
    blank[7] = blank[7]._replace(digest="file4")
    start = time.perf_counter()
    assert find_leaks(blank) == [Leak("a", "00007", "a", "00004", "exact", 0)]
    assert time.perf_counter() - start < 2
    assert uninformative(blank) == {phash}


def test_one_file_many_times_is_no_crowd():
    phash = text(balanced(random.Random(0)))
    copies = [Picture("a", str(number), False, "one", phash) for number in range(100)]
    files = [Picture("a", str(number), True, f"file{number}", phash) for number in range(CROWD)]
    assert uninformative(copies + files[1:]) == set()
    assert uninformative(copies + files) == {phash}


def test_a_crowd_is_more_than_ten_files():
    phash = text(balanced(random.Random(0)))
    files = [Picture("a", str(number), number == 0, f"file{number}", phash) for number in range(11)]
    assert len(find_leaks(files[:10])) == 9 and find_leaks(files) == []


def flat() -> list[Image.Image]:
    across = Image.linear_gradient("L")
    return [Image.new("L", (80, 60), 0), Image.new("L", (80, 60), 200), across, across.rotate(90)]


def test_only_flat_pictures_have_few_bits_set():
    assert [int(str(imagehash.phash(image)), 16).bit_count() < FLAT for image in flat()] == [True] * 4
    photos = [imagehash.phash(load(*name)) for name in TRAIN + TEST]
    assert [int(str(phash), 16).bit_count() for phash in photos] == [32] * 16


def picture(image: Image.Image, dataset: str, id: str, test: bool, **options: int) -> Picture:
    """The image as the JPEG file that a dataset would ship."""
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    phash = str(imagehash.phash(Image.open(file)))
    return Picture(dataset, id, test, hashlib.sha256(file.getvalue()).hexdigest(), phash)


def test_changed_copies_of_a_photograph_are_near_and_other_photographs_are_not():
    pictures, expected = [], set()
    for package, name in TRAIN + TEST:
        photo = load(package, name)
        pictures.append(picture(photo, "test", name, True, quality=95))
        copies = {
            "jpeg": picture(photo, "jpeg", name, False, quality=60),
            "half": picture(photo.resize((photo.width // 2, photo.height // 2)), "half", name, False, quality=90),
            "bright": picture(ImageEnhance.Brightness(photo).enhance(1.05), "bright", name, False, quality=90),
        }
        pictures += copies.values()
        expected |= {(copy, name, name) for copy in copies}
    # An even wall has hardly any coarse shape to hash: the one of 48 copies that BITS costs, 4 bits away.
    expected.remove(("jpeg", "brick.png", "brick.png"))
    leaks = find_leaks(pictures)
    assert {leak.kind for leak in leaks} == {"near"}
    assert {(leak.train_dataset, leak.train_id, leak.test_id) for leak in leaks} == expected


def test_the_table_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "leaks.csv"
    write_leaks(path, [Leak("ava", "1,5", "tad66k", "é", "near", 2)])
    expected = b"train_dataset,train_id,test_dataset,test_id,kind,distance\n" + 'ava,"1,5",tad66k,é,near,2\n'.encode()
    assert path.read_bytes() == expected
    with pytest.raises(csv.Error):
        write_leaks(path, [Leak("ava", "1", "tad66k", "2", "near", 0), None])
    assert path.read_bytes() == expected
    write_leaks(path, [])
    assert path.read_bytes() == b"train_dataset,train_id,test_dataset,test_id,kind,distance\n"
    assert [file.name for file in path.parent.iterdir()] == ["leaks.csv"]


def test_the_table_is_read_back(tmp_path):
    leaks = [Leak("ava", "1,5", "tad66k", "é", "near", 2), Leak("hci", "1", "hci", "2", "exact", 0)]
    write_leaks(tmp_path / "leaks.csv", leaks)
    assert read_leaks(tmp_path / "leaks.csv") == leaks and read_leaks(tmp_path / "absent.csv") == []
    (tmp_path / "leaks.csv").write_text("id,file\n1,2\n")
    with pytest.raises(ValueError, match=r"leaks\.csv: not a table of leaks .*; remove it"):
        read_leaks(tmp_path / "leaks.csv")
