"""The reader of HCI, on tiny folders as its owner and others have them."""

import pytest

from data_prep.locate import locate
from data_prep.source import Drop, Row
from data_prep.sources import hci
from storm.datasets import DATASETS
from tests.helpers.downloads import located_as_built, put_files

DECADES = ("1930s", "1940s", "1950s", "1960s", "1970s")


def test_hci_reads_the_decade_from_the_folder(tmp_path):
    top = "HistoricalColor-ECCV2012/data/imgs/decade_database"
    files = put_files(
        tmp_path,
        {
            f"{top}/1930s/decade_0a.jpg": "",
            f"{top}/1940s/decade_0a.jpg": "",  # the same name in another decade is another image
            f"{top}/1940s/._decade_0a.jpg": "",
            f"{top}/1950s/scans/decade_0b.JPG": "",
            "1960S/decade_0c.jpg": "",
            f"{top}/1970s/decade_0d.jpg": "",
            f"{top}/1970s/readme.txt": "",
            "figures/teaser.jpg": "",
        },
    )
    beside = Drop("teaser", "figures/teaser.jpg", "rule", "not below a folder 1930s, 1940s, 1950s, 1960s or 1970s")
    rows = list(hci.read(files))
    assert rows == [
        beside,
        Row("1960s/decade_0c", ("1960S/decade_0c.jpg",), 3),
        Row("1930s/decade_0a", ("1930s/decade_0a.jpg",), 0),
        Row("1940s/decade_0a", ("1940s/decade_0a.jpg",), 1),
        Row("1950s/decade_0b", ("1950s/scans/decade_0b.JPG",), 2),
        Row("1970s/decade_0d", ("1970s/decade_0d.jpg",), 4),
    ]
    assert located_as_built(files, hci) == ["1960S/decade_0c.jpg", *(f"{top}/{row.images[0]}" for row in rows[2:])]


def test_hci_in_the_copy_of_dlordinal(tmp_path):
    places = [f"HCI/{part}/{n}/{part}{n}.png" for part in ("train", "test") for n in range(5)]
    files = put_files(tmp_path, dict.fromkeys(places, "x"))
    rows = list(hci.read(files))
    assert sorted((row.id, row.score) for row in rows)[:3] == [
        ("1930s/test0", 0),
        ("1930s/train0", 0),
        ("1940s/test1", 1),
    ]
    assert sorted(located_as_built(files, hci)) == sorted(places) and "224" in files.notes[0]


def test_hci_in_folders_from_1_to_5_is_refused(tmp_path):
    places = [f"{part}/{n}/{part}{n}.png" for part in ("train", "test") for n in range(1, 6)]
    with pytest.raises(ValueError, match="1930s"):
        list(hci.read(put_files(tmp_path, dict.fromkeys(places, "x"))))


def test_hci_without_decade_folders_says_what_to_do(tmp_path):
    files = put_files(tmp_path, {"decade_0a.jpg": "", "1940s/._decade_0a.jpg": ""})
    with pytest.raises(FileNotFoundError, match=r"no image below a folder 1930s, .*there is decade_0a\.jpg"):
        list(hci.read(files))


@pytest.mark.parametrize("half", ["AA", "zz"])
def test_hci_takes_one_folder_though_another_one_calls_the_decades_differently(tmp_path, half):
    whole = [f"full/{decade}/{n}.jpg" for decade in DECADES for n in range(4)]
    part = [f"{half}/{decade[:4]}/{n}.jpg" for decade in DECADES for n in (1, 3)]
    files = put_files(tmp_path, dict.fromkeys([*whole, *part], b""))
    located_rows = locate(files, list(hci.read(files)), DATASETS["hci"].folders)
    assert (located_rows.used, located_rows.unused, located_rows.drops) == ({"full": 20}, {half: 10}, [])


@pytest.mark.parametrize("copy", ["AA", "zz"])
@pytest.mark.parametrize(("original", "used"), [(20, "full"), (19, "full"), (10, "copy")])
def test_hci_takes_the_owners_images_before_those_of_dlordinal(tmp_path, copy, original, used):
    whole = [f"full/{decade}/{n}.jpg" for n in range(4) for decade in DECADES][:original]
    small = [f"{copy}/{'test' if n else 'train'}/{level}/{n}.jpg" for level in range(5) for n in range(4)]
    files = put_files(tmp_path, dict.fromkeys([*whole, *small], b""))
    located_rows = locate(files, rows := list(hci.read(files)), DATASETS["hci"].folders)
    assert set(located_rows.used) == ({"full"} if used == "full" else {f"{copy}/train", f"{copy}/test"})
    assert len(rows) == len(located_rows.rows) == (original if used == "full" else 20)
    assert all(row.id.startswith(f"{DECADES[row.score]}/") for row in rows)
    assert any("0..4" in note for note in files.notes)
