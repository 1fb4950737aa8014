"""Classes, raters and records: the name of a class goes before its number, and one rating is one."""

import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from data_prep.__main__ import main
from tests.helpers.downloads import write
from tests.helpers.own_files import images, labels, lines, own, refused

WORDS = ("Bad", "Fair", "Good")


def upside_down(folder: Path, kind: str) -> str:
    """A file in which class 0 is Good, and 2 is Bad."""
    names = WORDS[::-1]
    if kind == "coco":
        file = {
            "images": [{"id": n, "file_name": f"{n}.png"} for n in range(30)],
            "annotations": [{"id": n, "image_id": n, "category_id": n % 3} for n in range(30)],
            "categories": [{"id": n, "name": name} for n, name in enumerate(names)],
        }
        write(folder / "a.json", json.dumps(file))
        return "a.json"
    if kind in ("sagemaker", "class-map"):
        numbers = {"class-map": {str(n): name for n, name in enumerate(names)}}
        facts = [numbers if kind == "class-map" else {"class-name": name} for name in names]
        rows = [{"source-ref": f"s3://x/{n}.png", "grade": n % 3, "grade-metadata": facts[n % 3]} for n in range(30)]
        write(folder / "a.manifest", "".join(json.dumps(row) + "\n" for row in rows))
        return "a.manifest"
    feature = {"rating": {"names": list(names), "_type": "ClassLabel"}}
    table = pyarrow.table(
        {
            "image": [f"{n}.png" for n in range(30)],
            "rating": [n % 3 if "," not in kind else float(n % 3) for n in range(30)],
        }
    )
    metadata = {b"huggingface": json.dumps({"info": {"features": feature}}).encode()}
    parquet.write_table(table.replace_schema_metadata(metadata), folder / "a.parquet")
    return "a.parquet"


@pytest.mark.parametrize("kind", ["coco", "sagemaker", "class-map", "hugging face", "hugging face, as fractions"])
def test_the_name_of_a_class_goes_before_its_number(tmp_path, kind):
    images(tmp_path, *(f"{n}.png" for n in range(30)))
    assert own(tmp_path, upside_down(tmp_path, kind), "--levels", ",".join(WORDS)) == 0
    assert [labels(tmp_path)[f"{n}.png"][0] for n in range(3)] == ["2", "1", "0"]


def test_coco_says_split_and_subject_of_its_images(tmp_path):
    images(tmp_path, *(f"{n}.png" for n in range(30)))
    pictures = [
        {"id": n, "file_name": f"{n}.png", "split": "test" if n < 9 else "train", "subject": f"s{n // 3}"}
        for n in range(30)
    ]
    marks = [{"id": n, "image_id": n, "attributes": {"rating": n % 3}} for n in range(30)]
    write(tmp_path / "a.json", json.dumps({"images": pictures, "annotations": marks}))
    assert main(["own", f"{tmp_path}/a.json", "--out", f"{tmp_path}/out", "--workers", "1", "--val", "0"]) == 0
    assert labels(tmp_path)["7.png"] == ("1", "s2")
    assert len((tmp_path / "out/cot/a_test.jsonl").read_text().splitlines()) == 9


def test_what_is_not_one_rating_is_refused(tmp_path, capsys):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    pictures = [{"id": n, "file_name": f"{n}.png"} for n in range(20)]
    marks = [{"id": n, "image_id": n, "category_id": 1, "score": 0.5} for n in range(20)]
    kinds = [{"id": 1, "name": "Good"}]
    write(tmp_path / "a.json", json.dumps({"images": pictures, "annotations": marks, "categories": kinds}))
    assert "a score and a category" in refused(tmp_path, capsys, "a.json", "--levels", "Bad,Good")
    tasks = [
        {"data": {"image": f"{n}.png"}, "annotations": [{"result": [{"from_name": name, "value": {"rating": 1}}]}]}
        for n, name in enumerate(["sharp", "light"] * 10)
    ]
    write(tmp_path / "b.json", json.dumps(tasks))
    assert "light, sharp" in refused(tmp_path, capsys, "b.json")
    rows = [{"image": f"{n}.png", "rating": n % 3 if n % 4 else {"choices": ["1", "2"]}} for n in range(20)]
    write(tmp_path / "c.json", json.dumps(rows))
    assert "5 of 20" in refused(tmp_path, capsys, "c.json", "--levels", "3", "--range", "0,2")
    write(tmp_path / "d.txt", "".join(f"{n}.png {n % 3} x\n" if n != 5 else "5.png x\n" for n in range(20)))
    assert "line 6" in refused(tmp_path, capsys, "d.txt", "--no-header", "--rating-column", "2")


def test_raters_in_files_of_their_own(tmp_path):
    """In each file, no image has two rows."""
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    for rater, more in (("anna", 0), ("ben", 2)):
        rows = [(f"{n}.png", n % 3 + more, rater) for n in range(20)]
        write(tmp_path / f"{rater}.csv", lines(rows, "image,rating,rater"))
    scale = ("--levels", "5", "--range", "0,4", "--allow-empty-levels")
    assert own(tmp_path, "anna.csv", "ben.csv", *scale) == 0
    assert [labels(tmp_path)[f"{n}.png"][0] for n in range(3)] == ["1", "2", "3"]


def test_the_majority_is_of_levels(tmp_path):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    votes = (1, 1.3, 1.5, 4.2, 4.2)
    rows = [(f"{n}.png", vote, f"r{r}") for n in range(20) for r, vote in enumerate(votes)]
    write(tmp_path / "a.csv", lines(rows, "image,rating,rater"))
    scale = ("--levels", "5", "--range", "1,5", "--by", "equal-width", "--raters", "majority", "--allow-empty-levels")
    assert own(tmp_path, "a.csv", *scale) == 0 and {label for label, _ in labels(tmp_path).values()} == {"0"}


def test_a_person_may_be_called_nan_and_a_level_na(tmp_path):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    rows = [(f"{n}.png", ("NA", "low", "high")[n % 3], "Nan" if n < 8 else f"s{n}") for n in range(20)]
    write(tmp_path / "a.csv", lines(rows, "image,rating,subject"))
    assert own(tmp_path, "a.csv", "--levels", "NA,low,high") == 0
    assert labels(tmp_path)["3.png"] == ("0", "Nan")


def test_several_choices_and_keys_are_not_one(tmp_path, capsys):
    images(tmp_path, *(f"{n}.png" for n in range(20)))
    tasks = [
        {"data": {"image": f"{n}.png"}, "annotations": [{"result": [{"value": {"choices": ["Bad", "Good"]}}]}]}
        for n in range(20)
    ]
    write(tmp_path / "a.json", json.dumps(tasks))
    assert "Bad and Good" in refused(tmp_path, capsys, "a.json", "--levels", "Bad,Good")
    write(tmp_path / "a.jsonl", "".join(f'{{"image": "{n}.png", "rating": 1, "rating": 2}}\n' for n in range(20)))
    assert "line 1" in refused(tmp_path, capsys, "a.jsonl")


def test_a_path_of_another_machine_may_have_dev_or_test_in_it(tmp_path):
    images(tmp_path, *(f"train/{n}.png" for n in range(20)))
    write(tmp_path / "a.csv", lines([(f"/home/dev/test/train/{n}.png", n % 3) for n in range(20)]))
    assert own(tmp_path, "a.csv") == 0 and len(labels(tmp_path)) == 20
