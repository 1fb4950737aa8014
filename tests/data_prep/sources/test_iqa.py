"""The readers of the quality datasets, on a few rows in each owner's format, quirks included."""

import os
import re
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from openpyxl import Workbook
from scipy.io import savemat

from data_prep.source import Row
from data_prep.sources import challengedb, koniq, spaq
from storm.datasets import equal_width
from tests.helpers.downloads import image_of, read, write

# SPAQ

SPAQ_ROWS = [
    Row("00001", ("00001.jpg",), "48.86"),
    Row("00002", ("00002.jpg",), "62"),
]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("MOS and Image attribute scores.xlsx", []),
        ("MOS Std and Image attribute scores.xlsx", ["Std"]),
        ("MOS_and_Image_attribute_scores.xlsx", []),
    ],
)
def test_spaq_sheet_has_whole_and_broken_numbers(tmp_path, name, more):
    book = Workbook()
    book.active.append(["Image name", "MOS", *more, "Brightness"])
    book.active.append(["00001.jpg", 48.86, *[1.5 for _ in more], 47.43])
    book.active.append(["00002.jpg", 62, *[2 for _ in more], 55])
    write(tmp_path / "SPAQ/TestImage/00001.jpg")
    write(tmp_path / "SPAQ/TestImage/00002.JPG")
    write(tmp_path / "SPAQ/Annotations/Scene category labels.xlsx")
    (tmp_path / "SPAQ/Annotations").mkdir(exist_ok=True)
    book.save(tmp_path / "SPAQ/Annotations" / name)
    rows = read(spaq, tmp_path)
    assert rows == [row._replace(sd=sd if more else None) for row, sd in zip(SPAQ_ROWS, (1.5, 2))]
    assert [image_of(tmp_path, row) for row in rows] == ["SPAQ/TestImage/00001.jpg", "SPAQ/TestImage/00002.JPG"]


def test_spaq_row_cut_short_has_no_rating(tmp_path):
    """Without the sheet's size, which not every program writes, openpyxl's rows end after their last filled cell."""
    book = Workbook()
    for cells in (["Image name", "MOS"], ["00001.jpg", 48.86], ["00002.jpg"]):
        book.active.append(cells)
    book.save(tmp_path / "whole")
    with (
        zipfile.ZipFile(tmp_path / "whole") as whole,
        zipfile.ZipFile(tmp_path / "MOS and Image attribute scores.xlsx", "w") as cut,
    ):
        for name in whole.namelist():
            cut.writestr(name, re.sub(rb"<dimension[^>]*/>", b"", whole.read(name)))
    assert [(row.id, row.score) for row in read(spaq, tmp_path)] == [("00001", "48.86"), ("00002", "")]


def test_spaq_as_csv_with_byte_order_mark_and_crlf(tmp_path):
    write(tmp_path / "MOS.csv", "\ufeffImage name,MOS,Brightness\r\n00001.jpg,48.86,47.43\r\n00002.jpg,62,55\r\n")
    assert read(spaq, tmp_path) == SPAQ_ROWS


def test_spaq_as_two_csv_files_that_do_not_overlap(tmp_path):
    write(tmp_path / "MOS_train.csv", "image,MOS\n00001.jpg,48.86\n")
    write(tmp_path / "MOS_test.csv", "image,MOS\n00002.jpg,62\n")
    assert sorted(read(spaq, tmp_path)) == SPAQ_ROWS
    write(tmp_path / "MOS_test.csv", "image,MOS\n00001.jpg,62\n")
    with pytest.raises(ValueError, match=r"MOS_test\.csv, .*MOS_train\.csv: '00001\.jpg' is in"):
        read(spaq, tmp_path)


def test_spaq_as_the_table_of_pyiqa_has_votes(tmp_path):
    write(tmp_path / "meta_info_SPAQDataset.csv", "img_name,mos,mos_std,brightness\n00001.jpg,48.86,11.2,1\n")
    assert read(spaq, tmp_path) == [SPAQ_ROWS[0]._replace(sd=11.2)]


# ChallengeDB

