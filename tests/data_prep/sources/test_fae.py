"""Readers of Adience, MORPH and UTK (CACD: test_cacd.py), on tiny folders in their owners' formats."""

import pytest

from data_prep.downloads import Files
from data_prep.locate import locate
from data_prep.source import Drop, Row
from data_prep.sources import adience, cacd, morph, utk
from storm.datasets import DATASETS
from tests.helpers.downloads import located, put

HEAD = ["user_id", "original_image", "face_id", "age", "gender", "x", "y", "dx", "dy", "tilt_ang"]
HEAD += ["fiducial_yaw_angle", "fiducial_score"]


def fold(*rows: tuple[str, str, str, str], end: str = "\n") -> str:
    """A fold file from rows (user_id, original_image, face_id, age)."""
    rest = ["f", "0", "414", "1086", "1383", "-115", "30", "17"]
    return "".join("\t".join(cells) + end for cells in (HEAD, *([*row, *rest] for row in rows)))


@pytest.mark.parametrize("name", ["adience", "cacd", "morph", "utk"])
def test_ages_and_groups_are_labels_as_they_are(name):
    facts = DATASETS[name]
    assert facts.label(float("5"), facts.low, facts.high) == 5


@pytest.mark.parametrize("module", [cacd, morph, utk])
def test_a_folder_without_images_says_what_is_missing(tmp_path, module):
    with pytest.raises(FileNotFoundError, match="no image in it or below it; there is readme.md"):
        list(module.read(put(tmp_path, "readme.md")))
    with pytest.raises(FileNotFoundError, match="unpack part1.tar.gz, x/CACD2000.zip"):
        list(module.read(put(tmp_path, "part1.tar.gz", "x/CACD2000.zip")))


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
        return Row(f"{user}/{face}.{image}", (f"{user}/landmark_aligned_face.{face}.{image}.jpg",), score, user, part)

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
        None,
        "aligned/8@N02/landmark_aligned_face.1.10_a_o.jpg",
        None,
        None,
    ]
    assert "2 are there" in files.notes[0], "one kind of images for all rows"


def test_adience_without_aligned_faces_and_with_other_blanks(tmp_path):
    folds = {
        f"fold_{n}_data": fold(("7@N01", "1.jpg", str(n), age))
        for n, age in enumerate(["(25,32)", "( 25, 32)", "25, 32", "(25, 32)", "25-32"])
    }
    images = [f"7@N01/coarse_tilt_aligned_face.{n}.1.jpg" for n in range(5)]
    files = put(tmp_path, *images, **folds)
    rows = list(adience.read(files))
    assert [row.score for row in rows if isinstance(row, Row)] == [4] * 5
    assert located(files, rows) == images


def test_adience_says_which_folds_are_missing(tmp_path):
    files = put(tmp_path, fold_0_data=fold(), fold_2_data=fold(), fold_3_data=fold())
    with pytest.raises(FileNotFoundError, match=r"no fold_1_data\.txt, fold_4_data\.txt "):
        list(adience.read(files))


def test_adience_refuses_another_file(tmp_path):
    files = put(tmp_path, **{f"fold_{k}_data": "filename\tage\n" for k in range(5)})
    with pytest.raises(ValueError, match=r"fold_0_data\.txt: no column 'user_id'"):
        list(adience.read(files))


