"""eval/serving/images.py: only data URLs of sound images, and only the public internet."""

import asyncio
import base64
import io
from types import SimpleNamespace

import pytest
from PIL import Image

from eval.serving import images
from eval.serving.admission import Refused
from eval.serving.images import data_of, decoded, fetched
from tests.helpers.hostile_images import hostile_bytes


def png(size=(60, 40), exif: int = 0) -> bytes:
    file, image = io.BytesIO(), Image.new("RGB", size, (200, 10, 10))
    tags = image.getexif()
    if exif:
        tags[0x112] = exif
    image.save(file, "PNG", exif=tags)
    return file.getvalue()


def loaded(limit: int):
    """A stand-in for the host, whose own function halves an image once."""
    plugin = SimpleNamespace(_preprocess_image=lambda image, **_: image.resize((image.width // 2, image.height // 2)))
    processor = SimpleNamespace(image_max_pixels=limit, image_min_pixels=0)
    template = SimpleNamespace(mm_plugin=plugin)
    return SimpleNamespace(encoder=SimpleNamespace(processor=processor, template=template))


@pytest.mark.parametrize("head", ["data:image/png;base64,", "DATA:image/jpeg;charset=x;BASE64,"])
def test_a_data_url_is_its_bytes(head):
    assert data_of(head + base64.b64encode(b"abc").decode()) == b"abc"


@pytest.mark.parametrize(
    "url",
    ["", "data:", "data:image/png,abc", "data:text/html;base64,YWJj", "data:image/png;base64,", "file:///etc/passwd"]
    + [f"data:image/png;base64,{text}" for text in ("YWJ", "YW Jj", "YWJé", "YWJj\n")]
    + ["xdata:image/png;base64,YWJj"],
)
def test_other_addresses_are_refused(url):
    with pytest.raises(Refused) as refused:
        data_of(url)
    assert refused.value.status == 400


@pytest.mark.parametrize("name", hostile_bytes())
def test_bytes_that_are_no_image_are_refused(name):
    with pytest.raises(Refused) as refused:
        decoded(hostile_bytes()[name], False, loaded(10**6))
    assert refused.value.status == 400 and "\n" not in str(refused.value)


def test_an_image_is_turned_only_where_training_did():
    data = png(exif=6)
    assert decoded(data, False, loaded(10**6)).size == (60, 40)
    assert decoded(data, True, loaded(10**6)).size == (40, 60)


def test_more_pixels_than_the_limit_are_refused_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(images, "PIXELS", 60 * 40 - 1)
    monkeypatch.setattr(images, "as_rgb", None)
    with pytest.raises(Refused):
        decoded(png(), False, loaded(10**6))


def test_an_image_waits_as_small_as_the_model_sees_it(monkeypatch):
    assert decoded(png(), False, loaded(60 * 40)).size == (60, 40)
    assert decoded(png(), False, loaded(30 * 20)).size == (30, 20)
    assert decoded(png(), False, loaded(10)).size == (60, 40), "the host would change the smaller one again"
    monkeypatch.setattr(images, "SMALL", 60 * 40 - 1)
    with pytest.raises(Refused):
        decoded(png(), False, loaded(10))


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/x.png", "http://localhost:9/x.png", "http://[::1]:9/x", "http://10.0.0.1/x", "http://0/x.png"]
    + ["http://169.254.169.254/latest/meta-data/", "http://192.168.1.1/x", "http://[fd00::1]/x", "http://2130706433/"]
    + ["ftp://example.com/x", "file:///etc/passwd", "http://", "http://[", "gopher://x", "//example.com/x", "x" * 5000],
)
def test_addresses_inside_our_network_are_never_asked(url, monkeypatch):
    monkeypatch.setattr("httpx.AsyncClient", None)
    with pytest.raises(Refused) as refused:
        asyncio.run(fetched(url, 1000))
    assert refused.value.status == 400


def test_an_image_of_the_web_has_a_limit(monkeypatch):
    """A small server of this machine plays the internet."""

    async def answer(reader, writer):
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        size = 2000 if "large" in request else 10
        found = b"404 Not Found" if "gone" in request else b"302 Found" if "moved" in request else b"200 OK"
        assert f"Host: photos.example:{port}" in request
        writer.write(
            b"HTTP/1.1 " + found + b"\r\nLocation: http://127.0.0.1/\r\nConnection: close\r\n\r\n" + b"x" * size
        )
        await writer.drain()
        writer.close()

    async def here(_):
        return "127.0.0.1"

    async def all_of_them():
        nonlocal port
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            assert await fetched(f"http://photos.example:{port}/small.png", 1000) == b"x" * 10
            for name, status in (("large", 413), ("gone", 400), ("moved", 400)):
                with pytest.raises(Refused) as refused:
                    await fetched(f"http://photos.example:{port}/{name}", 1000)
                assert refused.value.status == status

    port = 0
    monkeypatch.setattr(images, "_public", here)
    asyncio.run(all_of_them())
