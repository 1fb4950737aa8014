"""What one run of a sweep is: its recipe, training sets and test sets, and the command of each of its steps."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from storm.prompts import STRATEGIES, suffix
from storm.datasets import SCALES
from storm import provenance
from train.checks.finding import names
from train.recipe import Header, header, load

RECIPES, SAVES, RESULTS = Path("recipes"), Path("saves"), Path("results")
OURS = ("dataset", "eval_dataset", "output_dir")  # keys that the sweep sets itself
# What a prediction must see as its training did.
SHARED = ("image_max_pixels", "image_min_pixels", "dataset_dir", "media_dir", "template", "cutoff_len")
# What else of a training's settings a prediction takes, beside the keys of its own recipe: how weights are loaded, rows
# read and numbers computed. Not what trains: with deepspeed, for one, nothing can be generated.
PREDICTS = ("max_samples", "max_new_tokens", "per_device_eval_batch_size", "preprocessing_num_workers", "seed")
PREDICTS += ("preprocessing_batch_size", "dataloader_num_workers", "overwrite_cache", "flash_attn", "use_cpu", "fp16")
PREDICTS += ("bf16", "fp16_full_eval", "bf16_full_eval", "tf32", "cache_dir", "model_revision", "use_fast_tokenizer")
PREDICTS += ("low_cpu_mem_usage", "quantization_bit", "quantization_method", "ddp_timeout")


@dataclass(frozen=True)
class Run:
    """One recipe with its settings, training sets and test sets."""

    name: str  # the recipe's stem
    settings: tuple[str, ...]  # key=value of the user
    recipe: dict  # keys after the settings
    header: Header
    datasets: tuple[str, ...]  # if the user wants only some: their names
    train: tuple[str, ...]  # stanzas; none for a recipe that only predicts
    test: tuple[str, ...]
    saves: Path  # folder of trainings and predictions

    @property
    def path(self) -> Path:
        return RECIPES / f"{self.name}.yaml"

    @property
    def saved(self) -> Path:
        return self.saves / self.name

    @property
    def results(self) -> Path:
        return results_in(self.saves) / f"{self.name}.json"

    def predicted(self, stanza: str) -> Path:
        """Folder of the predictions of a test set, named so that score.py knows the dataset."""
        return self.saves / "predict" / self.name / dataset_of(stanza)

    def tested_rows(self, stanza: str) -> int:
        """How many rows the test set has, and a prediction must."""
        return origin.rows(origin.file(Path(self.recipe["dataset_dir"]), stanza))


def results_in(saves: Path) -> Path:
    """Where a sweep that saves there keeps its results."""
    return RESULTS if saves == SAVES else saves / "results"


def dataset_of(stanza: str) -> str:
    """The dataset in a stanza's name: storm_spaq_test_num -> spaq, demo_test -> demo."""
    return re.sub(rf"_(train|lite|test)(_({'|'.join(STRATEGIES)}))?$", "", stanza).removeprefix("storm_")


def plan(name: str, settings: Sequence[str], datasets: Sequence[str], saves: Path = SAVES) -> Run:
    """The run of a recipe. Raises ValueError in one line for a setting, recipe or dataset that cannot be."""
    path = RECIPES / f"{name}.yaml"
    if taken := [setting for setting in settings if setting.split("=")[0] in OURS]:
        raise ValueError(f"{taken[0]}: the sweep sets {', '.join(OURS)} itself; for some datasets only: --datasets")
    recipe = load(path, settings)
    if not recipe.get("do_train") and not recipe.get("do_predict"):
        raise ValueError(f"{path}: neither trains nor predicts")
    key = "dataset" if recipe.get("do_train") else "eval_dataset"
    used = tuple(names(recipe.get(key)))
    if not used:
        raise ValueError(f"{path}: no {key}, so there is nothing to {'train on' if key == 'dataset' else 'predict'}")
    if not isinstance(recipe.get("dataset_dir"), str) or not recipe["dataset_dir"]:
        raise ValueError(f"{path}: dataset_dir={recipe.get('dataset_dir')}: name the folder of dataset_info.json")
    trained = used if recipe.get("do_train") else ()
    known = origin.stanzas(Path(recipe["dataset_dir"]))
    strategy = next((s for s in STRATEGIES if s != "cot" and used[0].endswith(suffix(s))), "cot")
    if used[0].startswith("storm_"):
        test = tuple(f"storm_{dataset}_test{suffix(strategy)}" for dataset in SCALES)
    else:
        test = tuple(stanza.replace("_train", "_test") for stanza in trained or used[:1])
    if datasets:
        if wrong := set(datasets) - {dataset_of(stanza) for stanza in test}:
            raise ValueError(f"--datasets {', '.join(sorted(wrong))}: not a test set of {name}")
        trained_on = trained
        trained, test = (tuple(s for s in part if dataset_of(s) in datasets) for part in (trained, test))
        if trained_on and not trained:
            raise ValueError(f"--datasets {', '.join(datasets)}: {name} trains on none of them")
    if missing := [stanza for stanza in (*trained, *test) if stanza not in known]:
        raise ValueError(f"{recipe['dataset_dir']}/dataset_info.json: no stanza {missing[0]}, which {path} needs")
    recipe = recipe | ({"dataset": ",".join(trained)} if trained else {"eval_dataset": test[0]})
    return Run(name, tuple(settings), recipe, header(path), tuple(datasets), trained, test, saves)