CHALLENGEDB = [
    ("t1.bmp", 63.963406174124174, "Images/trainingImages/t1.bmp"),
    ("100.bmp", 32.56107532210109, "Images/100.bmp"),
    ("1023.JPG", 3.42, "Images/1023.JPG"),
]
CHALLENGEDB_ROWS = [
    Row("t1", ("t1.bmp",), 63.963406174124174),
    Row("100", ("100.bmp",), 32.56107532210109),
    Row("1023", ("1023.JPG",), 3.42),
]


def challengedb_release(root: Path, names: np.ndarray, mos: np.ndarray) -> Path:
    data = root / "ChallengeDB_release/Data"
    data.mkdir(parents=True)
    savemat(data / "AllImages_release.mat", {"AllImages_release": names})
    savemat(data / "AllMOS_release.mat", {"AllMOS_release": mos})
    return data


@pytest.mark.parametrize("shape", [(3, 1), (1, 3)], ids=["column", "row"])
def test_challengedb_joins_two_mat_files_by_order(tmp_path, shape):
    names = np.array([name for name, _, _ in CHALLENGEDB], dtype=object).reshape(shape)
    data = challengedb_release(tmp_path, names, np.array([[mos for _, mos, _ in CHALLENGEDB]]))
    savemat(data / "AllStdDev_release.mat", {"AllStdDev_release": np.array([[18.4, 20.5, 3.0]])})
    for _, _, image in CHALLENGEDB:
        write(tmp_path / "ChallengeDB_release" / image)
    rows = read(challengedb, tmp_path)
    assert rows == [row._replace(sd=sd) for row, sd in zip(CHALLENGEDB_ROWS, (18.4, 20.5, 3.0))]
    assert [image_of(tmp_path, row) for row in rows] == [f"ChallengeDB_release/{image}" for _, _, image in CHALLENGEDB]


def test_challengedb_finds_the_practice_images_when_all_lie_together_in_lower_case(tmp_path):
    write(tmp_path / "all/t1.bmp")
    write(tmp_path / "all/1023.jpg")
    assert image_of(tmp_path, CHALLENGEDB_ROWS[0]) == "all/t1.bmp"
    assert image_of(tmp_path, CHALLENGEDB_ROWS[2]) == "all/1023.jpg"


def test_challengedb_as_csv(tmp_path):
    lines = "".join(f"{name},{mos},18.4\r\n" for name, mos, _ in CHALLENGEDB)
    write(tmp_path / "meta_info_LIVEChallengeDataset.CSV", "img_name,mos,std\r\n" + lines)
    rows = [row._replace(score=float(row.score)) for row in read(challengedb, tmp_path)]
    assert rows == [row._replace(sd=18.4) for row in CHALLENGEDB_ROWS]


def test_challengedb_as_tsv(tmp_path):
    write(tmp_path / "LIVE_Challenge.tsv", "img_name\tmos\n3.bmp\t63.9\n")
    assert [(row.id, row.score) for row in read(challengedb, tmp_path)] == [("3", "63.9")]


def test_challengedb_mat_files_saved_again_as_hdf5(tmp_path):
    data = tmp_path / "Data"
    data.mkdir()
    with h5py.File(data / "AllImages_release.mat", "w") as file:
        texts = [np.frombuffer(name.encode("utf-16-le"), "<u2").reshape(-1, 1) for name, _, _ in CHALLENGEDB]
        cells = [file.create_dataset(f"#refs#/{number}", data=text).ref for number, text in enumerate(texts)]
        file.create_dataset("AllImages_release", data=np.array([cells], dtype=h5py.ref_dtype))
    with h5py.File(data / "AllMOS_release.mat", "w") as file:
        file["AllMOS_release"] = np.array([[mos] for _, mos, _ in CHALLENGEDB])
    assert read(challengedb, tmp_path) == CHALLENGEDB_ROWS


def test_challengedb_mat_files_of_different_length(tmp_path):
    names = np.array([["t1.bmp"], ["100.bmp"]], dtype=object)
    challengedb_release(tmp_path, names, np.array([[1.0, 2.0, 3.0]]))
    with pytest.raises(ValueError, match=r"2 names but 3 ratings"):
        read(challengedb, tmp_path)


