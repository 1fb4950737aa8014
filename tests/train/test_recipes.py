"""Every recipe is self-contained and free of LLaMA-Factory's traps."""

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from data_prep.registry import dataset_info
from eval.scoring import paper
from storm.datasets import DATASETS, SCALES
from storm.model_shapes import SHAPES
from storm.models import family_of
from storm.prompts import STRATEGIES, answers, question
from storm.rows import dataset_and_part
from tests.helpers.paths import ROOT

# Loaded as LLaMA-Factory loads them: PyYAML would read 1e-5 as text and keep the last of two equal keys.
RECIPES = {path: OmegaConf.to_container(OmegaConf.load(path)) for path in sorted((ROOT / "recipes").glob("*.yaml"))}
TRAIN = [path for path in RECIPES if RECIPES[path].get("do_train")]
PREDICT = [path for path in RECIPES if RECIPES[path].get("do_predict")]
BY_NAME = {path.name: recipe for path, recipe in RECIPES.items()}
# What a user puts in another registry than ours: the worked example of `python -m data_prep own`.
OWN = {"appeal_train", "appeal_val"}
DEMO = {path.stem for path in TRAIN if "bf16" not in RECIPES[path]}  # on a CPU, with a batch of their own
OBJECTIVES = {path.stem for path in TRAIN if "storm" in RECIPES[path]}  # for train/run.py


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


def header(path: Path) -> list[str]:
    return [line.removeprefix("#").strip() for line in path.read_text(encoding="utf-8").split("\n\n")[0].splitlines()]


def test_each_recipe_trains_predicts_or_exports_and_the_demo_has_one_for_each_strategy():
    exports = [path for path in RECIPES if "export_dir" in RECIPES[path]]
    assert sorted([*TRAIN, *PREDICT, *exports]) == list(RECIPES) and TRAIN and PREDICT and exports
    assert {f"demo{row.suffix}" for row in STRATEGIES.values()} == DEMO - OBJECTIVES


@each(RECIPES)
def test_header_says_the_command(path):
    verb = "export" if "export_dir" in RECIPES[path] else "train"
    command = header(path)[1]
    program = "python train/run.py" if path.stem in OBJECTIVES else f"llamafactory-cli {verb}"
    assert f"{program} recipes/{path.name}" in command
    if path.stem != "storm_lite_ray":  # Ray starts the processes itself
        assert command.startswith("FORCE_TORCHRUN=1 ") == ("deepspeed" in RECIPES[path]), "DeepSpeed needs torchrun"


@each(RECIPES)
def test_a_recipe_differs_from_its_base_only_in_what_its_header_says(path):
    stated = [line for line in header(path) if line.startswith("As ")]
    if not stated:
        named = [other for other in RECIPES if any(line.startswith(f"As {path.name} except") for line in header(other))]
        assert path not in TRAIN or named, "a training is the base of others, or says what it is as"
        return
    name, keys = stated[0].removeprefix("As ").split(" except: ")
    base, recipe = BY_NAME[name], RECIPES[path]
    changed = {key for key in base.keys() | recipe.keys() if base.get(key) != recipe.get(key)}
    assert sorted(changed) == keys.split(", ")


@each(TRAIN)
def test_the_header_promises_how_much_is_trained(path):
    """train/preflight.py compares it with what LLaMA-Factory would train."""
    assert re.fullmatch(r"Trains [\d,]+ parameters\.", header(path)[2])


@each([path for path in TRAIN if path.stem not in DEMO])
def test_the_global_batch_is_the_papers_128_or_for_few_ratings_smaller(path):
    recipe, text = RECIPES[path], header(path)[1].split("    ")[1].strip()
    gpus, total = 32 if "deepspeed" in recipe else 1, 16 if path.stem == "custom" else 128
    batch, steps = recipe["per_device_train_batch_size"], recipe["gradient_accumulation_steps"]
    assert text == f"{gpus} GPU{'s' * (gpus > 1)} x {batch} x {steps} = {total}"
    assert gpus * batch * steps == total


