"""Does the longest row, with the tokens of its image, fit into cutoff_len? LLaMA-Factory does not report it if not."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from heapq import nlargest
from typing import NamedTuple

from storm.models import Family, family_of
from train.checks.data import Text
from train.checks.finding import Finding, quiet
from train.checks.job import Checked, Job
from train.checks.keys import Parsed

TEXTS = 2000  # of the distinct texts, the longest are counted; ours have some 300


class Longest(NamedTuple):
    """Tokens of the longest row."""

    image: int
    text: int  # with the template around it


class Counted(NamedTuple):
    """Tokens of a text."""

    prompt: int  # with the template's
    answer: int  # with the end of the turn
    bare_answer: int  # without it


def check_length(job: Job) -> Checked:
    """Fill `longest` and compare it with cutoff_len.

    Without rows, a row of cutoff_len tokens is taken to be the longest.
    """
    if not (job.parsed and job.config and (job.trains or job.predicts)):
        return job, []
    limit, most = job.parsed.data.cutoff_len, job.parsed.model.image_max_pixels
    tokens, square = image_tokens(job), math.isqrt(most)
    image = max((tokens(*size) for size in job.image_sizes), default=tokens(square, square))
    texts = {text: scan for scan in job.scans for text in scan.texts}
    try:
        if not texts:
            raise ValueError("there are no rows to count")
        longest_texts = nlargest(TEXTS, texts, key=lambda text: len(text.question) + len(text.answer))
        counts, exact = _count(job.parsed, longest_texts)
    except ValueError as error:  # also a template that there is not, which check_model reports with the right one
        job = replace(job, longest=Longest(min(image, limit), max(limit - image, 0)))
        return job, [Finding("warning", "cutoff_len", f"not checked: {error}; see the errors")]

    def total(text: Text, image: int) -> int:
        # Qwen writes a token before and one behind an image, LLaVA none.
        return counts[text].prompt + counts[text].answer + text.images * (image + 2)

    text = max(counts, key=lambda text: total(text, image))
    longest = Longest(text.images * image, total(text, image) - text.images * image)
    bound = "" if exact else "at most "
    about = f"{bound}{sum(longest):,} tokens, {longest.image:,} of the image and {bound}{longest.text:,} of text"
    worst = max(tokens(min(most // height, 200 * height), height) for height in range(1, square + 1))
    findings = []
    if sum(longest) > limit:
        about = f"{texts[text].stanza.file}: {about}, but cutoff_len is {limit:,}"
        cut = "LLaMA-Factory cuts the question's end, or the image and dies"
        findings.append(Finding("error", "cutoff_len", f"{about}: {cut}; cutoff_len={_round_up(sum(longest))}"))
    elif not job.all_decoded and (longer := max(total(text, worst) for text in counts)) > limit:
        about = f"{about}; {limit:,} fit, but an image of an odd shape may have {worst:,}"
        fix = f"--all-images looks for one, or cutoff_len={_round_up(longer)}"
        findings.append(Finding("warning", "cutoff_len", f"{about}; {fix}"))
    if job.predicts:
        findings += _cut_answers(counts.values(), exact, job.parsed.generating.max_new_tokens)
    return replace(job, longest=longest), findings or [Finding("ok", "cutoff_len", f"{about}; {limit:,} fit")]


def _cut_answers(counts: Iterable[Counted], exact: bool, limit: int) -> list[Finding]:
    """Do all answers fit into max_new_tokens?"""
    answer = max(count.bare_answer for count in counts)
    if answer <= limit:
        return []
    text = f"max_new_tokens={limit} cuts the longest answer, {'' if exact else 'perhaps '}{answer} tokens"
    return [Finding("error" if exact else "warning", "cutoff_len", f"{text}; max_new_tokens={answer + 1}")]


def _round_up(tokens: int) -> int:
    return math.ceil(tokens / 128) * 128


def _count(parsed: Parsed, texts: Iterable[Text]) -> tuple[dict[Text, Counted], bool]:
    """Tokens of texts in the recipe's template; whether these are the model's own tokens or an upper bound.

    The bound is the demo's tokenizer: its 800 tokens split no word of the prompts less than Qwen's 151,643 do. Raises
    ValueError for an unknown template.
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


def image_tokens(job: Job) -> Callable[[int, int], int]:
    """A function (width, height) -> tokens of an image, as LLaMA-Factory (data/mm_plugin.py) and the model count."""
    family, model = family_of(job.config), job.parsed.model
    pixels = _processor_pixels(family, model.model_name_or_path)

    def tokens(width: int, height: int) -> int:
        for limit, beyond in ((model.image_max_pixels, 1), (model.image_min_pixels, -1)):
            if (width * height - limit) * beyond > 0:
                scale = math.sqrt(limit / (width * height))
                width, height = int(width * scale), int(height * scale)
        width, height = max(width, 28), max(height, 28)
        if max(width, height) > 200 * min(width, height):
            width, height = min(width, height * 180), min(height, width * 180)
        return family.image_tokens(job.config.vision_config, width, height, pixels)

    return tokens


def _processor_pixels(family: Family, name: str) -> tuple[int, int]:
    """Least and most pixels of an image after the model's own resizing; the family's if the model is not downloaded."""
    if not any(family.pixels):  # every image gets one size
        return family.pixels
    with quiet():
        from transformers import AutoImageProcessor

        try:
            size = AutoImageProcessor.from_pretrained(name, local_files_only=True).size
        except (OSError, ValueError):
            return family.pixels
    return size["shortest_edge"], size["longest_edge"]
