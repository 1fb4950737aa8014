"""Whatever would waste a cluster night is one line of recipes/preflight.py, and a sound recipe gives none."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from data_prep.scales import IQA
from data_prep.sharegpt import facts, turns, write_jsonl
from recipes import check_data, check_disk, check_images, check_machine, check_memory, check_sizes
from recipes.check_keys import Zero
from recipes.check_length import Longest
from recipes.check_model import Count
from recipes.finding import Finding
from recipes.preflight import report
from recipes.recipe import Header, load

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
num_train_epochs: 1
bf16: true
"""
SAID = Header("", "", gpus=2, batch=4, accumulation=16, memory=24, parameters=TINY, lines=[])


def row(number: int, **changed) -> dict:
    known = turns(IQA, "cot", number % 5) | facts(
        id=f"{number}", dataset="demo", image=f"{number}.png", label=number % 5
    )
    return known | changed


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """A folder to work in: 20 rows and images, a registry and a recipe."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(20):
        size = (112, 56 + number, 3)
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(tmp_path / "images" / f"{number}.png")
    write_jsonl(tmp_path / "data/demo/demo_train.jsonl", map(row, range(20)))
    shutil.copy(ROOT / "dataset_info.json", tmp_path)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    for variable in (
        "NNODES",
        "NODE_RANK",
        "MASTER_ADDR",
        "MASTER_PORT",
        "NPROC_PER_NODE",
        "FORCE_TORCHRUN",
        "USE_RAY",
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return tmp_path


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


def the_one(found: list[Finding], level: str = "error") -> str:
    """The text of the one finding that is not ok, which must be of this level."""
    odd = [finding for finding in found if finding.level != "ok"]
    assert [finding.level for finding in odd] == [level], odd
    assert "\n" not in odd[0].text and ("; " in odd[0].text or ": " in odd[0].text), "one line that ends with the fix"
    return odd[0].text


def test_sound_rows_and_images_are_counted(work):
    found = data()
    assert {finding.level for finding in found} == {"ok"}
    assert [finding.text for finding in found] == [
        "1 in dataset_info.json, all written",
        "20 in 1 files",
        "20 are there, 20 decoded: 56 x 112 to 75 x 112 pixels",
    ]


def test_a_misspelt_dataset(work):
    assert "'demo_trian' is not in dataset_info.json; is it demo_train?" in the_one(data(dataset="demo_trian"))


def test_no_registry(work):
    assert the_one(data(dataset_dir="nowhere")).startswith("nowhere/dataset_info.json: cannot be read")


def test_rows_that_were_not_written(work):
    text = the_one(data(dataset="storm_spaq_lite,storm_hci_train_num,demo_train"))
    assert text == "data/storm/cot/spaq_lite.jsonl: no such file (and 1 more); python -m data_prep spaq hci"
    (work / "data/demo/demo_train.jsonl").unlink()
    assert the_one(data()) == "data/demo/demo_train.jsonl: no such file; python -m demo.photographs"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"columns": {"messages": "conversations"}}, "columns name messages, not both"),
        ({"tags": {"role_tag": "from"}}, "tags lack assistant_tag"),
        ({"formatting": "alpaca"}, "ShareGPT"),
    ],
)
def test_a_stanza_that_llamafactory_reads_otherwise(work, change, said):
    known = json.loads((work / "dataset_info.json").read_text())
    known["demo_train"] |= change
    (work / "dataset_info.json").write_text(json.dumps(known))
    assert said in the_one(data())


GOOD = turns(IQA, "cot", 0)["conversations"]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ('{"conversations": ', "not JSON"),
        ("[]", "not a row"),
        (row(1, conversations=[]), "no turns in 'conversations'"),
        (row(1, conversations=GOOD[::-1]), "roles gpt, human do not alternate"),
        (row(1, conversations=GOOD[:1]), "roles human do not alternate"),
        (row(1, conversations=[GOOD[0], {"from": "gpt", "value": " "}]), "an empty answer"),
        (row(1, conversations=[{"from": "human", "value": "Rate."}, GOOD[1]]), "0 <image> for 1 images"),
        (row(1, images=["1.png", "2.png"]), "1 <image> for 2 images"),
        (row(1, images=[]), "no images in 'images'"),
        (row(0), "an id that an earlier row has, too"),
    ],
)
def test_a_bad_row_is_named(work, bad, said):
    rewrite(work, row(0), bad, row(2))
    text = the_one(data())
    assert text.startswith(f"data/demo/demo_train.jsonl, line 2: {said}"), text
    assert text.endswith("python -m demo.photographs")


def test_equal_faults_are_one_line(work):
    rewrite(work, row(0), *(row(number, images=[]) for number in range(1, 5)))
    assert "line 2: no images in 'images'" in the_one(data()) and "(4 such rows)" in the_one(data())


def test_an_empty_file(work):
    (work / "data/demo/demo_train.jsonl").write_text("")
    assert the_one(data()).startswith("data/demo/demo_train.jsonl: is empty")


def sizes(work: Path, rows: int, **numbers) -> list[Finding]:
    """What is found if HCI's train set, 1,193 rows in the paper, has so many."""
    write_jsonl(work / "data/storm/cot/hci_train.jsonl", (row(number, images=["0.png"]) for number in range(rows)))
    (work / "data/storm/summary.json").write_text(json.dumps({"hci": numbers} if numbers else {}))
    return data(dataset="storm_hci_train")


