"""The tokens of a prompt from the size of its image: the very ones that LLaMA-Factory makes of the image."""

import random

import pytest

pytestmark = pytest.mark.slow  # imports torch and LLaMA-Factory

SIZES = [(10, 2000), (3000, 12), (28, 28), (1024, 768), (768, 1024), (500, 500)]


@pytest.fixture(scope="module")
def loaded(base):
    import torch

    from eval.inference.model import load
    from eval.inference.settings import Settings

    return load(Settings(model=str(base), cutoff_len=8192, image_max_pixels=200_704), torch.device("cpu"))


def test_prompts_by_size_are_the_hosts(loaded):
    from PIL import Image

    from eval.inference import model
    from storm.prompts import question
    from storm.scales import IQA, MDG

    rng = random.Random(0)
    sizes = SIZES + [(rng.randint(20, 1500), rng.randint(20, 1500)) for _ in range(20)]
    for scale in (IQA, MDG):
        for size in sizes:
            image = Image.new("RGB", size)
            assert model.prompt(loaded, question(scale, "cot"), image) == model.encoded(
                loaded, question(scale, "cot"), image
            )
    assert set(loaded.checked.values()) == {model.CHECKED}


def test_a_count_that_is_wrong_is_found_and_the_host_asked(loaded):
    from PIL import Image

    from eval.inference import model

    wrong = loaded._replace(prompts={}, checked={}, counts=lambda size: (size[0],))
    for size in SIZES[2:]:
        image = Image.new("RGB", size)
        assert model.prompt(wrong, "<image> How good?", image) == model.encoded(wrong, "<image> How good?", image)
    assert wrong.checked == {"<image> How good?": -1}
