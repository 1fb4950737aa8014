"""eval/app_page/uploads.py: which photographs are in uploads, and zip files that mean harm."""

import io
import zipfile
from pathlib import Path

import pytest

from eval.app_page import uploads
from eval.app_page.uploads import Photograph, photographs

PNG = b"the bytes of a photograph"


def upload(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Photograph:
    """A zip file of these members."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return Photograph(path.name, str(path))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Where members are written: four folders below the one in which nothing else may change."""
    inner = tmp_path / "safe/1/2/3"
    inner.mkdir(parents=True)
    return inner


def refusal(uploads: list[Photograph], folder: Path) -> str:
    with pytest.raises(ValueError) as refused:
        photographs(uploads, folder)
    text = str(refused.value)
    assert "\n" not in text and str(folder.parents[3]) not in text  # one line, and nothing of our folders
    return text


def test_photographs_and_zips_together_by_name(tmp_path, folder):
    archive = upload(tmp_path / "a.ZIP", {"in/2.JPG": b"two", "1.webp": b"one", "in/": b"", "in/notes.txt": b""})
    more = [Photograph("z.png", "z"), Photograph("notes.md", "n"), Photograph("Thumbs.db", "t")]
    rated, left_out = photographs([*more, archive], folder)
    assert [photo.name for photo in rated] == ["a.ZIP/1.webp", "a.ZIP/in/2.JPG", "z.png"]
    assert [Path(photo.path).read_bytes() for photo in rated[:2]] == [b"one", b"two"]
    assert rated[2].path == "z"
    assert left_out == 3
    alone, _ = photographs([archive], folder)
    assert [photo.name for photo in alone] == ["1.webp", "in/2.JPG"]


def test_what_macos_adds_to_a_zip_is_not_rated(tmp_path, folder):
    archive = upload(tmp_path / "a.zip", {"1.png": PNG, "__MACOSX/._1.png": b"x", "__MACOSX\\._2.png": b"x"})
    rated, left_out = photographs([archive], folder)
    assert ([photo.name for photo in rated], left_out) == (["1.png"], 2)


def test_names_in_a_zip_are_never_paths(tmp_path, folder):
    names = ["../../out.png", "/out.png", "..\\..\\out.png", "C:\\out.png", "a/../../../out.png", "x" * 300 + ".png"]
    archive = upload(tmp_path / "a.zip", dict.fromkeys(names, PNG))
    before = {path for path in tmp_path.rglob("*")}
    rated, _ = photographs([archive], folder)
    assert {photo.name for photo in rated} == set(names)
    assert {Path(photo.path).parent for photo in rated} == {folder}
    assert len({photo.path for photo in rated}) == len(names)
    assert {path.parent for path in set(tmp_path.rglob("*")) - before} == {folder}
    assert all(Path(photo.path).read_bytes() == PNG for photo in rated)


def test_a_link_in_a_zip_is_a_file(tmp_path, folder):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    [photo] = photographs([Photograph("a.zip", str(tmp_path / "a.zip"))], folder).rated
    assert not Path(photo.path).is_symlink()
    assert Path(photo.path).read_text() == "/etc/passwd"


@pytest.mark.parametrize(
    ("limit", "value", "part"),
    [("MOST", 2, "2 photographs"), ("TOTAL", 2_999, "2,999 bytes"), ("BYTES", 999, "1.png has 1,000 bytes")],
)
def test_a_bomb_is_refused_before_a_byte_is_written(tmp_path, folder, monkeypatch, limit, value, part):
    archive = upload(tmp_path / "a.zip", {f"{n}.png": bytes(1_000) for n in (1, 2, 3)})
    assert len(photographs([archive], folder).rated) == 3
    for path in folder.iterdir():
        path.unlink()
    monkeypatch.setattr(uploads, limit, value)
    text = refusal([archive], folder)
    assert text.startswith("a.zip: ") and part in text
    assert not list(folder.iterdir())


@pytest.mark.parametrize(("limit", "value"), [("MOST", 3), ("TOTAL", 3_999)])
def test_limits_are_of_all_zips_together(tmp_path, folder, monkeypatch, limit, value):
    archives = [upload(tmp_path / f"{n}.zip", {"1.png": bytes(1_000), "2.png": bytes(1_000)}) for n in (1, 2)]
    assert len(photographs(archives, folder).rated) == 4
    monkeypatch.setattr(uploads, limit, value)
    assert refusal(archives, folder).startswith("2.zip: ")


def test_too_many_photographs_without_a_zip(folder, monkeypatch):
    monkeypatch.setattr(uploads, "MOST", 2)
    photos = [Photograph(f"{n}.png", str(n)) for n in range(3)]
    assert len(photographs(photos[:2], folder).rated) == 2
    assert "more than 2" in refusal(photos, folder)


def test_a_member_that_lies_about_its_size_is_cut_off(tmp_path, folder):
    """A megabyte of zeros that says it has 10 bytes: 10 are read, and their checksum is another one."""
    archive = upload(tmp_path / "a.zip", {"1.png": bytes(1_000_000)})
    path = Path(archive.path)
    data = path.read_bytes()
    assert data.count((1_000_000).to_bytes(4, "little")) == 2  # in the member's head, and in the list of members
    path.write_bytes(data.replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    assert refusal([archive], folder).startswith("a.zip: ")
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 10


def test_a_long_list_of_members_is_not_read(tmp_path, folder, monkeypatch):
    """Ten million empty members fit 500 MB, and would fill the memory before they are counted."""
    archive = upload(tmp_path / "a.zip", {"1.png": PNG} | {f"{n}.txt": b"" for n in range(100)})
    assert photographs([archive], folder).left_out == 100
    monkeypatch.setattr(uploads, "LISTED", 4_000)
    assert "4,000 bytes" in refusal([archive], folder)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_without_a_limit_on_memory_are_not_unpacked(tmp_path, folder, method):
    assert "1.png" in refusal([upload(tmp_path / "a.zip", {"1.png": PNG}, method)], folder)
    assert photographs([upload(tmp_path / "b.zip", {"1.png": PNG}, zipfile.ZIP_STORED)], folder).rated


def test_a_password_is_named_before_a_byte_is_written(tmp_path, folder):
    archive = upload(tmp_path / "a.zip", {"0.png": PNG, "1.png": PNG})
    data = bytearray(Path(archive.path).read_bytes())
    data[data.rindex(b"PK\x03\x04") + 6] |= 1  # the flag in the second member's head
    data[data.rindex(b"PK\x01\x02") + 8] |= 1  # and in the list of members
    Path(archive.path).write_bytes(data)
    text = refusal([archive], folder)
    assert "1.png" in text and "password" in text
    assert not list(folder.iterdir())


def test_what_is_not_a_zip_is_one_line(tmp_path, folder):
    whole = Path(upload(tmp_path / "whole.zip", {"1.png": bytes(range(256)) * 4}, zipfile.ZIP_STORED).path).read_bytes()
    turned = bytearray(whole)
    turned[100] ^= 255  # a byte of the photograph
    damaged = {"empty": b"", "text": b"not a zip" * 9, "half": whole[:200], "start": whole[50:], "byte": bytes(turned)}
    for name, data in damaged.items():
        (tmp_path / f"{name}.zip").write_bytes(data)
        assert refusal([Photograph(f"{name}.zip", str(tmp_path / f"{name}.zip"))], folder).startswith(f"{name}.zip: ")


def test_no_broken_byte_is_a_stack_trace(tmp_path, folder):
    """Every byte of a zip, turned: it is unpacked or refused with a ValueError."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("1.png", PNG)
    outcomes = set()
    for place in range(len(buffer.getvalue())):
        for bits in (1, 0x41, 255):
            data = bytearray(buffer.getvalue())
            data[place] ^= bits
            (tmp_path / "a.zip").write_bytes(data)
            try:
                outcomes.add(len(photographs([Photograph("a.zip", str(tmp_path / "a.zip"))], folder).rated))
            except ValueError:
                outcomes.add("refused")
    assert outcomes == {1, "refused"}


def test_a_zip_in_a_zip_is_left_out_and_nothing_to_rate_is_said(tmp_path, folder):
    inner = Path(upload(tmp_path / "inner.zip", {"1.png": PNG}).path).read_bytes()
    for nothing in ([], [upload(tmp_path / "a.zip", {"inner.zip": inner})], [Photograph("a.txt", "a")]):
        assert "JPEG" in refusal(nothing, folder)


def test_a_hostile_name_of_a_zip_is_printable_in_the_refusal(tmp_path, folder):
    (tmp_path / "a").write_bytes(b"not a zip")
    assert refusal([Photograph("\x1b[31m\n\ud800.zip", str(tmp_path / "a"))], folder).isprintable()
