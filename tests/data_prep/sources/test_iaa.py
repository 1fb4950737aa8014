"""The readers of the aesthetics datasets, on a few rows in each owner's format, quirks included."""

import pytest

from data_prep.source import Drop, Row
from data_prep.sources import aesthetics, ava, tad66k
from storm.datasets import half_up
from tests.helpers.downloads import image_of, read, write

# Aesthetics


HEADER = "#flickr_photo_id\tcategory\tbeauty_scores\n"


def test_aesthetics_header_is_no_comment_and_ids_are_text(tmp_path):
    lines = "5194879628\turban\t3,3,3,3,4\n0023442\tnature\t5,5,5,4,5,5,5,5,5,5\n"
    write(tmp_path / "beauty-icwsm15-dataset.tsv", HEADER + lines)
    write(tmp_path / "img_files/5194879628.jpg")
    write(tmp_path / "nature/0023442.JPG")
    rows = read(aesthetics, tmp_path)
    assert rows == [
        Row("5194879628", ("5194879628.jpg",), 3.2, votes=(0, 0, 4, 1, 0)),
        Row("0023442", ("0023442.jpg",), 4.9, votes=(0, 0, 0, 1, 9)),
    ]
    assert [image_of(tmp_path, row) for row in rows] == ["img_files/5194879628.jpg", "nature/0023442.JPG"]


@pytest.mark.parametrize("votes", ["", "3,,4", "3,six", "3,0,4", "3,6", "3.5,4", "3;4", "n/a"])
def test_aesthetics_votes_that_are_none_are_dropped_with_their_line(tmp_path, votes):
    write(tmp_path / "beauty.tsv", f"{HEADER}1\turban\t3\n2\turban\t{votes}\n3\turban\t4\n")
    reason = f"beauty.tsv, line 3: {votes!r} is not a list of votes 1 to 5"
    assert read(aesthetics, tmp_path) == [
        Row("1", ("1.jpg",), 3.0, votes=(0, 0, 1, 0, 0)),
        Drop("2", "2.jpg", "rule", reason),
        Row("3", ("3.jpg",), 4.0, votes=(0, 0, 0, 1, 0)),
    ]


@pytest.mark.parametrize(
    "text", ['flickr_photo_id,category,beauty_scores\n1,urban,"3,4"\n', ',id,scores\n0,1.jpg,"[3, 4]"\n']
)
def test_aesthetics_in_the_copies_that_go_round(tmp_path, text):
    """The header without its "#", an index column, quoted and bracketed votes."""
    write(tmp_path / "beauty_new.csv", text)
    assert read(aesthetics, tmp_path) == [Row("1", ("1.jpg",), 3.5, votes=(0, 0, 1, 1, 0))]


def test_aesthetics_line_cut_short(tmp_path):
    write(tmp_path / "beauty.tsv", f"{HEADER}1\turban\t3\n2\turb")
    assert [type(item) for item in read(aesthetics, tmp_path)] == [Row, Drop]


def test_aesthetics_refuses_another_file(tmp_path):
    write(tmp_path / "beauty-icwsm15-dataset.tsv", "photo\tscore\n1\t3\n")
    with pytest.raises(ValueError, match=r"beauty-icwsm15-dataset\.tsv: no column 'flickr_photo_id'"):
        read(aesthetics, tmp_path)


def test_aesthetics_rounds_half_up_for_every_possible_vote():
    """Against whole-number arithmetic, for all sums of up to 17 votes."""
    for votes in range(1, 18):
        for total in range(votes, 5 * votes + 1):
            assert half_up(total / votes, 1, 5) == (2 * total + votes) // (2 * votes) - 1, (total, votes)
    assert [half_up(mean, 1, 5) for mean in (1, 1.5, 2.5, 3.5, 4.5, 5)] == [0, 1, 2, 3, 4, 4]


# TAD66K

TAD_TRAIN = "image,score\r\nlanphere54810922.jpg,2.85\r\n43751877@N085618633908.jpg,2.21\r\n-alias_1.jpg,3.0\r\n"
TAD_TEST = "image,score\r\n0054810922.jpg,9.28\r\n"
TAD_ROWS = [
    Row("lanphere54810922", ("lanphere54810922.jpg",), "2.85", part="train"),
    Row("43751877@N085618633908", ("43751877@N085618633908.jpg",), "2.21", part="train"),
    Row("-alias_1", ("-alias_1.jpg",), "3.0", part="train"),
    Row("0054810922", ("0054810922.jpg",), "9.28", part="test"),
]