@pytest.mark.parametrize("keep", [0, 60, 140, 200])
def test_challengedb_damaged_mat_file_is_named(tmp_path, keep):
    names = np.array([["t1.bmp"], ["100.bmp"]], dtype=object)
    damaged = challengedb_release(tmp_path, names, np.array([[1.0, 2.0]])) / "AllMOS_release.mat"
    write(damaged, damaged.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"AllMOS_release\.mat: cannot read AllMOS_release \(.*download"):
        read(challengedb, tmp_path)


def test_challengedb_mat_file_of_another_variable(tmp_path):
    names = np.array([["t1.bmp"], ["100.bmp"]], dtype=object)
    data = challengedb_release(tmp_path, names, np.array([[1.0, 2.0]]))
    savemat(data / "AllMOS_release.mat", {"AllStdDev_release": np.zeros((1, 2))})
    with pytest.raises(ValueError, match=r"AllMOS_release\.mat: cannot read AllMOS_release"):
        read(challengedb, tmp_path)


# KonIQ

KONIQ_SITE = """\
"image_name","c1","c2","c3","c4","c5","c_total","MOS","SD","MOS_zscore"
"10004473376.jpg",0,0,25,73,7,105,3.82857142857143,0.527277894494174,77.3836206896552
"-826373.jpg",50,40,5,1,0,96,1.55,0.58,3.91
"10007903636.jpg",1,0,20,73,2,96,3.78125,0.53,88.39
"""
KONIQ_SETS = """\
image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set
10004473376.jpg,0.0,0.0,0.238095238095,0.695238095238,0.0666666666667,105,77.3836206897,0.527277894494,training
-826373.jpg,0.52,0.42,0.05,0.01,0.0,96,3.91,0.58,test
10007903636.jpg,0.0104166666667,0.0,0.208333333333,0.760416666667,0.0208333333333,96,88.39,0.53,validation
"""
SITE, SETS = "koniq10k_scores_and_distributions.csv", "koniq10k_distributions_sets.csv"


def koniq_row(id: str, score: str, sd: float | None = None) -> Row:
    return Row(id, (f"{id}.jpg",), score, sd=sd and pytest.approx(27.817 * sd))


def test_koniq_reads_the_z_score_of_either_file(tmp_path):
    write(tmp_path / "site" / SITE, "\ufeff" + KONIQ_SITE.replace("\n", "\r\n"))
    write(tmp_path / "sets" / SETS, KONIQ_SETS)
    site, sets = read(koniq, tmp_path / "site"), read(koniq, tmp_path / "sets")
    assert site == [
        koniq_row("10004473376", "77.3836206896552", 0.527277894494174),
        koniq_row("-826373", "3.91", 0.58),
        koniq_row("10007903636", "88.39", 0.53),
    ]
    assert sets == [koniq_row("10004473376", "77.3836206897", 0.527277894494), *site[1:]]
    assert [[equal_width(float(row.score), 3.91, 88.39) for row in rows] for rows in (site, sets)] == [[4, 0, 4]] * 2


def test_koniq_takes_the_site_file_if_both_are_there(tmp_path):
    write(tmp_path / SITE, KONIQ_SITE)
    write(tmp_path / SETS, KONIQ_SETS)
    write(tmp_path / "koniq10k_indicators.csv", "image_name,brightness\n")
    assert read(koniq, tmp_path)[0].score == "77.3836206896552"


def test_koniq_refuses_raw_means(tmp_path):
    raw = "\n".join(line.rpartition(",")[0] for line in KONIQ_SITE.splitlines())
    write(tmp_path / SITE, raw)
    with pytest.raises(ValueError, match=rf"{SITE}: no rating above 5.*use {SITE} or {SETS}"):
        read(koniq, tmp_path)


@pytest.mark.parametrize(("highest", "raw"), [("5", True), ("5.01", False)])
def test_koniq_raw_means_end_at_5(tmp_path, highest, raw):
    write(tmp_path / "koniq.csv", f"image_name,MOS\n1.jpg,1\n2.jpg,{highest}\n")
    if raw:
        with pytest.raises(ValueError, match="no rating above 5"):
            read(koniq, tmp_path)
    else:
        assert [row.score for row in read(koniq, tmp_path)] == ["1", "5.01"]


