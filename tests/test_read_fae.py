"""Readers of Adience, CACD, Morph and UTK, on tiny folders in their owners' formats."""

import unicodedata
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from data_prep import adience, cacd, morph, utk
from data_prep.files import Files
from data_prep.source import Drop, Row

HEAD = ["user_id", "original_image", "face_id", "age", "gender", "x", "y", "dx", "dy", "tilt_ang"]
HEAD += ["fiducial_yaw_angle", "fiducial_score"]


def put(root: Path, *images: str, **texts: str) -> Files:
    """A folder of empty images and of label files (name without extension, which is .txt or .csv, = content)."""
    for path in images:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    for name, text in texts.items():
        (root / f"{name}{'.txt' if name.startswith('fold') else '.csv'}").write_bytes(text.encode())
    return Files(root)


def fold(*rows: tuple[str, str, str, str], end: str = "\n") -> str:
    """A fold file from rows (user_id, original_image, face_id, age)."""
    rest = ["f", "0", "414", "1086", "1383", "-115", "30", "17"]
    return "".join("\t".join(cells) + end for cells in (HEAD, *([*row, *rest] for row in rows)))


def located(files: Files, rows: list[Row | Drop]) -> list[str | None]:
    return [files.find(*row.images) for row in rows if isinstance(row, Row)]


@pytest.mark.parametrize("module", [adience, cacd, morph, utk])
def test_ages_and_groups_are_labels_as_they_are(module):
    dataset = module.DATASET
    assert dataset.label(float("5"), dataset.low, dataset.high) == 5


@pytest.mark.parametrize("module", [cacd, morph, utk])
def test_a_folder_without_images_says_what_is_missing(tmp_path, module):
    with pytest.raises(FileNotFoundError, match=r"\.jpg"):
        list(module.read(put(tmp_path, "readme.md")))


def test_adience_keeps_the_eight_groups_once(tmp_path):
    files = put(
        tmp_path,
        "aligned/7@N01/landmark_aligned_face.1.10_a_o.jpg",
        "faces/7@N01/coarse_tilt_aligned_face.1.10_a_o.jpg",
        "faces/7@N01/coarse_tilt_aligned_face.2.10_a_o.jpg",
        "aligned/8@N02/landmark_aligned_face.1.10_a_o.jpg",
        fold_0_data=fold(
            ("7@N01", "10_a_o.jpg", "1", "(0, 2)"),
            ("7@N01", "10_a_o.jpg", "2", "(60, 100)"),
            ("7@N01", "10_a_o.jpg", "1", "(0, 2)"),
            ("7@N01", "10_a_o.jpg", "3", "None"),
            ("7@N01", "10_a_o.jpg", "4", "(25, 23)"),
        ),
        fold_1_data=fold(("8@N02", "10_a_o.jpg", "1", "(8, 12)"), ("8@N02", "11_b_o.jpg", "1", "35"), end="  \t\r\n"),
        fold_2_data=fold(("9@N03", "12_c_o.jpg", "5", "(25, 32) "), end="\r\n"),
        fold_3_data=fold(("9@N04", "12_c_o.jpg", "5", "")) + "9@N04\t13_d_o.jpg\n",
        fold_4_data=fold(("9@N05", "12_c_o.jpg", "5", "(48, 53)")),
        fold_frontal_0_data=fold(("7@N01", "10_a_o.jpg", "9", "(4, 6)")),
    )

    def row(user: str, image: str, face: int, score: int, part: str = "train") -> Row:
        aligned, tilted = f"landmark_aligned_face.{face}.{image}.jpg", f"coarse_tilt_aligned_face.{face}.{image}.jpg"
        return Row(f"{user}/{face}.{image}", (f"aligned/{user}/{aligned}", f"faces/{user}/{tilted}"), score, user, part)

    def drop(id: str, file: str, age: str) -> Drop:
        return Drop(id, file, "rule", f"age {age!r} is none of the eight groups")

    repeated = "user_id, face_id and original_image are repeated"
    rows = list(adience.read(files))
    assert rows == [
        row("7@N01", "10_a_o", 1, 0),
        row("7@N01", "10_a_o", 2, 7),
        Drop("7@N01/1.10_a_o", "fold_0_data.txt, line 4", "duplicate", repeated),
        drop("7@N01/3.10_a_o", "fold_0_data.txt, line 5", "None"),
        drop("7@N01/4.10_a_o", "fold_0_data.txt, line 6", "(25, 23)"),
        row("8@N02", "10_a_o", 1, 2),
        drop("8@N02/1.11_b_o", "fold_1_data.txt, line 3", "35"),
        row("9@N03", "12_c_o", 5, 4),
        drop("9@N04/5.12_c_o", "fold_3_data.txt, line 2", ""),
        drop("9@N04/.13_d_o", "fold_3_data.txt, line 3", ""),
        row("9@N05", "12_c_o", 5, 6, "test"),
    ]
    assert located(files, rows) == [
        "aligned/7@N01/landmark_aligned_face.1.10_a_o.jpg",
        "faces/7@N01/coarse_tilt_aligned_face.2.10_a_o.jpg",
        "aligned/8@N02/landmark_aligned_face.1.10_a_o.jpg",
        None,
        None,
    ]


