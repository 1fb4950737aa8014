"""Every problem before a long training is one line of train/preflight.py, and a sound recipe gives none."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from storm import models
from storm.files import write_jsonl
from tests.helpers.paths import ROOT
from tests.helpers.tiny_recipe import GOOD, TINY, checked, errors, rewrite, row, the_one, tiny_job
from train.checks import images, self_check
from train.checks.data import Scan, Stanza, Text
from train.checks.finding import Finding
from train.checks.job import Job
from train.checks.keys import check_keys
from train.checks.length import check_length, image_counts
from train.preflight import main, report
from train.recipe import read_zero


def test_a_column_of_many_lines_is_readable():
    findings = [Finding("error", "a", "b" * 200), Finding("ok", "images", "fine")]
    assert report(findings) == f"ok     images  fine\nerror  a       {'b' * 200}"


def test_help_imports_nothing_slow():
    slow = "torch", "transformers", "omegaconf", "numpy", "PIL"
    code = (
        "import sys; from train.preflight import main\n"
        f"try: main(['--help'])\nfinally: print([name for name in {slow} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "RECIPE" in done.stdout and done.stdout.endswith("[]\n"), done.stderr


@pytest.mark.parametrize(
    ("path", "words"), [("recipes/storm_lit.yaml", "recipes/storm_lite.yaml"), ("x/y", "recipes/")]
)
def test_a_recipe_that_there_is_not(monkeypatch, capsys, path, words):
    monkeypatch.chdir(ROOT)
    assert main([path]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {path}: ") and words in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "line 2: "),
        ("a: 1\na: 2", "line 2: found duplicate key a"),
        ("- stage: sft", "it holds a list; "),
        ("", "it holds no keys; "),
        ("3", "Invalid loaded object type: int; "),
        ("1: 2", "the key 1 is not a word; "),
        ("learning_rate: " + "9" * 5000, "a whole number of thousands of digits; write a smaller one"),
        ("stage: !!python/object/apply:os.getcwd []", "line 1: could not determine a constructor"),
    ],
)
def test_a_recipe_that_cannot_be_read(work, capsys, text, words):
    (work / "tiny.yaml").write_text(text)
    assert main(["tiny.yaml"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: tiny.yaml: not a recipe: ") and words in err and err.count("\n") == 1


def test_a_recipe_that_is_not_a_file(work, capsys):
    os.mkfifo(work / "pipe.yaml")
    for path in ("images", "pipe.yaml", "/dev/null"):
        assert main([path]) == 2
        assert capsys.readouterr().err.startswith(f"error: {path}: a folder, pipe or device, not a file; ")
    with pytest.raises(ValueError, match="^deepspeed=pipe.yaml: not a DeepSpeed configuration"):
        read_zero({"deepspeed": "pipe.yaml"})


@pytest.mark.parametrize("setting", ["learning_rate=" + "9" * 5000, "stage=[", "output_dir=???", "stage= sft"])
def test_a_setting_that_cannot_be_read(work, capsys, setting):
    assert main(["tiny.yaml", setting]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: setting ") and setting[:20] in err and err.count("\n") == 1 and len(err) < 300


@pytest.mark.parametrize("option", [["--gpus", "9" * 400], ["--gpus=-1"], ["--memory", "nan"], ["--memory", "inf"]])
def test_numbers_of_gpus_and_memory(work, option):
    with pytest.raises(SystemExit) as ended:
        main(["tiny.yaml", *option])
    assert ended.value.code == 2


@pytest.mark.slow
def test_a_sound_recipe_has_nothing_but_ok(tiny):
    findings = checked(tiny)
    assert {finding.level for finding in findings} == {"ok"}, report(findings)
    texts = {finding.check: finding.text for finding in findings}
    assert texts["parameters"] == f"trains {TINY:,} of {TINY:,}, as the header says"
    assert texts["gpus"] == "2 GPUs x 4 x 16 = 128, as the header says"
    assert set(texts) == {
        *("datasets", "rows", "images", "keys", "versions", "gpus"),
        *("model", "cutoff_len", "parameters", "steps", "hours", "memory", "host memory", "disk", "cache"),
    }
    assert sorted(path.name for path in tiny.parent.iterdir()) == [
        *("data", "dataset_info.json", "images", "saves", "tiny.yaml")
    ], "nothing was written"
    assert [path.name for path in (tiny.parent / "saves").iterdir()] == ["demo_base"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["learning_rat=1e-5"], "did you mean learning_rate?"),
        (["zzz=1"], "zzz: "),
        (["num_train_epochs=one"], "num_train_epochs=one: write a number"),
        (["max_samples=all"], "max_samples=all: write a whole number"),
        (["freeze_vision_tower=0"], "freeze_vision_tower=0: write true or false"),
        (["stage=sftt"], "stage=sftt: write one of pt, sft, "),
        (["finetuning_type=fulll"], "finetuning_type=fulll: write one of "),
        (["stage=rm"], "stage=sft"),
        (["warmup_steps=-5"], "warmup_steps=-5: write a number of steps"),
        (["learning_rate=.inf"], "learning_rate=inf: is not finite"),
        (["learning_rate=1e400"], "learning_rate=inf: is not finite"),
        (["max_grad_norm=-1"], "max_grad_norm=-1: write"),
        (["max_steps=" + "9" * 400], "(400 characters): no counter holds such a number"),
        (["save_strategy=no"], 'write save_strategy: "no"'),
        (["trust_remote_code=true"], "trust_remote_code=true runs"),
        (["push_to_hub=true"], "push_to_hub=true uploads"),
        (["load_best_model_at_end=true", "val_size=0.1", "eval_strategy=steps"], "in trainer_state.json"),
        (["run_name=${x}"], "run_name=${x}: LLaMA-Factory does not resolve"),
        (["warmup_ratio=7"], "warmup_ratio=7: write a share of the steps, from 0 to 1"),
        (["val_size=0.1", "streaming=true"], "LLaMA-Factory refuses the recipe: Streaming mode should have an integer"),
        (["template=qwen2vl"], "template=qwen2_vl"),
        (["per_device_train_batch_size=0"], "per_device_train_batch_size=0: write 1 or more"),
        (["model_name_or_path=saves/other"], "saves/other: "),
        (["model_name_or_path=saves/storm_lite"], "llamafactory-cli train recipes/storm_lite.yaml"),
        (["template=llava"], "template=qwen2_vl"),
        (["cutoff_len=256"], "data/demo/demo_train.jsonl: "),
        (["deepspeed=ds_configs/zero9.json"], "deepspeed=ds_configs/zero9.json: no such file"),
        (["dataset=demo_trian"], "demo_train?"),
        (["media_dir=elsewhere"], "19 more of 20"),
        (["gradient_accumulation_steps=8"], "gradient_accumulation_steps=16 max_grad_norm=0.03125"),
        (["output_dir=tiny.yaml/x"], "output_dir=ANOTHER"),
    ],
)
def test_each_mistake_is_one_error_with_its_fix(tiny, settings, words):
    findings = errors(checked(tiny, *settings))
    assert len(findings) == 1 and words in findings[0].text, report(findings)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["dataset", "dataset_dir", "media_dir", "output_dir", "model_name_or_path", "template"])
@pytest.mark.parametrize("value", ["5", "", "[a,b]"])
def test_a_value_of_another_kind_is_a_finding(tiny, key, value):
    findings = checked(tiny, f"{key}={value}")
    assert not any("this check failed" in finding.text for finding in findings), report(findings)
    if value == "5":
        assert any(f"{key}=5: write text" in finding.text for finding in findings), report(findings)


@pytest.mark.slow
def test_what_nobody_foresaw_is_a_finding_and_the_other_checks_go_on(tiny, monkeypatch):
    def fails(*_):
        raise RuntimeError("a surprise")

    for check in ("data.check_datasets", "model.check_model"):
        monkeypatch.setattr(f"train.checks.{check}", fails)
    findings = checked(tiny)
    assert [finding.check for finding in errors(findings)] == ["datasets", "model"], report(findings)
    assert "RuntimeError: a surprise" in errors(findings)[0].text
    assert {"keys", "versions", "gpus", "disk"} < {finding.check for finding in findings}


@pytest.mark.slow
def test_test_sets_that_are_predicted_later_are_checked_too(tiny):
    rows = [row(number, images=["0.png"]) for number in range(3)]
    long = [{"from": "human", "value": "<image>" + "rate it " * 300}, GOOD[1]]
    for odd, words in (
        (row(3, images=["gone.png"]), "line 4: image 'gone.png'"),
        (row(3, conversations=long), "cutoff_len is 512"),
        (row(3, conversations=GOOD[:1]), "line 4: roles human"),
    ):
        write_jsonl(tiny.parent / "data/demo/demo_test.jsonl", [*rows, odd])
        text = the_one(checked(tiny, tests=("demo_test",)))
        assert text.startswith("data/demo/demo_test.jsonl") and words in text
        assert {finding.level for finding in checked(tiny)} == {"ok"}
    assert "'demo_tset'" in the_one(checked(tiny, tests=("demo_tset",)))


@pytest.mark.slow
def test_too_small_a_cutoff_len_and_what_would_do(tiny):
    text = the_one(checked(tiny, "cutoff_len=256"))
    fix = text.rpartition("; ")[2]
    assert fix == "cutoff_len=384" and "cutoff_len is 256" in text
    assert {finding.level for finding in checked(tiny, fix)} == {"ok"}


@pytest.mark.slow
def test_a_long_text_of_ones_own(tiny):
    long = [{"from": "human", "value": "<image>" + "rate it " * 300}, GOOD[1]]
    rewrite(tiny.parent, row(0), row(1, conversations=long))
    text = the_one(checked(tiny))
    assert text.startswith("data/demo/demo_train.jsonl: ") and "cutoff_len is 512" in text


@pytest.mark.slow
def test_images_of_odd_shape_may_be_longer_than_those_looked_at(tiny, monkeypatch):
    monkeypatch.setattr(images, "SAMPLE", 1)
    settings = ["image_max_pixels=1003520", "cutoff_len=640"]
    text = the_one(checked(tiny, *settings), "warning")
    assert "1,280" in text and "--all-images" in text and "cutoff_len=" in text
    assert {finding.level for finding in checked(tiny, *settings, all_images=True)} == {"ok"}


@pytest.mark.slow
def test_no_gpu_and_too_small_a_gpu(tiny):
    assert "--gpus N" in the_one(checked(tiny, gpus=0))
    assert "1 GB" in the_one(checked(tiny, gpu_memory=1.0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([], "; do_sample=false"),
        (["do_sample=false", "max_new_tokens=8"], "max_new_tokens=8 "),
        (["do_sample=false", "eval_on_each_dataset=true"], "eval_on_each_dataset"),
        (["do_sample=false", "crop_to_patches=true"], "crop_to_patches"),
        (["do_sample=false", "predict_with_generate=false"], "LLaMA-Factory refuses the recipe: Please enable `pred"),
    ],
)
def test_traps_of_predictions(tiny, settings, words):
    keys = [
        "do_train=false",
        "do_predict=true",
        "predict_with_generate=true",
        "eval_dataset=demo_train",
        "dataset=null",
    ]
    findings = errors(checked(tiny, *keys, *settings))
    assert len(findings) == 1 and words in findings[0].text, report(findings)


@pytest.mark.slow
@pytest.mark.parametrize(
    "size", [(112, 112), (20, 20), (3, 900), (900, 3), (1400, 700), (98, 70), (641, 427), (30, 6100)]
)
@pytest.mark.parametrize("pixels", [12544, 1_003_520])
def test_tokens_are_counted_as_llamafactory_does(tiny, size, pixels):
    from llamafactory.data import get_template_and_fix_tokenizer
    from llamafactory.model import load_tokenizer

    job, _ = check_keys(tiny_job(f"image_max_pixels={pixels}", recipe=tiny))
    modules = load_tokenizer(job.parsed.model)
    template = get_template_and_fix_tokenizer(modules["tokenizer"], job.parsed.data)
    turns = [{"role": role, "content": turn["value"]} for role, turn in zip(("user", "assistant"), GOOD)]
    image = Image.new("RGB", size)
    processed = template.mm_plugin.process_messages(turns, [image], [], [], modules["processor"])
    prompt, answer = template.encode_oneturn(modules["tokenizer"], processed)
    pad = modules["tokenizer"].convert_tokens_to_ids("<|image_pad|>")

    text = Text(GOOD[0]["value"].replace("<image>", ""), GOOD[1]["value"], 1)
    scan = Scan(Stanza("x", Path("x"), "", "", {}), 1, {}, {text})
    job = replace(job, config=models.config("saves/demo_base"), scans=(scan,), sizes={"x": [size]})
    tokens, patches = image_counts(job)
    assert tokens(*size) == prompt.count(pad) == patches(*size) / 4
    assert sum(check_length(job)[0].longest) == len(prompt) + len(answer)


@pytest.mark.slow
def test_this_transformers_decodes_and_places_images_as_it_should(monkeypatch):
    assert [finding.level for finding in self_check.check_decoding(Job({}))[1]] == ["ok"]
    monkeypatch.setattr(self_check, "_decode", lambda: (1, [25, 26, 27], 25))
    batches, places = self_check.check_decoding(Job({}))[1]
    assert batches.level == places.level == "error"
    assert "1 of 4" in batches.text and "26, not 25" in places.text
    assert all(finding.text.endswith("; pip install transformers==5.2.0") for finding in (batches, places))


@pytest.mark.slow
def test_the_command(tiny, capsys):
    assert main([str(tiny), "cutoff_len=384", "--gpus", "2"]) == 0
    assert f"{tiny}: 0 errors, 0 warnings, " in capsys.readouterr().out
    assert main([str(tiny), "--gpus", "2", "cutoff_len=1"]) == 2
    out = capsys.readouterr().out
    assert "\nerror  " in out and f"{tiny}: 1 error, 0 warnings, " in out
