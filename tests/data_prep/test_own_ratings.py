"""A user's own ratings: the worked example, which image a name means, and rows that cannot be used."""

import csv
import json
import shutil
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.__main__ import main
from data_prep.images import copy_of
from eval.score import main as score
from tests.helpers.paths import EXAMPLE


def build(folder: Path, out: Path, *more: str) -> int:
    return main(["csv", f"{folder}/ratings.csv", "--scale", f"{folder}/scale.yaml", "--out", str(out), *more])


@pytest.fixture
def example(tmp_path):
    return Path(shutil.copytree(EXAMPLE, tmp_path / "mine"))


def test_the_worked_example_is_built_registered_and_scored(tmp_path, capsys):
    out = tmp_path / "appeal"
    assert build(EXAMPLE, out, "--workers", "1") == 0
    assert "dataset=appeal_train eval_dataset=appeal_val" in capsys.readouterr().out
    info = json.loads((out / "dataset_info.json").read_text())
    assert len(info) == 3 and info["appeal_test"]["file_name"] == "cot/appeal_test.jsonl"
    subjects = []
    for part, count in (("train", 5), ("val", 5), ("test", 5)):  # three products of five photographs
        rows = [json.loads(line) for line in (out / info[f"appeal_{part}"]["file_name"]).read_text().splitlines()]
        assert len(rows) == count
        assert all((EXAMPLE / row["images"][0]).is_file() for row in rows)
        subjects.append({row["subject"] for row in rows})
    assert not subjects[0] & subjects[1] and not (subjects[0] | subjects[1]) & subjects[2]
    assert rows[0]["conversations"][0]["value"].startswith(
        "<image> You are an experienced judge of the appeal of a pro"
    )

    predictions = tmp_path / "appeal_test" / "generated_predictions.jsonl"
    predictions.parent.mkdir()
    texts = [row["conversations"][1]["value"] for row in rows]
    predictions.write_text("".join(json.dumps({"predict": s, "label": s + "\n"}) + "\n" for s in texts))
    assert score([str(predictions), "--scale", str(out / "scale.yaml"), "--json", str(tmp_path / "s.json")]) == 0
    (scores,) = json.loads((tmp_path / "s.json").read_text())["scores"]
    assert (scores["dataset"], scores["n"], scores["acc"], scores["consistent"]) == ("appeal", 5, 1, 1)
    assert score([str(predictions)]) == 2 and "--scale" in capsys.readouterr().err


def test_bad_rows_are_kept_apart_and_named(example, tmp_path, capsys):
    with (example / "ratings.csv").open("a") as file:
        file.write(
            "images/mug_studio.jpg,superb,mug\nimages/gone.jpg,3,mug\n../secret.jpg,3,mug\nimages/coins_phone.jpg,1,c\n"
        )
    assert build(example, tmp_path / "out", "--workers", "1") == 1, "1 of 19 ratings is not on the scale"
    error = capsys.readouterr().err
    assert "line 17" in error and "'superb'" in error and "--allow-off-scale" in error
    assert build(example, tmp_path / "out", "--workers", "1", "--allow-off-scale") == 1, "many images are missing"
    assert "--allow-missing" in capsys.readouterr().err and not list((tmp_path / "out").rglob("*.jsonl"))
    assert build(example, tmp_path / "out", "--workers", "1", "--allow-missing", "--allow-off-scale") == 0
    drops = [tuple(row.values()) for row in table(tmp_path / "out/quarantine/appeal.csv")]
    kinds = {image: reason.split(":")[0] for image, _, reason in drops}
    assert kinds["images/mug_studio.jpg"] == "rule" and kinds["images/coins_phone.jpg"] == "duplicate"
    assert kinds["images/gone.jpg"] == kinds["../secret.jpg"] == "missing"
    assert [(image, file) for image, file, reason in drops if "superb" in reason] == [
        ("images/mug_studio.jpg", "ratings.csv, line 17")
    ]
    assert [image for image, _, reason in drops if "1.0, 1.1" in reason] == ["images/coins_phone.jpg"] * 2
    capsys.readouterr()