def test_adience_says_which_folds_are_missing(tmp_path):
    files = put(tmp_path, fold_0_data=fold(), fold_2_data=fold(), fold_3_data=fold())
    with pytest.raises(FileNotFoundError, match=r"no fold_1_data\.txt, fold_4_data\.txt here"):
        list(adience.read(files))


def test_adience_refuses_another_file(tmp_path):
    files = put(tmp_path, **{f"fold_{k}_data": "filename\tage\n" for k in range(5)})
    with pytest.raises(ValueError, match=r"fold_0_data\.txt: no column 'user_id'"):
        list(adience.read(files))


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
        id: Row(id, (path,), age, unicodedata.normalize("NFC", person))
        for id, (age, person) in CELEBRITIES.items()
        for path in files.paths
        if id in unicodedata.normalize("NFC", path)
    }
    assert len(rows) == 5
    assert located(files, list(rows.values())) == [row.images[0] for row in rows.values()]


@pytest.mark.parametrize("write", [meta_v5, meta_v73])
def test_cacd_gives_the_same_rows_from_either_meta_file(tmp_path, write):
    files = cacd_on_disk(tmp_path)
    from_names = sorted(cacd.read(files))
    names = [f"{id}.jpg" for id in CELEBRITIES]
    write(tmp_path / "celebrity2000_meta.mat", names, [age for age, _ in CELEBRITIES.values()])
    files = Files(tmp_path)
    from_meta = list(cacd.read(files))
    assert [row.images for row in from_meta] == [(name,) for name in names]
    assert located(files, sorted(from_meta)) == [row.images[0] for row in from_names]
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
    assert sorted((row.file, row.kind) for row in rows) == sorted((path, "rule") for path in bad)


@pytest.mark.parametrize("write", [meta_v5, meta_v73])
def test_cacd_says_what_to_do_about_a_damaged_meta_file(tmp_path, write):
    path = tmp_path / "celebrity2000_meta.mat"
    write(path, [f"20_A_B_{i:04}.jpg" for i in range(50)], [20] * 50)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:100], b"<html>no such file</html>" * 20, b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"celebrity2000_meta\.mat: cannot read .*; download it again, or remove"):
            list(cacd.read(Files(tmp_path)))


def test_cacd_refuses_a_meta_file_of_something_else(tmp_path):
    savemat(tmp_path / "celebrity2000_meta.mat", {"celebrityData": {"name": "A_B"}})
    with pytest.raises(ValueError, match="cannot read name and age of celebrityImageData"):
        list(cacd.read(Files(tmp_path)))


MORPH_HEAD = "id_num,picture_num,dob,doa,race,gender,facial_hair,age,age_diff,glasses,photo\n"
MORPH_IMAGES = ("Album2/009055_1M54.JPG", "Album2/070081_02F36.JPG", "Album2/332200_0M7.JPG")
MORPH_ROWS = [
    Row("009055_1M54", ("Album2/009055_1M54.JPG", "009055_1M54.jpg"), "54", "009055"),
    Row("070081_02F36", ("Album2/070081_02F36.JPG", "070081_02F36.jpg"), "36", "070081"),
    Row("332200_0M7", ("Album2/332200_0M7.JPG", "332200_0M7.jpg"), "7", "332200"),
]


def test_morph_gives_the_same_rows_from_file_names_and_from_either_csv_file(tmp_path):
    assert list(morph.read(put(tmp_path, *MORPH_IMAGES))) == MORPH_ROWS
    table = MORPH_HEAD
    for id, age, photo in (
        ("9055", 54, MORPH_IMAGES[0]),
        ("70081", 36, MORPH_IMAGES[1]),
        ("332200", 7, MORPH_IMAGES[2]),
    ):
        table += f"{id},1,1/2/1950,3/4/2004,W,M,,{age},0,,{photo}\r\n"
    files = put(tmp_path, MORPH_2008_nonCommercial=table)
    assert list(morph.read(files)) == MORPH_ROWS
    assert located(files, MORPH_ROWS) == list(MORPH_IMAGES)


