"""Readers of EyePACS, DeepDR and APTOS, on tiny folders in their owners' formats."""

import pytest

from data_prep.source import Drop, Row
from data_prep.sources import aptos, deepdr, eyepacs, hci
from storm.datasets import DATASETS
from tests.helpers.downloads import located_as_built, put_files


@pytest.mark.parametrize("name", ["eyepacs", "deepdr", "aptos", "hci"])
def test_stages_and_decades_are_labels_as_they_are(name):
    facts = DATASETS[name]
    assert (facts.low, facts.high) == (0, 4)
    assert facts.label(float("3.0"), 0, 4) == 3


@pytest.mark.parametrize("copy", ["{0},{1}\n", "{0};{1}\n", "{0},{1}\r\n", '"{0}","{1}"\n'])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_eyepacs_in_the_separators_and_line_ends_that_go_round(tmp_path, copy, mark):
    rows = [("image", "level"), ("10_left", "0"), ("10_right", "4"), ("2007_left", "2.0")]
    files = put_files(
        tmp_path,
        {
            "trainLabels.csv": mark + "".join(copy.format(*row) for row in rows),
            "sampleSubmission.csv": "image,level\n10_left,3\n",
            "train/10_left.jpeg": "",
            "train/._10_left.jpeg": "",
            "test/10_left.jpeg": "",
            "train/10_right.png": "",  # a resized copy
            "flat/2007_left.JPG": "",
        },
    )
    assert list(eyepacs.read(files)) == [
        Row("10_left", ("10_left.jpeg",), "0", "10"),
        Row("10_right", ("10_right.jpeg",), "4", "10"),
        Row("2007_left", ("2007_left.jpeg",), "2.0", "2007"),
    ]
    assert located_as_built(files, eyepacs) == ["train/10_left.jpeg", "train/10_right.png", "flat/2007_left.JPG"]


def test_eyepacs_rows_that_name_no_eye_are_dropped_with_the_line(tmp_path):
    files = put_files(tmp_path, {"trainLabels.csv": "level,image\n0,10_left\n\n1,10\n2\n3,_left\n4,7_middle\n"})
    reason = "trainLabels.csv, line {}: image {!r} is not <patient>_left or _right"
    assert list(eyepacs.read(files)) == [
        Row("10_left", ("10_left.jpeg",), "0", "10"),
        *(
            Drop(image, "trainLabels.csv", "rule", reason.format(line, image))
            for line, image in [(4, "10"), (5, ""), (6, "_left"), (7, "7_middle")]
        ),
    ]


HEADER = (
    "patient_id,image_id,image_path,Overall quality,left_eye_DR_Level,right_eye_DR_Level,"
    "patient_DR_Level,Clarity,Field definition,Artifact"
)
TRAIN = "DeepDRiD-master/regular_fundus_images/regular-fundus-training"
TEST = "DeepDRiD-master/regular_fundus_images/regular-fundus-validation"


def deepdr_csv(folder: str, *rows: tuple[str, str, str, str]) -> str:
    """The owner's csv, CRLF and backslashes, of (patient, image, left, right)."""
    lines = [HEADER] + [rf"{p},{i},\{folder}\{p}\{i}.jpg,1,{le},{r},4,8,10,0" for p, i, le, r in rows]
    return "".join(line + "\r\n" for line in lines)


def deepdr_row(id: str, score: str, part: str, short: str) -> Row:
    patient = id.partition("_")[0]
    images = (f"{patient}/{id}.jpg", f"{patient}/{short}.jpg", f"{id}.jpg")
    return Row(id, images, score, patient, part)


