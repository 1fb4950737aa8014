"""How many tokens an image becomes, one function for each way of the model families.

Every function takes the model's configuration, the size of an image, and the settings of the image processor (what
preprocessor_config.json says), and gives the numbers of image tokens in each line of tokens: mostly there is one line.
The size is that after `within`, LLaMA-Factory's own resizing. Raises ValueError for an image that the family cannot
take. Sources: LLaMA-Factory 0.9.5, data/mm_plugin.py, and the image processors of transformers 5.2 (tests compare).
"""

import math
from collections.abc import Mapping
from typing import Any

Processor = Mapping[str, Any]  # its settings
Lines = tuple[int, ...]


def within(size: tuple[int, int], pixel_limits: tuple[int, int]) -> tuple[int, int]:
    """An image's (width, height) after LLaMA-Factory has put it within image_max_pixels and image_min_pixels."""
    width, height = size
    for limit, beyond in ((pixel_limits[0], 1), (pixel_limits[1], -1)):
        if (width * height - limit) * beyond > 0:
            scale = math.sqrt(limit / (width * height))
            width, height = int(width * scale), int(height * scale)
    return width, height


def merged_patches(config: Any, width: int, height: int, settings: Processor) -> Lines:
    """Qwen2-VL and later: a token for each square of patches."""
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    width, height = max(width, 28), max(height, 28)  # LLaMA-Factory's, as the ratio below
    if max(width, height) > 200 * min(width, height):
        width, height = min(width, height * 180), min(height, width * 180)
    vision, pixels = config.vision_config, settings["size"]
    factor = vision.patch_size * vision.spatial_merge_size
    tall, wide = smart_resize(height, width, factor, pixels["shortest_edge"], pixels["longest_edge"])
    return ((tall // factor) * (wide // factor),)


def one_square(config: Any, width: int, height: int, settings: Processor) -> Lines:
    """LLaVA-1.5 and PaliGemma: every image gets one size, and each of its patches is a token."""
    return ((config.vision_config.image_size // config.vision_config.patch_size) ** 2,)


def pooled_square(config: Any, width: int, height: int, settings: Processor) -> Lines:
    """Gemma 3: every image gets one size and one number of tokens."""
    return (config.mm_tokens_per_image,)


def tiles(config: Any, width: int, height: int, settings: Processor) -> Lines:
    """InternVL: one square, or several where the image processor cuts an image up (crop_to_patches)."""
    count = 1
    if settings.get("crop_to_patches"):
        from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas

        tile = settings["size"]["height"], settings["size"]["width"]
        across, down = get_optimal_tiled_canvas((height, width), tile, settings["min_patches"], settings["max_patches"])
        count = across * down + (across * down > 1)  # and a small one of the whole
    return (config.image_seq_length * count,)


def square_and_crops(config: Any, width: int, height: int, settings: Processor) -> Lines:
    """LLaVA-NeXT: the whole as one square, and crops of the image in the best of the model's grids, without padding."""
    from transformers.image_processing_utils import select_best_resolution

    side = config.vision_config.image_size // config.vision_config.patch_size  # patches of a crop
    tall, wide = select_best_resolution(
        [height, width], settings.get("image_grid_pinpoints") or config.image_grid_pinpoints
    )
    down, across = (size // config.vision_config.image_size * side for size in (tall, wide))
    if width / height > across / down:
        down -= (down - int(round(height * across / width, 7))) // 2 * 2
    else:
        across -= (across - int(round(width * down / height, 7))) // 2 * 2
    return (side * side + down * across + down,)  # a token ends each line of the crops


def whole_crops(config: Any, width: int, height: int, settings: Processor) -> int:
    """Patches of square_and_crops() with the padding of the crops, of which the model drops the tokens only."""
    from transformers.image_processing_utils import select_best_resolution

    side, vision = config.vision_config.image_size, config.vision_config
    tall, wide = select_best_resolution(
        [height, width], settings.get("image_grid_pinpoints") or config.image_grid_pinpoints
    )
    return (1 + (tall // side) * (wide // side)) * (side // vision.patch_size) ** 2


def shrunk_patches(config: Any, width: int, height: int, settings: Processor) -> Lines:
    """LFM2-VL: a token for each square of patches, from min_image_tokens to max_image_tokens.

    A larger image is cut into tiles, of which LLaMA-Factory counts the first only: training would fail.
    """
    factor = settings["encoder_patch_size"] * settings["downsample_factor"]
    tall, wide = (max(settings["encoder_patch_size"], round(side / factor) * factor) for side in (height, width))
    most = settings["max_image_tokens"] * factor**2
    if settings.get("do_image_splitting", True) and tall * wide > most * settings["max_pixels_tolerance"]:
        raise ValueError(f"{width} x {height} pixels would be cut into tiles; image_max_pixels={most}")
    least = settings["min_image_tokens"] * factor**2
    tall, wide = (max(factor, round(side / factor) * factor) for side in (height, width))
    if tall * wide > most:
        shrink = math.sqrt(height * width / most)
        tall, wide = (max(factor, math.floor(side / shrink / factor) * factor) for side in (height, width))
    elif tall * wide < least:
        grow = math.sqrt(least / (height * width))
        tall, wide = (math.ceil(side * grow / factor) * factor for side in (height, width))
    return ((tall // factor) * (wide // factor),)


def most_patches(config: Any, width: int, height: int, settings: Processor) -> int:
    """Patches of shrunk_patches() with padding: as many as the largest image, or a tile, can have."""
    tile = settings["tile_size"] // settings["encoder_patch_size"] if settings.get("do_image_splitting", True) else 0
    return max(settings["max_image_tokens"] * settings["downsample_factor"] ** 2, tile**2)


def lines_of_patches(config: Any, width: int, height: int, settings: Processor) -> Lines:
    """Pixtral: a token for each patch, and another token behind each line of them."""
    patch = settings["patch_size"]
    patch = patch["height"] if isinstance(patch, Mapping) else patch
    shrink = max(1, max(width, height) / settings["size"]["longest_edge"])
    across, down = ((math.floor(side / shrink) - 1) // patch + 1 for side in (width, height))
    return (across,) * down
