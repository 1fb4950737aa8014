"""Every model family, as a tiny random model: LLaMA-Factory trains it, and plain forward passes check its answers."""

import copy
import json
import random
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from llamafactory.data.template import TEMPLATES
from PIL import Image
from safetensors import safe_open
from transformers import AutoModelForImageTextToText, masking_utils, modeling_utils

from eval.inference import exact, model
from eval.inference.exact import UNREAD, answer_trie, log_probabilities
from eval.inference.output_rows import predictions
from eval.inference.rater import Rater
from eval.inference.settings import Settings
from eval.inference.trie import Trie, trie
from storm.datasets import SCALES
from storm.families import FAMILIES
from storm.models import family_of, patches_of, tokens_of
from storm.prompts import STRATEGIES, question
from storm.scales import IQA
from tests.helpers.tiny_models import LAYERS, save
from tests.helpers.training import make_inputs, settings, train

pytestmark = pytest.mark.slow  # imports torch and LLaMA-Factory
PIXELS = 12544
SIZES = ((56, 56), (112, 84), (200, 64))  # width, height of the images of a batch
QUESTIONS = (IQA, "cot"), (SCALES["adience"], "text"), (SCALES["utk"], "cot")


def picture(size: tuple[int, int], seed: int = 0) -> Image.Image:
    width, height = size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("families")


@pytest.fixture(scope="module")
def loaded(folder):
    @cache
    def load(name: str) -> model.Loaded:
        base = save(name, folder / name)
        return model.load(Settings(model=str(base), image_max_pixels=PIXELS, cutoff_len=4096), torch.device("cpu"))

    return load


def alone(rater: model.Loaded, text: str, image: Image.Image, answer: list[int]) -> float:
    """log P of one answer by a plain forward pass over prompt and answer; the model itself computes the positions."""
    row = model.collate(rater, [text], [image])
    begin, more = row["input_ids"].shape[1], torch.ones(1, len(answer), dtype=torch.long)
    row["attention_mask"] = torch.cat([row["attention_mask"], more], 1)
    if "token_type_ids" in row:  # an answer is text, and the last token of a prompt, too
        row["token_type_ids"] = torch.cat([row["token_type_ids"], row["token_type_ids"][:, -1:] * more], 1)
    row["input_ids"] = torch.cat([row["input_ids"], torch.tensor([answer])], 1)
    rater.model.model.rope_deltas = None
    with torch.inference_mode():
        logp = rater.model(**row).logits[0, begin - 1 :].double().log_softmax(1)
    return sum(float(logp[place, token]) for place, token in enumerate(answer))