def test_rows_are_compared_with_the_paper(work):
    file = "data/storm/cot/hci_train.jsonl"
    assert all(finding.level == "ok" for finding in sizes(work, 1193))
    missing = the_one(sizes(work, 1190, dropped={"missing": 2, "rule": 1}, sizes={"train": 1190}), "warning")
    assert missing.startswith(
        f"{file}: 1,190 rows, the paper has 1,193 (-3); dropped 2 missing, 1 rule: see data/storm/qu"
    )
    other = the_one(sizes(work, 1190, dropped={}, sizes={"train": 1193}), "warning")
    assert other.endswith("data/storm/summary.json says 1,193: python -m data_prep hci")
    assert "is the download whole?" in the_one(sizes(work, 1190), "warning")


def test_a_difference_that_is_known_is_said_but_no_warning(work):
    rows = (row(number, images=["0.png"]) for number in range(12))
    write_jsonl(work / "data/storm/cot/morph_test.jsonl", rows)
    (work / "data/storm/summary.json").write_text(
        json.dumps({"morph": {"dropped": {"rule": 0}, "sizes": {"test": 12}}})
    )
    found = data(dataset="storm_morph_test")
    assert {finding.level for finding in found} == {"ok"}
    assert any("12 rows, the paper has 10,003 (-9,991); the owner's set" in finding.text for finding in found)


def test_a_missing_image_names_row_and_file(work):
    (work / "images/7.png").unlink()
    text = the_one(data())
    assert text.startswith("data/demo/demo_train.jsonl, line 8: image '7.png' is not below images;")


def test_a_wrong_media_dir_is_one_line(work):
    text = the_one(data(media_dir="data"))
    assert "(and 19 more of 20); is media_dir=data the folder" in text


@pytest.mark.parametrize("image", ["../secret.png", "/etc/hostname", "a/../../secret.png"])
def test_an_image_outside_of_media_dir(work, image):
    (work / "secret.png").write_bytes((work / "images/0.png").read_bytes())
    rewrite(work, row(0), row(1, images=[image]))
    assert f"image {image!r} leads out of images" in the_one(data())


def test_copies_of_resize_lie_outside_of_media_dir_and_are_right(work):
    (work / "data/images").mkdir()
    shutil.copy(work / "images/0.png", work / "data/images/0.png")
    rewrite(work, row(0, images=["../data/images/0.png"]), row(1, images=[str(work / "images/1.png")]))
    assert all(finding.level == "ok" for finding in data())


def broken(kind: str, path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "text": b"<html>", "empty": b""}[kind])


@pytest.mark.parametrize(("kind", "said"), [("cut", "cannot be decoded"), ("text", "cannot"), ("empty", "is empty")])
def test_an_image_that_does_not_decode(work, kind, said):
    broken(kind, work / "images/7.png")
    text = the_one(data())
    assert "7.png" in text and said in text and text.endswith(("leaves such images out", "leaves such rows out"))


def test_an_image_that_pillow_refuses_in_the_training(work, monkeypatch):
    monkeypatch.setattr(check_images, "PIXELS", 112 * 70)
    assert "(and 4 more of the 20 tried)" in the_one(data())


def test_a_cut_jpeg_is_noticed_though_decoded_small(work):
    Image.fromarray(np.zeros((600, 800, 3), np.uint8)).save(work / "images/7.jpg")
    broken("cut", work / "images/7.jpg")
    rewrite(work, row(0, images=["7.jpg"]))
    assert "images/7.jpg cannot be decoded" in the_one(data())


