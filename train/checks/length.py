"""Does the longest row, with the tokens of its image, fit into cutoff_len? LLaMA-Factory does not say if not."""

import math
from collections.abc import Callable, Iterable
from heapq import nlargest
from typing import Any, NamedTuple

from train.checks.data import Scanned, Text
from train.checks.keys import Parsed
from train.checks.finding import Finding, quiet

TEXTS = 2000  # of the distinct texts, the longest are counted; ours have some 300
# Pixels of an image after Qwen2.5-VL's own resizing: its preprocessor_config.json on the hub.
LEAST, MOST = 3136, 12_845_056


class Longest(NamedTuple):
    """Tokens of the longest row."""

    image: int
    text: int  # with the template around it


class Counted(NamedTuple):
    """Tokens of a text."""

    prompt: int  # with the template's
    answer: int  # with the end of the turn
    said: int  # what is said in the answer


def cutoff_len(
    parsed: Parsed, known: Any, scanned: list[Scanned], sizes: set[tuple[int, int]], every: bool, predicts: bool
) -> tuple[Longest, list[Finding]]:
    """Compare the longest row with cutoff_len; without rows, a row of cutoff_len tokens is taken to be the longest.

    known: the model's configuration; sizes: of the images looked at; every: whether these are all images.
    """
    texts, limit = {text: scan for scan in scanned for text in scan.texts}, parsed.data.cutoff_len
    tokens, most = image_tokens(known, parsed), parsed.model.image_max_pixels
    square = math.isqrt(most)
    image = max((tokens(*size) for size in sizes), default=tokens(square, square))
    if not texts:
        longest = Longest(min(image, limit), max(limit - image, 0))
        return longest, [Finding("warning", "cutoff_len", "not checked: there are no rows to count; see the errors")]
    longest_texts = nlargest(TEXTS, texts, key=lambda text: len(text.question) + len(text.answer))
    try:
        counts, exact = _count(parsed, longest_texts)
    except ValueError as error:  # no such template, which check_model says with the right one
        longest = Longest(min(image, limit), max(limit - image, 0))
        return longest, [Finding("warning", "cutoff_len", f"not checked: {error}; see the errors")]
    worst = max(tokens(min(most // height, 200 * height), height) for height in range(1, square + 1))

    def total(text: Text, image: int) -> int:
        # Qwen writes a token before and one behind an image, LLaVA none.
        return counts[text].prompt + counts[text].answer + text.images * (image + 2)

    text = max(counts, key=lambda text: total(text, image))
    longest = Longest(text.images * image, total(text, image) - text.images * image)
    about = "" if exact else "at most "
    said = f"{about}{sum(longest):,} tokens, {longest.image:,} of the image and {about}{longest.text:,} of text"
    found = []
    if sum(longest) > limit:
        about = f"{texts[text].stanza.file}: {said}, but cutoff_len is {limit:,}"
        cut = "LLaMA-Factory cuts the question's end, or the image and dies"
        found.append(Finding("error", "cutoff_len", f"{about}: {cut}; cutoff_len={_round_up(sum(longest))}"))
    elif not every and (longer := max(total(text, worst) for text in counts)) > limit:
        about = f"{said}; {limit:,} fit, but an image of an odd shape may have {worst:,}"
        fix = f"--all-images looks for one, or cutoff_len={_round_up(longer)}"
        found.append(Finding("warning", "cutoff_len", f"{about}; {fix}"))
    answer = max(count.said for count in counts.values())
    if predicts and answer > (new := parsed.generating.max_new_tokens):
        text = f"max_new_tokens={new} cuts the longest answer, {'' if exact else 'perhaps '}{answer} tokens"
        found.append(Finding("error" if exact else "warning", "cutoff_len", f"{text}; max_new_tokens={answer + 1}"))
    return longest, found or [Finding("ok", "cutoff_len", f"{said}; {limit:,} fit")]


def _round_up(tokens: int) -> int:
    return math.ceil(tokens / 128) * 128


def _count(parsed: Parsed, texts: Iterable[Text]) -> tuple[dict[Text, Counted], bool]:
    """Tokens of texts in the recipe's template; whether these are the model's own tokens or an upper bound.

    The bound is the demo's tokenizer: its 800 tokens split no word of the prompts less than Qwen's 151,643 do.
    """
    with quiet():
        from llamafactory.data.template import get_template_and_fix_tokenizer
        from transformers import AutoTokenizer

        from demo.model import tokenizer

        try:
            words, exact = AutoTokenizer.from_pretrained(parsed.model.model_name_or_path, local_files_only=True), True
        except (OSError, ValueError):  # not downloaded yet
            words, exact = tokenizer(), False
        template = get_template_and_fix_tokenizer(words, parsed.data)
        counts = {}
        for text in texts:
            turns = [{"role": "user", "content": text.question}, {"role": "assistant", "content": text.answer}]
            prompt, answer = template.encode_oneturn(words, turns)
            counts[text] = Counted(len(prompt), len(answer), len(words.tokenize(text.answer)))
    return counts, exact


def image_tokens(known: Any, parsed: Parsed) -> Callable[[int, int], int]:
    """A function (width, height) -> tokens of an image, as LLaMA-Factory (data/mm_plugin.py) and the model count."""
    vision, model = known.vision_config, parsed.model
    if known.model_type not in ("qwen2_vl", "qwen2_5_vl"):  # LLaVA resizes every image to one size
        return lambda width, height: (vision.image_size // vision.patch_size) ** 2
    with quiet():
        from transformers import AutoImageProcessor
        from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

        try:
            size = AutoImageProcessor.from_pretrained(model.model_name_or_path, local_files_only=True).size
            least, most = size["shortest_edge"], size["longest_edge"]
        except (OSError, ValueError):
            least, most = LEAST, MOST
    factor = vision.patch_size * vision.spatial_merge_size

    def tokens(width: int, height: int) -> int:
        for limit, beyond in ((model.image_max_pixels, 1), (model.image_min_pixels, -1)):
            if (width * height - limit) * beyond > 0:
                scale = math.sqrt(limit / (width * height))
                width, height = int(width * scale), int(height * scale)
        width, height = max(width, 28), max(height, 28)
        if max(width, height) > 200 * min(width, height):
            width, height = min(width, height * 180), min(height, width * 180)
        tall, wide = smart_resize(height, width, factor, least, most)
        return (tall // factor) * (wide // factor)

    return tokens
