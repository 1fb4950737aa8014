"""Images as they go to a server: within the limit, as PNG, with the pixels that training sees."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from eval.servers.images import data_url, fit

SIZES = [(640, 480), (100, 100), (1, 1), (1, 200), (3000, 20), (33, 31)]


def photograph(size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), dtype=np.uint8))


@pytest.mark.parametrize("size", SIZES)
def test_the_pixels_arrive(size):
    image = photograph(size)
    head, _, data = data_url(image, 10_000).partition(",")
    arrived = Image.open(io.BytesIO(base64.b64decode(data)))
    assert head == "data:image/png;base64" and arrived.mode == "RGB"
    assert arrived.width * arrived.height <= 10_000 or min(size) == 1
    assert np.array_equal(np.asarray(arrived), np.asarray(fit(image, 10_000)))


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_they_are_those_of_llamafactory(size):
    from llamafactory.data.mm_plugin import get_mm_plugin

    plugin = get_mm_plugin("base", image_token="<image>")  # noqa: S106
    image = photograph(size)
    expected = plugin._preprocess_image(image, image_max_pixels=10_000, image_min_pixels=32 * 32)
    assert np.array_equal(np.asarray(fit(image, 10_000)), np.asarray(expected))
