"""The model card of a run: README.md in the form of the Hugging Face hub."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from storm.custom_scale import load
from storm.datasets import SCALES
from storm.prompts import STRATEGIES, question
from storm.rows import dataset_and_part
from storm.scales import IQA, Scale
from storm.text import command_line
from train.cards import intended_use, scores
from train.cards.scores import SPLITS, Scores
from train.cards.sources import source_named
from train.cards.texts import SECRET, UNKNOWN, block, bullets, code, page, placeless, rows
from train.cards.trained import Trained

REPOSITORY = "STORM-recipes"
SETTINGS = ("per_device_train_batch_size", "gradient_accumulation_steps", "per_device_eval_batch_size")


def model_card(trained: Trained, scored: Scores, license: str, license_from: str, base: str, data: Path | None) -> str:
    """The card's text. license: an id of the hub. base: the base model's name on the hub, "" for what the run says.
    data: the folder of rows, whose scale.yaml counts if the recipe's is not there."""
    datasets = list(dict.fromkeys(dataset_and_part(stanza)[0] for stanza in trained.data))
    scales = _scales(trained, datasets, data)
    hub = base or ("" if trained.local_base else trained.base)
    front: dict = {"license": license, **({"base_model": hub} if hub else {})}
    front |= {"pipeline_tag": "image-text-to-text", "library_name": "peft" if trained.adapter else "transformers"}
    front |= {"tags": ["llama-factory", "lora" if trained.adapter else "full", "visual-rating", "ordinal-regression"]}
    front |= {"model-index": scores.model_index(trained.name, scored.scores)} if scored.scores else {}
    return page(
        front,
        [
            f"# {code(trained.name)}",
            _about(trained, hub, license, license_from),
            "## Intended use",
            bullets(intended_use.intended(datasets)),
            "## Limits",
            bullets([*intended_use.limits(datasets), *intended_use.ALWAYS, *_measured(scored.scores)]),
            "## Training",
            _training(trained),
            "## Scores",
            _scores(scored),
            "## How to run it",
            _commands(trained, hub, scales),
            "## Question",
            _questions(trained, scales),
            "## Versions",
            _versions(trained),
        ],
    )


def _scales(trained: Trained, datasets: Sequence[str], data: Path | None) -> dict[str, tuple[str, Scale]]:
    """dataset -> (what --scale takes, the scale); those that nothing says are left out."""
    places = [Path(str(trained.recipe.get("dataset_dir") or "data")), *([data] if data else [])]
    files = [place / "scale.yaml" for place in places if (place / "scale.yaml").is_file()]
    custom = load(files[0]).scale if files else None
    scales = {}
    for name in datasets:
        if scale := (SCALES | {"demo": IQA}).get(name):
            scales[name] = name, scale
        elif custom and custom.name == name:
            scales[name] = shown(files[0]), custom
    return scales


