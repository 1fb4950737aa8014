"""The copies of images that `--resize` makes: where they lie, when they are made again, and a run that is killed."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from PIL import Image

from data_prep.images import check, copy_of
from data_prep.options import Options
from storm.files import locked
from tests.helpers.paths import ROOT
from tests.helpers.pictures import encoded, picture


def test_copies_never_collide(tmp_path):
    assert copy_of("spaq/TestImage/1.jpg") == "spaq/TestImage/1.jpg"
    assert copy_of("a.b/x.png") == "a.b/x.png.jpg"
    names = ["x.jpg", "x.png", "x.JPG", "x.jpeg", "x.png.jpg", "x.jpg.jpg", "x.jpg.png"]
    assert len({copy_of(name) for name in names}) == len(names)


@pytest.mark.parametrize(("raw", "out"), [("images", "."), (".", "."), ("images/spaq", ".")])
def test_a_copy_never_replaces_an_original(tmp_path, raw, out):
    for folder in ("", "images", "images/spaq"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "x.jpg").write_bytes(encoded(Image.new("RGB", (90, 90)), "JPEG"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.jpg")}
    with pytest.raises(ValueError, match="would be written over the originals in"):
        check(["x.jpg"], "toy", Options(tmp_path / raw, tmp_path / out, resize=99))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.jpg")} == before


def test_rows_reach_the_copy_even_if_the_image_root_is_a_link(tmp_path):
    (tmp_path / "disk/deep/raw").mkdir(parents=True)
    (tmp_path / "disk/deep/raw/x.png").write_bytes(encoded(picture(), "PNG"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/raw").symlink_to(tmp_path / "disk/deep/raw")
    for raw, path in (("data/raw", "../../../data/out"), ("disk/deep/raw", "../../../data/out")):
        out = tmp_path / "data/out"
        (result,) = check(["x.png"], "toy", Options(tmp_path / raw, out, resize=900)).values()
        assert result.image == f"{path}/images/x.png.jpg"
        assert Image.open(os.path.join(tmp_path / raw, result.image)).size == (34, 25)


def test_copies_may_lie_on_another_disk(tmp_path):
    disk = Path("/dev/shm")  # noqa: S108, the second disk that nearly all Linux machines have
    if not disk.is_dir() or disk.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second disk")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/x.png").write_bytes(encoded(picture(), "PNG"))
    (tmp_path / "out").mkdir()
    with tempfile.TemporaryDirectory(dir=disk) as folder:
        (tmp_path / "out/images").symlink_to(folder)
        (result,) = check(["x.png"], "toy", Options(tmp_path / "raw", tmp_path / "out", resize=900)).values()
        assert result.reason == "" and [path.name for path in Path(folder).iterdir()] == ["x.png.jpg"]


def make_raw(raw: Path, count: int) -> list[str]:
    (raw / "toy").mkdir(parents=True)
    sorts = [encoded(picture(800, 600, seed), "JPEG") for seed in range(6)] + [b"not an image"]
    names = [f"toy/{number}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        (raw / name).write_bytes(sorts[number % len(sorts)])
    return names


def log_of(out: Path) -> list[str]:
    path = out / ".checked" / "toy.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line)["image"] for line in lines if line.endswith(b"\n")]


def copies_of(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.glob("images/**/*.*")}


def test_workers_do_not_change_the_result(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    names = make_raw(raw, 30)[::-1]
    kept = []
    for workers in (1, 3):
        result = check(names, "toy", Options(raw, out, resize=9000, workers=workers))
        entries = [json.loads(line) for line in (out / ".checked/toy.jsonl").read_text().splitlines()]
        entries = [entry | {"copy": entry["copy"] and [entry["copy"][0], entry["copy"][2]]} for entry in entries]
        kept.append((list(result.items()), copies_of(out), entries))
        out.rename(tmp_path / f"out{workers}")
    assert kept[0] == kept[1]
    assert [image for image, _ in kept[0][0]] == names


def test_only_what_changed_is_done_again(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    names = make_raw(raw, 9)

    def again(resize: int | None = 9000) -> set[str]:
        before = len(log_of(out))
        result = check(names, "toy", Options(raw, out, resize=resize))
        new = tmp_path / f"new{len(list(tmp_path.iterdir()))}"
        fresh = check(names, "toy", Options(raw, new, resize=resize))
        assert [tuple(a)[1:] for a in result.values()] == [tuple(b)[1:] for b in fresh.values()]
        return set(log_of(out)[before:])

    assert again() == set(names)
    assert again() == set()
    os.utime(raw / names[3], ns=(0, 1))
    assert again() == {names[3]}
    (raw / names[4]).write_bytes(b"not an image any more")
    assert again() == {names[4]}
    (out / "images" / names[5]).unlink()
    assert again() == {names[5]}
    part = names[:2]
    check(part, "toy", Options(raw, out, resize=5000))
    assert again() == set(part), "their copies are smaller now"
    assert again(resize=5000) == set(names)
    assert again(resize=None) == set(names)
    log = out / ".checked/toy.jsonl"
    log.write_bytes(log.read_bytes()[:-30])
    assert again(resize=None) == {names[-1]}
    log.write_bytes(log.read_bytes() + b'{"image": "toy/0.jpg", "si')
    assert again(resize=None) == set()
    assert all(json.loads(line) for line in log.read_text().splitlines())


@pytest.mark.parametrize("change", ["empty", "cut", "exchanged", "gone", "touched"])
def test_a_copy_is_made_again_unless_it_is_the_same(tmp_path, change):
    raw, out = tmp_path / "raw", tmp_path / "out"
    names = make_raw(raw, 5)
    whole = check(names, "toy", Options(raw, out, resize=9000))
    copies = copies_of(out)
    path = out / "images" / names[2]
    data = path.read_bytes()
    if change == "gone":
        path.unlink()
    elif change == "touched":
        os.utime(path, ns=(0, 1))
    else:
        path.write_bytes({"empty": b"", "cut": data[:-9], "exchanged": data[::-1]}[change])
    before = log_of(out)
    assert check(names, "toy", Options(raw, out, resize=9000)) == whole and copies_of(out) == copies
    assert log_of(out)[len(before) :] == [names[2]]
    assert check(names, "toy", Options(raw, out, resize=9000)) == whole
    assert len(log_of(out)) == len(before) + 1, "looked at once"


def test_what_is_not_a_file_is_not_replaced_by_a_copy(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    names = make_raw(raw, 2)
    (tmp_path / "precious").write_text("kept")
    (out / "images/toy").mkdir(parents=True)
    (out / "images" / names[0]).symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="is a link"):
        check(names, "toy", Options(raw, out, resize=9000))
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_very_long_name_has_a_copy_of_its_own(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    (raw / "toy").mkdir(parents=True)
    names = [f"toy/{'x' * 246}{number}.png" for number in range(3)]
    for seed, name in enumerate(names):
        (raw / name).write_bytes(encoded(picture(80, 60, seed), "PNG"))
    results = check(names, "toy", Options(raw, out, resize=900)).values()
    assert len({result.image for result in results}) == 3 and not any(result.reason for result in results)
    assert all((raw / result.image).is_file() for result in results)


def test_hashes_of_an_earlier_version_do_not_count(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    names = make_raw(raw, 4)
    whole = check(names, "toy", Options(raw, out))
    log = out / ".checked/toy.jsonl"
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text("".join(json.dumps(entry | {"version": 1, "hashes": "0" * 16}) + "\n" for entry in entries))
    assert check(names, "toy", Options(raw, out)) == whole


def test_a_full_disk_is_not_the_fault_of_an_image(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    names = make_raw(raw, 3)
    out.mkdir()
    (out / "images").touch()  # stands for it: the folder cannot be written to
    with pytest.raises(OSError):
        check(names, "toy", Options(raw, out, resize=9000))
    assert log_of(out) == []


RUN = """
import sys
from pathlib import Path
from data_prep.images import check
from data_prep.options import Options
raw, out, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
names = [f"toy/{number}.jpg" for number in range(count)]
check(names, "toy", Options(raw, out, resize=9000, workers=2))
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    names = make_raw(raw, 400)
    whole = check(names, "toy", Options(raw, out, resize=9000))
    copies = copies_of(out)
    out.rename(tmp_path / "unbroken")

    command = [sys.executable, "-c", RUN, raw, out, str(len(names))]
    run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 30
    while len(log_of(out)) < 60 and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=10)  # ends when the workers too have let go of the pipe
    finished = log_of(out)
    assert 60 <= len(finished) < len(names)
    times = {image: path.stat().st_mtime_ns for image in finished if (path := out / "images" / image).exists()}

    with locked(out):  # which takes away what the killed run did not finish
        assert check(names, "toy", Options(raw, out, resize=9000, workers=2)) == whole
    assert copies_of(out) == copies
    assert sorted(log_of(out)) == sorted(names), "none twice"
    assert {image: (out / "images" / image).stat().st_mtime_ns for image in times} == times
