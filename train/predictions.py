"""The predictions of a run: one command of eval/predict.py for all its test sets."""

import sys
from pathlib import Path

from eval.inference import resume
from eval.inference.run import LOG, scales_of
from eval.inference.settings import Settings, provenance_of
from eval.inference.settings import command as arguments
from storm import provenance
from storm.families import FAMILIES
from storm.files import locked, read_jsonl
from storm.rows import Example, dataset_and_part, read_examples
from train.earlier import put_aside, take_earlier
from train.launch import Stopped, launch, rows_of
from train.machines import installed, on_all_gpus
from train.plan import RECIPES, Options, Run
from train.recipe import load

# What a prediction must see as its training did.
SHARED = ("image_max_pixels", "dataset_dir", "media_dir", "template", "cutoff_len")
# What else of a training's settings a prediction obeys.
OBEYED = ("max_samples", "max_new_tokens", "per_device_eval_batch_size", "bf16_full_eval")
# Without effect on greedy answers, but for rounding (flash_attn).
IGNORED = ("preprocessing_num_workers", "preprocessing_batch_size", "dataloader_num_workers", "overwrite_cache", "seed")
IGNORED += ("ddp_timeout", "low_cpu_mem_usage", "flash_attn", "enable_liger_kernel", "data_shared_file_system")
# Keys of a training that would change answers, and that eval/predict.py lacks (LLaMA-Factory 0.9.5, hparams/).
UNKNOWN = (
    "do_sample", "temperature", "top_p", "top_k", "num_beams", "max_length", "repetition_penalty", "length_penalty",
    "skip_special_tokens", "default_system", "enable_thinking", "image_min_pixels", "crop_to_patches", "rope_scaling",
    "quantization_bit", "quantization_method", "quantization_type", "double_quantization", "use_fast_tokenizer",
    "resize_vocab", "split_special_tokens", "add_tokens", "add_special_tokens", "infer_dtype", "fp16_full_eval",
    "use_cpu",
)  # fmt: skip
UNKNOWN_OF_BASE = ("model_revision", "cache_dir")  # where the prediction loads the base model, too


def recipe_of(run: Run) -> dict:
    """The keys of a prediction with what the run trained, or with the recipe's own model."""
    if not run.train:
        return run.recipe
    base = RECIPES / f"{dataset_and_part(run.test[0])[0]}_predict.yaml"
    base = base if base.exists() else RECIPES / "predict.yaml"
    weights = [f"model_name_or_path={run.saved}"]
    if run.recipe.get("finetuning_type") == "lora":
        adapter = [f"adapter_name_or_path={run.saved}", "finetuning_type=lora"]
        weights = [f"model_name_or_path={run.recipe['model_name_or_path']}", *adapter]
    shared = [f"{key}={run.recipe[key]}" for key in SHARED if key in run.recipe]
    kept = [setting for setting in run.settings if setting.split("=")[0] in (*OBEYED, *IGNORED)]
    return load(base, [*kept, *shared, *weights])


def settings_of(run: Run) -> Settings:
    """What eval/predict.py gets. Raises ValueError for a key of the recipe that it cannot obey."""
    recipe = recipe_of(run)
    keys = [key for key, value in run.recipe.items() if value is not None and (key != "do_sample" or value)]
    if run.train:
        unknown = UNKNOWN + (UNKNOWN_OF_BASE if "adapter_name_or_path" in recipe else ())
        keys = [key for key in keys if key in unknown]
    else:
        allowed = {*load(RECIPES / "predict.yaml"), *OBEYED, *IGNORED, "adapter_name_or_path", "do_train"}
        keys = [key for key in keys if key not in allowed or key == "do_sample"]
    asked = {
        key: value for row in FAMILIES.values() if row.template == recipe["template"] for key, value in row.keys.items()
    }
    keys = [key for key in keys if key not in asked or run.recipe[key] != asked[key]]  # predict.py asks so, too
    if keys:
        raise ValueError(f"{keys[0]}={run.recipe[keys[0]]}: eval/predict.py does not know it; leave it out")
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


def prediction(run: Run, options: Options) -> list[str]:
    return on_all_gpus(["eval/predict.py", *arguments(settings_of(run))], options.gpus or 0, options.nodes)


def predict(run: Run, options: Options) -> None:
    """Predict what is left of the test sets; starts no process if nothing is. Raises Stopped, ValueError or OSError."""
    settings = settings_of(run)
    scales = scales_of(settings)
    rows = {file: list(read_examples(file, scales))[: settings.limit] for file in settings.data}
    with locked(settings.out):
        _put_others_aside(run, settings, options.any_commit)
        take_earlier(run, settings, recipe_of(run), rows, options.any_commit)
        if _finished(settings, rows):
            return
    stems, total = {file.stem for file in rows}, sum(map(len, rows.values()))
    watch = rows_of(settings.out, stems, f"{run.name}: predict", total)
    try:
        launch(installed(prediction(run, options)), settings.out, watch)
    except Stopped:
        unread = [(file, row) for file in settings.data for row in _rows(settings, file) if "error" in row]
        if not unread:
            raise
        file, row = unread[0]
        text = f"{len(unread):,} images cannot be read; {file}, id {row.get('id')}: {row['error']}"
        raise Stopped(text) from None
    if not _finished(settings, rows):
        raise Stopped(f"{settings.out}: not all rows have a prediction; output: {settings.out / LOG}")


def _rows(settings: Settings, file: Path) -> list[dict]:
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


def _put_others_aside(run: Run, settings: Settings, any_commit: bool) -> None:
    """Rename predictions of another provenance, which eval/predict.py would refuse, and say so.

    Raises ValueError for exact ones: no sweep makes them.
    """
    out, now, old, reason = settings.out, provenance_of(settings), {"data": {}}, None
    files = {file.stem: file for file in settings.data}
    try:
        old = provenance.read(out)
        reason = provenance.difference(old | {"data": {}}, now | {"data": {}}, any_commit)
    except FileNotFoundError:
        reason = "unknown settings"
    except ValueError as error:
        reason = str(error)
    if reason and old.get("decode", "generate") != "generate":
        provenance.refuse(out, "predictions", f"--decode {old['decode']}, which no sweep makes")
    if reason:
        others = dict.fromkeys([*files, *old["data"]], reason)
    else:
        pairs = [(stem, {stem: old["data"][stem]}, {stem: now["data"][stem]}) for stem in files if stem in old["data"]]
        others = {stem: "another data build" for stem, *both in pairs if not provenance.same_data(*both, files)}
    for stem, why in others.items():
        for path in (out / f"{stem}.jsonl", *resume.parts(out, stem)):
            if path.exists():
                about = f"{run.name}: predicts {stem} again: {path} is of {why}"
                print(f"{about}; it is now called {put_aside(path).name}", file=sys.stderr)
    if reason:
        for path in (out / name for name in (provenance.FILE, *provenance.EARLIER)):
            if path.exists():
                put_aside(path)
    elif others:
        kept = {stem: value for stem, value in old["data"].items() if stem not in others}
        provenance.write(out, old | {"data": kept})
