"""The reader of CACD, on tiny folders as its owner's and with either form of its .mat file."""

import unicodedata
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from data_prep.downloads import Files
from data_prep.locate import locate
from data_prep.source import Drop, Row
from data_prep.sources import cacd
from storm.datasets import DATASETS
from tests.helpers.downloads import located, put

CELEBRITIES = {
    "14_Renée_Zellweger_0001": (14, "Renée_Zellweger"),
    "45_Harry_Connick_Jr._0002": (45, "Harry_Connick_Jr."),
    "53_Gail_O'Grady_0011": (53, "Gail_O'Grady"),
    "62_50_Cent_0003": (62, "50_Cent"),
    "30_Joanna_'JoJo'_Levesque_0004": (30, "Joanna_'JoJo'_Levesque"),
}


def cacd_on_disk(root: Path) -> Files:
    """Accents decomposed, as macOS unpacks them, and an extension in capitals; ._ files are hidden."""
    images = [f"CACD2000/{unicodedata.normalize('NFD', id)}.jpg" for id in CELEBRITIES]
    return put(root, images[0].replace(".jpg", ".JPG"), *images[1:], "CACD2000/._62_50_Cent_0003.jpg")


def meta_v5(path: Path, names: list[str], ages: list[float]) -> None:
    """As the owner's: struct arrays 1x1 with columns, the names a cell array."""
    cells = np.empty((len(names), 1), object)
    cells[:, 0] = names
    people = {"name": cells, "rank": np.ones((len(names), 1))}
    images = {"age": np.array(ages)[:, None], "identity": np.ones((len(names), 1), np.uint16), "name": cells}
    savemat(path, {"celebrityData": people, "celebrityImageData": images}, do_compression=True)


def meta_v73(path: Path, names: list[str], ages: list[float]) -> None:
    """As MATLAB's -v7.3: a 512-byte header, columns as rows, texts as references to UTF-16 codes."""
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = np.empty((1, len(names)), h5py.ref_dtype)
        for i, name in enumerate(names):
            codes = np.frombuffer(name.encode("utf-16-le"), np.uint16)[:, None]
            cells[0, i] = file.create_dataset(f"#refs#/{i}", data=codes).ref
        file["celebrityImageData/age"] = np.array(ages)[None]
        file.create_dataset("celebrityImageData/name", data=cells, dtype=h5py.ref_dtype)


def test_cacd_from_file_names(tmp_path):
    files = cacd_on_disk(tmp_path)
    rows = {row.id: row for row in cacd.read(files)}
    assert rows == {
        id: Row(id, (path.split("/")[1],), age, unicodedata.normalize("NFC", person))
        for id, (age, person) in CELEBRITIES.items()
        for path in files.paths
        if id in unicodedata.normalize("NFC", path)
    }
    assert len(rows) == 5
    assert located(files, list(rows.values())) == [f"CACD2000/{row.images[0]}" for row in rows.values()]


@pytest.mark.parametrize("write", [meta_v5, meta_v73])
def test_cacd_gives_the_same_rows_from_either_meta_file(tmp_path, write):
    files = cacd_on_disk(tmp_path)
    from_names = sorted(cacd.read(files))
    names = [f"{id}.jpg" for id in CELEBRITIES]
    write(tmp_path / "celebrity2000_meta.mat", names, [age for age, _ in CELEBRITIES.values()])
    files = Files(tmp_path)
    from_meta = list(cacd.read(files))
    assert [row.id for row in from_meta] == [name.removesuffix(".jpg") for name in names]
    assert located(files, sorted(from_meta)) == [f"CACD2000/{row.images[0]}" for row in from_names]
    assert [row._replace(images=()) for row in sorted(from_meta)] == [row._replace(images=()) for row in from_names]
    assert {type(row.score) for row in from_meta} == {int}


@pytest.mark.parametrize("write", [meta_v5, meta_v73])
def test_cacd_drops_names_without_an_age_and_ages_that_differ(tmp_path, write):
    write(tmp_path / "celebrity2000_meta.mat", ["cover.jpg", "20_A_B_0001.jpg", "21_A_B_0002.jpg"], [20, 20, 19])
    assert list(cacd.read(Files(tmp_path))) == [
        Drop("cover.jpg", "cover.jpg", "rule", "'cover.jpg' is not <age>_<name>_<four digits>.jpg"),
        Row("20_A_B_0001", ("20_A_B_0001.jpg",), 20, "A_B"),
        Drop(
            "21_A_B_0002", "21_A_B_0002.jpg", "rule", "age 19 in celebrity2000_meta.mat, but 21 in the name of the file"
        ),
    ]


def test_cacd_drops_file_names_without_an_age(tmp_path):
    bad = ["x/20_A_B_001.jpg", "x/A_B_0001.jpg", "20_A/B_0001.jpg"]
    rows = list(cacd.read(put(tmp_path, *bad)))
    assert sorted((row.file, row.kind) for row in rows) == sorted((path.split("/")[-1], "rule") for path in bad)


@pytest.mark.parametrize("write", [meta_v5, meta_v73])
def test_cacd_says_what_to_do_about_a_damaged_meta_file(tmp_path, write):
    path = tmp_path / "celebrity2000_meta.mat"
    write(path, [f"20_A_B_{i:04}.jpg" for i in range(50)], [20] * 50)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:100], b"<html>no such file</html>" * 20, b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"celebrity2000_meta\.mat: cannot read .*; download it again"):
            list(cacd.read(Files(tmp_path)))


