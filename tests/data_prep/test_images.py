"""What becomes of images as they are: odd, broken, huge, turned."""

import io
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from data_prep.hashes import PARTS
from data_prep.images import Checked, check
from data_prep.options import Options
from data_prep.pixels import fit, sketch, upright
from storm.images import ASPECT, PIXELS, ImageFault, suffixes
from tests.helpers.pictures import encoded, picture

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def plain(mode: str, color) -> Image.Image:
    return Image.new(mode, (48, 32), color)


def one(tmp_path: Path, name: str, data: bytes, mode: str = "decode", resize: int | None = None) -> Checked:
    path = tmp_path / "raw" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return check([name], "toy", Options(tmp_path / "raw", tmp_path / "out", check=mode, resize=resize))[name]


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
        ("gray.jpg", encoded(plain("L", 77), "JPEG"), (77,) * 3, (77,) * 3),
        ("palette.png", encoded(palette(), "PNG", transparency=0), RED, WHITE),
        ("bit.png", encoded(plain("1", 1), "PNG"), WHITE, WHITE),
        ("la.png", encoded(plain("LA", (0, 0)), "PNG"), WHITE, WHITE),
        ("rgba.png", encoded(plain("RGBA", (255, 0, 0, 128)), "PNG"), (255, 127, 127), (255, 127, 127)),
        ("rgb-key.png", encoded(plain("RGB", RED), "PNG", transparency=RED), WHITE, WHITE),
        ("deep.png", encoded(deep(128 * 257), "PNG"), (128,) * 3, (128,) * 3),
        ("deep.tiff", encoded(deep(65535), "TIFF"), WHITE, WHITE),
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
    assert len(result.digest) == 32 and len(result.hashes) == 16 * len(PARTS)
    copy = Image.open(tmp_path / "raw" / result.image)
    assert (copy.format, copy.mode, copy.size) == ("JPEG", "RGB", (48, 32))
    for x, color in ((4, left), (43, right)):
        assert copy.getpixel((x, 16)) == pytest.approx(color, abs=6)


def test_suffixes_are_those_of_the_formats_that_are_read():
    assert {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"} <= set(suffixes())
    assert not {".eps", ".jp2", ".ppm", ".svg", ".pdf"} & set(suffixes())


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (3, 400), (ASPECT, 1)])
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
        (huge_png(15_000), f"15000 x 15000: more than {PIXELS:,} pixels"),
        (huge_png(30_000), f"30000 x 30000: more than {PIXELS:,} pixels"),
        (huge_png(13_000), "OSError"),  # below the limit: this one is decoded, and empty
        (encoded(plain("F", 0.5), "TIFF"), "ValueError: mode F, 0.5 to 0.5"),
        (b"P5 48 32 65535\n" + b"\x40\x40" * 48 * 32, "starts with b'P5 48 32'"),  # PPM: no format of storm.images
        (encoded(Image.new("RGB", (2 * ASPECT + 1, 2)), "PNG"), f"{2 * ASPECT + 1} x 2: "),
    ],
)
def test_what_cannot_be_used_has_a_reason(tmp_path, data, reason):
    for resize in (None, 1000):
        result = one(tmp_path, "x.jpg", data, resize=resize)
        assert result.reason.startswith(reason)
        assert (result.image, result.hashes) == ("x.jpg", "")
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
        "pipe.jpg": "is not a regular file",
        "gone.jpg": "no such image",
        "nul\0.jpg": "a NUL in its name",
        "empty.jpg": "0 bytes",
        "../outside.jpg": "leads out of the image root",
        "linked/../../outside.jpg": "leads out of the image root",
        str(tmp_path / "outside.jpg"): "leads out of the image root",
        "linked/outside.jpg": "",
    }
    for mode in ("exists", "decode"):
        results = check(list(reasons), "toy", Options(raw, tmp_path / "out", check=mode))
        assert {image: result.reason for image, result in results.items()} == reasons


