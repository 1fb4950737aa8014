"""What train/card.py writes for a run and its rows, and what it must not say."""

import json
import logging
import re
import shlex
from pathlib import Path

import pytest
import yaml

from eval.inference.settings import fingerprint
from storm.datasets import DATASETS, SCALES
from storm.files import write_json, write_jsonl
from storm.rows import Example, to_row
from tests.helpers.paths import ROOT
from train.card import main
from train.cards.sources import CITATION
from train.cards.texts import code, front_matter, placeless

HOST_CARD = """---
library_name: transformers
license: other
base_model: Qwen/Qwen2.5-VL-3B-Instruct
tags:
- llama-factory
- full
model-index:
- name: mine
  results: []
---

<!-- This model card has been generated automatically according to the information the Trainer had access to. You
should probably proofread and complete it, then remove this comment. -->

# mine

This model is a fine-tuned version of [x](https://hf.co/x) on the storm_spaq_lite and the storm_utk_train datasets.

- learning_rate: 0.0005
- train_batch_size: 16
- seed: 42
- lr_scheduler_type: SchedulerType.COSINE
- num_epochs: 4

- Transformers 5.2.0
- Pytorch 2.11.0+cu130
"""
RECIPE = {"model_name_or_path": "Qwen/Qwen2.5-VL-3B-Instruct", "finetuning_type": "full", "learning_rate": 5e-4}
RECIPE |= {"per_device_train_batch_size": 16, "num_train_epochs": 4, "lr_scheduler_type": "cosine", "do_train": True}
RECIPE |= {"dataset": "storm_spaq_lite,storm_utk_train", "image_max_pixels": 12544}
EVIL = "x`](http://evil.example)<script>|\n# y"


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no cache"))


def run_folder(name: str = "mine", card: str = HOST_CARD, **facts) -> Path:
    """A finished training. facts: its provenance."""
    folder = Path("saves") / name
    folder.mkdir(parents=True)
    write_json(folder / "train_results.json", {"epoch": 4.0, "train_loss": 0.25, "train_runtime": 7200})
    write_json(folder / "trainer_state.json", {"global_step": 760})
    write_json(folder / "config.json", {"model_type": "qwen2_5_vl"})
    (folder / "model.safetensors").write_bytes(name.encode())
    if card:
        (folder / "README.md").write_text(card)
    if facts:
        write_json(folder / "provenance.json", sweep_facts(**facts))
    return folder


def sweep_facts(**more) -> dict:
    facts = {
        "run": "mine",
        "settings": [],
        "recipe": RECIPE,
        "seed": 7,
        "data": {"storm_spaq_lite": "0123456789abcdef"},
    }
    return facts | {"commit": "abc", "versions": {"torch": "2.11.0"}} | more


def score(**more) -> dict:
    facts = {"dataset": "spaq", "strategy": "cot", "decode": "exact", "unit": "level", "n": 240, "n_test": 240}
    facts |= {"unparsed": 3, "acc": 0.8125, "mae": 0.2, "subjects": 4, "run": "r"}
    return facts | {"intervals": {"acc": [0.66, 0.966], "mae": None}} | more


def scores_file(**more) -> Path:
    write_json(Path("scores.json"), {"scores": [score(**more)]})
    return Path("scores.json")


def predictions_of(folder: Path) -> str:
    """A predictions file whose provenance says that it is of these weights."""
    facts = {"model": fingerprint(str(folder)), "adapter": None, "data": {}, "versions": {}}
    write_json(Path("predicted/provenance.json"), facts)
    return "predicted/rows.jsonl"


def card_of(folder: Path, *options: object) -> str:
    assert main([str(folder), *map(str, options)]) == 0
    return (folder / "README.md").read_text()


def refused(capsys, *options: object) -> str:
    assert main([*map(str, options)]) == 2
    return capsys.readouterr().err