MORPH_HEAD = "id_num,picture_num,dob,doa,race,gender,facial_hair,age,age_diff,glasses,photo\n"
MORPH_IMAGES = ("Album2/009055_1M54.JPG", "Album2/070081_02F36.JPG", "Album2/332200_0M7.JPG")
MORPH_ROWS = [
    Row("009055_1M54", ("009055_1M54.JPG",), "54", "009055"),
    Row("070081_02F36", ("070081_02F36.JPG",), "36", "070081"),
    Row("332200_0M7", ("332200_0M7.JPG",), "7", "332200"),
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
        Row("009055_1M54", ("009055_1M54.JPG",), "54", "009055"),
        Drop("x.JPG", "x.JPG", "rule", "'x.JPG' is not <six digits>_<picture><M|F><age>.jpg"),
        Drop("", "", "rule", "'' is not <six digits>_<picture><M|F><age>.jpg"),
    ]
    assert located(files, rows) == ["Images/Train/009055_1m54.jpg"]
    (tmp_path / "morph_2008_nonCommercial.csv").unlink()
    rows = list(morph.read(Files(tmp_path)))
    assert [row.id for row in rows] == ["9055_1M54.jpg", "070081_02F36", "009055_1M54", "overview.jpg"]
    (tmp_path / "Images/Test/070081_02F36.jpg").rename(tmp_path / "Images/Test/070081_02F36.png")
    assert [row.id for row in morph.read(Files(tmp_path))] == [row.id for row in rows], "any kind of image"
    (tmp_path / "Images/Test/070081_02F36.png").rename(tmp_path / "Images/Test/070081_02F36.jpg")
    assert located(files, rows) == ["Images/Test/070081_02F36.jpg", "Images/Train/009055_1m54.jpg"]


@pytest.mark.parametrize("age", ["53", "", "54.5", "old"])
def test_morph_drops_an_age_that_differs_from_the_names(tmp_path, age):
    table = f"{MORPH_HEAD}1,1,,,W,M,,54.0,0,,{MORPH_IMAGES[0]}\n1,1,,,W,F,,{age},0,,{MORPH_IMAGES[1]}\n"
    rows = list(morph.read(put(tmp_path, morph_2008_nonCommercial=table)))
    reason = f"age {age!r} in morph_2008_nonCommercial.csv, but 36 in the name of the file"
    assert rows == [MORPH_ROWS[0], Drop("070081_02F36", "070081_02F36.JPG", "rule", reason)]


def test_morph_refuses_ages_that_often_differ_from_the_names(tmp_path):
    rows = "".join(f"1,1,,,W,M,,{30 + n % 2},0,,{n:06}_00M30.JPG\n" for n in range(40))
    with pytest.raises(ValueError, match="20 of 40 ages"):
        list(morph.read(put(tmp_path, morph_2008_nonCommercial=f"{MORPH_HEAD}{rows}")))


def test_morph_refuses_another_table(tmp_path):
    with pytest.raises(ValueError, match=r"morph_2008_nonCommercial\.csv: no column 'photo'"):
        list(morph.read(put(tmp_path, morph_2008_nonCommercial="id_num,age\n1,2\n")))


WILD = {
    "part1/61_3_20170109150557335.jpg": ("61_3_20170109150557335", 61),
    "part1/1_0_0_20161219140623097.JPG": ("1_0_0_20161219140623097", 1),
    "part1/36_0_1_20170117163203851.jpg": ("36_0_1_20170117163203851", 36),
    "part2/39_1_20170116174525125.jpg": ("39_1_20170116174525125", 39),
    "part2/53__0_20170116184028385.jpg": ("53__0_20170116184028385", 53),
    "part3/24_0_1_20170116220224657 .jpg": ("24_0_1_20170116220224657", 24),
    "part3/116_1_0_20170116220224657.jpg": ("116_1_0_20170116220224657", 116),
}
ALIGNED = {
    "UTKFace/1_0_0_20161219140623097.jpg.chip.jpg": ("1_0_0_20161219140623097", 1),
    "UTKFace/24_0_1_20170116220224657 .jpg.chip.jpg": ("24_0_1_20170116220224657", 24),
    "UTKFace/55_0_0_20170116232725357jpg.chip.jpg": ("55_0_0_20170116232725357", 55),
    "UTKFace/61_1_20170109150557335.jpg.chip.jpg": ("61_1_20170109150557335", 61),
    "crop_part1/1_0_0_20161219140623097.jpg.chip.jpg": ("1_0_0_20161219140623097", 1),
}
UNREAD = ("part3/55_0_0_20170116232725357jpg", "part3/44_1_4_20170116235150272.pg", "landmark_list_part1.txt")


