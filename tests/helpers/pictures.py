"""Small images for tests."""

import io
from functools import cache

import numpy as np
from PIL import Image


def encoded(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def picture(width: int = 240, height: int = 180, seed: int = 0) -> Image.Image:
    """Smooth shapes with mild noise, different in every corner."""
    return Image.fromarray(_pixels(width, height, seed))


@cache
def _pixels(width: int, height: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((width, height))
    return np.clip(coarse + rng.normal(0, 4, (height, width, 3)), 0, 255).astype(np.uint8)