def test_deepdr_takes_the_filled_grade_and_the_image_below_images(tmp_path):
    decoy = "patient_id,image_id,image_path,Source\r\n"
    train = [("3", "3_l1", "2", ""), ("3", "3_r1", "", "0"), ("61", "61_r3", "1.0", ""), ("61", "61_l3", "", "3")]
    files = put_files(
        tmp_path,
        {
            f"{TRAIN}/regular-fundus-training.csv": deepdr_csv("regular-fundus-training", *train),
            f"{TRAIN}/regular-fundus-source-training.csv": decoy,
            f"{TEST}/regular-fundus-validation.csv": "\ufeff"
            + deepdr_csv("regular-fundus-validation", ("270", "270_l1", "4", "")),
            f"{TEST}/regular-fundus-source-validation.csv": decoy,
            "DeepDRiD-master/regular_fundus_images/Online-Challenge1&2-Evaluation/Challenge1_upload.csv": "",
            "DeepDRiD-master/ultra-widefield_images/ultra-widefield-training.csv": HEADER + "\r\n",
            "DeepDRiD-master/ultra-widefield_images/Images/3/l1.jpg": "",
            f"{TRAIN}/Images/3/3_l1.jpg": "",
            f"{TRAIN}/Images/3/._3_l1.jpg": "",
            f"{TRAIN}/Images/3/r1.jpg": "",  # misnamed by the owner
            f"{TRAIN}/Images/61/61_r3.jpg": "",
            f"{TRAIN}/Images/61/61_l3.png": "",
            f"{TEST}/Images/270/l1.jpg": "",
        },
    )
    assert list(deepdr.read(files)) == [
        deepdr_row("3_l1", "2", "train", "l1"),
        deepdr_row("3_r1", "0", "train", "r1"),
        deepdr_row("61_r3", "1.0", "train", "r3"),  # a left eye, whatever the letter says
        deepdr_row("61_l3", "3", "train", "l3"),
        deepdr_row("270_l1", "4", "test", "l1"),
    ]
    assert located_as_built(files, deepdr) == [
        f"{TRAIN}/Images/3/3_l1.jpg",
        f"{TRAIN}/Images/3/r1.jpg",
        f"{TRAIN}/Images/61/61_r3.jpg",
        f"{TRAIN}/Images/61/61_l3.png",
        f"{TEST}/Images/270/l1.jpg",
    ]


def test_deepdr_drops_rows_with_no_grade_two_grades_or_no_name(tmp_path):
    train = [("3", "3_l1", "", ""), ("3", "3_l2", "2", "1"), ("", "4_l1", "2", ""), ("4", "", "2", "")]
    files = put_files(
        tmp_path,
        {
            "regular-fundus-training.csv": deepdr_csv("regular-fundus-training", *train) + "5\r\n",
            "regular-fundus-validation.csv": deepdr_csv("regular-fundus-validation", ("9", "9_l1", "2", "")),
        },
    )
    grades = "line {}: left_eye_DR_Level {!r}, right_eye_DR_Level {!r}: not exactly one is filled"
    names = "line {}: patient_id {!r}, image_id {!r}: one is empty"
    assert [item for item in deepdr.read(files) if isinstance(item, Drop)] == [
        Drop(id, "regular-fundus-training.csv", "rule", reason)
        for id, reason in [
            ("3_l1", grades.format(2, "", "")),
            ("3_l2", grades.format(3, "2", "1")),
            ("4_l1", names.format(4, "", "4_l1")),
            ("", names.format(5, "4", "")),
            ("", names.format(6, "5", "")),
        ]
    ]


def test_deepdr_does_not_take_the_source_csv_for_the_labels(tmp_path):
    files = put_files(tmp_path, {f"{TRAIN}/regular-fundus-source-training.csv": "patient_id,image_id\r\n"})
    with pytest.raises(FileNotFoundError, match=r"no file regular-fundus-training\.csv or .* there is .*source"):
        list(deepdr.read(files))


def test_aptos_ids_are_text_even_if_they_look_like_numbers(tmp_path):
    ids = ["0a1b2c3d4e5f", "123456789012", "0709652336e2", "1234e5678901", "01e234567890"]
    files = put_files(
        tmp_path,
        {
            "train.csv": "\ufeffid_code,diagnosis\n"
            + "".join(f"{id},{n}\n" for n, id in enumerate(ids))
            + ",3\n00ab\n",
            "test.csv": "id_code\nffffffffffff\n",
            "sample_submission.csv": "id_code,diagnosis\nffffffffffff,0\n",
            "train_images/0a1b2c3d4e5f.png": "",
            "train_images/._0a1b2c3d4e5f.png": "",
            "test_images/0a1b2c3d4e5f.png": "",
            "train_images/123456789012.png": "",
            "train_images/0709652336e2.jpg": "",  # a resized copy
            "1234e5678901.png": "",
            "nested/train_images/01E234567890.PNG": "",
        },
    )
    assert list(aptos.read(files)) == [
        *(Row(id, (f"{id}.png",), str(n)) for n, id in enumerate(ids)),
        Drop("", "train.csv", "rule", "train.csv, line 7: id_code is empty"),
        Row("00ab", ("00ab.png",), ""),  # build.py drops what is no number
    ]
    assert located_as_built(files, aptos) == [
        "train_images/0a1b2c3d4e5f.png",
        "train_images/123456789012.png",
        "train_images/0709652336e2.jpg",
        "1234e5678901.png",
        "nested/train_images/01E234567890.PNG",
        None,
    ]


