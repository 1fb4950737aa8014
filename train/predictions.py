"""The predictions of a run: one command of eval/predict.py for all its test sets."""

import sys
from pathlib import Path

from eval.inference import resume
from eval.inference.settings import Settings, provenance_of
from eval.inference.settings import command as arguments
from storm import provenance
from storm.custom_scale import load as load_scale
from storm.datasets import SCALES
from storm.files import locked, read_jsonl
from storm.rows import Example, read_examples
from storm.scales import Scale
from train.earlier import take_earlier
from train.launch import LOG, Stopped, launch, rows_of
from train.machines import on_all_gpus
from train.plan import RECIPES, Options, Run
from train.recipe import load

# What a prediction must see as its training did.
SHARED = ("image_max_pixels", "image_min_pixels", "dataset_dir", "media_dir", "template", "cutoff_len")
# What else of a training's settings a prediction takes, beside the keys of its own recipe. Not what trains.
PREDICTS = ("max_samples", "max_new_tokens", "per_device_eval_batch_size", "preprocessing_num_workers", "seed")
PREDICTS += ("preprocessing_batch_size", "dataloader_num_workers", "overwrite_cache", "flash_attn", "use_cpu", "fp16")
PREDICTS += ("bf16", "fp16_full_eval", "bf16_full_eval", "tf32", "cache_dir", "model_revision", "use_fast_tokenizer")
PREDICTS += ("low_cpu_mem_usage", "quantization_bit", "quantization_method", "ddp_timeout")
UNKNOWN = ("do_sample", "image_min_pixels", "quantization_bit")  # change answers, and eval/predict.py lacks them


def recipe_of(run: Run) -> dict:
    """The keys of a prediction with what the run trained, or with the recipe's own model."""
    if not run.train:
        return run.recipe
    base = RECIPES / f"{'demo_predict' if run.name.startswith('demo') else 'predict'}.yaml"
    weights = [f"model_name_or_path={run.saved}"]
    if run.recipe.get("finetuning_type") == "lora":
        adapter = [f"adapter_name_or_path={run.saved}", "finetuning_type=lora"]
        weights = [f"model_name_or_path={run.recipe['model_name_or_path']}", *adapter]
    shared = [f"{key}={run.recipe[key]}" for key in SHARED if key in run.recipe]
    allowed = {*load(base), *PREDICTS} - {"model_name_or_path", *SHARED}
    kept = [setting for setting in run.settings if setting.split("=")[0] in allowed]
    return load(base, [*kept, *shared, *weights])


def settings_of(run: Run) -> Settings:
    """What eval/predict.py gets. Raises ValueError for a key of the recipe that it cannot obey."""
    recipe = recipe_of(run)
    if wrong := [key for key in UNKNOWN if recipe.get(key)]:
        raise ValueError(f"{wrong[0]}={recipe[wrong[0]]}: eval/predict.py does not know it; leave it out")
    scale = Path(recipe["dataset_dir"]) / "scale.yaml"
    return Settings(
        model=str(recipe["model_name_or_path"]),
        adapter=recipe.get("adapter_name_or_path"),
        decode="generate",
        # LLaMA-Factory's defaults, as in training.
        image_max_pixels=int(recipe.get("image_max_pixels", 768 * 768)),
        cutoff_len=int(recipe.get("cutoff_len", 2048)),
        max_new_tokens=int(recipe.get("max_new_tokens", 1024)),
        media=Path(recipe.get("media_dir") or recipe["dataset_dir"]),
        bf16=bool(recipe.get("bf16_full_eval")),
        data=tuple(run.files(run.test).values()),
        scale=scale if scale.exists() else None,
        out=run.predicted,
        limit=recipe.get("max_samples"),
        batch_size=int(recipe.get("per_device_eval_batch_size", 8)),
    )


def scales_of(settings: Settings) -> dict[str, Scale]:
    """All scales that the test files may be of."""
    custom = [load_scale(settings.scale).scale] if settings.scale else []
    return SCALES | {scale.name: scale for scale in custom}


