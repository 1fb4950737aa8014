"""The pixels of an image as they are hashed and copied: upright, RGB or gray, not larger than needed."""

from typing import TYPE_CHECKING

from storm.images import decode, rgb, stored_size

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

SKETCH = (96, 96)  # the least size to hash: a JPEG is decoded at 1/2, 1/4 or 1/8 of its size where that suffices

# EXIF orientation -> Pillow's transposition. Not ImageOps.exif_transpose: it writes the EXIF anew, and raises where
# that is broken.
ORIENTATION = 0x0112
UPRIGHT = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
UPRIGHT |= {6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}


def fit(width: int, height: int, pixels: int) -> tuple[int, int]:
    """Width and height of the same shape with at most so many pixels; never larger, never 0."""
    scale = min(1, (pixels / (width * height)) ** 0.5)
    width = min(max(1, int(width * scale)), pixels)
    return width, min(max(1, int(height * scale)), pixels // width)


def upright(data: bytes, pixels: int) -> "Image.Image":
    """The image in a file's bytes: RGB, upright, at most so many pixels. Raises ValueError.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where that suffices, which is most of the speed.
    """
    from PIL import Image

    size = fit(*stored_size(data), pixels)
    image = decode(data, size)
    turn = _turn(image)
    image = rgb(image)
    if image.size != size:
        # Bicubic is what LLaMA-Factory shrinks with. Lanczos takes a third longer.
        image = image.resize(size, Image.Resampling.BICUBIC)
    return image.transpose(turn) if turn is not None else image


def sketch(data: bytes) -> "np.ndarray":
    """The image in a file's bytes as it is hashed: gray, 8 bits, upright, of any size that suffices. Raises ValueError.

    All of the bytes are decoded; of a JPEG's colors, only the brightness becomes pixels.
    """
    return sketch_of(decode_small(data))


def decode_small(data: bytes) -> "Image.Image":
    """The image in a file's bytes, as small as sketch_of() needs it. Raises ValueError."""
    return decode(data, SKETCH, "L")


def sketch_of(image: "Image.Image") -> "np.ndarray":
    """sketch() of a decoded image. Raises ValueError."""
    turn = _turn(image)
    image = reduced(image if image.mode == "L" and not image.has_transparency_data else rgb(image))
    return gray(image.transpose(turn) if turn is not None else image)


def reduced(image: "Image.Image") -> "Image.Image":
    """The image at 1/2, 1/3 ... of its size, not smaller than SKETCH: much faster than what shrinks it further."""
    factor = min(image.size) // SKETCH[0]
    return image.reduce(factor) if factor > 1 else image


def gray(image: "Image.Image") -> "np.ndarray":
    """The gray values of an image, height x width, 8 bits."""
    import numpy as np

    return np.asarray(image if image.mode == "L" else image.convert("L"))


def _turn(image: "Image.Image") -> int | None:
    """Pillow's transposition that makes an image upright, None if it is."""
    from PIL import Image

    turn = UPRIGHT.get(image.getexif().get(ORIENTATION))
    return None if turn is None else Image.Transpose[turn]