@pytest.mark.parametrize(
    "module, file, header, column",
    [
        (eyepacs, "trainLabels.csv", "image,grade", "level"),
        (deepdr, "regular-fundus-training.csv", "patient_id,image_id,left_eye_DR_Level", "right_eye_DR_Level"),
        (aptos, "train.csv", "id_code", "diagnosis"),
    ],
)
def test_a_label_file_that_is_absent_or_another_one_is_named(tmp_path, module, file, header, column):
    with pytest.raises(FileNotFoundError, match=f"no file {file} .*in it or below it; there is notes.txt"):
        list(module.read(put_files(tmp_path, {"notes.txt": ""})))
    with pytest.raises(ValueError, match=rf"{file}: no column '{column}'.* \(there are: {header.replace(',', ', ')}\)"):
        list(module.read(put_files(tmp_path, {file: header + "\n"})))


def test_eyepacs_in_the_copies_of_kaggle(tmp_path):
    """An index column, names with an extension, another name of the file."""
    files = put_files(
        tmp_path,
        {
            "labels/trainLabels15.csv": ",Unnamed: 0,image,level\n0,0,10_left.jpeg,1\n1,1,10_right,2\n",
            "labels/trainLabels19.csv": "id_code,diagnosis\nabc,1\n",
            "resized train 15/10_left.jpg": "x",
            "resized train 15/10_right.jpg": "x",
        },
    )
    assert [(row.id, row.score) for row in eyepacs.read(files)] == [("10_left", "1"), ("10_right", "2")]
    assert located_as_built(files, eyepacs) == ["resized train 15/10_left.jpg", "resized train 15/10_right.jpg"]


def test_aptos_in_three_labeled_files_is_read_whole_and_said(tmp_path):
    parts = {f"{part}.csv": f"id_code,diagnosis\n{part},1\n" for part in ("train_1", "valid", "test")}
    files = put_files(tmp_path, parts | {"sample_submission.csv": "id_code,diagnosis\nx,0\n"})
    assert sorted(row.id for row in aptos.read(files)) == ["test", "train_1", "valid"]
    assert any("train_1.csv, valid.csv, test.csv" in note for note in files.notes)


@pytest.mark.parametrize("empty", ["NaN", "nan", "", "None"])
@pytest.mark.parametrize("folder", ["1/", "Images/1/", "Images/", ""])
def test_deepdr_in_copies_with_other_folders_and_marks_for_empty(tmp_path, empty, folder):
    csvs = {
        f"regular-fundus-{part}.csv": deepdr_csv(part, (f"{n}", f"{n}_l1", "2.0", empty))
        for n, part in ((1, "training"), (2, "validation"))
    }
    files = put_files(tmp_path, csvs | {f"{folder}1_l1.png": "x", f"{folder.replace('1', '2')}2_l1.png": "x"})
    assert [(row.id, row.score, row.part) for row in deepdr.read(files)] == [
        ("1_l1", "2.0", "train"),
        ("2_l1", "2.0", "test"),
    ]
    assert None not in located_as_built(files, deepdr)


def test_eyepacs_in_two_files_that_do_not_overlap(tmp_path):
    parts = {"trainLabels_1.csv": "image,level\n1_left,0\n", "trainLabels_2.csv": "image,level\n2_left,3\n"}
    assert [(row.id, row.score) for row in eyepacs.read(put_files(tmp_path, parts))] == [
        ("1_left", "0"),
        ("2_left", "3"),
    ]


def test_labels_of_other_images_are_refused(tmp_path):
    test_labels = put_files(tmp_path / "a", {"trainLabels.csv": "image,level,Usage\n1_left,0,Private\n"})
    with pytest.raises(ValueError, match=r"trainLabels\.csv, line 2: labels of the test images"):
        list(eyepacs.read(test_labels))
    other = put_files(
        tmp_path / "b",
        {"trainLabels15.csv": "image,level\n10_left,1\n", "trainLabels19.csv": "id_code,diagnosis\na,1\n"},
    )
    with pytest.raises(ValueError, match="10_left.*EyePACS|different columns"):
        list(aptos.read(other))
    (tmp_path / "c" / "train" / "12").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="1930s"):
        list(hci.read(put_files(tmp_path / "c", {"train/12/x.jpg": "x"})))