@pytest.mark.parametrize("folder", ["dataset/merge", "labels", "."])
def test_tad66k_takes_the_owners_split_of_merge(tmp_path, folder):
    write(tmp_path / folder / "train.csv", TAD_TRAIN)
    write(tmp_path / folder / "test.csv", "\ufeff" + TAD_TEST)
    write(tmp_path / "dataset/unmerge/train/animal.csv", "image,score\r\n0054810922.jpg,9\r\n")
    images = [f"TAD66K/{row.images[0]}" for row in TAD_ROWS]
    images[0] = "TAD66K/lanphere54810922.JPG"
    for image in images:
        write(tmp_path / image)
    rows = read(tad66k, tmp_path)
    assert rows == TAD_ROWS
    assert [image_of(tmp_path, row) for row in rows] == images


def test_tad66k_prefers_merge_to_other_files_of_the_name(tmp_path):
    for part, text in (("train", TAD_TRAIN), ("test", TAD_TEST)):
        write(tmp_path / f"dataset/merge/{part}.csv", text)
        write(tmp_path / f"{part}.csv", "image,score\nother.jpg,1\n")
        write(tmp_path / f"dataset/unmerge/{part}.csv", "image,score\nother.jpg,1\n")
    assert read(tad66k, tmp_path) == TAD_ROWS


def test_tad66k_line_cut_short(tmp_path):
    write(tmp_path / "train.csv", "image,score\r\nlanphere54810922.jpg")
    write(tmp_path / "test.csv", TAD_TEST)
    assert read(tad66k, tmp_path)[0].score == ""


def test_tad66k_without_merge_says_what_is_missing(tmp_path):
    write(tmp_path / "dataset/unmerge/train/animal.csv", TAD_TRAIN)
    with pytest.raises(FileNotFoundError, match=r"no file merge/train\.csv or train\.csv"):
        read(tad66k, tmp_path)


# AVA


def test_ava_id_is_the_second_column(tmp_path):
    write(
        tmp_path / "AVA_dataset/AVA.txt",
        "1 953619 0 1 5 17 38 36 15 6 5 1 1 22 1396\r\n2 1 10 0 0 0 0 0 0 0 0 10 1 21 1396\r\n",
    )
    write(tmp_path / "images/953619.jpg")
    write(tmp_path / "images/1.JPG")
    rows = read(ava, tmp_path)
    mean = (2 * 1 + 3 * 5 + 4 * 17 + 5 * 38 + 6 * 36 + 7 * 15 + 8 * 6 + 9 * 5 + 10 * 1) / 124
    assert rows == [
        Row("953619", ("953619.jpg",), mean, votes=(0, 1, 5, 17, 38, 36, 15, 6, 5, 1)),
        Row("1", ("1.jpg",), 5.5, votes=(10, 0, 0, 0, 0, 0, 0, 0, 0, 10)),
    ]
    assert [image_of(tmp_path, row) for row in rows] == ["images/953619.jpg", "images/1.JPG"]


@pytest.mark.parametrize(
    ("line", "id", "reason"),
    [
        ("2 77 0 1 5 17 38 36 15 6 5 1 1 22", "77", "14 columns instead of 15"),
        ("2", "2", "1 columns instead of 15"),
        ("2 77 0 0 0 0 0 0 0 0 0 0 1 22 1396", "77", "no votes (0 0 0 0 0 0 0 0 0 0)"),
        ("2 77 0 0 0 0 -5 0 0 0 0 0 1 22 9", "77", "'77 0 0 0 0 -5 0 0 0 0 0' is not an id and ten counts"),
        ("2 a.jpg 0 0 0 0 5 0 0 0 0 0 1 22 9", "a.jpg", "'a.jpg 0 0 0 0 5 0 0 0 0 0' is not an id and ten counts"),
        ("2 77 0 0 0 0 5.5 0 0 0 0 0 1 22 9", "77", "'77 0 0 0 0 5.5 0 0 0 0 0' is not an id and ten counts"),
    ],
)
def test_ava_lines_that_are_none_are_dropped_with_their_number(tmp_path, line, id, reason):
    good = "1 953619 0 0 0 0 1 0 0 0 0 0 1 22 1396"
    write(tmp_path / "AVA.txt", f"\ufeff{good}\n\n{line}\n")
    assert read(ava, tmp_path) == [
        Row("953619", ("953619.jpg",), 5.0, votes=(0, 0, 0, 0, 1, 0, 0, 0, 0, 0)),
        Drop(id, f"{id}.jpg", "rule", f"AVA.txt, line 3: {reason}"),
    ]