def test_all_images_are_decoded_if_asked(work, monkeypatch):
    monkeypatch.setattr(check_images, "SAMPLE", 1)
    assert any("20 are there, 1 decoded" in finding.text for finding in data())
    assert any("20 are there, 20 decoded" in finding.text for finding in data(every=True))


def test_an_image_turned_by_exif_is_a_warning(work):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(work / "images/3.png").save(work / "images/3.png", exif=exif)
    text = the_one(data(), "warning")
    assert text.startswith("1 of 20 looked at are turned by EXIF") and text.endswith("--resize 1003520")


def test_a_column_of_many_lines_is_readable():
    found = [Finding("error", "a", "b"), Finding("ok", "images", "fine")]
    assert report(found) == "ok     images  fine\nerror  a       b"


# The machine


def gpus(here: int, all_: int, batch=(4, 16), **keys) -> list[Finding]:
    return check_machine.gpus({"do_train": True, "bf16": True} | keys, SAID, here, all_, batch)


def test_no_gpu(work):
    text = the_one(gpus(0, 0))
    assert text.startswith("no GPU is visible, and the recipe wants one (bf16);") and "--gpus N" in text
    assert gpus(0, 0, use_cpu=True)[0].level == gpus(0, 0, bf16=False)[0].level == "ok"


def test_another_batch_than_the_header_promises(work):
    assert gpus(2, 2) == [Finding("ok", "gpus", "2 GPUs x 4 x 16 = 128, as the header says")]
    assert the_one(gpus(8, 16)).endswith("promises a batch of 128; gradient_accumulation_steps=2")
    assert "16 GPUs on 2 machines x 4 x 16 = 1024" in the_one(gpus(8, 16))
    assert the_one(gpus(64, 64)).endswith("per_device_train_batch_size=2 gradient_accumulation_steps=1")
    assert "use 4 GPUs" in the_one(gpus(6, 6))


def test_torchrun_is_needed(work, monkeypatch):
    assert "FORCE_TORCHRUN=1" in the_one(gpus(1, 1, (4, 32), deepspeed="ds_configs/zero3.json"))
    monkeypatch.setenv("FORCE_TORCHRUN", "1")
    assert gpus(1, 1, (4, 32), deepspeed="ds_configs/zero3.json")[0].level == "ok"
    monkeypatch.setenv("PATH", "/nowhere")
    text = the_one(gpus(2, 2))
    assert text.startswith("torchrun is not on PATH") and text.endswith(
        f'export PATH="{Path(sys.executable).parent}:$PATH"'
    )


