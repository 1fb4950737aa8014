"""A recipe on 20 rows for the tests of preflight, and what its checks find; its folder is the fixture `work`."""

import json
from pathlib import Path

from storm.scales import IQA
from storm.rows import facts, turns
from train.checks import data, images, sizes
from train.checks.finding import Finding
from train.preflight import preflight
from train.recipe import Header, load

ROOT = Path(__file__).resolve().parent.parent
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
num_train_epochs: 30
bf16: true
"""
SAID = Header("", "", gpus=2, batch=4, accumulation=16, memory=24, parameters=TINY, lines=[])
GOOD = turns(IQA, "cot", 0)["conversations"]


def row(number: int, **changed) -> dict:
    known = turns(IQA, "cot", number % 5) | facts(
        id=f"{number}", dataset="demo", image=f"{number}.png", label=number % 5
    )
    return known | changed


def rewrite(work: Path, *rows: dict | str) -> None:
    lines = [text if isinstance(text, str) else json.dumps(text) for text in rows]
    (work / "data/demo/demo_train.jsonl").write_text("\n".join(lines) + "\n")


def data(every: bool = False, **changed) -> list[Finding]:
    """What the checks of rows and images find, for the recipe with some keys changed."""
    recipe = load(Path("tiny.yaml")) | changed
    stanzas, found = check_data.stanzas(recipe)
    scanned = []
    for stanza in stanzas:
        scan, faults = check_data.scan(stanza)
        scanned.append(scan)
        found += faults
    found += check_sizes.counts(scanned)
    return found + check_images.images(scanned, Path(recipe["media_dir"]), every)[2]


def checked(recipe: Path, *settings: str, gpus: int = 2, **more) -> list[Finding]:
    """What the whole preflight finds."""
    return preflight(recipe, settings, gpus, **more)


def the_one(found: list[Finding], level: str = "error") -> str:
    """The text of the one finding that is not ok, which must be of this level."""
    odd = [finding for finding in found if finding.level != "ok"]
    assert [finding.level for finding in odd] == [level], odd
    assert "\n" not in odd[0].text and ("; " in odd[0].text or ": " in odd[0].text), "one line that ends with the fix"
    return odd[0].text