@pytest.mark.parametrize("nested", ["", "UTKface_inthewild/"])
def test_utk_reads_the_age_of_every_jpg_in_the_wild(tmp_path, nested):
    again = f"{nested}z_cropped/36_0_1_20170117163203851.jpg"  # one photograph, though it is there twice
    files = put(tmp_path, *(nested + path for path in (*WILD, *UNREAD)), *ALIGNED, again)
    rows = list(utk.read(files))
    assert sorted(rows) == sorted(Row(id, (path.split("/")[1],), age) for path, (id, age) in WILD.items())
    assert "in the wild are used (7), not those aligned (.chip) (4)" in files.notes[0]
    assert sorted(located(files, rows)) == sorted(nested + path for path in WILD)


def test_utk_takes_the_aligned_set_alone_and_drops_other_names(tmp_path):
    other = ("samples.jpg", "_1_0_20161219140623097.jpg.chip.jpg", "00001_26_1_0_20170116220224657.jpg")
    other += ("45_Peter_Mullan_0001.jpg", "26_1_0_2017011622022465.jpg", "26_1_0_9_20170116220224657.jpg")
    files = put(tmp_path, *ALIGNED, *UNREAD, *(f"UTKFace/{name}" for name in other))
    rows = list(utk.read(files))
    assert {row.id for row in rows if isinstance(row, Row)} == {id for id, _ in ALIGNED.values()}
    assert {row.file for row in rows if isinstance(row, Drop)} == set(other)
    assert len(located(files, rows)) == 4 and all(".chip." in path for path in located(files, rows))


def test_utk_never_takes_three_images_in_the_wild_for_the_set(tmp_path):
    aligned = [f"UTKFace/{age}_0_0_20170116{age:09d}.jpg.chip.jpg" for age in range(1, 61)]
    files = put(tmp_path, *aligned, *(f"{age}_0_0_20170116{age:09d}.jpg" for age in range(1, 4)))
    assert located(files, list(utk.read(files))) == sorted(aligned) and "(60)" in files.notes[0]


@pytest.mark.parametrize("end", ["png", "jpeg", "JPG"])
def test_utk_in_any_format(tmp_path, end):
    files = put(tmp_path, f"36_0_1_20170117163203851.{end}", f"7_0_1_20170117163203852.jpg.chip.{end}")
    (row,) = utk.read(files)
    assert (row.id, row.score) == ("36_0_1_20170117163203851", 36)


def five_folds(**changed: str) -> dict[str, str]:
    whole = {f"fold_{n}_data": fold((f"{n}@N0", f"1{n}_o.jpg", "1", "(4, 6)")) for n in range(5)}
    return whole | changed


def test_adience_fold_that_repeats_another_or_is_empty_is_refused(tmp_path):
    twice = put(tmp_path / "a", **five_folds(fold_3_data=five_folds()["fold_0_data"]))
    with pytest.raises(ValueError, match=r"fold_3_data\.txt, line 2: '0@N0/1\.10_o' is in fold_0_data"):
        list(adience.read(twice))
    empty = put(tmp_path / "b", **five_folds(fold_2_data=fold()))
    with pytest.raises(ValueError, match=r"fold_2_data\.txt: no rows"):
        list(adience.read(empty))


def test_adience_ids_do_not_depend_on_the_extension_in_the_cell(tmp_path):
    files = put(tmp_path, **five_folds(fold_4_data=fold(("4@N0", "14_o", "1", "(4, 6)"))))
    assert [row.id for row in adience.read(files)][-1] == "4@N0/1.14_o"


@pytest.mark.parametrize("half", ["AA", "zz"])
def test_utk_and_morph_take_one_folder_though_another_one_spells_the_names_differently(tmp_path, half):
    faces = [f"{20 + n}_0_1_{20170116000000000 + n}" for n in range(10)]
    aligned = [*(f"UTKFace/{face}.jpg.chip.jpg" for face in faces), *(f"{half}/{face}.chip.jpg" for face in faces[::2])]
    subjects = [f"{n:06d}_1" for n in range(10)]
    photos = [*(f"Album2/{one}M30.JPG" for one in subjects), *(f"{half}/{one}m30.png" for one in subjects[::2])]
    for module, name, images, used in ((utk, "utk", aligned, "UTKFace"), (morph, "morph", photos, "Album2")):
        files = put(tmp_path / name, *images)
        found = locate(files, list(module.read(files)), DATASETS[name].folders)
        assert (found.used, found.unused, found.drops) == ({used: 10}, {half: 5}, [])
