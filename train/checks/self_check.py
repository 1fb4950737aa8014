"""Does the installed transformers decode left-padded batches of Qwen2.5-VL, and place images as in training?

Some releases do not: see train/checks/machine.py. This finds the same faults in releases that nobody has listed yet.
Seen with 4.55.0 (decoding) and 5.4.0 (positions). The model gets what LLaMA-Factory's do_predict gives it, so 5.3.0
and later fail, too: they place the tokens of an image like words unless mm_token_type_ids says which they are, and
LLaMA-Factory 0.9.5 passes it in training only. 5.2.0 passes.
"""

from typing import Any

from demo.model import config, tokenizer
from train.checks.finding import Finding, quiet
from train.checks.job import Checked, Job

IMAGES = ((2, 2), (3, 4), (5, 5), (2, 7))  # height and width in tokens, each of 2 x 2 patches of 14 x 14 pixels
BEFORE, AFTER, NEW = 24, 12, 8  # tokens before and after the image, and tokens to generate
FIX = "pip install transformers==5.2.0"


def check_decoding(job: Job) -> Checked:
    """Decode four prompts with images of different sizes together and one by one, greedily. Takes 3 s on 2 cores."""
    try:
        with quiet():
            equal, times, expected = _decode()
    # Whatever is raised here, no prediction of this installation can be trusted.
    except Exception as error:
        text = f"a tiny Qwen2.5-VL cannot be run ({error!r}); {FIX}"
        return job, [Finding("error", "self-check", text)]
    findings = []
    if equal < len(IMAGES):
        text = f"this transformers decodes left-padded batches wrongly ({equal} of {len(IMAGES)} as alone); {FIX}"
        findings.append(Finding("error", "self-check", text))
    if set(times) != {expected}:
        wrong = next(time for time in times if time != expected)
        text = f"do_predict with this transformers puts a still image at time {wrong}, not {expected}; {FIX}"
        findings.append(Finding("error", "self-check", text))
    text = f"{len(IMAGES)} prompts decoded together as alone; a still image is at time {expected}"
    return job, findings or [Finding("ok", "self-check", text)]


def _model() -> Any:
    """The demo's model, its random weights spread widely so that every token of the prompt changes what comes out."""
    import torch
    import transformers

    shape = config(tokenizer())
    text, vision = shape.text_config, shape.vision_config
    text.initializer_range, vision.initializer_range = 0.2, 0.1
    shape.tie_word_embeddings = text.tie_word_embeddings = False  # tied ones repeat the last token
    if transformers.__version__ < "5":
        text.rope_scaling = text.rope_parameters | {"type": "default"}
    torch.manual_seed(0)
    return transformers.Qwen2_5_VLForConditionalGeneration(shape).eval()


def _decode() -> tuple[int, list[int], int]:
    """(prompts that decode in a batch as alone, times of an image's tokens, what all of them must be)."""
    import torch

    model = _model()
    pad, image = model.config.text_config.pad_token_id, model.config.image_token_id
    start = model.config.vision_start_token_id
    random = torch.Generator().manual_seed(0)

    def text(number: int) -> list[int]:
        return torch.randint(10, 320, (number,), generator=random).tolist()  # ordinary tokens

    rows = [[*text(BEFORE), start, *[image] * (high * wide), *text(AFTER)] for high, wide in IMAGES]
    patches = [torch.randn((4 * high * wide, 3 * 2 * 14 * 14), generator=random) for high, wide in IMAGES]
    positions = []
    model.model.language_model.rotary_emb.register_forward_pre_hook(
        lambda _, args, named: positions.append(named.get("position_ids", args[-1])), with_kwargs=True
    )

    def decode(chosen: list[int]) -> torch.Tensor:
        length = max(len(rows[i]) for i in chosen)
        ids = torch.tensor([[pad] * (length - len(rows[i])) + rows[i] for i in chosen])
        inputs = {
            "input_ids": ids,
            "attention_mask": (ids != pad).long(),
            "pixel_values": torch.cat([patches[i] for i in chosen]),
            "image_grid_thw": torch.tensor([[1, 2 * IMAGES[i][0], 2 * IMAGES[i][1]] for i in chosen]),
        }
        with torch.no_grad():
            out = model.generate(**inputs, max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, pad_token_id=pad)
        return out[:, length:]

    alone = torch.cat([decode([i]) for i in range(len(rows))])
    # Position ids have the shape (time, height and width) x batch x tokens; the first call decodes row 0 alone.
    high, wide = IMAGES[0]
    times = positions[0][0, 0, BEFORE + 1 : BEFORE + 1 + high * wide].tolist()
    together = decode(list(range(len(rows))))
    return int((alone == together).all(dim=1).sum()), times, BEFORE + 1
