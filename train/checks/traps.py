"""Values of a recipe that LLaMA-Factory takes and that make no sense. Evidence: its 0.9.5, read and measured."""

from pathlib import Path

from storm.rows import dataset_and_part
from train.checks.finding import Finding, names
from train.recipe import Zero

# Keys that change the tokens of an image, which eval/predict.py has no option for.
CUT_UP = ("crop_to_patches", "image_do_pan_and_scan")
# Keys that nobody wants by accident, and why they are refused.
REFUSED = {
    "trust_remote_code": "runs Python code that comes with the model, and no model of docs/models.md needs it",
    "push_to_hub": "uploads the model while it trains, and people are on the photographs",
    "export_hub_model_id": "uploads the model",
}


def traps(recipe: dict, good: dict, zero: Zero) -> list[Finding]:
    """Keys that have an unexpected effect. good: those whose values LLaMA-Factory's parser can be given."""
    errors, warnings = [], []
    if recipe.get("do_train"):
        for part in ("vision_tower", "multi_modal_projector"):
            if f"freeze_{part}" not in recipe:
                warnings.append(f"freeze_{part} is not set, and LLaMA-Factory's default is true; freeze_{part}=false")
        tested = [name for name in names(recipe.get("eval_dataset")) if dataset_and_part(name)[1] == "test"]
        scores = recipe.get("eval_strategy") not in (None, False, "no") or recipe.get("do_eval")
        if tested and (scores or not recipe.get("do_predict")):
            better = dataset_and_part(tested[0])[0]
            what = f"eval_dataset={tested[0]} scores test rows while training, so the best step is chosen on them"
            errors.append(f"{what}; name the validation rows ({better}_val), or leave it out")
        if (path := good.get("tokenized_path")) and Path(str(path)).is_dir():
            text = f"tokenized_path={path} holds rows: LLaMA-Factory trains on these, whatever dataset and pixels say"
            warnings.append(f"{text}; leave it out, or name a new folder")
        if good.get("pure_bf16") and good.get("finetuning_type") == "full":
            text = "pure_bf16 rounds most updates away at rates like 2e-5 (they are below half a step of a bf16 weight)"
            warnings.append(f"{text}; bf16=true pure_bf16=false")
        if good.get("load_best_model_at_end") and good.get("finetuning_type") == "full" and not recipe.get("deepspeed"):
            text = "load_best_model_at_end keeps the last step's weights here: transformers cannot load its own names"
            errors.append(f"{text} of tensors (#43701); leave it out, and use the checkpoint in trainer_state.json")
    if recipe.get("predict_with_generate") and zero.stage == 3:
        errors.append("predict_with_generate does not work with ZeRO-3; leave deepspeed out of a prediction")
    if recipe.get("pure_bf16") and zero.stage == 3:
        errors.append("pure_bf16 does not work with ZeRO-3; bf16=true pure_bf16=false")
    if recipe.get("do_predict"):
        if recipe.get("do_sample", True):
            errors.append("do_sample is not false: answers are drawn at random with temperature 0.95; do_sample=false")
        if good.get("group_by_length"):
            errors.append("group_by_length reorders rows: prompts and predictions are of different rows; leave it out")
        if good.get("eval_on_each_dataset"):
            text = "eval_on_each_dataset with do_predict ends in KeyError: 0; start one run for each eval_dataset"
            errors.append(text)
        if len(names(recipe.get("eval_dataset"))) > 1:
            text = "several eval_dataset end in one file that names none; start one run with one output_dir for each"
            warnings.append(text)
    if recipe.get("packing") and not recipe.get("neat_packing"):
        warnings.append("packing lets positions run on from one sample to the next; packing=false or neat_packing=true")
    if (rows := good.get("max_samples")) is not None and rows > 0:
        warnings.append(f"max_samples={rows} takes the first {rows} rows of each dataset; leave it out for a whole run")
    for key in CUT_UP:
        if recipe.get(key):
            errors.append(f"{key} cuts images up, and eval/predict.py would ask without it; leave it out")
    for key, why in REFUSED.items():
        if good.get(key):
            errors.append(f"{key}={str(good[key]).lower()} {why}; leave it out")
    levels = [*(("error", text) for text in errors), *(("warning", text) for text in warnings)]
    return [Finding(level, "keys", text) for level, text in levels]