def test_the_users_own_split_is_kept(example, tmp_path):
    rows = (example / "ratings.csv").read_text().splitlines()
    parts = ["split", *["train"] * 5, *["val"] * 5, *["test"] * 5]
    (example / "ratings.csv").write_text("".join(f"{row},{part}\n" for row, part in zip(rows, parts)))
    assert build(example, tmp_path / "out", "--workers", "1") == 0
    manifest = (tmp_path / "out/manifest/appeal.csv").read_text()
    assert [manifest.count(f",{part},") for part in ("train", "val", "test")] == [5, 5, 5]


def ratings(folder: Path, lines: list[str], scale: Path = EXAMPLE / "scale.yaml") -> Path:
    """A folder with a csv of these lines, each of whose images exists and has another color."""
    folder.mkdir(exist_ok=True)
    (folder / "ratings.csv").write_text("\n".join(lines) + "\n")
    shutil.copy(scale, folder / "scale.yaml")
    return folder


def image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((96, 96), Image.Resampling.BICUBIC).save(path)


def table(path: Path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def listed(out: Path) -> list[dict]:
    return table(out / "manifest/appeal.csv")


def test_a_name_means_its_own_file_and_no_other(tmp_path, capsys):
    folder = ratings(tmp_path / "mine", ["image,rating", *(f"images/{i}.png,{1 + i % 5}" for i in range(20))])
    for i in range(20):
        image(folder / f"images/{i}.png", i)
        image(folder / f"backup/images/{i}.png", 100 + i)
    image(folder / "A.png", 200)
    image(folder / "a.png", 201)
    image(folder / "b.jpg", 202)
    with (folder / "ratings.csv").open("a") as file:
        file.write(f"A.png,1\na.png,5\nb.png,1\nb.jpg,5\n./images/0.png,1.0\n{folder}/images/1.png,2\nimages/2,3\n")
    for more in ((), ("--resize", "1024"), ("--resize", "1024")):  # the third has copies of the second below --media
        out = folder / "data/appeal"
        assert build(folder, out, "--workers", "1", "--allow-missing", *more) == 0
        rows = {row["id"]: row for row in listed(out)}
        assert len(rows) == 23 and rows["A.png"]["label"] == "0" and rows["b.jpg"]["label"] == "4"
        kept = [row["id"] if not more else f"data/appeal/images/{copy_of(row['id'])}" for row in rows.values()]
        assert [row["image"] for row in rows.values()] == kept
        numbers = json.loads((out / "summary.json").read_text())["appeal"]
        assert (numbers["dropped"]["missing"], numbers["dropped"]["duplicate"]) == (2, 2)
        assert numbers["images_without_label"] == 0 and numbers["unused_folders"] == {"backup": 20}
    kinds = {(row["id"], row["file"]): row["reason"].split(":")[0] for row in table(out / "quarantine/appeal.csv")}
    assert kinds["b.png", "ratings.csv, line 24"] == kinds["images/2", "ratings.csv, line 28"] == "missing"
    assert [id for (id, _), kind in kinds.items() if kind == "duplicate"] == ["images/0.png", "images/1.png"]
    capsys.readouterr()


def test_a_decimal_comma_stops_everything(example, tmp_path, capsys):
    with (example / "ratings.csv").open("a") as file:
        file.write("images/mug_studio.jpg,1,mug,train,5\n")
    assert build(example, tmp_path / "out") == 1
    assert "ratings.csv, line 17: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_rows_without_a_subject_are_one_of_their_own(tmp_path):
    lines = ["image,rating,subject", *(f"{i}.png,{1 + i % 5},{'p' if i < 6 else ''}" for i in range(200))]
    folder = ratings(tmp_path / "mine", lines)
    for i in range(200):
        (folder / f"{i}.png").write_bytes(b"x")
    assert build(folder, tmp_path / "out", "--check", "exists") == 0
    parts = [row["split"] for row in listed(tmp_path / "out")]
    assert 20 <= parts.count("test") <= 25 and len({r["split"] for r in listed(tmp_path / "out") if r["subject"]}) == 1


def test_one_row_in_ten_is_for_testing(tmp_path):
    folder = ratings(tmp_path / "mine", ["image,rating", *(f"{i}.png,{1 + i % 5}" for i in range(100))])
    for i in range(100):
        (folder / f"{i}.png").write_bytes(b"x")
    assert build(folder, tmp_path / "out", "--check", "exists") == 0
    assert [row["split"] for row in listed(tmp_path / "out")].count("test") == 10


@pytest.mark.parametrize(
    ("header", "end", "count", "part"),
    [
        ("image,rating", "", 4, "testing"),
        ("image,rating,subject", ",me", 30, "training"),
        ("image,rating,split", ",train", 30, "testing"),
        ("image,rating,split", ",test", 30, "training"),
    ],
)
def test_a_side_without_rows_is_refused(tmp_path, capsys, header, end, count, part):
    folder = ratings(tmp_path / "mine", [header, *(f"{i}.png,3{end}" for i in range(count))])
    for i in range(count):
        (folder / f"{i}.png").write_bytes(b"x")
    options = ("--check", "exists", "--allow-empty-levels", "--val", "0")
    assert build(folder, tmp_path / "out", *options) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"{folder}/ratings.csv: " in error and str(count) in error and part in error
    assert not list((tmp_path / "out").rglob("*.json*"))


def test_a_level_without_rows_is_refused_or_allowed(tmp_path, capsys):
    folder = ratings(tmp_path / "mine", ["image,rating", *(f"{i}.png,{1 + i % 4}" for i in range(40))])
    for i in range(40):
        (folder / f"{i}.png").write_bytes(b"x")
    assert build(folder, tmp_path / "out", "--check", "exists") == 1
    assert "level 4" in capsys.readouterr().err and not list((tmp_path / "out").rglob("*.jsonl"))
    assert build(folder, tmp_path / "out", "--check", "exists", "--allow-empty-levels") == 0
    capsys.readouterr()


def test_a_tenth_of_the_training_rows_is_for_validation_unless_another_share_is_wanted(tmp_path, capsys):
    folder = ratings(tmp_path / "mine", ["image,rating", *(f"{i}.png,{1 + i % 5}" for i in range(100))])
    for i in range(100):
        (folder / f"{i}.png").write_bytes(b"x")
    for more, sizes in (([], [81, 9, 10]), (["--val", "0.2"], [72, 18, 10]), (["--val", "0"], [90, 0, 10])):
        assert build(folder, tmp_path / "out", "--check", "exists", *more) == 0
        parts = [row["split"] for row in listed(tmp_path / "out")]
        assert [parts.count(part) for part in ("train", "val", "test")] == sizes
        info = json.loads((tmp_path / "out/dataset_info.json").read_text())
        assert ("appeal_val" in info) == bool(sizes[1]) == ("eval_dataset=appeal_val" in capsys.readouterr().out)
        assert (tmp_path / "out/cot/appeal_val.jsonl").exists() == bool(sizes[1])


def test_copies_between_train_and_test_are_said_and_can_be_dropped(tmp_path, capsys):
    lines = ["image,rating", *(f"{side}/{i}.png,{1 + i % 5}" for i in range(20) for side in "ab")]
    folder, out = ratings(tmp_path / "mine", lines), tmp_path / "out"
    for i in range(20):
        image(folder / f"a/{i}.png", i)
        (folder / "b").mkdir(exist_ok=True)
        (folder / f"b/{i}.png").write_bytes((folder / f"a/{i}.png").read_bytes())
    assert build(folder, out, "--workers", "1", "--allow-empty-levels", "--val", "0") == 0
    leaks = (out / "leaks.csv").read_text().splitlines()[1:]
    assert leaks and all(",exact,0" in leak for leak in leaks)
    printed = capsys.readouterr().out
    assert f"{len(leaks)} exact and 0 near" in printed and "--drop-leaks" in printed and f"{out}/leaks.csv" in printed
    assert build(folder, out, "--workers", "1", "--drop-leaks", "--allow-empty-levels", "--val", "0") == 0
    assert len(listed(out)) == 40 - len(leaks)
    capsys.readouterr()


def test_one_picture_with_two_ratings_is_taken_out_of_own_ratings(tmp_path, capsys):
    lines = ["image,rating", *(f"{i}.png,{1 + i % 5}" for i in range(40)), "again.png,3"]
    folder, out = ratings(tmp_path / "mine", lines), tmp_path / "out"
    for i in range(40):
        image(folder / f"{i}.png", i)
    (folder / "again.png").write_bytes((folder / "0.png").read_bytes())
    assert build(folder, out, "--workers", "1") == 0
    assert {"0.png", "again.png"}.isdisjoint(row["id"] for row in listed(out)) and len(listed(out)) == 39
    (line,) = table(out / "conflicts.csv")
    assert {line["id"], line["other_id"]} == {"0.png", "again.png"} and line["kind"] == "exact"
    assert "again.png" in (out / "quarantine/appeal.csv").read_text()
    capsys.readouterr()


def test_what_is_printed_is_registered(example, tmp_path, capsys):
    assert build(example, tmp_path / "out", "--workers", "1", "--strategy", "num") == 0
    assert "dataset=appeal_train_num eval_dataset=appeal_val_num" in capsys.readouterr().out
    names = list(json.loads((tmp_path / "out/dataset_info.json").read_text()))
    assert names == [f"appeal_{part}_num" for part in ("train", "val", "test")]


def test_the_copy_of_the_scale_may_be_edited_in_place(example, tmp_path, capsys):
    out = tmp_path / "appeal"
    assert build(example, out, "--workers", "1") == 0
    (out / "scale.yaml").write_text((out / "scale.yaml").read_text().replace("Repelling", "Ugly"))
    again = ["csv", f"{example}/ratings.csv", "--scale", f"{out}/scale.yaml", "--out", str(out), "--workers", "1"]
    assert main(again) == 0
    assert "Ugly" in (out / "cot/appeal_train.jsonl").read_text() and "Ugly" in (out / "scale.yaml").read_text()
    capsys.readouterr()


def test_a_killed_worker_is_one_line(example, tmp_path, monkeypatch, capsys):
    def killed(*args, **options):
        raise BrokenProcessPool("a worker was killed")

    monkeypatch.setattr("data_prep.own_ratings.prepare", killed)
    assert build(example, tmp_path / "out") == 1
    assert capsys.readouterr().err == "error: a worker was killed\n"


def test_one_line_for_what_cannot_be_built(example, tmp_path, capsys):
    (example / "ratings.csv").write_text("file,stars,day\na.jpg,3,2\n")
    assert build(example, tmp_path / "out") == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert f"{example}/ratings.csv: " in error and "--rating-column" in error and "file, stars" in error
    (example / "ratings.csv").write_text("image,rating,split\na.jpg,3,train\nb.jpg,3,third\n")
    assert build(example, tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "line 3: " in error and "'third'" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("gone", ["ratings.csv", "scale.yaml", "photos"])
def test_what_is_missing_is_one_line_with_what_to_do(example, tmp_path, capsys, gone):
    """A csv, a scale, an image root."""
    (example / gone).unlink(missing_ok=True)
    media = ["--media", str(example / gone)] if gone == "photos" else []
    assert build(example, tmp_path / "out", *media) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {example / gone}: ") and "Errno" not in line
    assert ("--media" if media else f"examples/product_photos/{gone}") in line
    assert not (tmp_path / "out").exists()


def test_a_side_that_duplicates_leave_empty_is_refused(tmp_path, capsys):
    """Every training image is a test image, too: without them there is nothing to train on."""
    lines = ["image,rating,split", *(f"{part}/{i}.png,3,{part}" for i in range(3) for part in ("train", "test"))]
    folder, out = ratings(tmp_path / "mine", lines), tmp_path / "out"
    for i in range(3):
        image(folder / f"test/{i}.png", i)
        (folder / "train").mkdir(exist_ok=True)
        (folder / f"train/{i}.png").write_bytes((folder / f"test/{i}.png").read_bytes())
    assert build(folder, out, "--workers", "1", "--drop-leaks", "--allow-empty-levels") == 1
    assert f"{folder}/ratings.csv: " in capsys.readouterr().err
    assert not list(out.rglob("*_test.jsonl")) and not (out / "dataset_info.json").exists()
