"""The one image decoder: 200 hostile files and it neither raises anything but an ImageFault, nor waits."""

import io
import os
import struct
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storm.images import (
    ASPECT,
    FORMATS,
    HEADER,
    ImageFault,
    decode,
    header_size,
    load_rgb,
    locate,
    read_bytes,
    stored_size,
)
from tests.helpers.hostile_images import HOSTILE, write_hostile


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    return write_hostile(tmp_path_factory.mktemp("hostile"))


def test_there_are_two_hundred_hostile_files():
    assert len(HOSTILE) >= 200


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_line_at_once(hostile, name):
    start = time.perf_counter()
    try:
        image = load_rgb(hostile / name)
    except ImageFault as fault:
        assert str(fault) and "\n" not in str(fault) and str(hostile) not in str(fault)
    else:  # damage that the format does not notice
        assert name.startswith("changed") and image.mode == "RGB"
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("kind", FORMATS)
def test_each_allowed_format_is_read_whatever_its_name(tmp_path, kind):
    Image.new("RGB", (40, 30), (200, 10, 10)).save(tmp_path / "x.dat", kind)
    image = load_rgb(tmp_path / "x.dat")
    assert (image.mode, image.size) == ("RGB", (40, 30)) and image.getpixel((5, 5))[0] > 150


@pytest.mark.parametrize("kind", FORMATS)
def test_the_size_of_a_large_file_needs_no_decoding(tmp_path, kind):
    """Also where it stands behind the beginning that is read: a long profile, or the end of a TIFF."""
    path, profile = tmp_path / "a.image", os.urandom(3 * HEADER)
    Image.effect_noise((300, 200), 90).convert("RGB").resize((900, 600)).save(path, kind, icc_profile=profile)
    assert path.stat().st_size > HEADER
    assert header_size(path) == stored_size(read_bytes(path)) == (900, 600)


def test_a_hostile_file_has_no_size_that_decoding_denies(hostile):
    for name in HOSTILE:
        with suppress(ImageFault):
            image = load_rgb(hostile / name)
            assert header_size(hostile / name) == image.size, name


def test_pixels_are_as_stored_because_llamafactory_ignores_exif(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    Image.new("RGB", (40, 30)).save(tmp_path / "x.jpg", exif=exif)
    assert load_rgb(tmp_path / "x.jpg").size == (40, 30)


def test_a_png_with_an_impossible_size_is_not_called_another_format():
    size = b"IHDR" + struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + size + struct.pack(">I", zlib.crc32(size))
    with pytest.raises(ImageFault, match="like a PNG"):
        stored_size(png)


def test_the_limit_on_the_shape_is_that_of_the_processor():
    def png(width: int) -> bytes:
        file = io.BytesIO()
        Image.new("L", (width, 2)).save(file, "PNG")
        return file.getvalue()

    assert decode(png(2 * ASPECT)).size == (2 * ASPECT, 2)
    with pytest.raises(ImageFault, match=f"{2 * ASPECT + 1} x 2"):
        decode(png(2 * ASPECT + 1))


def test_decoding_in_threads_leaves_the_warnings_of_the_process_alone(hostile):
    paths = [hostile / name for name in HOSTILE[:40]] * 3

    def look(path: Path) -> None:
        with suppress(ImageFault):
            load_rgb(path)

    look(paths[0])
    filters = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(look, paths))
    assert list(warnings.filters) == filters


def test_a_path_must_stay_below_the_image_root(tmp_path):
    media, built = tmp_path / "raw", tmp_path / "storm" / "cot" / "x.jsonl"
    media.mkdir()
    elsewhere = tmp_path / "other_disk"
    elsewhere.mkdir()
    os.symlink(elsewhere, media / "link")
    assert locate(media, "link/a.jpg") == media / "link/a.jpg", "a folder may be a link to another disk"
    assert locate(media, "../storm/images/a.jpg", built) == tmp_path / "storm/images/a.jpg", "copies of --resize"
    for image in ("../other_disk/a.jpg", "/etc/passwd", "a/../../x.jpg", "../storm/images/a.jpg"):
        with pytest.raises(ImageFault, match="leads out of the image root"):
            locate(media, image)


@pytest.fixture
def heic() -> bytes:
    """A HEIC photograph, as phones make them."""
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 48), (200, 30, 30))).save(file, quality=80)
    return file.getvalue()


def test_a_heic_photograph_is_read(heic):
    image = decode(heic)
    assert image.size == (64, 48) and image.convert("RGB").getpixel((5, 5))[0] > 150


def test_without_pillow_heif_one_line_says_what_to_install(heic, monkeypatch):
    monkeypatch.setattr("storm.images.formats", lambda: FORMATS)
    with pytest.raises(ImageFault, match="HEIC.*pillow-heif"):
        decode(heic)


def test_sixteen_bits_are_refused_or_scaled_never_clipped(tmp_path):
    """Pillow makes all but the darkest values white, and LLaMA-Factory, too."""
    values = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    Image.fromarray(values).save(tmp_path / "x.png")
    with pytest.raises(ImageFault, match="data_prep --resize"):
        load_rgb(tmp_path / "x.png")
    assert np.asarray(load_rgb(tmp_path / "x.png", upright=True)).mean() == pytest.approx(127.5, abs=1)


def test_upright_images_are_those_of_the_copies(tmp_path):
    from data_prep.pixels import upright

    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "x.png")
    copy = upright((tmp_path / "x.png").read_bytes(), 10_000)
    assert np.array_equal(np.asarray(load_rgb(tmp_path / "x.png", upright=True)), np.asarray(copy))
