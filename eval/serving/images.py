"""The image of a request: a data URL, or a web address where that is allowed, to what the model sees.

The one decoder reads it (storm/images.py). The host makes it as small as the model's inputs are, so that what waits in
the queue is small; the host does the same again, which then changes nothing, so that the answer is predict.py's.
"""

import asyncio
import base64
import binascii
import ipaddress
import socket
from typing import TYPE_CHECKING

from eval.serving.admission import PIXELS, bad, too_large
from storm.images import ImageFault, as_rgb, stored_size
from storm.text import printable

if TYPE_CHECKING:
    from PIL import Image

    from eval.inference.model import Loaded

FETCH = 10  # seconds for an image on the web; our choice
SMALL = 1_000_000  # pixels of an image that may wait in the queue as it is; our choice: 3 MB


def data_of(url: str) -> bytes:
    """The bytes of a data URL, `data:image/png;base64,...`. Raises Refused."""
    head, comma, text = url.partition(",")
    kind, *parameters = head[5:].lower().split(";")
    if not (head[:5].lower() == "data:" and comma and kind.startswith("image/") and parameters[-1:] == ["base64"]):
        raise bad(f"image: '{printable(url[:40])}' is not a data URL; write data:image/png;base64,...")
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise bad(f"image: the data URL is not base64 ({printable(error)[:80]})") from None
    if not data:
        raise bad("image: the data URL holds no bytes")
    return data


def decoded(data: bytes, upright: bool, loaded: "Loaded") -> "Image.Image":
    """The image as the model sees it. Raises Refused."""
    try:
        width, height = stored_size(data)
        if width * height > PIXELS:
            raise bad(f"image: {width} x {height}, more than {PIXELS:,} pixels; make it smaller")
        image = as_rgb(data, upright=upright)
    except ImageFault as fault:
        raise bad(f"image: {printable(fault)}") from None
    return _shrunk(image, loaded)


def _shrunk(image: "Image.Image", loaded: "Loaded") -> "Image.Image":
    """As the host makes an image smaller. Raises Refused for a large one that the host would change twice."""
    processor = loaded.encoder.processor
    pixel_limits = {"image_max_pixels": processor.image_max_pixels, "image_min_pixels": processor.image_min_pixels}
    if image.width * image.height <= pixel_limits["image_max_pixels"]:
        return image
    change = loaded.encoder.template.mm_plugin._preprocess_image
    smaller = change(image, **pixel_limits)
    again = smaller.width * smaller.height > pixel_limits["image_max_pixels"]
    if not again:
        return smaller
    # A narrow strip: the host widens it beyond the limit, and would make it smaller again.
    if image.width * image.height > SMALL:
        raise bad(f"image: {image.width} x {image.height} is too narrow for this size; make it smaller")
    return image


async def fetched(url: str, most: int) -> bytes:
    """The bytes at a web address on the public internet. Raises Refused.

    A name is resolved once, and that address is asked: a second look could find another one, inside our network.
    """
    import httpx

    try:
        address = httpx.URL(url)
        if address.scheme not in ("http", "https") or not address.host:
            raise bad(f"image: '{printable(url[:60])}' is not an http or https address")
        public = await _public(address.host)
        headers = {"Host": address.netloc.decode("ascii"), "Accept": "image/*"}
        sni = {"sni_hostname": address.raw_host.decode("ascii")}
        async with (
            asyncio.timeout(FETCH),
            httpx.AsyncClient(trust_env=False, timeout=FETCH, follow_redirects=False) as client,
            client.stream("GET", address.copy_with(host=public), headers=headers, extensions=sni) as answer,
        ):
            if answer.status_code != 200:
                raise bad(f"image: {printable(address.host)} answered with status {answer.status_code}, not 200")
            body = bytearray()
            async for part in answer.aiter_raw():
                body += part
                if len(body) > most:
                    raise too_large(most)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError, UnicodeError) as error:
        why = printable(str(error) or type(error).__name__)[:120]
        raise bad(f"image: '{printable(url[:60])}' cannot be fetched ({why})") from None
    return bytes(body)


async def _public(host: str) -> str:
    """The first address of a host. Raises Refused if one of them is not on the public internet."""
    resolved = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = [entry[4][0] for entry in resolved]
    if not addresses or not all(ipaddress.ip_address(address).is_global for address in addresses):
        raise bad(f"image: {printable(host)[:60]} is not on the public internet; send a data URL")
    return addresses[0]
