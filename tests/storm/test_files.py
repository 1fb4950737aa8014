"""Files are whole or not there, lines are read whatever the others are like, and a folder has one writer."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from storm.files import (
    LOCK,
    Locked,
    append_jsonl,
    cut_unfinished,
    locked,
    read_json,
    read_jsonl,
    whole_files,
    write_json,
    write_jsonl,
)
from storm.options import describe
from tests.helpers.paths import ROOT


def test_a_failed_write_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert write_jsonl(path, [{"é": 1}, {"é": 2}]) == 2
    before = path.read_bytes()
    assert before == '{"é":1}\n{"é":2}\n'.encode()

    def rows():
        yield {"é": 3}
        raise ValueError("bad row")

    with pytest.raises(ValueError, match="bad row"):
        write_jsonl(path, rows())
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["rows.jsonl"]


def test_of_several_files_all_or_none_get_their_names(tmp_path):
    with pytest.raises(OSError, match="disk"), whole_files() as open_:
        open_(tmp_path / "a" / "one").write(b"1")
        open_(tmp_path / "two").write(b"2")
        raise OSError("disk")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_line_that_is_not_json_is_a_fault_and_the_others_are_read(tmp_path):
    path = tmp_path / "rows.jsonl"
    deep = b"[" * 100_000
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\n{bad\n\xff\xfe\n' + deep + b'\nnull\n[1]\n{"a": "unfini')
    lines = {line.number: line for line in read_jsonl(path)}
    assert {n: line.row for n, line in lines.items() if not line.fault} == {1: {"a": 1}, 7: [1]}
    assert {n: line.fault.split(":")[0] for n, line in lines.items() if line.fault} == {
        3: "not JSON", 4: "not UTF-8", 5: "not JSON", 6: "not a row", 8: "not JSON"
    }  # fmt: skip
    assert [n for n, line in lines.items() if "truncated" in line.fault] == [8], "only the last line is cut off"


@pytest.mark.parametrize("rest", [b"", b'{"b":', b"x" * 200_000])
def test_an_unfinished_last_line_is_cut_off(tmp_path, rest):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a":1}\n' * 3 + rest)
    cut_unfinished(path)
    append_jsonl(path, [{"b": 2}])
    assert path.read_bytes() == b'{"a":1}\n' * 3 + b'{"b":2}\n'
    path.write_bytes(rest)
    cut_unfinished(path)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("read", [read_json, lambda path: list(read_jsonl(path))])
def test_what_is_not_a_regular_file_is_refused_at_once(tmp_path, read):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError) as error:
            read(path)
        assert describe(error.value) == f"{path}: is not a regular file"


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    with pytest.raises(OSError) as error:
        write_json(tmp_path, {})
    assert f"{tmp_path}: is a folder" in describe(error.value) and os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["link", "broken link", "FIFO", "device"])
def test_what_is_not_a_regular_file_is_never_replaced(tmp_path, kind):
    path, target = tmp_path / "out.json", tmp_path / "precious"
    target.write_text("kept")
    if kind == "FIFO":
        os.mkfifo(path)
    else:
        path.symlink_to({"link": target, "broken link": tmp_path / "gone", "device": Path("/dev/null")}[kind])
    before = path.lstat()
    for write in (lambda: write_json(path, {}), lambda: append_jsonl(path, [{}])):
        with pytest.raises(OSError) as error:
            write()
        assert str(path) in describe(error.value) and "move it away" in describe(error.value)
    assert path.lstat() == before and target.read_text() == "kept" and len(os.listdir(tmp_path)) == 2
    (tmp_path / "folder").mkdir()
    path.rename(tmp_path / "folder" / LOCK)
    with pytest.raises(OSError, match=LOCK), locked(tmp_path / "folder"):
        pass
    assert target.read_text() == "kept"


def test_two_writers_of_one_name_do_not_mix(tmp_path):
    path = tmp_path / "rows.jsonl"
    with whole_files() as one, whole_files() as other:
        first, second = one(path), other(path)
        for _ in range(10_000):
            first.write(b'{"a":1}\n')
            second.write(b'{"b":2}\n')
    assert path.read_bytes() in (b'{"a":1}\n' * 10_000, b'{"b":2}\n' * 10_000)
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_a_file_system_that_cannot_sync_folders_is_written_to(tmp_path, monkeypatch):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    code = errno.EINVAL
    write_json(tmp_path / "x.json", 1)
    assert read_json(tmp_path / "x.json") == 1
    code = errno.EIO  # a disk that fails is said
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_json(tmp_path / "x.json", 2)


def test_the_longest_name_can_be_written(tmp_path):
    write_json(tmp_path / ("x" * 255), {})
    assert [len(name) for name in os.listdir(tmp_path)] == [255]


def test_a_file_has_the_permissions_that_others_have(tmp_path):
    write_json(tmp_path / "x.json", {})
    (tmp_path / "y").touch()
    assert (tmp_path / "x.json").stat().st_mode == (tmp_path / "y").stat().st_mode


KILLED = "import os, sys\nfrom pathlib import Path\nfrom storm.files import locked, whole_files\n"
KILLED += "with locked(Path(sys.argv[1])), whole_files() as open_:\n"
KILLED += "    open_(Path(sys.argv[1], 'cot', 'x.jsonl')).write(b'half')\n    os.kill(os.getpid(), 9)\n"


def test_what_a_killed_process_left_goes_when_the_folder_is_locked_again(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], cwd=ROOT, check=False)
    (left,) = (tmp_path / "cot").iterdir()
    assert left.name.startswith(".") and left.name.endswith(".part")
    with locked(tmp_path):
        assert list((tmp_path / "cot").iterdir()) == []


def test_json_is_written_for_people_to_read(tmp_path):
    write_json(tmp_path / "x.json", {"ä": [1, None]})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n  "ä": [\n    1,\n    null\n  ]\n}\n'


HOLD = "import sys, time\nfrom pathlib import Path\nfrom storm.files import locked\n"
HOLD += "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"


def test_a_folder_has_one_writer_and_a_kill_frees_it(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], cwd=ROOT, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(Locked, match=str(tmp_path)), locked(tmp_path):
        pass
    holder.kill()
    holder.wait()
    with locked(tmp_path) as descriptor:
        assert os.fstat(descriptor).st_ino == os.stat(tmp_path / "lock").st_ino, "what a child inherits"
