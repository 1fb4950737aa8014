"""Predictions that an earlier sweep left, saves/predict/<run>/<dataset>/generated_predictions.jsonl without ids.

LLaMA-Factory wrote them, a folder for each test set. They are converted if they are of this run. Either way the file is
renamed: scores of the folder would read it beside the new predictions.
"""

import sys
from pathlib import Path

from eval.inference import resume
from eval.inference.settings import Settings, provenance_of
from storm import provenance
from storm.files import read_jsonl, write_jsonl
from storm.options import describe
from storm.rows import Example, dataset_and_part
from train.plan import Run

EARLIER = "generated_predictions.jsonl"


def put_aside(path: Path) -> Path:
    """Rename a file to <name>.old, or .old2 ..., so that nothing reads it any more. Returns its new path."""
    old, number = path.with_name(f"{path.name}.old"), 2
    while old.exists():
        old, number = path.with_name(f"{path.name}.old{number}"), number + 1
    return path.rename(old)


def take_earlier(run: Run, settings: Settings, recipe: dict, rows: dict[Path, list[Example]], any_commit: bool) -> None:
    """Convert them for the test sets that have no predictions yet, and put them aside; say which, or why not.

    recipe: the keys of a prediction, by which LLaMA-Factory was started. rows: those to predict of each test file.
    """
    for stanza, file in run.files(run.test).items():
        earlier, path = run.predicted / dataset_and_part(stanza)[0] / EARLIER, settings.out / f"{file.stem}.jsonl"
        if not earlier.exists():
            continue
        try:
            if path.exists() or resume.parts(settings.out, file.stem):
                raise ValueError(f"{path} was predicted since")
            facts = _provenance(run, recipe, stanza, any_commit)
            predictions = _joined(earlier, rows[file])
            now = provenance_of(settings)
            now |= {"data": {file.stem: now["data"][file.stem]}} | {key: facts[key] for key in ("commit", "versions")}
            if provenance.exists(settings.out):
                old = provenance.read(settings.out)
                if changed := provenance.other_tools(old, now):
                    raise ValueError(f"{changed} than the other test sets")
                now = old | {"data": old["data"] | now["data"]}
        except (ValueError, OSError) as error:
            about = f"{run.name}: does not take {earlier}: {describe(error)}"
            print(f"{about}; it is now called {put_aside(earlier).name}", file=sys.stderr)
            continue
        # Rows first: after a kill between the two, they are of unknown settings and converted again.
        write_jsonl(path, predictions)
        provenance.write(settings.out, now)
        print(f"{run.name}: takes the predictions of an earlier sweep: {put_aside(earlier)}", file=sys.stderr)


def _provenance(run: Run, recipe: dict, stanza: str, any_commit: bool) -> dict:
    """The provenance of an earlier sweep's predictions. Raises ValueError if they are not of this run."""
    folder, file = run.predicted / dataset_and_part(stanza)[0], run.files([stanza])[stanza]
    old = provenance.read(folder)
    recipe = recipe | {"eval_dataset": stanza, "output_dir": str(folder)}
    recipe = {key: value for key, value in recipe.items() if key not in provenance.GPU_KEYS}
    now = {"recipe": recipe, "data": {stanza: provenance.file_hash(file)}} | provenance.tools()
    # Results of a training hold its seconds, which tell it from the next.
    written = [path for name in ("origin.json", "train_results.json") if (path := run.saved / name).exists()]
    training = {path.name: provenance.file_hash(path) for path in written} if run.train else {}
    if (old.get("training") or {}) != training:
        raise ValueError("another training")
    if changed := provenance.difference(old, now, any_commit, {stanza: file}):
        raise ValueError(changed)
    return old


def _joined(earlier: Path, examples: list[Example]) -> list[dict]:
    """Predictions without ids, with those of their test file, line by line. Raises ValueError if a label disagrees."""
    rows = [line.row for line in read_jsonl(earlier)]
    if len(rows) != len(examples):
        raise ValueError(f"{len(rows):,} rows, not {len(examples):,}")
    joined = []
    for number, (row, example) in enumerate(zip(rows, examples), 1):
        if not isinstance(row, dict) or str(row.get("label")).strip() != example.answer or "predict" not in row:
            raise ValueError(f"line {number}: not a prediction of {example.id}, whose label is {example.answer!r}")
        prediction = {"id": example.id, "dataset": example.dataset, "scale": example.scale.name}
        prediction |= {"strategy": example.strategy, "image": example.image, "label": example.answer}
        joined.append(prediction | {"predict": row["predict"]})
    return joined