def test_a_sweep_s_run_says_recipe_rows_scores_and_commands():
    folder = run_folder(commit="abc")
    write_json(Path("results/mine.json"), sweep_facts() | {"scores": [score()]})
    text = card_of(folder, "--license", "apache-2.0")
    front = front_matter(text)
    assert (front["license"], front["base_model"]) == ("apache-2.0", "Qwen/Qwen2.5-VL-3B-Instruct")
    assert (front["library_name"], front["pipeline_tag"]) == ("transformers", "image-text-to-text")
    [result] = front["model-index"][0]["results"]
    assert [metric["value"] for metric in result["metrics"]] == [0.8125, 0.2]
    assert result["metrics"][0]["name"] == "ACC, 95% interval 0.660 to 0.966"
    assert result["metrics"][1]["name"] == "MAE, no interval"
    assert "0.812 (0.660, 0.966)" in text and "0123456789abcdef" in text and DATASETS["spaq"].url in text
    assert re.search(r"\| `learning_rate` +\| `0.0005` +\|", text) and re.search(r"\| `seed` +\| `7` +\|", text)
    lines = [shlex.split(line) for line in text.splitlines() if line.startswith("python eval/")]
    assert [words[1] for words in lines] == ["eval/predict.py", "eval/serve.py"]
    for words in lines:
        given = dict(zip(words, words[1:]))
        assert (given["--model"], given["--scale"]) == ("saves/mine", "spaq")
        assert (given["--strategy"], given["--image-max-pixels"]) == ("cot", "12544")


def test_the_hub_reads_the_model_index():
    from huggingface_hub import ModelCard

    folder = run_folder(commit="abc")
    card_of(folder, "--scores", scores_file(file=predictions_of(folder)))
    results = ModelCard.load(folder / "README.md").data.eval_results
    assert [(r.metric_type, r.metric_value, r.dataset_type) for r in results][0] == ("accuracy", 0.8125, "spaq")


@pytest.mark.parametrize(("name", "split"), [("spaq_test", "test"), ("spaq_val_num", "validation"), ("mine", None)])
def test_the_card_says_which_rows_were_scored(name, split):
    folder = run_folder(commit="abc")
    file = Path(predictions_of(folder)).with_name(f"{name}.jsonl")
    text = card_of(folder, "--scores", scores_file(file=str(file)))
    [result] = front_matter(text)["model-index"][0]["results"]
    assert result["dataset"].get("split") == split
    assert re.search(rf"^\| `spaq` +\| {split or 'unknown'} +\| `cot`", text, re.MULTILINE)


def test_scores_of_rows_that_are_trained_on_are_refused(capsys):
    folder = run_folder(commit="abc")
    file = Path(predictions_of(folder)).with_name("storm_spaq_lite_num.jsonl")
    error = refused(capsys, folder, "--scores", scores_file(file=str(file)))
    assert error.startswith("error: scores.json: ") and error.strip().endswith("storm_spaq_test_num")


def test_the_block_of_a_run_is_yaml():
    storm = {"objective": "soft", "scale": "/home/alice/scale.yaml", "evaluate": {"every": 200, "rows": 500}}
    text = card_of(run_folder(recipe=RECIPE | {"storm": storm}))
    fence = text.split("```yaml\n")[1].split("\n```")[0]
    assert yaml.safe_load(fence) == {"storm": storm | {"scale": "scale.yaml"}}
    assert "`storm`" not in text, "the table has LLaMA-Factory's keys only"


def checkpoint_of(folder: Path, step: int) -> Path:
    """One with other weights, and PEFT's empty card."""
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir()
    write_json(checkpoint / "trainer_state.json", {"global_step": step, "epoch": 2.5})
    write_json(checkpoint / "config.json", {"model_type": "qwen2_5_vl"})
    (checkpoint / "model.safetensors").write_bytes(b"another")
    title = "# Model Card for Model ID\n\n<!-- Provide a quick summary of what the model is/does. -->\n"
    (checkpoint / "README.md").write_text(f"---\nlibrary_name: peft\n---\n\n{title}")
    return checkpoint


def test_the_best_checkpoint_has_a_card_of_its_own(capsys):
    folder = run_folder(commit="abc")
    state = {"global_step": 760, "best_metric": 0.125, "best_model_checkpoint": f"{folder}/checkpoint-400"}
    write_json(folder / "trainer_state.json", state)
    write_json(Path("results/mine.json"), sweep_facts() | {"scores": [score()]})
    best = checkpoint_of(folder, 400)
    assert "of the last step; checkpoint-400 was the best" in card_of(folder)
    text = card_of(best)
    assert text.split("# `")[1].startswith("mine-checkpoint-400`") and "--model saves/mine/checkpoint-400" in text
    assert (
        "steps: 400; epochs: 2.5." in text
        and "of 760 steps. It was kept as the best of the evaluations while training (0.125)" in text
    )
    assert "`0123456789abcdef`" in text and "`abc`" in text, "rows and commit are the run's"
    assert "model-index" not in front_matter(text), "the sweep's scores are of the last step"
    assert "not of the weights" in refused(capsys, best, "--scores", scores_file(file=predictions_of(folder)))
    assert "another training" in refused(capsys, best, "--scores", "results/mine.json")
    scored = card_of(best, "--scores", scores_file(file=predictions_of(best)))
    assert "checked by a hash" in scored and "It was kept" not in card_of(checkpoint_of(folder, 600))