def test_cacd_refuses_a_meta_file_of_something_else(tmp_path):
    savemat(tmp_path / "celebrity2000_meta.mat", {"celebrityData": {"name": "A_B"}})
    with pytest.raises(ValueError, match="cannot read name and age of celebrityImageData"):
        list(cacd.read(Files(tmp_path)))


@pytest.mark.parametrize("wrong", ["cp1252", "latin-1", "cp437"])
@pytest.mark.parametrize("name", ["30_Alexander_Skarsgård_0001", "14_Renée_Zellweger_0001", "40_Zoë_Kravitz_0002"])
def test_cacd_names_in_a_wrong_encoding_get_the_owners_ids(tmp_path, wrong, name):
    broken = unicodedata.normalize("NFC", name).encode().decode(wrong)
    for given in (broken, unicodedata.normalize("NFD", broken)):
        assert cacd.owners(f"{given}.jpg") == f"{name}.jpg"
    files = put(tmp_path, f"CACD2000/{broken}.jpg", "CACD2000/20_A_B_0001.jpg")
    rows = list(cacd.read(files))
    assert {row.id for row in rows} == {name, "20_A_B_0001"} and len(located(files, rows)) == 2
    assert None not in located(files, rows) and "1 file names are in a wrong encoding" in files.notes[0]
    meta_v5(tmp_path / "celebrity2000_meta.mat", [f"{name}.jpg"], [int(name[:2])])
    files = Files(tmp_path)
    assert located(files, list(cacd.read(files))) == [f"CACD2000/{broken}.jpg"]


def test_cacd_keeps_accents_at_the_beginning_of_a_word_and_refuses_names_in_lower_case(tmp_path):
    assert cacd.owners("40_Ólafur_Ásgeir-Östlund_0001.jpg") == "40_Ólafur_Ásgeir-Östlund_0001.jpg"
    lower = [f"CACD2000/{20 + n}_person_{'abcdefghijkl'[n]}_0001.jpg" for n in range(12)]
    with pytest.raises(ValueError, match="lower case"):
        list(cacd.read(put(tmp_path / "a", *lower)))
    assert len(list(cacd.read(put(tmp_path / "b", *lower, "CACD2000/45_Peter_Mullan_0001.jpg")))) == 13


def test_cacd_names_that_cannot_be_repaired_are_refused(tmp_path):
    for code in ("#U00e5", "%C3%A5", "&aring;", "\\u00e5"):
        assert cacd.owners(f"30_Alexander_Skarsg{code}rd_0001.jpg") == "30_Alexander_Skarsgård_0001.jpg"
    for name in (
        "30_Alexander_Skarsg?rd_0001.jpg",
        "30_Alexander_Skarsg\ufffdrd_0001.jpg",
        "14_RenΘe_Zellweger_0001.jpg",
        "14_RenÚe_Zellweger_0001.jpg",  # Latin-1 read as cp850
        "14_RenÈe_Zellweger_0001.jpg",  # as Mac Roman
        "14_RenĂŠe_Zellweger_0001.jpg",  # UTF-8 read as Latin-2
        "30_Alexander_SkarsgĂĄrd_0001.jpg",  # as cp1250
        "30_Alexander_Skarsgĺrd_0001.jpg",  # Latin-1 read as cp1250
    ):
        with pytest.raises(ValueError, match="unpack the archive again"):
            list(cacd.read(put(tmp_path / str(len(name)) / name[3], f"CACD2000/{name}")))


@pytest.mark.parametrize(("people", "refused"), [(1000, True), (999, False)])
def test_cacd_of_many_people_without_any_accent_is_refused(tmp_path, people, refused):
    files = put(tmp_path, *(f"30_Rene_{number}_0001.jpg" for number in range(people)))
    if refused:
        with pytest.raises(ValueError, match="1,000 people.*unpack"):
            list(cacd.read(files))
    else:
        assert len(list(cacd.read(files))) == people


def test_cacd_of_many_people_needs_only_one_accent(tmp_path):
    files = put(tmp_path, "14_Renée_Zellweger_0001.jpg", *(f"30_Al_{number}_0001.jpg" for number in range(1000)))
    assert len(list(cacd.read(files))) == 1001


@pytest.mark.parametrize("other", ["AA", "zz"])
@pytest.mark.parametrize("broken", ["CACD2000", "other"])
def test_cacd_folders_that_spell_a_name_differently_lose_no_row(tmp_path, other, broken):
    """Either folder has every image, whichever is taken and whichever comes first."""
    names = ["14_Renée_Zellweger_0001.jpg", *(f"30_Al_{number}_0001.jpg" for number in range(99))]
    mojibake = [name.encode().decode("latin-1") for name in names]
    one, two = (mojibake, names) if broken == "CACD2000" else (names, mojibake)
    files = put(tmp_path, *(f"CACD2000/{name}" for name in one), *(f"{other}/{name}" for name in two))
    found = locate(files, list(cacd.read(files)), DATASETS["cacd"].folders)
    assert (found.used, found.drops) == ({"CACD2000": 100}, [])
    assert {row.id for row in found.rows.values()} == {name.removesuffix(".jpg") for name in names}