def test_mode_exists_reads_nothing(tmp_path):
    assert one(tmp_path, "x.jpg", b"not an image", mode="exists") == ("x.jpg", "", "", "")
    assert not (tmp_path / "out").exists()
    assert one(tmp_path, "x.jpg", b"not an image", mode="exists", resize=100).reason != ""


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end_is_found_at_every_scale(progressive):
    data = encoded(picture(1600, 1200), "JPEG", quality=90, progressive=progressive)
    for pixels in (None, 1600 * 1200, 400_000, 100_000, 20_000):  # to hash it, then at 1/1, 1/2, 1/4, 1/8
        read = sketch if pixels is None else lambda data, pixels=pixels: upright(data, pixels)
        read(data)
        for kept in (0.5, 0.951, 0.999):
            with pytest.raises(ImageFault, match="truncated"):
                read(data[: int(len(data) * kept)])


def test_every_exif_orientation_is_turned_as_pillow_turns_it():
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        for format in ("JPEG", "PNG", "TIFF", "WEBP"):
            data = encoded(picture(), format, exif=exif)
            wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
            assert np.array_equal(upright(data, 240 * 180), wanted), (format, orientation)
        assert upright(data, 1000).size == fit(*wanted.size, 1000)


def test_exif_that_pillow_cannot_write_again_does_no_harm():
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack("<HHI4s", 0x011A, 2, 4, b"abc\0")
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + bytes(4)
    data = encoded(picture(), "JPEG", exif=exif)
    with pytest.raises(TypeError):
        ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert upright(data, 240 * 180).size == (180, 240)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Metadata Warning")
def test_no_broken_file_raises_anything_else():
    small, rng, exif = picture(60, 40), random.Random(0), Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.XResolution] = 6, (72, 1)
    whole = [encoded(small, format) for format in ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF")]
    whole += [encoded(small, format, exif=exif) for format in ("JPEG", "PNG", "TIFF", "WEBP")]
    whole += [encoded(small.quantize(16), format) for format in ("PNG", "GIF", "BMP")]
    whole += [encoded(small, "TIFF", compression="tiff_lzw"), encoded(small, "JPEG", progressive=True)]
    failed = 0
    for data in whole:
        for _ in range(150):
            broken = bytearray(data)
            for _ in range(rng.choice((1, 3, 20))):
                broken[rng.randrange(min(len(broken), 400))] = rng.choice((0, 255, rng.randrange(256)))
            try:
                upright(bytes(broken), 500) if rng.random() < 0.5 else sketch(bytes(broken))
            except (OSError, ValueError):  # all that check() takes for a fault of the image
                failed += 1
    assert failed > 500


def test_a_fault_of_ours_is_not_one_of_the_image(tmp_path, monkeypatch):
    monkeypatch.setattr("data_prep.pixels.fit", lambda *size: None.size)
    with pytest.raises(AttributeError):
        one(tmp_path, "sound.jpg", encoded(picture(), "JPEG"), resize=1000)


@pytest.mark.slow
def test_shrinking_looks_like_shrinking_in_full():
    image = picture(2000, 1500)
    data = encoded(image, "JPEG", quality=95)
    for pixels in (20_000, 65_536, 262_144, 1_000_000):
        ours = upright(data, pixels)
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


@pytest.mark.parametrize(("name", "kind"), [("deep.png", "PNG"), ("deep.tiff", "TIFF")])
def test_more_than_8_bits_need_resize_which_scales_them(tmp_path, name, kind):
    """LLaMA-Factory cuts the values off, so that all but the darkest are white."""
    data = encoded(deep(128 * 257), kind)
    result = one(tmp_path, name, data)
    assert "--resize" in result.reason and result.image == name
    assert one(tmp_path, name, data).reason == result.reason, "kept"
    assert one(tmp_path, name, data, resize=1000).reason == ""


def test_heic_photographs_need_resize_which_writes_jpegs(tmp_path):
    """LLaMA-Factory opens images with Pillow alone, and would end at the first of them."""
    import pillow_heif

    (tmp_path / "raw").mkdir()
    pillow_heif.from_pillow(Image.new("RGB", (640, 480), (200, 30, 30))).save(tmp_path / "raw/a.heic", quality=80)
    for more in ({}, {"check": "exists"}):
        (result,) = check(["a.heic"], "mine", Options(tmp_path / "raw", tmp_path / "out", **more)).values()
        assert "--resize" in result.reason
    (result,) = check(["a.heic"], "mine", Options(tmp_path / "raw", tmp_path / "out", resize=10_000)).values()
    assert not result.reason
    with Image.open(tmp_path / "raw" / result.image) as copy:
        assert copy.format == "JPEG" and copy.width * copy.height <= 10_000