def test_the_printed_options_exist():
    for page, words in (("eval/predict.py", "--images --scale --strategy"), ("eval/serve.py", "--scale --strategy")):
        text = (ROOT / page).read_text() + (ROOT / "eval/inference/arguments.py").read_text()
        assert all(f'"{word}"' in text for word in words.split()), page


def test_without_a_record_only_the_host_s_card_speaks_and_is_kept(capsys):
    folder = run_folder()
    text = card_of(folder)
    assert "--recipe RECIPE.yaml" in capsys.readouterr().out, "it names the command that says more"
    assert (folder / "README.llamafactory.md").read_text() == HOST_CARD
    assert "`storm_utk_train`" in text and "`0.0005`" in text and "license: unknown" in text
    assert "--image-max-pixels" not in "".join(re.findall(r"^python.*$", text, re.MULTILINE))
    assert card_of(folder) == text, "and the second card is the first"


def test_a_recipe_counts_unless_the_run_contradicts_it(capsys):
    folder = run_folder()
    Path("mine.yaml").write_text(yaml.safe_dump(RECIPE))
    assert "`12544`" in card_of(folder, "--recipe", "mine.yaml")
    for setting in ("learning_rate=1e-3", "max_steps=5", "gradient_accumulation_steps=2", "dataset=storm_spaq_lite"):
        error = refused(capsys, folder, setting, "--recipe", "mine.yaml")
        assert error.startswith("error: mine.yaml: not the recipe of saves/mine: " + setting.split("=")[0])
    run_folder("swept", commit="abc")
    assert "leave --recipe out" in refused(capsys, "saves/swept", "--recipe", "mine.yaml")


@pytest.mark.parametrize("text", ["# my own words\n", HOST_CARD.split("<!--")[0] + "# proofread\n"])
def test_a_card_of_somebody_else_is_not_overwritten(capsys, text):
    folder = run_folder(card=text)
    assert "--force" in refused(capsys, folder)
    assert (folder / "README.md").read_text() == text
    assert card_of(folder, "--force") != text


def test_an_edited_card_is_not_overwritten(capsys):
    folder = run_folder()
    (folder / "README.md").write_text(edited := card_of(folder) + "my remark\n")
    assert "--force" in refused(capsys, folder)
    assert (folder / "README.md").read_text() == edited


def test_scores_of_other_weights_or_another_training_are_refused(capsys):
    folder, other = run_folder(commit="abc"), run_folder("other")
    assert "not of the weights" in refused(capsys, folder, "--scores", scores_file(file=predictions_of(other)))
    assert "checked by a hash" in card_of(folder, "--scores", scores_file(file=predictions_of(folder)))
    assert "**Not checked**" in card_of(folder, "--scores", scores_file(file="elsewhere/rows.jsonl"))
    for fact in ({"seed": 8}, {"recipe": RECIPE | {"learning_rate": 1}}, {"settings": ["x=1"]}):
        write_json(Path("results/mine.json"), sweep_facts(**fact) | {"scores": [score()]})
        assert "another" in refused(capsys, folder) + " " and main([str(folder)]) == 2
    write_json(Path("scores.json"), {"scores": []})
    assert "eval/score.py" in refused(capsys, other, "--scores", "scores.json")


def test_what_is_not_a_finished_training_is_refused(capsys):
    folder = run_folder()
    (folder / "train_results.json").unlink()
    assert "no train_results.json" in refused(capsys, folder)
    assert "no such folder" in refused(capsys, "nowhere")