def test_workers_of_ray_need_no_torchrun(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    keys = {"do_train": True, "deepspeed": "ds_configs/zero3.json"}
    found = check_machine.gpus(keys, SAID, 0, 32, (4, 1), ray=True)
    assert found == [Finding("ok", "gpus", "32 GPUs x 4 x 1 = 128, as the header says")]
    assert check_machine.by_ray("USE_RAY=1 llamafactory-cli train x.yaml") and not check_machine.by_ray("")
    packages = {"transformers": "5.2.0", "torch": "2.11.0", "torchvision": "0.26.0", "torchaudio": "2.11.0"}
    monkeypatch.setattr(check_machine, "_installed", packages.get)
    assert the_one(check_machine.versions({}, zero3=False, ray=True)) == "USE_RAY=1 needs ray; pip install ray"


def test_gpus_times_machines(work, monkeypatch):
    monkeypatch.setenv("NNODES", "4")
    assert check_machine.processes(8) == (8, 32)
    assert check_machine.processes(0) == (0, 0)


def test_a_port_in_use(work, monkeypatch):
    assert check_machine.port() == []
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        number = other.getsockname()[1]
        monkeypatch.setenv("MASTER_PORT", str(number))
        assert the_one(check_machine.port()).startswith(f"port {number} is in use; choose another: export MASTER_PORT=")
        monkeypatch.setenv("NODE_RANK", "1")
        assert check_machine.port() == [], "the port is the first machine's"
    monkeypatch.setenv("NODE_RANK", "0")
    assert check_machine.port()[0].level == "ok"
    monkeypatch.setenv("MASTER_PORT", "70000")
    assert "cannot be used" in the_one(check_machine.port())


def test_several_machines_must_know_where_to_meet(work, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("NNODES", "two")
    assert the_one(check_machine.port()) == "NNODES=two: is no number; export NNODES=NUMBER"
    monkeypatch.setenv("NNODES", "2")
    for key, value in (("MASTER_ADDR", "localhost"), ("MASTER_PORT", "0"), ("NODE_RANK", "1")):
        assert f"NNODES=2, but {key} is not set here; export {key}=" in the_one(check_machine.port())
        monkeypatch.setenv(key, value)
    assert check_machine.port() == []


@pytest.mark.parametrize(
    ("installed", "recipe", "said"),
    [
        ({"transformers": "4.55.0"}, {}, "4.55.0 decodes left-padded batches wrongly"),
        ({"transformers": "4.57.1"}, {}, "another model type"),
        ({"transformers": "5.3.0"}, {}, "places image tokens like words"),
        ({"transformers": "5.5.4"}, {}, "pip install transformers==5.2.0"),
        ({"torch": "2.9.1", "torchvision": "0.24.1", "torchaudio": "2.9.1"}, {}, "Conv3d"),
        (
            {"torchvision": "0.25.0"},
            {},
            "torchvision 0.25.0 is not the one for torch 2.11.0+cu130; pip install 'torchvision==0.26.*'",
        ),
        ({"torchaudio": "2.10.0"}, {}, "torchaudio==2.11.*"),
        ({"deepspeed": "0.18.4"}, {"deepspeed": "x"}, "deepspeed 0.18.4 can train on garbage"),
        ({"deepspeed": None}, {"deepspeed": "x"}, "deepspeed needs deepspeed; pip install deepspeed"),
        ({"jieba": None}, {"predict_with_generate": True}, "predict_with_generate needs jieba"),
        ({"flash-attn": None}, {"flash_attn": "fa2"}, "flash_attn=fa2 needs flash-attn"),
    ],
)
def test_known_bad_and_missing_packages(monkeypatch, installed, recipe, said):
    good = {"transformers": "5.2.0", "torch": "2.11.0+cu130", "torchvision": "0.26.0", "torchaudio": "2.11.0"}
    packages = good | {"deepspeed": "0.19.8"} | installed
    monkeypatch.setattr(check_machine, "_installed", lambda package: packages.get(package, "1.0"))
    assert said in the_one(check_machine.versions(recipe, zero3="deepspeed" in recipe, ray=False))


@pytest.mark.parametrize("transformers", ["4.53.3", "4.57.6", "5.0.0", "5.2.0"])
def test_sound_packages(monkeypatch, transformers):
    packages = {"transformers": transformers, "torch": "2.11.0", "torchvision": "0.26.0", "torchaudio": "2.11.0"}
    monkeypatch.setattr(check_machine, "_installed", packages.get)
    assert check_machine.versions({}, zero3=True, ray=False)[0].level == "ok"


# Memory and disk

QWEN_3B = SimpleNamespace(
    get_text_config=lambda: SimpleNamespace(
        num_hidden_layers=36,
        hidden_size=2048,
        intermediate_size=11008,
        num_key_value_heads=2,
        num_attention_heads=16,
        vocab_size=151936,
    ),
    vision_config=SimpleNamespace(depth=32, hidden_size=1280, intermediate_size=3420, spatial_merge_size=2),
)
PARSED = SimpleNamespace(
    training=SimpleNamespace(
        per_device_train_batch_size=4,
        per_device_eval_batch_size=8,
        gradient_accumulation_steps=1,
        num_train_epochs=1,
        max_steps=-1,
        save_steps=200,
        save_strategy="steps",
        save_total_limit=2,
        save_only_model=False,
    ),
    model=SimpleNamespace(disable_gradient_checkpointing=False, enable_liger_kernel=False),
    finetuning=SimpleNamespace(finetuning_type="full"),
    generating=SimpleNamespace(max_new_tokens=96),
)
FULL_3B, LORA_3B = Count(3_754_622_976, 3_754_622_976), Count(3_811_874_048, 57_251_072)
LONGEST = Longest(1280, 500)


@pytest.mark.parametrize(
    ("recipe", "count", "zero", "processes", "bytes_"),
    [
        ({"bf16": True}, FULL_3B, Zero(3), 32, 16 * 3_754_622_976 / 32 + 2e9),
        ({"bf16": True}, FULL_3B, Zero(2), 2, (2 + 1 + 6) * 3_754_622_976),
        ({"bf16": True}, FULL_3B, Zero(2, offloads=True), 2, (2 + 1) * 3_754_622_976),
        ({"pure_bf16": True}, FULL_3B, Zero(), 1, 8 * 3_754_622_976),
        ({"bf16": True}, FULL_3B, Zero(), 1, 18 * 3_754_622_976),
        ({"bf16": True}, FULL_3B, Zero(), 2, 22 * 3_754_622_976),
        ({"bf16": True}, LORA_3B, Zero(), 1, 2 * (3_811_874_048 - 57_251_072) + 18 * 57_251_072),
    ],
)
def test_bytes_of_weights_gradients_and_optimizer(recipe, count, zero, processes, bytes_):
    need = check_memory.training(recipe, PARSED, QWEN_3B, count, LONGEST, processes, zero)
    assert need.weights + need.gradients + need.optimizer == pytest.approx(bytes_)
    assert need.logits == 4 * 1780 * 151936 * 12


def test_a_gpu_that_is_too_small(work):
    recipe = {"do_train": True, "finetuning_type": "full", "pure_bf16": True, "per_device_train_batch_size": 4}
    need = check_memory.training(recipe, PARSED, QWEN_3B, FULL_3B, LONGEST, 1, Zero())
    assert check_memory.memory(need, 80, recipe)[0].level == "ok"
    text = the_one(check_memory.memory(need, 24, recipe))
    assert "of 24 GB on each GPU (weights 7.0, gradients 7.0, optimizer 14.0" in text
    assert "half the per_device_train_batch_size with twice the gradient_accumulation_steps" in text
    assert "recipes/storm_lora_1gpu.yaml" in text
    tight = need.total() / check_memory.GIB / 0.9
    assert check_memory.memory(need, tight, recipe)[0].level == "warning"


def test_predicting_needs_the_weights_and_little_more():
    need = check_memory.predicting(PARSED, QWEN_3B, FULL_3B, LONGEST)
    assert need.weights == 2 * FULL_3B.all
    assert 1 < need.total() / need.weights < 2


@pytest.mark.parametrize(
    ("changed", "recipe", "count", "zero", "bytes_"),
    [
        ({}, {"bf16": True}, FULL_3B, Zero(3), (3 * 14 + 2) * FULL_3B.all),  # 2 that are kept and the next
        ({"save_total_limit": None}, {"bf16": True}, FULL_3B, Zero(3), (5 * 14 + 2) * FULL_3B.all),
        ({"save_only_model": True}, {"bf16": True}, FULL_3B, Zero(3), 4 * 2 * FULL_3B.all),
        ({"save_strategy": "no"}, {"bf16": True}, FULL_3B, Zero(3), 2 * FULL_3B.all),
        ({"max_steps": 100}, {"bf16": True}, FULL_3B, Zero(), (12 + 4) * FULL_3B.all),
        ({}, {"pure_bf16": True}, FULL_3B, Zero(), (3 * 6 + 2) * FULL_3B.all),
    ],
)
def test_bytes_of_checkpoints(changed, recipe, count, zero, bytes_):
    """123,179 rows in batches of 128 are 963 steps: 5 checkpoints."""
    training = SimpleNamespace(**(vars(PARSED.training) | changed))
    parsed = SimpleNamespace(**(vars(PARSED) | {"training": training}))
    recipe = recipe | {"do_train": True}
    assert check_disk.checkpoints(recipe, parsed, count, 123_179, 32, zero) == bytes_


def test_a_full_disk(work, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10e9))
    recipe = {"do_train": True, "output_dir": "saves/tiny"}
    assert check_disk.output(recipe, 9e9)[0].level == "ok"
    text = the_one(check_disk.output(recipe, 165e9))
    assert text.startswith(
        "saves/tiny: 165.0 GB of weights and checkpoints, 10.0 GB are free; output_dir on another disk"
    )
    (work / "saves/tiny/checkpoint-200").mkdir(parents=True)
    with (work / "saves/tiny/checkpoint-200/model.safetensors").open("wb") as file:
        file.truncate(160_000_000_000)  # a file of holes: its room is free again when it is deleted
    assert "GB are free" not in the_one(check_disk.output(recipe, 165e9), "warning"), "only that it is broken"


def test_an_output_dir_that_cannot_be(work):
    text = the_one(check_disk.output({"do_train": True, "output_dir": "tiny.yaml/saves"}, 0))
    assert text == f"{work}/tiny.yaml: not a folder that you can write to; output_dir=ANOTHER"


def test_what_earlier_runs_left(work):
    (work / "saves/tiny/checkpoint-9").mkdir(parents=True)
    recipe = {"do_train": True, "output_dir": "saves/tiny"}
    text = the_one(check_disk.output(recipe, 0), "warning")
    assert text.startswith("saves/tiny/checkpoint-9 is broken (") and "mv saves/tiny/checkpoint-9" in text
    (work / "saves/tiny/generated_predictions.jsonl").write_text("")
    predict = {"do_predict": True, "output_dir": "saves/tiny"}
    assert "will be written over" in the_one(check_disk.output(predict, 0), "warning")


def test_help_needs_no_torch():
    code = (
        "import sys; from recipes.preflight import main\ntry: main(['--help'])\nfinally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "RECIPE" in done.stdout and done.stdout.endswith("False\n"), done.stderr


# With LLaMA-Factory


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """The demo's model."""
    from demo import model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "OUT", tmp_path_factory.mktemp("saves") / "demo_base")
        model.main()
        yield model.OUT


@pytest.fixture
def tiny(work, base, monkeypatch) -> Path:
    """The recipe with its model; transformers is checked in a test of its own."""
    (work / "saves").mkdir()
    shutil.copytree(base, work / "saves/demo_base")
    monkeypatch.setattr("recipes.self_check.self_check", list)
    return work / "tiny.yaml"


def checked(recipe: Path, *settings: str, gpus: int = 2, **more) -> list[Finding]:
    from recipes.preflight import preflight

    return preflight(recipe, settings, gpus, **more)


@pytest.mark.slow
def test_a_sound_recipe_has_nothing_but_ok(tiny):
    found = checked(tiny)
    assert {finding.level for finding in found} == {"ok"}, report(found)
    told = {finding.check: finding.text for finding in found}
    assert told["parameters"] == f"trains {TINY:,} of {TINY:,}, as the header says"
    assert told["gpus"] == "2 GPUs x 4 x 16 = 128, as the header says"
    assert set(told) == {
        *("datasets", "rows", "images", "keys", "versions", "gpus"),
        *("model", "cutoff_len", "parameters", "memory", "disk"),
    }
    assert sorted(path.name for path in tiny.parent.iterdir()) == [
        *("data", "dataset_info.json", "images", "saves", "tiny.yaml")
    ], "nothing was written"
    assert [path.name for path in (tiny.parent / "saves").iterdir()] == ["demo_base"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["learning_rat=1e-5"], "learning_rat: LLaMA-Factory has no such key; is it learning_rate?"),
        (["zzz=1"], "zzz: LLaMA-Factory has no such key; leave it out"),
        (["num_train_epochs=one"], "num_train_epochs=one: write a number"),
        (["max_samples=all"], "max_samples=all: write a whole number"),
        (["freeze_vision_tower=0"], "freeze_vision_tower=0: write true or false"),
        (["stage=sftt"], "stage=sftt: write one of pt, sft, "),
        (["finetuning_type=fulll"], "finetuning_type=fulll: write one of "),
        (
            ["stage=rm", "predict_with_generate=true"],
            "LLaMA-Factory refuses the recipe: `predict_with_generate` cannot",
        ),
        (["per_device_train_batch_size=0"], "per_device_train_batch_size=0: write 1 or more"),
        (
            ["model_name_or_path=saves/other"],
            "saves/other: no such model folder; it is made by llamafactory-cli train recipes/other.yaml",
        ),
        (["template=llava"], "template=llava is not that of qwen2_5_vl models; template=qwen2_vl"),
        (["cutoff_len=256"], "data/demo/demo_train.jsonl: "),
        (["deepspeed=ds_configs/zero9.json"], "deepspeed=ds_configs/zero9.json: no such file; there are"),
        (["dataset=demo_trian"], "'demo_trian' is not in dataset_info.json; is it demo_train?"),
        (["media_dir=elsewhere"], "is not below elsewhere (and 19 more of 20); is media_dir=elsewhere the folder"),
        (["gradient_accumulation_steps=8"], "promises a batch of 128; gradient_accumulation_steps=16"),
        (["output_dir=tiny.yaml/x"], "not a folder that you can write to; output_dir=ANOTHER"),
    ],
)
def test_each_mistake_is_one_error_with_its_fix(tiny, settings, said):
    found = [finding for finding in checked(tiny, *settings) if finding.level == "error"]
    assert len(found) == 1 and said in found[0].text, report(found)


