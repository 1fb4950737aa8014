"""Whatever would waste a cluster night is one line of recipes/preflight.py, and a sound recipe gives none."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tests.helpers.tiny_recipe import GOOD, ROOT, TINY, checked, rewrite, row, the_one

from storm.files import write_jsonl
from train.checks import data, images
from train.checks.finding import Finding
from train.preflight import report
from train.recipe import load


def test_a_column_of_many_lines_is_readable():
    found = [Finding("error", "a", "b"), Finding("ok", "images", "fine")]
    assert report(found) == "ok     images  fine\nerror  a       b"


def test_help_needs_no_torch():
    code = (
        "import sys; from train.preflight import main\ntry: main(['--help'])\nfinally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "RECIPE" in done.stdout and done.stdout.endswith("False\n"), done.stderr


@pytest.mark.slow
def test_a_sound_recipe_has_nothing_but_ok(tiny):
    found = checked(tiny)
    assert {finding.level for finding in found} == {"ok"}, report(found)
    told = {finding.check: finding.text for finding in found}
    assert told["parameters"] == f"trains {TINY:,} of {TINY:,}, as the header says"
    assert told["gpus"] == "2 GPUs x 4 x 16 = 128, as the header says"
    assert set(told) == {
        *("datasets", "rows", "images", "keys", "versions", "gpus"),
        *("model", "cutoff_len", "parameters", "steps", "memory", "disk"),
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
        (["stage=rm"], "stage=rm: is not for rows of questions and answers; stage=sft"),
        (["warmup_ratio=7"], "warmup_ratio=7: write a share of the steps, from 0 to 1"),
        (["val_size=0.1", "streaming=true"], "LLaMA-Factory refuses the recipe: Streaming mode should have an integer"),
        (["template=qwen2vl"], "template=qwen2vl is not that of qwen2_5_vl models; template=qwen2_vl"),
        (["per_device_train_batch_size=0"], "per_device_train_batch_size=0: write 1 or more"),
        (["model_name_or_path=saves/other"], "saves/other: no such model folder; train it first"),
        (["model_name_or_path=saves/storm_lite"], "it is made by llamafactory-cli train recipes/storm_lite.yaml"),
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
@pytest.mark.parametrize("key", ["dataset", "dataset_dir", "media_dir", "output_dir", "model_name_or_path", "template"])
@pytest.mark.parametrize("value", ["5", "", "[a,b]"])
def test_a_value_of_another_kind_is_a_finding(tiny, key, value):
    found = checked(tiny, f"{key}={value}")
    assert not any("this check failed" in finding.text for finding in found), report(found)
    if value == "5":
        assert any(f"{key}=5: write text" in finding.text for finding in found), report(found)


@pytest.mark.slow
def test_what_nobody_foresaw_is_a_finding_and_the_other_checks_go_on(tiny, monkeypatch):
    def fails(*_):
        raise RuntimeError("a surprise")

    for check in ("check_data.stanzas", "check_model.model"):
        monkeypatch.setattr(f"recipes.{check}", fails)
    found = checked(tiny)
    errors = [finding for finding in found if finding.level == "error"]
    assert [finding.check for finding in errors] == ["datasets", "model"], report(found)
    assert errors[0].text.startswith("this check failed (RuntimeError: a surprise)")
    assert {"keys", "versions", "gpus", "disk"} < {finding.check for finding in found}


@pytest.mark.slow
def test_test_sets_that_are_predicted_later_are_checked_too(tiny):
    rows = [row(number, images=["0.png"]) for number in range(3)]
    long = [{"from": "human", "value": "<image>" + "rate it " * 300}, GOOD[1]]
    for odd, said in (
        (row(3, images=["gone.png"]), "line 4: image 'gone.png' is not below images"),
        (row(3, conversations=long), "of text, but cutoff_len is 512"),
        (row(3, conversations=GOOD[:1]), "line 4: roles human do not alternate"),
    ):
        write_jsonl(tiny.parent / "data/demo/demo_test.jsonl", [*rows, odd])
        text = the_one(checked(tiny, tests=["demo_test"]))
        assert text.startswith("data/demo/demo_test.jsonl") and said in text
        assert all(finding.level == "ok" for finding in checked(tiny))
    assert "'demo_tset' is not in" in the_one(checked(tiny, tests=["demo_tset"]))


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
@pytest.mark.parametrize(
    "size", [(112, 112), (20, 20), (3, 900), (900, 3), (1400, 700), (98, 70), (641, 427), (30, 6100)]
)
@pytest.mark.parametrize("pixels", [12544, 1_003_520])
def test_tokens_are_counted_as_llamafactory_does(tiny, size, pixels):
    from llamafactory.data import get_template_and_fix_tokenizer
    from llamafactory.model import load_tokenizer

    from train.checks import keys, length
    from storm import models

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
    from train.checks import self_check

    assert [finding.level for finding in self_check.self_check()] == ["ok"]
    monkeypatch.setattr(self_check, "_decode", lambda: (1, [25, 26, 27], 25))
    assert [finding.text for finding in self_check.self_check()] == [
        "this transformers decodes left-padded batches wrongly (1 of 4 as alone); pip install transformers==5.2.0",
        "do_predict with this transformers puts a still image at time 26, not 25; pip install transformers==5.2.0",
    ]


@pytest.mark.slow
def test_the_command(tiny, capsys):
    from train.preflight import main

    assert main([str(tiny), "cutoff_len=384", "--gpus", "2"]) == 0
    assert f"{tiny}: 0 errors, 0 warnings, " in capsys.readouterr().out
    assert main([str(tiny), "--gpus", "2", "cutoff_len=1"]) == 2
    out = capsys.readouterr().out
    assert "\nerror  " in out and f"{tiny}: 1 error, 0 warnings, " in out