def test_an_adapter_is_run_on_its_base():
    recipe = RECIPE | {"finetuning_type": "lora"}
    folder = run_folder(recipe=recipe)
    write_json(folder / "adapter_config.json", {"base_model_name_or_path": "Qwen/Qwen2.5-VL-3B-Instruct"})
    (folder / "config.json").unlink()
    text = card_of(folder)
    assert front_matter(text)["library_name"] == "peft"
    assert "--model Qwen/Qwen2.5-VL-3B-Instruct --adapter saves/mine" in text


def test_a_local_base_model_is_not_linked_as_one_of_the_hub():
    (Path("saves") / "base").mkdir(parents=True)
    Path("saves/base/README.md").write_text("---\nlicense: mit\n---\n")
    folder = run_folder(recipe=RECIPE | {"model_name_or_path": "saves/base"})
    front = front_matter(card_of(folder))
    assert "base_model" not in front and front["license"] == "mit"
    assert front_matter(card_of(folder, "--base", "owner/name"))["base_model"] == "owner/name"


@pytest.mark.parametrize(
    ("stanza", "limit"),
    [("storm_utk_train", "to identify or to judge persons"), ("storm_aptos_train", "medical device")],
)
def test_faces_and_medicine_have_their_limits(stanza, limit):
    text = card_of(run_folder(data={stanza: "00"}))
    assert limit in text and "Appendix H" in text


def test_no_place_key_or_user_is_named():
    secret = "hf_" + "a" * 30
    recipe = RECIPE | {"output_dir": "/home/alice/x/out", "hub_token": secret, "run_name": f"a {secret}"}
    recipe |= {"media_dir": "~/pictures/set", "dataset_dir": "../alice/rows", "adapter_name_or_path": "/a/b/c,/a/b/d"}
    recipe |= {"note": "https://alice:pw@host/x", "win": r"C:\Users\alice\m", "file": "file:///home/alice/f"}
    folder = run_folder(recipe=recipe, settings=["model_name_or_path=/home/alice/m"])
    text = card_of(folder)
    assert not re.search(r"alice|hf_a|pw@|hub_token|/home|Users|~/", text)
    assert "`out`" in text and "`c,d`" in text
    assert str(Path.cwd()) not in card_of(folder.resolve())


def test_placeless_keeps_what_is_not_a_place():
    for text in ("Qwen/Qwen2.5-VL", "data/storm", "1/3", "https://example.org/a/b", ".", "5e-4", "a.b/c"):
        assert placeless(text) == text


def test_words_of_files_break_neither_markdown_nor_yaml():
    folder = run_folder(recipe=RECIPE | {"report_to": EVIL}, data={f"{EVIL}_train": "00"})
    text = card_of(folder, "--scores", scores_file(dataset=EVIL, file="x/y"))
    assert front_matter(text)["model-index"][0]["results"][0]["dataset"]["type"] == EVIL
    body = text.split("-->", 1)[1]
    spans = re.sub(r"(?s)```.*?```|(`+)(?!`).*?(?<!`)\1(?!`)", "", body)
    assert "<script>" not in spans and "](http://evil" not in spans and "\n# y" not in body
    assert code("a``b`") == "``` a``b` ```"


def build(folder: Path, dataset: str = "utk", count: int = 6) -> Path:
    """Rows, manifest and summary as data_prep writes them."""
    sizes = {"train": count, "lite": 0, "val": 0, "test": count}
    lines = ["id,image,label,score,subject,split,lite,val"]
    for part in ("train", "test"):
        numbers, scale = range(count), SCALES[dataset]
        rows = [Example(f"{part}{n}", dataset, f"{n}.jpg", 20 + n, scale, "cot", f"s{n}") for n in numbers]
        write_jsonl(folder / "cot" / f"{dataset}_{part}.jsonl", map(to_row, rows))
        lines += [f"{row.id},{row.image},{row.label},{row.label}.0,{row.subject},{part},0,0" for row in rows]
    (folder / "manifest").mkdir()
    (folder / "manifest" / f"{dataset}.csv").write_text("\n".join(lines) + "\n")
    (folder / "leaks.csv").write_text("train_dataset,train_id\nutk,train1\n")
    facts = {"sizes": sizes, "read": 14, "dropped": {"missing": 2}, "reasons": {"missing: no N": 2}}
    facts |= {"paper": {"train": 21_696, "lite": None, "test": 2_410}, "settings": {"resize": None, "val": 0.1}}
    write_json(folder / "summary.json", {dataset: facts})
    return folder


GIVEN = ("--url", "https://example.org/x", "--creator", "Me", "--published", "2026-01-31")