@each(TRAIN)
def test_the_gradient_is_limited_to_1_however_many_batches_are_accumulated(path):
    """Without DeepSpeed the host divides it by their number twice (docs/versions.md)."""
    recipe = RECIPES[path]
    number = 1 if "deepspeed" in recipe else recipe.get("gradient_accumulation_steps", 1)
    assert recipe.get("max_grad_norm", 1.0) == 1 / number


@each(TRAIN)
def test_no_full_training_keeps_its_weights_in_bf16(path):
    """Adam's updates are about as large as the learning rate: less than half a step of a bf16 weight above .0078."""
    assert not RECIPES[path].get("pure_bf16") and (path.stem in DEMO or RECIPES[path]["bf16"] is True)


@each(TRAIN + PREDICT)
def test_trainings_on_a_gpu_ask_for_flashattention_2_and_predictions_do_not(path):
    """eval/predict.py takes sdpa (eval/inference/model.py), and LLaMA-Factory's predictions are compared with its."""
    on_gpu = "sdpa" if "storm" in RECIPES[path] else "fa2"  # objectives have a mask that only sdpa takes
    assert RECIPES[path].get("flash_attn") == (on_gpu if path in TRAIN and path.stem not in DEMO else None)


@pytest.mark.slow  # imports transformers
@each([path for path in TRAIN if RECIPES[path].get("flash_attn") == "fa2"])
def test_a_family_that_flashattention_2_is_asked_of_can_have_it(path):
    assert not family_of(SHAPES[RECIPES[path]["model_name_or_path"]]()).no_fa2


@each([path for path in RECIPES if "export_dir" not in RECIPES[path]])
def test_no_trap_of_the_host(path):
    text, recipe = path.read_text(encoding="utf-8"), RECIPES[path]
    assert "${" not in text, "LLaMA-Factory does not resolve interpolation"
    assert "trust_remote_code" not in recipe
    for part in ("vision_tower", "multi_modal_projector", "language_model"):
        assert recipe[f"freeze_{part}"] is False, "the host freezes the first two unless told"
    assert {"cutoff_len", "image_max_pixels", "template", "dataset_dir", "media_dir"} <= set(recipe)
    if not path.stem.startswith("demo"):  # the others wait in a barrier while one process tokenizes, 30 min by default
        assert recipe["ddp_timeout"] == 180000000, "as in LLaMA-Factory's own examples"
    assert not any(str(value).startswith("/") for value in recipe.values())
    assert "group_by_length" not in recipe and "eval_on_each_dataset" not in recipe
    assert "deepspeed" not in recipe or not recipe.get("do_predict"), "ZeRO-3 cannot generate"


@each(RECIPES)
def test_the_recipes_name_is_its_output_folder(path):
    assert RECIPES[path].get("output_dir", RECIPES[path].get("export_dir")) == f"saves/{path.stem}"


@each(TRAIN + PREDICT)
def test_every_dataset_is_registered(path):
    recipe = RECIPES[path]
    names = [name for key in ("dataset", "eval_dataset") for name in recipe.get(key, "").split(",") if name]
    assert names and len(set(names)) == len(names)
    assert set(names) <= (OWN if recipe["dataset_dir"] != "." else set(dataset_info()))


@each(PREDICT)
def test_predictions_are_greedy_and_see_images_as_training_did(path):
    recipe = RECIPES[path]
    assert recipe["do_sample"] is False and recipe["predict_with_generate"] is True
    trained = next((r for r in BY_NAME.values() if r.get("output_dir") == recipe["model_name_or_path"]), None)
    assert trained or path.stem.startswith("zero_") or path.stem == "storm_released", "weights of others"
    for key in ("template", "cutoff_len", "image_max_pixels", "media_dir") if trained else ():
        assert recipe[key] == trained[key]