@pytest.mark.parametrize("name", FAMILIES)
def test_exact_is_equal_to_scoring_each_answer_alone_in_a_mixed_batch(loaded, name):
    rater, images = loaded(name), [picture(size) for size in SIZES]
    for scale, strategy in QUESTIONS:
        texts = [question(scale, strategy) + " Look well, and rate it." * number for number in range(len(SIZES))]
        answer_ids = model.answer_ids(rater, scale, strategy)
        batch = model.collate(rater, texts, images)
        assert (batch["attention_mask"] == 0).any(), "rows of different lengths"
        logp = log_probabilities(rater.model, batch, answer_trie(rater.model, answer_ids), unread=0)
        assert logp.shape == (3, len(answer_ids)) and logp.dtype == torch.float32
        assert logp.exp().sum(1).max() < 1 and logp.std() > 0.1
        few = list(answer_ids)[:: max(1, len(answer_ids) // 4)]
        for row, (text, image) in enumerate(zip(texts, images)):
            for label in few:
                expected = alone(rater, text, image, answer_ids[label])
                assert float(logp[row, list(answer_ids).index(label)]) == pytest.approx(expected, abs=1e-4)


def ages(rater: model.Loaded, strategy: str) -> tuple[dict, Trie, torch.Tensor]:
    """A batch of questions for an age, the trie with its tails, and log P of all ages by the whole trie."""
    images, scale = [picture(size) for size in SIZES], SCALES["utk"]
    answer_ids = model.answer_ids(rater, scale, strategy)
    batch = model.collate(rater, [question(scale, strategy) + " Look well." * n for n in range(len(SIZES))], images)
    parts = answer_trie(rater.model, answer_ids)
    assert parts.tails is not None
    return batch, parts, log_probabilities(rater.model, batch, trie(answer_ids)).double()


@pytest.mark.parametrize(
    ("name", "strategy"),
    [*(("qwen2_5_vl", strategy) for strategy in STRATEGIES), ("gemma3", "cot"), ("llava_next_mistral", "cot")],
)
def test_of_an_untrained_model_all_tails_count(loaded, name, strategy):
    """Their beginnings say little, so that the first choice of likely answers is wrong."""
    batch, parts, whole = ages(loaded(name), strategy)
    for unread in (0, UNREAD):
        logp = log_probabilities(loaded(name).model, batch, parts, unread).double()
        assert (logp.softmax(1) - whole.softmax(1)).abs().max() <= 1e-5
        assert (logp.logsumexp(1) - whole.logsumexp(1)).abs().max() <= 1e-4


def test_of_a_trained_model_unlikely_tails_are_not_read_and_no_digit_of_a_file_changes(loaded, monkeypatch):
    """A trained model is sure of a tail (" years old") once it has written an age; so is this head."""
    rater = loaded("qwen2_5_vl")
    _, parts, _ = ages(rater, "cot")
    plain, sure = rater.model.get_output_embeddings(), parts.tails.following[parts.tails.real].unique()

    def head(hidden: torch.Tensor) -> torch.Tensor:
        return plain(hidden).index_add(1, sure, torch.full((len(hidden), len(sure)), 40.0))

    monkeypatch.setattr(type(rater.model), "get_output_embeddings", lambda model: head)
    batch, parts, whole = ages(rater, "cot")
    tails, read = exact._tails, []
    monkeypatch.setattr(exact, "_tails", lambda *given: read.append(int(given[3].sum())) or tails(*given))
    logp = log_probabilities(rater.model, batch, parts).double()
    assert len(read) == 1 and 0 < read[0] < whole.numel() / 2
    unread = logp - whole > 1e-3
    assert unread.any() and (logp >= whole - 1e-3).all(), "a beginning is as likely as the answer at least"
    assert (logp.softmax(1) - whole.softmax(1)).abs().max() <= 1e-5  # float32 of logarithms near -400
    assert (logp.exp() * unread).sum(1).max() <= UNREAD * whole.exp().sum(1).max()
    # Of the same logarithms, so that float32 does not differ: what the file says.
    ours, theirs = (predictions(part.numpy(), SCALES["utk"], "cot") for part in (whole.where(~unread, logp), whole))
    for row, other in zip(ours, theirs, strict=True):
        assert row["predict"] == other["predict"] and row["median"] == other["median"]
        for key in ("probs", "coarse", "mean", "entropy", "mass"):
            assert row[key] == pytest.approx(other[key], abs=1.1e-6), key  # the last of six digits, where it is rounded


@pytest.mark.parametrize("name", ["qwen2_5_vl", "llava_next", "pixtral"])
def test_a_prompt_that_the_host_would_cut_is_refused(loaded, folder, name):
    """It cuts the question's end, and says nothing."""
    text, images = question(IQA, "cot"), [Image.new("RGB", size) for size in ((56, 56), (112, 112))]
    small, large = (len(model.prompt(loaded(name), text, image)) for image in images)
    assert small < large
    settings = Settings(model=str(folder / name), image_max_pixels=PIXELS, cutoff_len=large)
    for order in (images, images[::-1]):
        rater = model.load(settings, torch.device("cpu"))
        for image in order:
            if image is images[0]:
                assert len(model.prompt(rater, text, image)) == small
            else:
                with pytest.raises(ValueError, match="--cutoff-len 1024"):
                    model.prompt(rater, text, image)
    with pytest.raises(ValueError, match="--cutoff-len 1024"):
        model.load(Settings(model=str(folder / name), image_max_pixels=PIXELS, cutoff_len=100), torch.device("cpu"))


@pytest.mark.parametrize("name", FAMILIES)
def test_tokens_are_counted_without_the_file_of_the_image_processor(loaded, name):
    """As preflight does for a model that is not downloaded: by the family's own settings."""
    assert tokens_of(loaded(name).model.config, (300, 200), (PIXELS, 0), {}) >= 1


@pytest.mark.parametrize("name", FAMILIES)
def test_prompts_by_the_size_of_an_image_are_the_hosts(loaded, name):
    rater, rng = loaded(name), random.Random(0)
    sizes = [*SIZES, (64, 200), (500, 30), *((rng.randint(20, 300), rng.randint(20, 300)) for _ in range(12))]
    for size in sizes:
        image = Image.new("RGB", size)
        assert model.prompt(rater, question(IQA, "cot"), image) == model.encoded(rater, question(IQA, "cot"), image)
    assert rater.checked[question(IQA, "cot")] >= 0, "the number of image tokens was not the host's"


@pytest.mark.parametrize("name", FAMILIES)
def test_inputs_made_one_by_one_are_those_of_the_host(loaded, name):
    """Where the shapes of a family's images do not let them be put together, the host makes them."""
    for sizes in (SIZES, ((112, 84), (112, 84), (84, 112)), ((60, 90),)):
        images, texts = (
            [picture(size) for size in sizes],
            [question(IQA, "cot") + " Look." * n for n in range(len(sizes))],
        )
        pairs, rater = list(zip(texts, images)), Rater(loaded(name), Settings(model=""))
        whole, ours = model.collate(rater.loaded, texts, images), rater._inputs(pairs.copy)
        assert whole.keys() == ours.keys()
        for key, value in whole.items():
            assert value.dtype == ours[key].dtype and torch.equal(value, ours[key]), key


@pytest.mark.parametrize("name", FAMILIES)
def test_the_row_names_the_model_and_its_tower(loaded, name):
    config = loaded(name).model.config
    family = family_of(config)
    assert family is FAMILIES[name]
    layers, width, inner = family.tower(config.vision_config)
    assert layers == LAYERS and width == 64 and inner >= 128 and family.patches_per_token(config) >= 1


@pytest.mark.parametrize("name", FAMILIES)
def test_patches_are_those_that_the_tower_sees(loaded, name):
    """With padding: preflight's estimate of the memory is for them."""
    rater = loaded(name)
    config = rater.model.config
    inner, seen = FAMILIES[name].tower(config.vision_config)[2], []

    def count(layer: torch.nn.Linear, given: tuple, output: torch.Tensor) -> None:
        if output.shape[-1] == inner:
            seen.append(output.numel() // inner)

    towers = [part for key, part in rater.model.named_modules() if key in ("model.visual", "model.vision_tower")]
    linear = [part for part in towers[0].modules() if isinstance(part, torch.nn.Linear)]
    hooks = [part.register_forward_hook(count) for part in linear]
    processor = rater.encoder.processor.image_processor.to_dict()
    for size in SIZES:
        seen.clear()
        with torch.inference_mode():
            rater.model(**model.collate(rater, [question(IQA, "cot")], [picture(size)]))
        patches = patches_of(config, size, (PIXELS, 1024), processor)
        assert patches <= max(seen) <= patches + 8, "a family has a token for the class of each square"
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("name", FAMILIES)
def test_the_row_names_what_gets_no_gradient(loaded, name):
    """Preflight counts the others, as the headers of recipes do."""
    rater = loaded(name)
    copied = copy.deepcopy(rater.model).requires_grad_(True)
    copied.model.rope_deltas = None
    copied(**model.collate(rater, [question(IQA, "cot")], [picture((112, 84))])).logits.square().sum().backward()
    without = {key for key, parameter in copied.named_parameters() if parameter.grad is None}
    idle = FAMILIES[name].idle(copied.config)
    assert without == {key for key in dict(copied.named_parameters()) if any(part in key for part in idle)}


@pytest.mark.parametrize("name", FAMILIES)
def test_flashattention_2_can_be_built_unless_the_row_says_why_not(loaded, name, monkeypatch):
    """With the package and a GPU pretended. What it computes is not tried."""
    monkeypatch.setattr(modeling_utils, "is_flash_attn_2_available", lambda: True)
    monkeypatch.setattr(modeling_utils, "lazy_import_flash_attention", lambda *given, **more: None)
    config = copy.deepcopy(loaded(name).model.config)
    config._attn_implementation = "flash_attention_2"
    with torch.device("meta"):
        if "vision tower" in FAMILIES[name].no_fa2:
            with pytest.raises(ValueError, match="does not support Flash Attention 2"):
                AutoModelForImageTextToText.from_config(config)
        else:
            built = AutoModelForImageTextToText.from_config(config)
            assert built.config._attn_implementation == "flash_attention_2"


def test_flashattention_2_drops_masks_that_let_tokens_look_ahead():
    """Without a word, so rows of families with such masks say no."""
    every = torch.ones(1, 4, dtype=torch.bool)
    given = {"cache_position": torch.arange(4), "kv_length": 4, "attention_mask": every}
    mask = masking_utils.flash_attention_mask(1, mask_function=lambda *places: True, **given)
    assert mask is None, "which FlashAttention-2 takes for a causal one"
    assert {name for name, row in FAMILIES.items() if "mask" in row.no_fa2} == {"gemma3", "paligemma"}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_system_message_that_servers_are_sent_is_that_of_the_template(name):
    assert FAMILIES[name].system == TEMPLATES[FAMILIES[name].template].default_system


@pytest.mark.parametrize("name", FAMILIES)
def test_saved_weights_get_the_names_that_they_have_in_memory(loaded, folder, name):
    """Else a training without DeepSpeed goes on with the weights that it began with (train/checkpoints.py)."""
    with safe_open(folder / name / "model.safetensors", "pt") as file:
        saved = list(file.keys())
    for pattern, replacement in FAMILIES[name].in_memory:
        saved = [re.sub(pattern, replacement, key) for key in saved]
    assert set(loaded(name).model.state_dict()) == set(saved)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("rows"), tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("name", FAMILIES)
def test_it_trains_and_its_greedy_text_is_the_hosts(loaded, inputs, folder, name):
    loaded(name)
    family, rows, runs = FAMILIES[name], [], folder / "runs"
    runs.mkdir(exist_ok=True)
    same = {"model_name_or_path": str(folder / name), "template": family.template, **family.keys}
    same |= {"image_max_pixels": PIXELS, "flash_attn": "sdpa", "cutoff_len": 1024}
    trained = settings(inputs, runs / name, "max_steps=2") | same | {"deepspeed": None, "learning_rate": 1e-4}
    code, output = train(trained)
    assert code == 0, output[-3000:]
    history = json.loads((runs / name / "trainer_state.json").read_text())["log_history"]
    losses = [line["loss"] for line in history if "loss" in line]
    assert len(losses) == 2 and all(0 < loss < 30 for loss in losses)
    predicted = {key: value for key, value in trained.items() if key not in ("do_train", "dataset")}
    predicted |= {"model_name_or_path": str(runs / name), "output_dir": str(runs / f"{name}_predict")}
    predicted |= {"do_predict": True, "predict_with_generate": True, "eval_dataset": "demo_train", "do_sample": False}
    code, output = train(predicted | {"max_samples": 8, "per_device_eval_batch_size": 4, "max_new_tokens": 12})
    assert code == 0, output[-3000:]
    host = (runs / f"{name}_predict" / "generated_predictions.jsonl").read_text().splitlines()
    rater = model.load(Settings(model=str(runs / name), image_max_pixels=PIXELS, cutoff_len=1024), torch.device("cpu"))
    rows = [json.loads(line) for line in (inputs / "demo_train.jsonl").read_text().splitlines()[:8]]
    ours = []
    for block in (rows[:4], rows[4:]):
        texts = [row["conversations"][0]["value"] for row in block]
        batch = model.collate(rater, texts, [Image.open(Path(inputs, row["images"][0])) for row in block])
        ours += model.generate(rater, batch, 12)
    assert ours == [json.loads(line)["predict"] for line in host]
    assert len(set(ours)) > 1, "the same text for every image says little"


def test_an_image_that_would_be_cut_up_is_refused_before_the_first_row(loaded, folder):
    """LLaMA-Factory counts the tokens of the first tile only."""
    rater = loaded("lfm2_vl")
    with pytest.raises(ValueError, match="--image-max-pixels 262144"):
        model.load(Settings(model=str(folder / "lfm2_vl"), image_max_pixels=1_003_520), torch.device("cpu"))
    assert rater.counts((100, 100)) and rater.counts((512, 512))


@pytest.mark.parametrize(
    ("text", "named"), [({"model_type": "gemma2"}, "PaliGemma"), ({"model_type": "gemma", "vocab_size": 9}, "")]
)
def test_only_the_language_models_that_were_tested_are_of_a_family(text, named):
    from transformers import PaliGemmaConfig

    config = PaliGemmaConfig(text_config=text)
    if named:
        with pytest.raises(ValueError, match="gemma2.*PaliGemma"):
            family_of(config)
    else:
        assert family_of(config) is FAMILIES["paligemma"]
