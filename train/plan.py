"""What one run of a sweep is: its recipe, training sets and test sets, its provenance, and how it is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from storm import provenance
from storm.datasets import SCALES
from storm.options import did_you_mean
from storm.prompts import strategy_of
from storm.rows import dataset_and_part
from train.checks.finding import names
from train.recipe import Header, clipping, header, load, share
from train.stanzas import facts_of, maker, registry

RECIPES, SAVES, RESULTS = Path("recipes"), Path("saves"), Path("results")
OURS = ("dataset", "eval_dataset", "output_dir")  # keys that the sweep sets itself


@dataclass(frozen=True)
class Options:
    gpus: int | None = None  # of this machine; None: all that are visible
    nodes: int = 1  # machines
    any_commit: bool = False  # take what other commits and versions of packages made
    by_hand: bool = False  # take trainings that no sweep began

    @property
    def processes(self) -> int:
        """GPUs of the whole run; 1 on a CPU."""
        return max(self.gpus or 0, 1) * self.nodes


@dataclass(frozen=True)
class Run:
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
    def predicted(self) -> Path:
        """Folder of the predictions, <file of the test set>.jsonl."""
        return self.saves / "predict" / self.name

    @property
    def results(self) -> Path:
        return results_in(self.saves) / f"{self.name}.json"

    def files(self, stanzas: Sequence[str]) -> dict[str, Path]:
        """The files of rows of stanzas. Raises ValueError naming the registry and the stanza."""
        return files_of(stanzas, Path(self.recipe["dataset_dir"]))

    def provenance_of(self, stanzas: Sequence[str]) -> dict:
        """What provenance.json of the training, and results/<run>.json, say. stanzas: all whose rows are used."""
        return {
            "run": self.name,
            "settings": list(self.settings),
            # Without what depends on the number of GPUs.
            "recipe": {key: value for key, value in self.recipe.items() if key not in provenance.GPU_KEYS},
            "seed": self.recipe.get("seed", provenance.SEED),
            "data": {name: provenance.file_hash(file) for name, file in self.files(stanzas).items()},
        } | provenance.tools()


def files_of(stanzas: Sequence[str], folder: Path) -> dict[str, Path]:
    """Stanza -> its file of rows. folder: of dataset_info.json. Raises ValueError naming the registry and a stanza."""
    info = registry(folder)
    try:
        return {name: folder / info[name]["file_name"] for name in stanzas}
    except (KeyError, TypeError):
        raise ValueError(f"{folder}/dataset_info.json: a stanza of {', '.join(stanzas)} names no file") from None


def results_in(saves: Path) -> Path:
    """Where a sweep that saves there keeps its results."""
    return RESULTS if saves == SAVES else saves / "results"


def plan(name: str, settings: Sequence[str], datasets: Sequence[str], saves: Path = SAVES) -> Run:
    """The run of a recipe. Raises ValueError in one line for a setting, recipe or dataset that cannot be."""
    path = RECIPES / f"{name}.yaml"
    if taken := [setting for setting in settings if setting.split("=")[0] in OURS]:
        raise ValueError(f"{taken[0]}: the sweep sets {', '.join(OURS)} itself; for some datasets only: --datasets")
    recipe = load(path, settings)
    trains, folder = bool(recipe.get("do_train")), recipe.get("dataset_dir")
    if not trains and not recipe.get("do_predict"):
        raise ValueError(f"{path}: neither trains nor predicts")
    key = "dataset" if trains else "eval_dataset"
    used = tuple(names(recipe.get(key)))
    if not used:
        raise ValueError(f"{path}: no {key}, so there is nothing to {'train on' if trains else 'predict'}")
    if not isinstance(folder, str) or not folder:
        raise ValueError(f"{path}: dataset_dir={folder}: name the folder of dataset_info.json")
    if facts_of(used[0]):
        test = tuple(f"storm_{dataset}_test{strategy_of(used[0]).suffix}" for dataset in SCALES)
    else:
        test = tuple(stanza.replace("_train", "_test") for stanza in (used if trains else used[:1]))
    trained = used if trains else ()
    if datasets:
        tested = [dataset_and_part(stanza)[0] for stanza in test]
        if unknown := sorted(set(datasets) - set(tested)):
            raise ValueError(f"--datasets {unknown[0]}: not a test set of {name}; {did_you_mean(unknown[0], tested)}")
        trained, test = (
            tuple(stanza for stanza in part if dataset_and_part(stanza)[0] in datasets) for part in (trained, test)
        )
        if trains and not trained:
            raise ValueError(f"--datasets {', '.join(datasets)}: {name} trains on none of them")
    stanzas = registry(Path(folder))
    if missing := [stanza for stanza in (*trained, *test) if stanza not in stanzas]:
        raise ValueError(f"{folder}/dataset_info.json: no stanza {missing[0]}, which {path} needs")
    recipe = recipe | ({"dataset": ",".join(trained)} if trains else {"eval_dataset": test[0]})
    return Run(name, tuple(settings), recipe, header(path), tuple(datasets), trained, test, saves)


def missing(runs: Sequence[Run]) -> str:
    """Which files of rows these runs lack, with one command that writes all of them; "" if all are there."""
    return lacking({name: path for run in runs for name, path in run.files((*run.train, *run.test)).items()})


def lacking(files: Mapping[str, Path]) -> str:
    """The same for files of rows by their stanzas."""
    gone = {name: path for name, path in files.items() if not path.is_file()}
    if not gone:
        return ""
    first, more = next(iter(gone.values())), f" (and {len(gone) - 1} more)" if len(gone) > 1 else ""
    some = "; for some datasets only: --datasets" if all(map(facts_of, gone)) else ""
    return f"{first}: no such file{more}; {maker(gone)}{some}"


def batch(run: Run, processes: int) -> list[str]:
    """Settings that keep the header's global batch, and the limit of its gradient, on this many GPUs.

    None for a recipe that promises no batch, or if the user sets the accumulation; the user's max_grad_norm stays.
    Raises ValueError if the GPUs cannot share it.
    """
    steps = "gradient_accumulation_steps"
    if not run.header.global_batch or any(setting.split("=")[0] == steps for setting in run.settings):
        return []
    size, accumulation = share(run.header.global_batch, processes, run.recipe["per_device_train_batch_size"])
    limited = any(setting.split("=")[0] == "max_grad_norm" for setting in run.settings)
    clip = "" if limited else clipping(run.recipe, accumulation)
    return [f"per_device_train_batch_size={size}", f"{steps}={accumulation}", *([clip] if clip else [])]


def preflight_arguments(run: Run, processes: int, gpus: int) -> list[str]:
    """The arguments of train/preflight.py: the settings of the first step, and the test sets predicted later."""
    first, later = [f"dataset={','.join(run.train)}", f"output_dir={run.saved}"], run.test
    if not run.train:
        first, later = [f"eval_dataset={run.test[0]}", f"output_dir={run.predicted}"], run.test[1:]
    more = batch(run, processes) if run.train else []
    tests = ["--tests", ",".join(later)] if later else []
    return [str(run.path), *run.settings, *more, *first, *tests, *(["--gpus", str(gpus)] if gpus else [])]


def training(run: Run, processes: int) -> list[str]:
    """The command of a run's training. train/run.py trains as llamafactory-cli does, and starts in seconds."""
    # With the host's filter of NaN losses a run of nothing but NaN logs 0, and a single NaN is never seen.
    more = [f"dataset={','.join(run.train)}", f"output_dir={run.saved}", "logging_nan_inf_filter=false"]
    return ["python", "train/run.py", str(run.path), *run.settings, *batch(run, processes), *more]