@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", "id,score\n1,5\n".encode("utf-16")])
def test_ava_refuses_another_file(tmp_path, content):
    write(tmp_path / "AVA.txt", content)
    with pytest.raises(ValueError, match=r"AVA\.txt: (no line of 15 numbers with votes; is it|empty|a web page)"):
        read(ava, tmp_path)


def test_ava_as_the_table_of_kaggle(tmp_path):
    head = ",image_num," + ",".join(f"vote_{n}" for n in range(1, 11))
    lines = "0,953619,0,1,5,17,38,36,15,6,5,1\n1,7,0,0,0,0,0,0,0,0,0,0\n2,8,0,0,0,0,x,0,0,0,0,0\n"
    write(tmp_path / "ground_truth_dataset.csv", f"{head}\n{lines}")
    row, none, odd = read(ava, tmp_path)
    assert (
        row.id == "953619" and row.votes == (0, 1, 5, 17, 38, 36, 15, 6, 5, 1) and row.score == pytest.approx(699 / 124)
    )
    assert (none.id, odd.id) == ("7", "8") and "no votes" in none.reason and "line 4" in odd.reason


def test_a_folder_without_labels_names_the_file(tmp_path):
    for module in (aesthetics, tad66k, ava):
        with pytest.raises(FileNotFoundError, match="no file .* in it or below it; there is nothing"):
            read(module, tmp_path)


COUNTS = ["1", "0", "0", "0", "0", "0", "0", "0", "0", "1"]  # of votes 1 to 10; their mean is 5.5


@pytest.mark.parametrize(("name", "first"), [("vote_{}", 1), ("rating_{}", 1), ("{}", 1), ("score{}", 2)])
def test_ava_tables_name_the_votes_in_several_ways(tmp_path, name, first):
    header = ",".join(["image_id", *(name.format(first + n) for n in range(10))])
    write(tmp_path / "AVA.csv", f"{header}\n953619.jpg,{','.join(COUNTS)}\n")
    assert [(row.id, row.score) for row in read(ava, tmp_path)] == [("953619", 5.5)]


def test_ava_table_of_scores_1_to_10_is_not_read_one_column_off(tmp_path):
    header = ",".join(["image_id", *(f"score{n}" for n in range(1, 11))])
    write(tmp_path / "AVA.csv", f"{header}\n953619.jpg,{','.join(COUNTS)}\n")
    assert [(row.id, row.score) for row in read(ava, tmp_path)] == [("953619", 5.5)]
    write(tmp_path / "AVA.csv", f"{header},score11\n953619.jpg,{','.join(COUNTS)},210\n")
    with pytest.raises(ValueError, match="score1 to score11"):
        read(ava, tmp_path)


def test_ava_as_the_table_of_pyiqa_and_in_two_parts(tmp_path):
    header = ",".join(["img_name", "MOS", *(f"c{n}" for n in range(1, 11)), "semantic_tag1", "official split"])
    for name, id in (("AVA_train", 953619), ("AVA_test", 953620)):
        write(tmp_path / f"{name}.csv", f"{header}\n{id}.jpg,5.5,{','.join(COUNTS)},1,0\n")
    assert sorted((row.id, row.score) for row in read(ava, tmp_path)) == [("953619", 5.5), ("953620", 5.5)]


def test_aesthetics_with_one_vote_a_row_is_refused(tmp_path):
    rows = "".join(f"{n},urban,{1 + n % 5}\n" for n in range(60))
    write(tmp_path / "beauty.csv", f"#flickr_photo_id,category,beauty_scores\n{rows}")
    with pytest.raises(ValueError, match="one vote a row"):
        read(aesthetics, tmp_path)


def test_aesthetics_votes_from_0_to_4_are_refused(tmp_path):
    rows = "".join(f'{n},urban,"{n % 5},{(n + 1) % 5}"\n' for n in range(60))
    write(tmp_path / "beauty.csv", f"#flickr_photo_id,category,beauty_scores\n{rows}")
    with pytest.raises(ValueError, match="add 1"):
        read(aesthetics, tmp_path)


def test_ava_lines_with_commas(tmp_path):
    write(tmp_path / "AVA.txt", ",".join(["1", "953619", *COUNTS, "1", "2", "3"]) + "\n")
    assert [(row.id, row.score) for row in read(ava, tmp_path)] == [("953619", 5.5)]
