"""An image as it goes to a server: within the pixel limit, as a PNG in a data URL. Never a path, never a link."""

import base64
import io
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

LEAST = 32 * 32  # pixels: image_min_pixels of LLaMA-Factory 0.9.5 (hparams/model_args.py)
FASTEST = 1  # zlib's level: the pixels are the same; level 6 takes 5 times as long, files are 12% smaller


def fit(image: "Image.Image", most: int) -> "Image.Image":
    """Resized to `most` pixels if it has more, as LLaMA-Factory does in training (data/mm_plugin.py,
    _preprocess_image), so that the server's own resizing begins with the same pixels."""
    for limit, beyond in ((most, image.width * image.height > most), (LEAST, image.width * image.height < LEAST)):
        if beyond:
            factor = math.sqrt(limit / (image.width * image.height))
            image = image.resize((max(1, int(image.width * factor)), max(1, int(image.height * factor))))
    return image


def data_url(image: "Image.Image", most: int) -> str:
    """An RGB image as "data:image/png;base64,..." of `most` pixels. PNG: a JPEG would change what the model sees."""
    file = io.BytesIO()
    fit(image, most).save(file, "PNG", compress_level=FASTEST)
    return f"data:image/png;base64,{base64.b64encode(file.getbuffer()).decode()}"