@pytest.mark.slow
def test_a_recipe_that_cannot_be_read(tiny):
    assert "nowhere.yaml: no such recipe" in the_one(checked(tiny.with_name("nowhere.yaml")))
    tiny.write_text("a: [")
    assert "tiny.yaml: not a recipe" in the_one(checked(tiny))


@pytest.mark.slow
def test_too_small_a_cutoff_len_and_what_would_do(tiny):
    text = the_one(checked(tiny, "cutoff_len=256"))
    fix = text.rpartition("; ")[2]
    assert fix == "cutoff_len=384" and "cutoff_len is 256: LLaMA-Factory cuts" in text
    assert all(finding.level == "ok" for finding in checked(tiny, fix))


@pytest.mark.slow
def test_a_long_text_of_ones_own(tiny):
    long = [{"from": "human", "value": "<image>" + "rate it " * 300}, GOOD[1]]
    rewrite(tiny.parent, row(0), row(1, conversations=long))
    assert "data/demo/demo_train.jsonl: " in the_one(checked(tiny)) and "of text, but cutoff_len is 512" in the_one(
        checked(tiny)
    )


@pytest.mark.slow
def test_images_of_odd_shape_may_be_longer_than_those_looked_at(tiny, monkeypatch):
    monkeypatch.setattr(check_images, "SAMPLE", 1)
    settings = ["image_max_pixels=1003520", "cutoff_len=640"]
    text = the_one(checked(tiny, *settings), "warning")
    assert "an image of an odd shape may have 1,280; --all-images looks for one, or cutoff_len=" in text
    assert all(finding.level == "ok" for finding in checked(tiny, *settings, every_image=True))


