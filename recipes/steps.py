"""The steps of one run of a sweep: train, predict each test set, score. A finished step is not done again."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.own_scale import load as load_scale
from data_prep.questions import STRATEGIES, suffix
from data_prep.scales import SCALES
from eval.scored import score_file
from recipes import origin
from recipes.checkpoints import discard_broken
from recipes.launch import Stopped, launch
from recipes.recipe import Header, header, load

RECIPES, SAVES = Path("recipes"), Path("saves")
PREDICTIONS = "generated_predictions.jsonl"
OURS = ("dataset", "eval_dataset", "output_dir")  # keys that the sweep sets itself
# What a prediction must see as its training did.
SHARED = ("image_max_pixels", "dataset_dir", "media_dir", "template", "cutoff_len")


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

    @property
    def path(self) -> Path:
        return RECIPES / f"{self.name}.yaml"

    @property
    def saved(self) -> Path:
        return SAVES / self.name

    def predicted(self, stanza: str) -> Path:
        """Folder of the predictions of a test set, named so that score.py knows the dataset."""
        return SAVES / "predict" / self.name / dataset_of(stanza)

    def tested_rows(self, stanza: str) -> int:
        """How many rows the test set has, and a prediction must."""
        folder = Path(self.recipe["dataset_dir"])
        return origin.rows(folder / origin.stanzas(folder)[stanza]["file_name"])


def dataset_of(stanza: str) -> str:
    """The dataset in a stanza's name: storm_spaq_test_num -> spaq, demo_test -> demo."""
    return re.sub(rf"_(train|lite|test)(_({'|'.join(STRATEGIES)}))?$", "", stanza).removeprefix("storm_")


def plan(name: str, settings: Sequence[str], datasets: Sequence[str]) -> Run:
    """The run of a recipe. Raises ValueError in one line for a setting, recipe or dataset that cannot be."""
    path = RECIPES / f"{name}.yaml"
    if taken := [setting for setting in settings if setting.split("=")[0] in OURS]:
        raise ValueError(f"{taken[0]}: the sweep sets {', '.join(OURS)} itself; for some datasets only: --datasets")
    recipe = load(path, settings)
    trained = tuple(recipe["dataset"].split(",")) if recipe.get("do_train") else ()
    if not trained and not recipe.get("do_predict"):
        raise ValueError(f"{path}: neither trains nor predicts")
    known = origin.stanzas(Path(recipe["dataset_dir"]))
    first = (trained or (recipe["eval_dataset"],))[0]
    strategy = next((s for s in STRATEGIES if s != "cot" and first.endswith(suffix(s))), "cot")
    if first.startswith("storm_"):
        test = tuple(f"storm_{dataset}_test{suffix(strategy)}" for dataset in SCALES)
    else:
        test = tuple(stanza.replace("_train", "_test") for stanza in trained or (first,))
    if datasets:
        if wrong := set(datasets) - {dataset_of(stanza) for stanza in test}:
            raise ValueError(f"--datasets {', '.join(sorted(wrong))}: not a test set of {name}")
        trained_on = trained
        trained, test = (tuple(s for s in part if dataset_of(s) in datasets) for part in (trained, test))
        if trained_on and not trained:
            raise ValueError(f"--datasets {', '.join(datasets)}: {name} trains on none of them")
    if missing := [stanza for stanza in (*trained, *test) if stanza not in known]:
        raise ValueError(f"{recipe['dataset_dir']}/dataset_info.json: no stanza {missing[0]}, which {path} needs")
    if trained:
        recipe = recipe | {"dataset": ",".join(trained)}
    return Run(name, tuple(settings), recipe, header(path), tuple(datasets), trained, test)


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
    base = "demo_predict" if run.name.startswith("demo") else "predict"
    weights = [f"model_name_or_path={run.saved}"]
    if run.recipe.get("finetuning_type") == "lora":
        adapter = [f"adapter_name_or_path={run.saved}", "finetuning_type=lora"]
        weights = [f"model_name_or_path={run.recipe['model_name_or_path']}", *adapter]
    shared = [f"{key}={run.recipe[key]}" for key in SHARED if key in run.recipe]
    kept = [setting for setting in run.settings if setting.split("=")[0] not in ("model_name_or_path", *SHARED)]
    return [str(RECIPES / f"{base}.yaml"), *kept, *shared, *weights]


def train(run: Run, command: list[str], env: dict[str, str], where: dict, any_commit: bool) -> str:
    """Train, or go on from the last whole checkpoint; says what was done. Raises Stopped, ValueError with the fix."""
    stamp = run.saved / "origin.json"
    if stamp.exists():
        changed = origin.difference(json.loads(stamp.read_text(encoding="utf-8")), where, any_commit)
        if changed:
            raise ValueError(f"{run.saved} holds a training of {changed}: mv {run.saved} {run.saved}.old")
    if (run.saved / "train_results.json").exists():
        return "was trained" if stamp.exists() else "was trained by hand"
    broken = discard_broken(run.saved) if run.saved.exists() else []
    origin.keep(stamp, where)
    resumed = any(run.saved.glob("checkpoint-*"))
    launch(command, run.saved, env, f"{run.name}: train")
    if not (run.saved / "train_results.json").exists():
        raise Stopped(f"the training ended without {run.saved}/train_results.json; its output: {run.saved}/output.log")
    said = "resumed" if resumed else "trained"
    return said + "".join(f", {path.name} was broken: {reason}" for path, reason in broken)


def predict(run: Run, stanza: str, command: list[str], env: dict[str, str]) -> bool:
    """Predict one test set unless that was done since the training; says whether it had to. Raises Stopped."""
    file = run.predicted(stanza) / PREDICTIONS
    limit = int(run.recipe.get("max_samples") or run.tested_rows(stanza))
    rows = min(limit, run.tested_rows(stanza))
    trained = run.saved / "train_results.json"
    fresh = file.exists() and (not run.train or file.stat().st_mtime >= trained.stat().st_mtime)
    if fresh and origin.rows(file) == rows:
        return False
    file.unlink(missing_ok=True)
    launch(command, file.parent, env, f"{run.name}: predict {dataset_of(stanza)}")
    origin.rows.cache_clear()
    if not file.exists() or origin.rows(file) != rows:
        raise Stopped(f"{file}: not the {rows:,} rows of {stanza}; output: {file.parent}/output.log")
    return True


def score(run: Run) -> list[dict]:
    """A score for each test set, with how many rows the set has ("of"). Raises Stopped for rows that cannot be read."""
    own = Path(run.recipe["dataset_dir"]) / "scale.yaml"
    scales = SCALES
    if own.exists():
        scale = load_scale(own).scale
        scales = SCALES | {scale.name: scale}
    scores = []
    for stanza in run.test:
        found, errors = score_file(run.predicted(stanza) / PREDICTIONS, scales)
        if errors:
            raise Stopped(errors[0])
        scores += [one | {"of": run.tested_rows(stanza)} for one in found]
    return scores
