"""Does the longest row, with the tokens of its image, fit into cutoff_len? LLaMA-Factory does not report it if not."""

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from heapq import nlargest
from typing import NamedTuple

from storm.models import family_of, patches_of, tokens_of
from train.checks.data import Text
from train.checks.finding import Finding, quiet
from train.checks.job import Checked, Job
from train.checks.keys import Parsed

SizeCount = Callable[[int, int], float]  # (width, height) of an image -> its tokens, or its patches
TEXTS = 2000  # of the distinct texts, the longest are counted; ours have some 300


class RowTokens(NamedTuple):
    image: float
    text: float  # with the template around it


class Counted(NamedTuple):
    prompt: int  # with the template's
    answer: int  # with the end of the turn
    bare_answer: int  # without it


def check_length(job: Job) -> Checked:
    """Fill `longest`, `mean` and their patches, and compare the longest with cutoff_len.

    Without rows, a row of cutoff_len tokens is taken to be the longest.
    """
    if not (job.parsed and job.config and (job.trains or job.predicts)):
        return job, []
    limit, pixels = job.parsed.data.cutoff_len, job.parsed.model.image_max_pixels
    (tokens, patches), square = image_counts(job), math.isqrt(pixels)
    sizes = job.image_sizes or {(square, square)}
    try:
        image, most_patches = (max(count(*size) for size in sizes) for count in (tokens, patches))
    except ValueError as error:
        return job, [Finding("error", "cutoff_len", f"{family_of(job.config).title}: {error}")]
    texts = {text: scan for scan in job.scans for text in scan.texts}
    try:
        if not texts:
            raise ValueError("there are no rows to count")
        longest_texts = nlargest(TEXTS, texts, key=lambda text: len(text.question) + len(text.answer))
        counts, exact = _count(job.parsed, longest_texts)
    except ValueError as error:  # also a template that there is not, which check_model reports with the right one
        longest = RowTokens(min(image, limit), max(limit - image, 0))
        job = replace(job, longest=longest, longest_patches=most_patches)
        return job, [Finding("warning", "cutoff_len", f"not checked: {error}; see the errors")]

    around = family_of(job.config).tokens_around

    def total(text: Text, image: int) -> int:
        return counts[text].prompt + counts[text].answer + text.images * (image + around)

    text = max(counts, key=lambda text: total(text, image))
    longest = RowTokens(text.images * image, total(text, image) - text.images * image)
    patches_of_row = text.images * most_patches
    bound = "" if exact else "at most "
    about = f"{bound}{sum(longest):,} tokens, {longest.image:,} of the image and {bound}{longest.text:,} of text"
    worst = max(_fitting(tokens, min(pixels // height, 200 * height), height) for height in range(1, square + 1))
    findings = []
    if sum(longest) > limit:
        about = f"{texts[text].stanza.file}: {about}, but cutoff_len is {limit:,}"
        cut = "LLaMA-Factory cuts the question's end, or the image and dies"
        findings.append(Finding("error", "cutoff_len", f"{about}: {cut}; cutoff_len={sum(longest) // -128 * -128}"))
    elif not job.all_decoded and (longer := max(total(text, worst) for text in counts)) > limit:
        about = f"{about}; {limit:,} fit, but an image of an odd shape may have {worst:,}"
        fix = f"--all-images looks for one, or cutoff_len={longer // -128 * -128}"
        findings.append(Finding("warning", "cutoff_len", f"{about}; {fix}"))
    answer, most = max(count.bare_answer for count in counts.values()), job.parsed.generating.max_new_tokens
    if job.predicts and answer > most:
        text = f"max_new_tokens={most} cuts the longest answer, {'' if exact else 'perhaps '}{answer} tokens"
        text = f"{text}; max_new_tokens={answer + 1}"
        findings.append(Finding("error" if exact else "warning", "cutoff_len", text))
    lengths = {text: sum(count[:2]) for text, count in counts.items()}
    job = _with_means(replace(job, longest=longest, longest_patches=patches_of_row), tokens, patches, lengths)
    return job, findings or [Finding("ok", "cutoff_len", f"{about}; {limit:,} fit")]


def _with_means(job: Job, tokens: SizeCount, patches: SizeCount, texts: dict[Text, int]) -> Job:
    """Fill `mean` and `mean_patches`, of a row: of the images that were decoded and the distinct texts, by dataset."""
    rows, image, seen, text, around = 0, 0.0, 0.0, 0.0, family_of(job.config).tokens_around
    for scan in job.training_scans:
        counted = [other for other in scan.texts if other in texts]
        sizes = job.sizes.get(scan.stanza.name)
        if counted and sizes:
            images = sum(other.images for other in counted) / len(counted)
            rows += scan.rows
            image += scan.rows * images * sum(_fitting(tokens, *size) for size in sizes) / len(sizes)
            seen += scan.rows * images * sum(_fitting(patches, *size) for size in sizes) / len(sizes)
            text += scan.rows * (sum(texts[other] for other in counted) / len(counted) + images * around)
    return replace(job, mean=RowTokens(image / rows, text / rows), mean_patches=seen / rows) if rows else job


def _fitting(count: SizeCount, width: int, height: int) -> float:
    """Tokens or patches of an image, 0 for one that the family cannot take, whatever cutoff_len is."""
    try:
        return count(width, height)
    except ValueError:
        return 0


def _count(parsed: Parsed, texts: Iterable[Text]) -> tuple[dict[Text, Counted], bool]:
    """Tokens of texts in the recipe's template; whether these are the model's own tokens or an upper bound.

    The bound is the demo's tokenizer: its 800 tokens split no word of the prompts less than Qwen's 151,643 do. Raises
    ValueError for an unknown template.
    """
    with quiet():
        from llamafactory.data.template import get_template_and_fix_tokenizer
        from transformers import AutoTokenizer

        from demo import model

        try:
            name = parsed.model.model_name_or_path
            tokenizer, exact = AutoTokenizer.from_pretrained(name, local_files_only=True), True
        except (OSError, ValueError):  # not downloaded yet
            tokenizer, exact = model.tokenizer(), False
        template = get_template_and_fix_tokenizer(tokenizer, parsed.data)
        counts = {}
        for text in texts:
            turns = [{"role": "user", "content": text.question}, {"role": "assistant", "content": text.answer}]
            prompt, answer = template.encode_oneturn(tokenizer, turns)
            counts[text] = Counted(len(prompt), len(answer), len(tokenizer.tokenize(text.answer)))
    return counts, exact


def image_counts(job: Job) -> tuple[SizeCount, SizeCount]:
    """Functions (width, height) -> tokens of an image, as LLaMA-Factory (data/mm_plugin.py) and the model count, and
    patches in the vision tower."""
    model, processor = job.parsed.model, {}
    with quiet(), suppress(OSError, ValueError):
        from transformers import AutoImageProcessor

        processor = AutoImageProcessor.from_pretrained(model.model_name_or_path, local_files_only=True).to_dict()

    def counted(count: Callable) -> SizeCount:
        pixel_limits = model.image_max_pixels, model.image_min_pixels
        return lambda width, height: count(job.config, (width, height), pixel_limits, processor)

    return counted(tokens_of), counted(patches_of)