@pytest.mark.slow
def test_a_header_that_promises_other_parameters(tiny):
    tiny.write_text(RECIPE.replace(f"{TINY:,}", "1,000,000"))
    text = the_one(checked(tiny))
    assert text.startswith(f"trains {TINY:,} parameters, the header says 1,000,000; check finetuning_type and freeze_*")
    tiny.write_text(RECIPE)
    assert "trains" in the_one(checked(tiny, "freeze_language_model=true"), "warning"), "meant, as it was typed"


@pytest.mark.slow
def test_freeze_flags_that_are_not_written(tiny):
    tiny.write_text(RECIPE.replace("freeze_vision_tower: false\n", ""))
    odd = [finding for finding in checked(tiny) if finding.level != "ok"]
    assert [(finding.level, finding.check) for finding in odd] == [("warning", "keys"), ("error", "parameters")]
    assert odd[0].text.endswith("freeze_vision_tower=false")


@pytest.mark.slow
def test_no_gpu_and_too_small_a_gpu(tiny):
    assert "no GPU is visible" in the_one(checked(tiny, gpus=0))
    assert "of 1 GB on each GPU" in the_one(checked(tiny, memory=1.0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ([], "do_sample is not false, so answers are drawn at random with temperature 0.95; do_sample=false"),
        (["do_sample=false", "max_new_tokens=8"], "max_new_tokens=8 cuts the longest answer"),
        (["do_sample=false", "eval_on_each_dataset=true"], "ends in KeyError: 0; one run for each eval_dataset"),
        (["do_sample=false", "predict_with_generate=false"], "LLaMA-Factory refuses the recipe: Please enable `pred"),
    ],
)
def test_traps_of_predictions(tiny, settings, said):
    keys = [
        "do_train=false",
        "do_predict=true",
        "predict_with_generate=true",
        "eval_dataset=demo_train",
        "dataset=null",
    ]
    found = [finding for finding in checked(tiny, *keys, *settings) if finding.level == "error"]
    assert len(found) == 1 and said in found[0].text, report(found)


