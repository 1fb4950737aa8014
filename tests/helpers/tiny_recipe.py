"""A recipe on 20 rows for the tests of preflight, and its findings; its folder is the fixture `work`."""

import json
from pathlib import Path

from storm.rows import Example, to_row, turns
from storm.scales import IQA
from train.checks.data import check_datasets, check_rows, check_sizes
from train.checks.finding import Finding
from train.checks.images import check_images
from train.checks.job import Job
from train.preflight import preflight
from train.recipe import Header, header, load

TINY = 1_242_624  # parameters of the demo's model
RECIPE = f"""\
# A recipe for a test.
#   llamafactory-cli train recipes/tiny.yaml    2 GPUs x 4 x 16 = 128
# Trains {TINY:,} parameters.

model_name_or_path: saves/demo_base
image_max_pixels: 12544
stage: sft
do_train: true
finetuning_type: full
freeze_vision_tower: false
freeze_multi_modal_projector: false
freeze_language_model: false
dataset: demo_train
dataset_dir: .
media_dir: images
template: qwen2_vl
cutoff_len: 512
output_dir: saves/tiny
save_total_limit: 2
per_device_train_batch_size: 4
gradient_accumulation_steps: 16
max_grad_norm: 0.0625
num_train_epochs: 30
bf16: true
"""
HEADER = Header(gpus=2, batch=4, accumulation=16, memory=24, parameters=TINY)
GOOD = turns(IQA, "cot", 0)


def row(number: int, **changed) -> dict:
    return to_row(Example(f"{number}", "demo", f"{number}.png", number % 5, IQA, "cot")) | changed


def rewrite(work: Path, *rows: dict | str) -> None:
    """Write these rows, or lines, in place of the recipe's."""
    lines = [text if isinstance(text, str) else json.dumps(text) for text in rows]
    (work / "data/demo/demo_train.jsonl").write_text("\n".join(lines) + "\n", errors="surrogateescape")


def tiny_job(*settings: str, recipe: Path = Path("tiny.yaml"), **more) -> Job:
    return Job(load(recipe, settings), header(recipe), settings, **more)


def check_data(*settings: str, all_images: bool = False) -> list[Finding]:
    """The findings of the checks of rows and images, for the recipe with some keys changed."""
    job, findings = tiny_job(*settings, all_images=all_images), []
    for check in (check_datasets, check_rows, check_sizes, check_images):
        job, more = check(job)
        findings += more
    return findings


def checked(recipe: Path, *settings: str, gpus: int = 2, **more) -> list[Finding]:
    """The findings of the whole preflight."""
    return preflight(tiny_job(*settings, recipe=recipe, gpus=gpus, **more))


def errors(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level == "error"]


def the_one(findings: list[Finding], level: str = "error") -> str:
    """The text of the one finding that is not ok, which must be of this level."""
    odd = [finding for finding in findings if finding.level != "ok"]
    assert [finding.level for finding in odd] == [level], odd
    assert "\n" not in odd[0].text and ("; " in odd[0].text or ": " in odd[0].text), "one line that ends with the fix"
    return odd[0].text