def test_koniq_refuses_a_table_without_ratings(tmp_path):
    write(tmp_path / "koniq10k_indicators.csv", "image_name,brightness\n10004473376.jpg,0.5\n")
    with pytest.raises(ValueError, match=r"koniq10k_indicators\.csv: no column .*'MOS'.*another file"):
        read(koniq, tmp_path)


def test_koniq_leaves_a_rating_that_is_no_number_to_the_checks(tmp_path):
    write(tmp_path / SETS, KONIQ_SETS.replace("77.3836206897", "n/a") + "10009096245.jpg,0.0\n")
    rows = read(koniq, tmp_path)
    assert (rows[0].score, rows[-1]) == ("n/a", koniq_row("10009096245", ""))


def test_koniq_as_files_of_the_sets(tmp_path):
    """All of them, or it is refused: never one of two."""
    for part, id in (("train", 1), ("val", 2), ("test", 3)):
        write(tmp_path / f"koniq10k_{part}.csv", f"img_id,img_mos\n{id}.jpg,{20 * id}\n")
    assert sorted(row.id for row in read(koniq, tmp_path)) == ["1", "2", "3"]
    write(tmp_path / "koniq10k_test.csv", "img_id,img_mos\n1.jpg,60\n")
    with pytest.raises(ValueError, match=r"koniq10k_test\.csv.*'1\.jpg' is in"):
        read(koniq, tmp_path)


def test_koniq_deviations_of_another_unit_give_no_votes(tmp_path):
    write(tmp_path / SETS, "image_name,MOS,SD\n1.jpg,70,14.5\n2.jpg,60,0.5\n")
    assert [row.sd for row in read(koniq, tmp_path)] == [None, None]


def test_koniq_one_odd_deviation_costs_only_its_row_the_votes(tmp_path):
    rows = "".join(f"{n}.jpg,{20 + n % 60},{('nan', '2.1')[n] if n < 2 else 0.5}\n" for n in range(300))
    write(tmp_path / SETS, f"image_name,MOS,SD\n{rows}")
    deviations = [row.sd for row in read(koniq, tmp_path)]
    assert deviations[:2] == [None, None] and {round(sd, 4) for sd in deviations[2:]} == {13.9085}


def test_a_folder_without_labels_names_the_file(tmp_path):
    for module in (spaq, challengedb, koniq):
        with pytest.raises(FileNotFoundError, match="no file .* in it or below it; there is nothing"):
            read(module, tmp_path)


def test_challengedb_never_takes_the_deviations_for_ratings(tmp_path):
    for name, values in (("AllImages_release", np.array(["1.bmp"], object)), ("AllStdDev_release", [19.5])):
        savemat(tmp_path / f"{name}.mat", {name: values})
    with pytest.raises(FileNotFoundError, match=r"AllMOS_release\.mat"):
        read(challengedb, tmp_path)


def test_challengedb_mat_file_is_refused_by_its_size(tmp_path):
    for name, values in (("AllImages_release", np.array(["1.bmp"], object)), ("AllMOS_release", [19.5])):
        savemat(tmp_path / f"{name}.mat", {name: values})
    os.truncate(tmp_path / "AllMOS_release.mat", 4 << 30)  # sparse; what MATLAB wrote is at its start
    with pytest.raises(ValueError, match=r"AllMOS_release\.mat: 4,294,967,296 bytes"):
        read(challengedb, tmp_path)


def test_spaq_with_decimal_commas(tmp_path):
    write(tmp_path / "MOS.csv", "Image name;MOS;MOS Std\n00001.jpg;48,86;9,5\n")
    assert read(spaq, tmp_path) == [Row("00001", ("00001.jpg",), "48.86", sd=9.5)]


def test_koniq_reads_all_files_of_sets_whatever_they_are_called(tmp_path):
    write(tmp_path / "koniq10k_train.csv", "img_name,mos\n1.jpg,60\n")
    write(tmp_path / "meta_info_KonIQ_rest.csv", "img_name,mos\n2.jpg,70\n")
    assert [(row.id, row.score) for row in read(koniq, tmp_path)] == [("1", "60"), ("2", "70")]