def test_the_data_card_says_sources_rows_and_what_was_dropped(capsys):
    folder = build(Path("rows"))
    assert main(["--data", str(folder)]) == 0
    assert "--url URL --creator NAME --published YYYY-MM-DD" in capsys.readouterr().out
    text = (folder / "README.md").read_text()
    facts = DATASETS["utk"]
    assert facts.url in text and facts.terms in text and front_matter(text)["license"] == "unknown"
    assert re.search(r"\| `utk` +\| `cot` +\| +6 \| +\| +\| +6 \| +6 \| +6 \| +6 \|", text), "all subjects are in both"
    assert "missing 2" in text and "1 pairs" in text and "No image is part" in text and "judge persons" in text
    [digest] = {f["sha256"] for f in json.loads((folder / "croissant.json").read_text())["distribution"]
                if f["name"] == "cot/utk_test.jsonl"}  # fmt: skip
    assert digest in text


def test_mlcroissant_reads_the_metadata_without_a_warning(caplog):
    mlcroissant = pytest.importorskip("mlcroissant")
    caplog.set_level(logging.WARNING)
    folder = build(Path("rows"))
    assert main(["--data", str(folder), *GIVEN, "--data-license", "cc-by-4.0"]) == 0
    dataset = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    issues = dataset.metadata.ctx.issues
    assert (issues.errors, issues.warnings, caplog.text) == (set(), set(), "")
    assert dataset.metadata.ctx.is_v1_1()
    records = list(dataset.records("utk"))
    assert len(records) == 12
    assert records[0] == {"utk/id": b"train0", "utk/image": b"0.jpg", "utk/label": 20, "utk/score": 20.0,
                          "utk/subject": b"s0", "utk/split": b"train", "utk/lite": 0, "utk/val": 0}  # fmt: skip


def test_the_metadata_has_what_croissant_requires():
    from train.cards.croissant import REQUIRED

    folder = build(Path("rows"))
    assert main(["--data", str(folder), *GIVEN]) == 0
    page = json.loads((folder / "croissant.json").read_text())
    assert set(REQUIRED) <= set(page) and page["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert [license["url"] for license in page["license"]] == [DATASETS["utk"].url]
    assert not any("jpg" in file["contentUrl"] for file in page["distribution"])
    readme = re.sub(r"\s+", " ", (ROOT / "README.md").read_text())
    assert page["citeAs"] == CITATION and re.sub(r"\s+", " ", CITATION) in readme


def test_the_same_rows_give_the_same_files_and_others_another_version(capsys):
    folder = build(Path("rows"))
    pages = []
    for _ in range(2):
        assert main(["--data", str(folder)]) == 0
        pages.append([(folder / name).read_bytes() for name in ("README.md", "croissant.json")])
    assert pages[0] == pages[1]
    (folder / "leaks.csv").write_text("train_dataset,train_id\n")
    assert main(["--data", str(folder)]) == 0
    page = json.loads((folder / "croissant.json").read_text())
    assert page["version"] != json.loads(pages[0][1])["version"]
    write_json(folder / "croissant.json", page | {"name": "mine"})
    assert "croissant.json" in refused(capsys, "--data", folder)


def test_a_summary_of_other_rows_is_refused(capsys):
    folder = build(Path("rows"))
    path = folder / "cot/utk_test.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    error = refused(capsys, "--data", folder)
    assert "6 rows of utk, test" in error and "has 5" in error
    assert not (folder / "croissant.json").exists()


def test_own_ratings_are_nobody_s_we_can_name():
    folder = Path("own")
    (folder / "cot").mkdir(parents=True)
    scale = "name: pics\nrates: a picture\nlevels:\n  Bad: [1, 2]\n  'Good|_b_': [2, 3]\n"
    (folder / "scale.yaml").write_text(scale)
    row = {"label": 1, "subject": "", "images": ["a.jpg"], "id": "a"}
    write_jsonl(folder / "cot/pics_test.jsonl", [row])
    assert main(["--data", str(folder)]) == 0
    text = (folder / "README.md").read_text()
    assert "`pics`: subjects unknown" in text and "`Good\\|_b_`" in text and "2 to 3" in text
    license = json.loads((folder / "croissant.json").read_text())["license"]
    assert [part["description"] for part in license] == ["unknown"]