def batch(run: Run, processes: int) -> list[str]:
    """Settings that keep the header's global batch on this many GPUs; none for a recipe that promises no batch.

    The batch of one GPU is the recipe's, or the largest below it that divides. Raises ValueError if none does.
    """
    promised, steps = run.header, "gradient_accumulation_steps"
    own = {setting.split("=")[0] for setting in run.settings}
    if promised.gpus is None or steps in own:
        return []
    total = promised.gpus * promised.batch * promised.accumulation
    if total % processes:
        few = max(n for n in range(1, processes) if total % n == 0)
        raise ValueError(f"{processes} GPUs cannot share a batch of {total} evenly: use {few} (--gpus {few})")
    most = run.recipe["per_device_train_batch_size"]
    one = max(size for size in range(1, most + 1) if total // processes % size == 0)
    return [f"per_device_train_batch_size={one}", f"{steps}={total // processes // one}"]


def preflight_arguments(run: Run, processes: int, gpus: int) -> list[str]:
    """What recipes/preflight.py is told: the settings of the first step, and the test sets that are predicted later."""
    own, later = [f"dataset={','.join(run.train)}", f"output_dir={run.saved}"], run.test
    if not run.train:
        own, later = [f"eval_dataset={run.test[0]}", f"output_dir={run.predicted(run.test[0]).parent}"], run.test[1:]
    more = batch(run, processes) if run.train else []
    tests = ["--tests", ",".join(later)] if later else []
    return [str(run.path), *run.settings, *more, *own, *tests, *(["--gpus", str(gpus)] if gpus else [])]


def commands(run: Run, processes: int) -> dict[str, list[str]]:
    """What the user would type for each step: "train", then each test stanza."""
    steps = {}
    if run.train:
        # With the host's filter of NaN losses a run of nothing but NaN logs 0, and a single NaN is never seen.
        more = [f"dataset={','.join(run.train)}", f"output_dir={run.saved}", "logging_nan_inf_filter=false"]
        steps["train"] = [str(run.path), *run.settings, *batch(run, processes), *more]
    for stanza in run.test:
        where = [f"eval_dataset={stanza}", f"output_dir={run.predicted(stanza)}"]
        steps[stanza] = [*_predict(run), *where]
    return {step: ["llamafactory-cli", "train", *arguments] for step, arguments in steps.items()}


def _predict(run: Run) -> list[str]:
    """Recipe and settings of a prediction with what the run trained, or with the recipe's own model."""
    if not run.train:
        return [str(run.path), *run.settings]
    base = RECIPES / f"{'demo_predict' if run.name.startswith('demo') else 'predict'}.yaml"
    weights = [f"model_name_or_path={run.saved}"]
    if run.recipe.get("finetuning_type") == "lora":
        adapter = [f"adapter_name_or_path={run.saved}", "finetuning_type=lora"]
        weights = [f"model_name_or_path={run.recipe['model_name_or_path']}", *adapter]
    shared = [f"{key}={run.recipe[key]}" for key in SHARED if key in run.recipe]
    allowed = {*load(base), *PREDICTS} - {"model_name_or_path", *SHARED}
    kept = [setting for setting in run.settings if setting.split("=")[0] in allowed]
    return [str(base), *kept, *shared, *weights]