def prediction(run: Run, options: Options) -> list[str]:
    """The command that predicts all test sets of a run."""
    return on_all_gpus(["eval/predict.py", *arguments(settings_of(run))], options.gpus or 0, options.nodes)


def predict(run: Run, options: Options) -> None:
    """Predict what is left of the test sets; starts no process if nothing is. Raises Stopped, ValueError or OSError."""
    settings = settings_of(run)
    rows = {file: list(read_examples(file, scales_of(settings)))[: settings.limit] for file in settings.data}
    with locked(settings.out):
        _discard(run, settings, options.any_commit)
        take_earlier(run, settings, recipe_of(run), rows, options.any_commit)
        if _finished(settings, rows):
            return
    stems, total = {file.stem for file in rows}, sum(map(len, rows.values()))
    watch = rows_of(settings.out, stems, f"{run.name}: predict", total)
    try:
        launch(prediction(run, options), settings.out, watch)
    except Stopped:
        _report_unreadable(settings)
        raise
    if not _finished(settings, rows):
        raise Stopped(f"{settings.out}: not all rows have a prediction; output: {settings.out / LOG}")


def _report_unreadable(settings: Settings) -> None:
    """Raises Stopped with the first image that could not be read."""
    bad = [(file, row) for file in settings.data for row in _rows(settings, file) if "error" in row]
    if bad:
        file, row = bad[0]
        raise Stopped(f"{len(bad):,} images cannot be read; {file}, id {row.get('id')}: {row['error']}")


def _rows(settings: Settings, file: Path) -> list[dict]:
    """The whole rows of the predictions of a test file."""
    path = settings.out / f"{file.stem}.jsonl"
    return [line.row for line in read_jsonl(path) if isinstance(line.row, dict)] if path.exists() else []


def _finished(settings: Settings, rows: dict[Path, list[Example]]) -> bool:
    """Whether each row has a prediction. Raises ValueError for a file that holds more than are wanted."""
    done = True
    for file, wanted in rows.items():
        ids = [row.get("id") for row in _rows(settings, file) if "error" not in row]
        path = settings.out / f"{file.stem}.jsonl"
        if len(ids) > len(wanted):
            about = f"{path} holds {len(ids):,} rows, and max_samples={settings.limit} wants {len(wanted):,}"
            raise ValueError(f"{about}; leave max_samples out, or move it away: mv {path} {path}.old")
        done &= ids == [example.id for example in wanted] and not resume.parts(settings.out, file.stem)
    return done


def _discard(run: Run, settings: Settings, any_commit: bool) -> None:
    """Delete predictions of another provenance, which eval/predict.py would refuse, and say so.

    Raises ValueError for those that only a user can have made.
    """
    out, now = settings.out, provenance_of(settings)
    files = {file.stem: file for file in settings.data}
    old, reason = {"data": {}}, None
    try:
        old = provenance.read(out)
        reason = provenance.difference(old | {"data": {}}, now | {"data": {}}, any_commit)
    except FileNotFoundError:
        reason = "unknown settings"
    except ValueError as error:
        reason = str(error)
    if reason and old.get("decode", "generate") != "generate":
        provenance.refuse(out, "predictions", f"--decode {old['decode']}, which no sweep made")
    if reason:
        wrong = {stem: reason for stem in {**files, **old["data"]}}
    else:
        pairs = [(stem, {stem: old["data"][stem]}, {stem: now["data"][stem]}) for stem in files if stem in old["data"]]
        wrong = {stem: "another data build" for stem, *both in pairs if not provenance.same_data(*both, files)}
    for stem, why in wrong.items():
        for path in (out / f"{stem}.jsonl", *resume.parts(out, stem)):
            if path.exists():
                print(f"{run.name}: predicts {stem} again: {path} is of {why}", file=sys.stderr)
                path.unlink()
    if reason:
        (out / provenance.FILE).unlink(missing_ok=True)
    elif wrong:
        kept = {stem: value for stem, value in old["data"].items() if stem not in wrong}
        provenance.write(out, old | {"data": kept})