def test_morph_in_copies_with_other_folders_and_case(tmp_path):
    files = put(
        tmp_path,
        "Images/Train/009055_1m54.jpg",
        "Images/Test/070081_02F36.jpg",
        "overview.jpg",
        "9055_1M54.jpg",
        morph_2008_nonCommercial=MORPH_HEAD
        + "1,1,,,W,M,,54,0,,Album2\\009055_1M54.JPG\n1,1,,,W,M,,,0,,Album2/x.JPG\n1,\n",
    )
    rows = list(morph.read(files))
    assert rows == [
        Row("009055_1M54", ("Album2\\009055_1M54.JPG", "009055_1M54.jpg"), "54", "009055"),
        Drop("Album2/x.JPG", "Album2/x.JPG", "rule", "'Album2/x.JPG' is not <six digits>_<picture><M|F><age>.jpg"),
        Drop("", "", "rule", "'' is not <six digits>_<picture><M|F><age>.jpg"),
    ]
    assert located(files, rows) == ["Images/Train/009055_1m54.jpg"]
    (tmp_path / "morph_2008_nonCommercial.csv").unlink()
    rows = list(morph.read(Files(tmp_path)))
    assert [row.id for row in rows] == ["9055_1M54.jpg", "070081_02F36", "009055_1M54", "overview.jpg"]
    assert located(files, rows) == ["Images/Test/070081_02F36.jpg", "Images/Train/009055_1m54.jpg"]


@pytest.mark.parametrize("age", ["53", "", "54.5", "old"])
def test_morph_drops_an_age_that_differs_from_the_names(tmp_path, age):
    table = f"{MORPH_HEAD}1,1,,,W,M,,54.0,0,,{MORPH_IMAGES[0]}\n1,1,,,W,F,,{age},0,,{MORPH_IMAGES[1]}\n"
    rows = list(morph.read(put(tmp_path, morph_2008_nonCommercial=table)))
    reason = f"age {age!r} in morph_2008_nonCommercial.csv, but 36 in the name of the file"
    assert rows == [MORPH_ROWS[0], Drop("070081_02F36", MORPH_IMAGES[1], "rule", reason)]


def test_morph_refuses_another_table(tmp_path):
    with pytest.raises(ValueError, match=r"morph_2008_nonCommercial\.csv: no column 'photo'"):
        list(morph.read(put(tmp_path, morph_2008_nonCommercial="id_num,age\n1,2\n")))


WILD = {
    "part1/61_3_20170109150557335.jpg": ("61_3_20170109150557335", 61),
    "part1/1_0_0_20161219140623097.JPG": ("1_0_0_20161219140623097", 1),
    "part1/36_0_1_20170117163203851.jpg": ("part1/36_0_1_20170117163203851", 36),
    "part2/36_0_1_20170117163203851.jpg": ("part2/36_0_1_20170117163203851", 36),
    "part2/39_1_20170116174525125.jpg": ("39_1_20170116174525125", 39),
    "part2/53__0_20170116184028385.jpg": ("53__0_20170116184028385", 53),
    "part3/24_0_1_20170116220224657 .jpg": ("24_0_1_20170116220224657", 24),
    "part3/116_1_0_20170116220224657.jpg": ("116_1_0_20170116220224657", 116),
}
ALIGNED = {
    "UTKFace/1_0_0_20161219140623097.jpg.chip.jpg": ("1_0_0_20161219140623097", 1),
    "UTKFace/24_0_1_20170116220224657 .jpg.chip.jpg": ("24_0_1_20170116220224657", 24),
    "UTKFace/55_0_0_20170116232725357jpg.chip.jpg": ("55_0_0_20170116232725357jpg", 55),
    "UTKFace/61_1_20170109150557335.jpg.chip.jpg": ("61_1_20170109150557335", 61),
    "crop_part1/1_0_0_20161219140623097.jpg.chip.jpg": ("1_0_0_20161219140623097", 1),
}
UNREAD = ("part3/55_0_0_20170116232725357jpg", "part3/44_1_4_20170116235150272.pg", "landmark_list_part1.txt")


@pytest.mark.parametrize("nested", ["", "UTKface_inthewild/"])
def test_utk_reads_the_age_of_every_jpg_in_the_wild(tmp_path, nested):
    files = put(tmp_path, *(nested + path for path in (*WILD, *UNREAD)), *ALIGNED)
    rows = list(utk.read(files))
    assert sorted(rows) == sorted(Row(id, (nested + path,), age) for path, (id, age) in WILD.items())
    assert sorted(located(files, rows)) == sorted(nested + path for path in WILD)


def test_utk_takes_the_aligned_set_alone_and_drops_other_names(tmp_path):
    other = "samples.jpg", "UTKFace/_1_0_20161219140623097.jpg.chip.jpg"
    files = put(tmp_path, *ALIGNED, *UNREAD, *other)
    rows = list(utk.read(files))
    expected = [Row(id, (path,), age) for path, (id, age) in ALIGNED.items()]
    expected += [Drop(path, path, "rule", f"{path!r} does not begin with an age and '_'") for path in other]
    assert sorted(rows, key=str) == sorted(expected, key=str)
    assert sorted(located(files, rows)) == sorted(ALIGNED)
