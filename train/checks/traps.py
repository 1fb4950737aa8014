"""Values of a recipe that LLaMA-Factory takes and that cannot be meant."""

from train.checks.finding import Finding, names
from train.zero import zero

# Key -> whether a value can be meant, and what to write.
LIMITS = {
    "num_train_epochs": (lambda value: value > 0, "more than 0, else nothing is trained"),
    "max_samples": (lambda value: value > 0, "1 or more, or leave it out for all rows"),
    "learning_rate": (lambda value: value > 0, "more than 0, else nothing is learned"),
    "warmup_ratio": (lambda value: 0 <= value <= 1, "a share of the steps, from 0 to 1"),
}


def traps(recipe: dict, good: dict) -> list[Finding]:
    """Values that LLaMA-Factory takes and that are not what one means. Evidence: its 0.9.5, read and measured."""
    found = []

    def add(level: str, text: str) -> None:
        found.append(Finding(level, "keys", text))

    try:
        stage = zero(recipe).stage
    except ValueError as error:
        add("error", str(error))
        stage = 0
    trains, predicts = bool(recipe.get("do_train")), bool(recipe.get("do_predict"))
    for part in ("vision_tower", "multi_modal_projector") if trains else ():
        if f"freeze_{part}" not in recipe:
            add("warning", f"freeze_{part} is not said, and LLaMA-Factory's default is true; freeze_{part}=false")
    if recipe.get("predict_with_generate") and stage == 3:
        add("error", "predict_with_generate cannot be with ZeRO-3; leave deepspeed out of a prediction")
    if recipe.get("pure_bf16") and stage == 3:
        add("error", "pure_bf16 cannot be with ZeRO-3; bf16=true pure_bf16=false")
    if predicts and recipe.get("do_sample", True):
        add("error", "do_sample is not false, so answers are drawn at random with temperature 0.95; do_sample=false")
    if predicts and good.get("group_by_length"):
        add("error", "group_by_length reorders rows, so prompts and predictions are of different rows; leave it out")
    if predicts and good.get("eval_on_each_dataset"):
        add("error", "eval_on_each_dataset with do_predict ends in KeyError: 0; one run for each eval_dataset")
    if predicts and len(names(recipe.get("eval_dataset"))) > 1:
        add("warning", "several eval_dataset end in one file that names none; one run with one output_dir for each")
    if recipe.get("packing") and not recipe.get("neat_packing"):
        add("warning", "packing lets positions run on from one sample to the next; packing=false or neat_packing=true")
    if (most := good.get("max_samples")) is not None and most > 0:
        add("warning", f"max_samples={most} takes the first {most} rows of each dataset; leave it out for a whole run")
    if trains and good.get("pure_bf16") and good.get("finetuning_type") == "full":
        text = "pure_bf16 rounds most updates away at rates like 2e-5 (they are below half a step of a bf16 weight)"
        add("warning", f"{text}; bf16=true pure_bf16=false")
    for key in ("per_device_train_batch_size", "gradient_accumulation_steps", "per_device_eval_batch_size"):
        if isinstance(value := good.get(key, 1), int) and value < 1:
            add("error", f"{key}={value}: write 1 or more")
    return found


def limits(good: dict) -> list[Finding]:
    """Numbers that cannot be meant, which are taken out of `good`: the parser would refuse some of them once more."""
    found = []
    for key, (possible, wanted) in LIMITS.items():
        value = good.get(key)
        # A recipe that says max_steps does not count epochs.
        if value is not None and not possible(value) and (key != "num_train_epochs" or good.get("max_steps", -1) <= 0):
            found.append(Finding("error", "keys", f"{key}={good.pop(key)}: write {wanted}"))
    if good.get("stage", "sft") != "sft":
        text = f"stage={good.pop('stage')}: is not for rows of questions and answers; stage=sft"
        found.append(Finding("error", "keys", text))
    return found