def shown(path: Path) -> str:
    """A path as a card may name it: below the working folder, or else its last part."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return path.resolve().name


def _about(trained: Trained, hub: str, license: str, license_from: str) -> str:
    kind = "A LoRA adapter" if trained.adapter else "A model"
    family = f" of the family {code(trained.family)}" if trained.family else ""
    what = f"{kind}{family} that rates images on an ordinal scale, trained with LLaMA-Factory as in {REPOSITORY}."
    folder = f"a local folder, {code(Path(trained.base).name)}" if trained.base else UNKNOWN
    terms = f"{code(license)}, {license_from}" if license_from else f"{UNKNOWN}; the base model's card was not at hand"
    base = f"Base model: {code(hub) if hub else folder}."
    return bullets([what, base, f"License: {terms}. The terms of the datasets below hold, too."])


def _training(trained: Trained) -> str:
    steps, epochs, loss, seconds = (trained.numbers[key] for key in ("steps", "epochs", "loss", "seconds"))
    hours = seconds and seconds / 3600
    facts = {"optimizer steps": steps, "epochs": epochs, "mean training loss": loss, "hours": hours}
    done = "; ".join(f"{name}: {value:.6g}" for name, value in facts.items() if isinstance(value, (int, float)))
    parts = [f"Training: {done}." if done else "Steps and epochs: unknown."]
    parts += [trained.step] if trained.step else []
    if trained.strategies:
        parts.append(f"Prompt strategy: {', '.join(map(code, trained.strategies))}.")
    parts += ["### Rows", _rows(trained), "### Recipe"]
    if not trained.recipe:
        return "\n\n".join([*parts, "Unknown: nothing in the run says it."])
    keys = {key: value for key, value in trained.recipe.items() if value is not None and not SECRET.search(str(key))}
    lines = [[code(key), code(_value(value))] for key, value in keys.items() if key != "storm"]
    parts += [f"From {trained.source}.", rows([["key", "value"], *lines])]
    if "storm" in keys:
        text = yaml.safe_dump({"storm": placeless(keys["storm"])}, sort_keys=False, width=1000)
        parts += [f"With `train/run.py` of {REPOSITORY}, which adds to LLaMA-Factory:", block(text.rstrip(), "yaml")]
    if not any(key in keys for key in SETTINGS):
        parts.append("Batch of one GPU and number of GPUs: not recorded.")
        if "max_grad_norm" in keys and not keys.get("deepspeed"):
            parts.append("`max_grad_norm` is the recipe's; a sweep fits it to the accumulated batches.")
    return "\n\n".join(parts)


def _value(value: object) -> str:
    return str(placeless(value)).lower() if isinstance(value, bool) else str(placeless(value))


def _rows(trained: Trained) -> str:
    if not trained.data:
        return "Unknown: nothing in the run says what it was trained on."
    lines = [["rows", "dataset", "owner's page", "terms of use", "hash of the file"]]
    for stanza, digest in trained.data.items():
        name = dataset_and_part(stanza)[0]
        source = source_named(name) if stanza.startswith(("storm_", "demo_")) else None
        owner = [code(name), UNKNOWN, UNKNOWN]
        if source:
            owner = [source.title, f"<{source.url}>" if source.url else UNKNOWN, source.terms]
        lines.append([code(stanza), *owner, code(digest) if digest else UNKNOWN])
    when = f"Hashes are the first 16 hex digits of SHA-256, {trained.hashed}." if trained.hashed else ""
    return "\n\n".join(filter(None, [rows(lines), when, "No image and no row is part of this model's folder."]))


def _measured(measured: Sequence[dict]) -> list[str]:
    """Limits that the scores themselves show."""
    lines = [] if measured else ["How good it is was not measured, or no scores were named when this card was written."]
    for score in measured:
        name, subjects, few = code(score["dataset"]), score.get("subjects"), score["n"] < 100
        if score["split"] == SPLITS["val"]:
            lines.append(f"{name}: the scores are of validation rows: too good if anything was chosen by them.")
        elif not score["split"]:
            lines.append(f"{name}: nothing says whether the scores are of test rows, or of rows that were trained on.")
        if (subjects or 100) < 10:
            lines.append(f"{name}: the images are of only {subjects} subjects, so the intervals are wide.")
        elif few:
            lines.append(f"{name}: only {score['n']} images, so the intervals are wide or missing.")
        if score.get("unparsed"):
            lines.append(f"{name}: {score['unparsed']:,} of {score['n']:,} answers could not be read.")
    return lines


def _scores(scored: Scores) -> str:
    if not scored.scores:
        return "No scores: unknown."
    what = "In brackets are 95% intervals (by bootstrap over subjects, or over images where no subjects are known)."
    return "\n\n".join([scores.table(scored.scores), f"{what} {scored.note}", bullets(scores.legend(scored.scores))])


def _commands(trained: Trained, hub: str, scales: dict[str, tuple[str, Scale]]) -> str:
    place = shown(trained.folder)
    base = hub or str(placeless(trained.base)) or "BASE_MODEL"
    model = ["--model", base, "--adapter", place] if trained.adapter else ["--model", place]
    pixels, notes = trained.recipe.get("image_max_pixels"), []
    how = ["--image-max-pixels", pixels] if pixels else []
    if not pixels and not trained.whole:
        notes.append("`--image-max-pixels` of the training is unknown; without it, the commands take our recipes'.")
    elif not pixels:
        how = ["--image-max-pixels", 768 * 768]  # LLaMA-Factory's default, where a recipe says nothing
    strategies = trained.strategies or [next(iter(STRATEGIES))]
    notes += [f"Strategies: {', '.join(strategies)}; the commands take the first."] if len(strategies) > 1 else []
    notes += [] if scales else ["The scale is unknown: put yours for `SCALE.yaml`."]
    names = list(dict.fromkeys(name for name, _ in scales.values())) or ["SCALE.yaml"]
    common = [*how, "--strategy", strategies[0]]
    rate = ["python", "eval/predict.py", *model, "--images", "PHOTOGRAPHS", "--scale", names[0], *common]
    serve = ["python", "eval/serve.py", *model, "--scale", *names, *common]
    intro = f"In a checkout of {REPOSITORY}, to rate the photographs in a folder, and to serve the model:"
    lines = block(f"{command_line([*rate, '--out', 'ratings.csv'])}\n{command_line(serve)}", "bash")
    return "\n\n".join([intro, lines, *notes])


def _questions(trained: Trained, scales: dict[str, tuple[str, Scale]]) -> str:
    if not scales:
        return "Unknown: the scale's file was not there when this card was written."
    by_scale = {scale.name: scale for _, scale in scales.values()}
    strategy = (trained.strategies or [next(iter(STRATEGIES))])[0]
    parts = [f"Scale {code(name)}:\n\n{block(question(scale, strategy))}" for name, scale in by_scale.items()]
    return "\n\n".join(["The words that the model was trained with:", *parts])


def _versions(trained: Trained) -> str:
    lines = [f"{code(name)} {code(version)}" for name, version in trained.versions.items()] or ["Packages: unknown."]
    return bullets([*lines, f"Commit of {REPOSITORY}: {code(trained.commit) if trained.commit else UNKNOWN}"])
