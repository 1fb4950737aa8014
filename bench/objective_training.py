"""One training of bench/objectives.py, in the process that it runs in: the demo's recipe, as train/run.py trains it."""

import hashlib
import resource
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import rated_crops
from bench.objective_scores import BASE, words
from storm.files import read_json, write_json
from storm.provenance import file_hash, tools
from storm.rows import Example, read_examples
from train.recipe import load

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "recipes" / "demo_direct.yaml"  # of rated_crops.STRATEGY
PIXELS, TOKENS = 112 * 112, 512  # of a crop and of a prompt at most, as the recipe has them
FIRST_RATE = 5e-4  # of the first model
WARM_UP = 3  # steps before the clock starts
BATCH = {"cuda": 64, "cpu": 16}  # rows predicted at once
BLOCK = ("weight", "sft", "target", "width")  # keys of the block; others are the recipe's


@dataclass(frozen=True)
class Training:
    """One training. keys: of the recipe and the block, without the objective's name."""

    objective: str
    seed: int
    part: str  # whose rows are predicted: val to choose, test to compare
    keys: Mapping[str, object]

    @property
    def name(self) -> str:
        return f"{self.objective} {words(self.keys)} seed={self.seed} {self.part}"


def prepare(work: Path, seeds: Sequence[int], crops: int, steps: int) -> dict:
    """Write images and rows, and train the first model, for so many steps, if it is not there.

    Returns the rows of each part, and what results depend on: hashes of the data and of the model, and the device.
    """
    rows, data = rated_crops.write(work, seeds, crops), hashlib.sha256()
    splits = [file for seed in seeds for file in sorted(work.glob(f"split{seed}/*.jsonl"))]
    for file in (*sorted(work.glob("images/*.png")), *splits):
        data.update(file.read_bytes())
    import torch

    from demo import model
    from train.training import host

    first, of = work / rated_crops.FIRST / "model", {"steps": steps, "crops": crops}
    made_of = first.with_name("model_of.json")
    if not made_of.exists() or read_json(made_of) != of:
        shutil.rmtree(first, ignore_errors=True)
        model.OUT = work / "random"
        model.main([])
        keys = {"max_steps": steps, "learning_rate": FIRST_RATE}
        host.train(recipe_of(model.OUT, work, work / rated_crops.FIRST, first, 0) | keys, None)
        write_json(made_of, of)
    facts = {"data": data.hexdigest()[:16], "first": file_hash(first / "model.safetensors")}
    facts |= tools(("torch", "transformers", "llamafactory"))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return {"rows": rows, "device": device} | facts


def recipe_of(model: Path, work: Path, rows: Path, out: Path, seed: int) -> dict:
    """The demo's recipe with other folders."""
    keys = {"model_name_or_path": model, "dataset_dir": rows, "media_dir": work, "output_dir": out}
    return load(RECIPE) | {key: str(path) for key, path in keys.items()} | {"save_strategy": "no", "seed": seed}


def train(work: Path, training: Training, steps: int) -> dict:
    """Train and predict. steps: at most; 0: as many as the epochs have.

    Returns probs of the part's rows, seconds of a step, and the peak of memory in GB of 1e9 bytes (without a GPU, the
    process's).
    """
    import torch
    from transformers import TrainerCallback

    from train.training import block, host

    cuda, seen = torch.cuda.is_available(), {}

    class Clock(TrainerCallback):
        def on_step_end(self, args, state, control, **more):
            if state.global_step in (WARM_UP, state.max_steps):
                if cuda:
                    torch.cuda.synchronize()
                seen[state.global_step] = time.perf_counter()

        def on_train_end(self, args, state, control, **more):
            resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            seen.update(steps=state.max_steps, peak_gb=(torch.cuda.max_memory_allocated() if cuda else resident) / 1e9)

    out, split = work / training.name / "model", f"split{training.seed}"
    recipe = recipe_of(work / rated_crops.FIRST / "model", work, work / split, out, training.seed)
    recipe |= {key: value for key, value in training.keys.items() if key not in BLOCK}
    recipe |= {"max_steps": steps} if steps else {}
    extra = {"objective": training.objective} | {key: training.keys[key] for key in training.keys.keys() & {*BLOCK}}
    extra = None if training.objective == BASE else block.read({block.KEY: extra})
    begin = time.perf_counter()
    host.train(recipe, extra, [Clock()])
    seconds = time.perf_counter() - begin
    probs = predicted(out, work, list(read_examples(rated_crops.rows_file(work, split, training.part))))
    shutil.rmtree(out)
    step_s = (seen[seen["steps"]] - seen[WARM_UP]) / (seen["steps"] - WARM_UP)
    return {"probs": probs, "seconds": seconds, "step_s": step_s, "steps": seen["steps"], "peak_gb": seen["peak_gb"]}


def predicted(model: Path, media: Path, rows: Sequence[Example]) -> list[list[float]]:
    """The exact probabilities of the levels, of each row."""
    import torch

    from eval.inference.blocks import of_rows
    from eval.inference.model import load as loaded
    from eval.inference.rater import Rater
    from eval.inference.settings import Settings

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = Settings(str(model), media=media, image_max_pixels=PIXELS, cutoff_len=TOKENS)
    rater = Rater(loaded(settings, device), settings)
    answers = [answer for block in of_rows(rows, BATCH[device.type]) for answer in rater.rate(block)]
    return [answer["probs"] for answer in answers]
