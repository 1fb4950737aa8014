"""What becomes of images as they are: odd, broken, huge, turned; and of a run that is killed."""

import io
import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from data_prep.images import FAULTS, Checked, check, copy_of, decode, fit

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def plain(mode: str, colour) -> Image.Image:
    return Image.new(mode, (48, 32), colour)


def picture(width: int = 240, height: int = 180, seed: int = 0) -> Image.Image:
    """Smooth shapes with mild noise, different in every corner."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((width, height))
    return Image.fromarray(np.clip(coarse + rng.normal(0, 4, (height, width, 3)), 0, 255).astype(np.uint8))


def one(tmp_path: Path, name: str, data: bytes, mode: str = "decode", resize: int | None = None) -> Checked:
    path = tmp_path / "raw" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return check(tmp_path / "raw", [name], mode=mode, resize=resize, out=tmp_path / "out", name="toy", workers=1)[name]


def palette() -> Image.Image:
    image = plain("P", 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.paste(1, (0, 0, 24, 32))
    return image


def deep(value: int) -> Image.Image:
    return Image.fromarray(np.full((32, 48), value, np.uint16))


@pytest.mark.parametrize(
    ("name", "data", "left", "right"),
    [
        ("cmyk.jpg", encoded(plain("CMYK", (0, 255, 255, 0)), "JPEG"), RED, RED),
        ("grey.jpg", encoded(plain("L", 77), "JPEG"), (77,) * 3, (77,) * 3),
        ("palette.png", encoded(palette(), "PNG", transparency=0), RED, WHITE),
        ("bit.png", encoded(plain("1", 1), "PNG"), WHITE, WHITE),
        ("la.png", encoded(plain("LA", (0, 0)), "PNG"), WHITE, WHITE),
        ("rgba.png", encoded(plain("RGBA", (255, 0, 0, 128)), "PNG"), (255, 127, 127), (255, 127, 127)),
        ("rgb-key.png", encoded(plain("RGB", RED), "PNG", transparency=RED), WHITE, WHITE),
        ("deep.png", encoded(deep(128 * 257), "PNG"), (128,) * 3, (128,) * 3),
        ("deep.tiff", encoded(deep(65535), "TIFF"), WHITE, WHITE),
        ("deep.pgm", b"P5 48 32 65535\n" + b"\x40\x40" * 48 * 32, (64,) * 3, (64,) * 3),
        (
            "frames.gif",
            encoded(plain("RGB", BLUE), "GIF", save_all=True, append_images=[plain("RGB", RED)]),
            BLUE,
            BLUE,
        ),
        ("long.gif", encoded(plain("RGB", BLUE), "GIF", comment=b"x" * 70_000), BLUE, BLUE),
        ("wrong.jpg", encoded(plain("RGB", RED), "PNG"), RED, RED),
        ("picture.webp", encoded(plain("RGB", RED), "WEBP", lossless=True), RED, RED),
    ],
)
def test_what_is_odd_is_used_as_one_sees_it(tmp_path, name, data, left, right):
    result = one(tmp_path, name, data, resize=48 * 32)
    assert result.reason == ""
    assert len(result.digest) == 32 and len(result.phash) == 16
    copy = Image.open(tmp_path / "raw" / result.image)
    assert (copy.format, copy.mode, copy.size) == ("JPEG", "RGB", (48, 32))
    for x, colour in ((4, left), (43, right)):
        assert copy.getpixel((x, 16)) == pytest.approx(colour, abs=6)


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (3, 400)])
def test_small_is_usable(tmp_path, size):
    assert one(tmp_path, "small.jpg", encoded(Image.new("RGB", size), "JPEG"), resize=100).reason == ""
    assert one(tmp_path, "small.jpg", encoded(Image.new("RGB", size), "JPEG")).reason == ""


def huge_png(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes"),
        (b"<html>404", "starts with b'<html>40': not JPEG, PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "starts with b'%!PS-Ado'"),
        (encoded(picture(), "JPEG")[:-1], "OSError: image file is truncated"),
        (encoded(picture(), "PNG")[:-900], "OSError: image file is truncated"),
        (encoded(picture().quantize(), "GIF")[:-900], "OSError: image file is truncated"),
        (huge_png(15_000), "DecompressionBombWarning: Image size (225000000 pixels)"),
        (huge_png(30_000), "DecompressionBombError: Image size (900000000 pixels)"),
        (huge_png(14_000), "OSError"),  # below the limit: this one is decoded, and empty
        (encoded(plain("F", 0.5), "TIFF"), "ValueError: mode F, 0.5 to 0.5"),
    ],
)
def test_what_cannot_be_used_has_a_reason(tmp_path, data, reason):
    for resize in (None, 1000):
        result = one(tmp_path, "x.jpg", data, resize=resize)
        assert result.reason.startswith(reason)
        assert (result.image, result.phash) == ("x.jpg", "")
        assert not list(tmp_path.glob("out/images/**/*.*"))


def test_what_is_not_there_has_a_reason(tmp_path):
    raw = tmp_path / "raw"
    (raw / "folder.jpg").mkdir(parents=True)
    os.mkfifo(raw / "pipe.jpg")
    (tmp_path / "outside.jpg").write_bytes(encoded(picture(), "JPEG"))
    (raw / "linked").symlink_to(tmp_path)
    (raw / "empty.jpg").touch()
    reasons = {
        "folder.jpg": "is a folder",
        "pipe.jpg": "is no file",
        "gone.jpg": "No such file or directory",
        "nul\0.jpg": "embedded null byte",
        "empty.jpg": "0 bytes",
        "../outside.jpg": "leads out of the raw folder",
        "linked/../../outside.jpg": "leads out of the raw folder",
        str(tmp_path / "outside.jpg"): "leads out of the raw folder",
        "linked/outside.jpg": "",
    }
    for mode in ("exists", "decode"):
        found = check(raw, list(reasons), mode=mode, resize=None, out=tmp_path / "out", name="toy", workers=1)
        assert {image: result.reason for image, result in found.items()} == reasons
    with pytest.raises(ValueError, match="'look' is neither"):
        check(raw, [], mode="look", resize=None, out=tmp_path / "out", name="toy", workers=1)


def test_mode_exists_reads_nothing(tmp_path):
    assert one(tmp_path, "x.jpg", b"no image", mode="exists") == ("x.jpg", "", "", "")
    assert not (tmp_path / "out").exists()
    assert one(tmp_path, "x.jpg", b"no image", mode="exists", resize=100).reason != ""


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end_is_found_at_every_scale(progressive):
    data = encoded(picture(1600, 1200), "JPEG", quality=90, progressive=progressive)
    for resize in (None, 1600 * 1200, 400_000, 100_000, 20_000):  # to hash it, then at 1/1, 1/2, 1/4, 1/8
        decode(data, resize)
        for kept in (0.5, 0.951, 0.999):
            with pytest.raises(OSError, match="truncated"):
                decode(data[: int(len(data) * kept)], resize)


def test_every_exif_orientation_is_turned_as_pillow_turns_it():
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        for format in ("JPEG", "PNG", "TIFF", "WEBP"):
            data = encoded(picture(), format, exif=exif)
            wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
            assert np.array_equal(decode(data, 240 * 180), wanted), (format, orientation)
        assert decode(data, 1000).size == fit(*wanted.size, 1000)


def test_exif_that_pillow_cannot_write_again_does_no_harm():
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack("<HHI4s", 0x011A, 2, 4, b"abc\0")
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + bytes(4)
    data = encoded(picture(), "JPEG", exif=exif)
    with pytest.raises(TypeError):
        ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert decode(data, 240 * 180).size == (180, 240)


def test_no_broken_file_raises_anything_else():
    small, rng = picture(60, 40), random.Random(0)
    whole = [encoded(small, format) for format in ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM")]
    whole += [encoded(small.quantize(16), format) for format in ("PNG", "GIF", "BMP")]
    whole += [encoded(small, "TIFF", compression="tiff_lzw"), encoded(small, "JPEG", progressive=True)]
    failed = 0
    for data in whole:
        for _ in range(150):
            broken = bytearray(data)
            for _ in range(rng.choice((1, 3, 20))):
                broken[rng.randrange(min(len(broken), 400))] = rng.choice((0, 255, rng.randrange(256)))
            try:
                decode(bytes(broken), rng.choice((None, 500)))
            except FAULTS:
                failed += 1
    assert failed > 500


def test_shrinking_looks_like_shrinking_in_full():
    image = picture(2000, 1500)
    data = encoded(image, "JPEG", quality=95)
    for pixels in (20_000, 65_536, 262_144, 1_000_000):
        ours = decode(data, pixels)
        wanted = image.resize(fit(2000, 1500, pixels), Image.Resampling.LANCZOS)
        assert ours.size == wanted.size
        error = np.mean((np.asarray(ours, float) - np.asarray(wanted, float)) ** 2)
        assert 10 * np.log10(255**2 / error) > 35


@pytest.mark.parametrize("size", [(4000, 3000), (512, 512), (100_000, 1), (1, 100_000), (1, 1), (999, 1001)])
def test_fit_keeps_the_limit(size):
    for pixels in (1, 1000, 262_144, 999 * 1001):
        width, height = fit(*size, pixels)
        assert 1 <= width <= size[0] and 1 <= height <= size[1] and width * height <= pixels
        if size[0] * size[1] <= pixels:
            assert (width, height) == size


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
        check(tmp_path / raw, ["x.jpg"], mode="decode", resize=99, out=tmp_path / out, name="toy", workers=1)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.jpg")} == before


def test_rows_reach_the_copy_even_if_the_raw_folder_is_a_link(tmp_path):
    (tmp_path / "disk/deep/raw").mkdir(parents=True)
    (tmp_path / "disk/deep/raw/x.png").write_bytes(encoded(picture(), "PNG"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/raw").symlink_to(tmp_path / "disk/deep/raw")
    for raw, path in (("data/raw", "../../../data/out"), ("disk/deep/raw", "../../../data/out")):
        out = tmp_path / "data/out"
        (result,) = check(tmp_path / raw, ["x.png"], mode="decode", resize=900, out=out, name="toy", workers=1).values()
        assert result.image == f"{path}/images/x.png.jpg"
        assert Image.open(os.path.join(tmp_path / raw, result.image)).size == (34, 25)


def make_raw(raw: Path, count: int) -> list[str]:
    (raw / "toy").mkdir(parents=True)
    sorts = [encoded(picture(800, 600, seed), "JPEG") for seed in range(6)] + [b"no image"]
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
        result = check(raw, names, mode="decode", resize=9000, out=out, name="toy", workers=workers)
        kept.append((list(result.items()), copies_of(out), (out / ".checked/toy.jsonl").read_bytes()))
        out.rename(tmp_path / f"out{workers}")
    assert kept[0] == kept[1]
    assert [image for image, _ in kept[0][0]] == names


def test_only_what_changed_is_done_again(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    names = make_raw(raw, 9)

    def again(resize: int | None = 9000) -> set[str]:
        before = len(log_of(out))
        result = check(raw, names, mode="decode", resize=resize, out=out, name="toy", workers=1)
        new = tmp_path / f"new{len(list(tmp_path.iterdir()))}"
        fresh = check(raw, names, mode="decode", resize=resize, out=new, name="toy", workers=1)
        assert [tuple(a)[1:] for a in result.values()] == [tuple(b)[1:] for b in fresh.values()]
        return set(log_of(out)[before:])

    assert again() == set(names)
    assert again() == set()
    os.utime(raw / names[3], ns=(0, 1))
    assert again() == {names[3]}
    (raw / names[4]).write_bytes(b"no image any more")
    assert again() == {names[4]}
    (out / "images" / names[5]).unlink()
    assert again() == {names[5]}
    part = names[:2]
    check(raw, part, mode="decode", resize=5000, out=out, name="toy", workers=1)
    assert again() == set(part), "their copies are smaller now"
    assert again(resize=5000) == set(names)
    assert again(resize=None) == set(names)
    log = out / ".checked/toy.jsonl"
    log.write_bytes(log.read_bytes()[:-30])
    assert again(resize=None) == {names[-1]}
    log.write_bytes(log.read_bytes() + b'{"image": "toy/0.jpg", "si')
    assert again(resize=None) == set()
    assert all(json.loads(line) for line in log.read_text().splitlines())


def test_a_full_disk_is_not_the_fault_of_an_image(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    names = make_raw(raw, 3)
    out.mkdir()
    (out / "images").touch()  # stands for it: the folder cannot be written to
    with pytest.raises(OSError):
        check(raw, names, mode="decode", resize=9000, out=out, name="toy", workers=1)
    assert log_of(out) == []


RUN = """
import sys
from pathlib import Path
from data_prep.images import check
raw, out, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
names = [f"toy/{number}.jpg" for number in range(count)]
check(raw, names, mode="decode", resize=9000, out=out, name="toy", workers=2)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    names = make_raw(raw, 400)
    whole = check(raw, names, mode="decode", resize=9000, out=out, name="toy", workers=1)
    copies = copies_of(out)
    out.rename(tmp_path / "unbroken")

    command = [sys.executable, "-c", RUN, raw, out, str(len(names))]
    run = subprocess.Popen(command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 30
    while len(log_of(out)) < 60 and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=10)  # ends when the workers too have let go of the pipe
    finished = log_of(out)
    assert 60 <= len(finished) < len(names)
    times = {image: path.stat().st_mtime_ns for image in finished if (path := out / "images" / image).exists()}

    assert check(raw, names, mode="decode", resize=9000, out=out, name="toy", workers=2) == whole
    assert copies_of(out) == copies
    assert not any(path.endswith(".part") for path in copies)
    assert sorted(log_of(out)) == sorted(names), "none twice"
    assert {image: (out / "images" / image).stat().st_mtime_ns for image in times} == times