@pytest.mark.slow
def test_weights_that_are_missing(tiny):
    weights = tiny.parent / "saves/demo_base/model.safetensors"
    weights.unlink()
    assert the_one(checked(tiny)).startswith("saves/demo_base: no weights in it")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    weights.with_name("model.safetensors.index.json").write_text(json.dumps(index))
    assert the_one(checked(tiny)).startswith("saves/demo_base: model-00001-of-00002.safetensors is missing")
    (tiny.parent / "saves/demo_base/config.json").unlink()
    assert "saves/demo_base: no config.json in it" in the_one(
        [finding for finding in checked(tiny) if finding.check == "model"]
    )


@pytest.mark.slow
def test_a_model_of_the_hub_that_is_not_here(tiny, monkeypatch):
    monkeypatch.setattr("recipes.check_model._cached", lambda name: None)
    name = "Qwen/Qwen2.5-VL-3B-Instruct"
    found = [finding for finding in checked(tiny, f"model_name_or_path={name}") if finding.check == "model"]
    assert the_one(found, "warning").endswith(f"hf download {name}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = [finding for finding in checked(tiny, f"model_name_or_path={name}") if finding.check == "model"]
    assert "HF_HUB_OFFLINE forbids" in the_one(found)


@pytest.mark.slow
def test_an_export_without_its_adapter(tiny):
    recipe = tiny.with_name("merge.yaml")
    keys = {"model_name_or_path": "saves/demo_base", "adapter_name_or_path": "saves/lora", "finetuning_type": "lora"}
    recipe.write_text(json.dumps(keys | {"template": "qwen2_vl", "export_dir": "saves/merged"}))
    assert the_one(checked(recipe, gpus=0)).startswith("saves/lora: no whole adapter")


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_trains_what_its_header_promises(path, base, monkeypatch):
    from recipes import check_keys, check_model, models
    from recipes.recipe import header

    monkeypatch.setitem(models.SHAPES, "saves/demo_base", lambda: models.config(str(base)))
    recipe = load(path)
    if not recipe.get("do_train"):
        return
    parsed, found = check_keys.keys(recipe)
    assert [finding.level for finding in found] == ["ok"], report(found)
    known = models.config(recipe["model_name_or_path"])
    count, found = check_model.parameters(parsed, known, True, header(path).parameters, [])
    assert header(path).parameters == count.trained, report(found)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_parameters_are_counted_as_llamafactory_does(tiny, kind):
    from llamafactory.extras.misc import count_parameters
    from llamafactory.model import load_model, load_tokenizer

    from recipes import check_keys, check_model, models

    lora = {"lora_target": "all", "lora_rank": 4, "additional_target": "merger"} if kind == "lora" else {}
    recipe = load(tiny) | {"finetuning_type": kind} | lora
    parsed, _ = check_keys.keys(recipe)
    words = load_tokenizer(parsed.model)["tokenizer"]
    trained, every = count_parameters(load_model(words, parsed.model, parsed.finetuning, is_trainable=True))
    parsed, _ = check_keys.keys(recipe)
    count, _ = check_model.parameters(parsed, models.config("saves/demo_base"), True, None, [])
    assert (count.trained, count.all) == (trained, every)


@pytest.mark.slow
@pytest.mark.parametrize(
    "size", [(112, 112), (20, 20), (3, 900), (900, 3), (1400, 700), (98, 70), (641, 427), (30, 6100)]
)
@pytest.mark.parametrize("pixels", [12544, 1_003_520])
def test_tokens_are_counted_as_llamafactory_does(tiny, size, pixels):
    from llamafactory.data import get_template_and_fix_tokenizer
    from llamafactory.model import load_tokenizer

    from recipes import check_keys, check_length, models

    parsed, _ = check_keys.keys(load(tiny, [f"image_max_pixels={pixels}"]))
    modules = load_tokenizer(parsed.model)
    template = get_template_and_fix_tokenizer(modules["tokenizer"], parsed.data)
    said = [{"role": role, "content": turn["value"]} for role, turn in zip(("user", "assistant"), GOOD)]
    image = Image.new("RGB", size)
    processed = template.mm_plugin.process_messages(said, [image], [], [], modules["processor"])
    prompt, answer = template.encode_oneturn(modules["tokenizer"], processed)
    pad = modules["tokenizer"].convert_tokens_to_ids("<|image_pad|>")

    known = models.config("saves/demo_base")
    assert check_length.image_tokens(known, parsed)(*size) == prompt.count(pad)
    text = check_data.Text(GOOD[0]["value"].replace("<image>", ""), GOOD[1]["value"], 1)
    scanned = check_data.Scanned(check_data.Stanza("x", Path("x"), "", "", {}), 1, {}, {text})
    longest, _ = check_length.cutoff_len(parsed, known, [scanned], {size}, True, False)
    assert sum(longest) == len(prompt) + len(answer)


@pytest.mark.slow
def test_this_transformers_decodes_and_places_images_as_it_should(monkeypatch):
    from recipes import self_check

    assert [finding.level for finding in self_check.self_check()] == ["ok"]
    monkeypatch.setattr(self_check, "_decode", lambda: (1, [25, 26, 27], 25))
    assert [finding.text for finding in self_check.self_check()] == [
        "this transformers decodes left-padded batches wrongly (1 of 4 as alone); pip install transformers==5.2.0",
        "do_predict with this transformers puts a still image at time 26, not 25; pip install transformers==5.2.0",
    ]


@pytest.mark.slow
def test_the_command(tiny, capsys):
    from recipes.preflight import main

    assert main([str(tiny), "cutoff_len=384", "--gpus", "2"]) == 0
    assert f"{tiny}: 0 errors, 0 warnings, " in capsys.readouterr().out
    assert main([str(tiny), "--gpus", "2", "cutoff_len=1"]) == 2
    out = capsys.readouterr().out
    assert "\nerror  " in out and f"{tiny}: 1 error, 0 warnings, " in out