def test_lite_full_and_single_domain_sets_are_those_of_tables_6_and_7():
    papers = [DATASETS[name] for name in paper.DATASETS]
    trained = [d.name for d in papers if d.lite != "none"]
    for stem, part in (("storm_lite", "lite"), ("storm_full", "train")):
        assert sorted(BY_NAME[f"{stem}.yaml"]["dataset"].split(",")) == sorted(f"storm_{n}_{part}" for n in trained)
    for d in papers:
        part = "train" if d.lite == "none" else "lite"
        assert f"storm_{d.name}_{part}" in BY_NAME[f"ablation_single_{d.domain.lower()}.yaml"]["dataset"].split(",")


def test_every_deepspeed_file_is_used_and_there():
    used = {recipe["deepspeed"] for recipe in BY_NAME.values() if "deepspeed" in recipe}
    assert used == {f"ds_configs/{path.name}" for path in (ROOT / "ds_configs").iterdir()}


def test_every_stanza_of_the_demo_has_a_recipe():
    used = {name for r in BY_NAME.values() for key in ("dataset", "eval_dataset") for name in r.get(key, "").split(",")}
    used |= {f"demo_test{strategy.suffix}" for strategy in STRATEGIES.values()}  # train/sweep.py predicts them
    demo = {name for name in dataset_info() if name.startswith("demo_")}
    assert {name for name in demo if dataset_and_part(name)[1] != "val"} <= used  # val: the settings were chosen on it


def test_every_strategy_trains_on_its_own_rows():
    """On the demo's; and on the 14 datasets, if Table 4 has a row of it."""
    trained = {name for path in TRAIN for name in RECIPES[path]["dataset"].split(",")}
    assert {f"demo_train{strategy.suffix}" for strategy in STRATEGIES.values()} <= trained
    rows = {line.name for line in paper.TABLES["table4"]}
    in_paper = {f"storm_spaq_lite{row.suffix}" for row in STRATEGIES.values() if row.paper in rows}
    assert len(in_paper) == len(rows) and in_paper <= trained


@pytest.mark.slow  # imports transformers
@each([path for path in TRAIN + PREDICT if RECIPES[path]["model_name_or_path"] in SHAPES])
def test_the_template_is_that_of_the_models_family(path):
    family = family_of(SHAPES[RECIPES[path]["model_name_or_path"]]())
    assert RECIPES[path]["template"] == family.template and family.keys.items() <= RECIPES[path].items()


def test_the_readme_lists_exactly_the_recipes_there_are():
    readme = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
    table = readme.split("<!-- table: recipes -->")[-1].split("<!-- end -->")[0]
    assert re.findall(r"^\| `(\w+)` *\|", table, re.M) == [path.stem for path in RECIPES]


@pytest.mark.slow
def test_llamafactorys_own_parser_takes_them(tmp_path):
    from llamafactory.hparams import get_train_args

    for path in TRAIN + PREDICT:
        recipe = RECIPES[path] | {"output_dir": str(tmp_path / path.stem), "use_cpu": True}
        recipe.pop("deepspeed", None)  # wants torchrun
        recipe.pop("storm", None)  # train/run.py's
        model, data, training, finetuning, generating = get_train_args(recipe)
        assert (training.do_train, training.do_predict) == (path in TRAIN, path in PREDICT)
        assert not (finetuning.freeze_vision_tower or finetuning.freeze_multi_modal_projector)
        assert model.image_max_pixels == recipe["image_max_pixels"] and not model.trust_remote_code
        assert generating.do_sample is (path in TRAIN), "the host's default is to sample"
        assert training.ddp_timeout == recipe.get("ddp_timeout", 1800)


@pytest.mark.slow
def test_the_longest_conversation_fits():
    """Counted with the demo's tokenizer, whose 800 tokens split no word of the prompts less than Qwen's 151,643 do."""
    from demo import model

    tokenizer = model.tokenizer()
    longest = max(
        len(tokenizer(question(scale, strategy) + text).input_ids)
        for scale in SCALES.values()
        for strategy in STRATEGIES
        for text in answers(scale, strategy)
    )
    for path in TRAIN + PREDICT:
        image = RECIPES[path]["image_max_pixels"] // 28**2  # a token for 28 x 28 pixels
        assert image + longest + 50 <= RECIPES[path]["cutoff_len"] or path.stem.startswith("demo"), path.stem
